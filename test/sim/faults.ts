/** What goes wrong, and when: drawn from the seed, until everything heals. */
import { describeError } from "@flowcatalyst/foundation";
import type { Dice } from "./dice.ts";
import type { PortFault, PortFaults } from "./faulty-port.ts";
import type { History } from "./history.ts";
import type { Scenario } from "./scenario.ts";
import type { SimulatedTime } from "./simulated-time.ts";
import { Violation } from "./violation.ts";

export interface FaultsDeps {
  readonly scenario: Scenario;
  readonly time: SimulatedTime;
  readonly dice: Dice;
  readonly history: History;
  readonly note: (text: string) => void;
  readonly fail: (error: unknown) => void;
}

const MINUTE_MS = 60_000;

export class Faults implements PortFaults {
  isHealed = false;
  /** Something has gone wrong at some time. */
  happened = false;
  readonly #deps: FaultsDeps;
  #crashesLeft: number;
  #stepsToCrash = Number.POSITIVE_INFINITY;
  #hasLostMessages = false;
  #outageUntilMs = 0;
  /** Receipts cannot be extended until then. */
  #forgetfulUntilMs = 0;

  constructor(deps: FaultsDeps) {
    this.#deps = deps;
    this.#crashesLeft = deps.scenario.crashes;
  }

  get isOutage(): boolean {
    return this.#deps.time.elapsedMs < this.#outageUntilMs;
  }

  heal(): void {
    this.isHealed = true;
    this.#stepsToCrash = Number.POSITIVE_INFINITY;
    this.#outageUntilMs = 0;
    this.#forgetfulUntilMs = 0;
  }

  /** Draws when the process that starts now is killed. */
  schedule(): void {
    const { dice, scenario } = this.#deps;
    this.#stepsToCrash = Number.POSITIVE_INFINITY;
    if (this.isHealed || this.#crashesLeft === 0) return;
    this.#stepsToCrash = dice.int(1, scenario.crashWithinSteps);
  }

  /** Something of several writes begins: now and then the process dies between them. */
  temptFate(): void {
    const { dice } = this.#deps;
    if (!this.isHealed && this.#crashesLeft > 0 && dice.chance(0.3)) this.#stepsToCrash = dice.int(1, 4);
  }

  /** Asked at each step of the process. */
  crashesNow(): boolean {
    if (--this.#stepsToCrash > 0) return false;
    this.#stepsToCrash = Number.POSITIVE_INFINITY;
    this.#crashesLeft--;
    this.happened = true;
    return true;
  }

  downtimeMs(): number {
    const { dice } = this.#deps;
    const kind = dice.weighted({ short: 6, middle: 3, long: 1 });
    if (kind === "short") return dice.int(10, 500);
    return kind === "middle" ? dice.int(1_000, 10_000) : dice.int(20_000, 90_000);
  }

  /** Null: the power stayed on. */
  powerCutShare(): number | null {
    const { dice, scenario } = this.#deps;
    if (!scenario.powerCuts || this.isHealed || dice.chance(0.3)) return null;
    return dice.chance(0.3) ? 0 : dice.random.next();
  }

  /** Whether the queue has lost everything when the process comes back. */
  losesMessages(): boolean {
    const { dice, scenario } = this.#deps;
    const loses = scenario.losesMessages && !this.isHealed && dice.chance(0.5);
    this.#hasLostMessages ||= loses;
    return loses;
  }

  decide(call: string): PortFault {
    const { dice, scenario, time, history, note } = this.#deps;
    if (this.isHealed) return "none";
    if (call === "queue.extend" && time.elapsedMs < this.#forgetfulUntilMs) return this.#happens("refused");
    if (scenario.portFaultShare === 0 || !dice.chance(scenario.portFaultShare)) return "none";
    if (call === "control.read") history.disturbed(time.elapsedMs);
    const fault = dice.pick(["refused", "answerLost"] as const);
    note(`${call}: ${fault}`);
    return this.#happens(fault);
  }

  /** Only what the queue has lost may be taken for lost. */
  answered(call: string, value: unknown): void {
    if (call !== "claims.recoverLost" || value === 0 || this.#hasLostMessages) return;
    this.#deps.fail(new Violation("lost", `${String(value)} jobs are taken for lost, and no message was`));
  }

  unexpected(call: string, error: unknown): void {
    this.#deps.note(`${call} threw ${describeError(error)}`);
    this.#deps.fail(error);
  }

  async run(): Promise<void> {
    const { dice, time, scenario } = this.#deps;
    for (;;) {
      await time.sleep(dice.int(500, 20_000));
      if (this.isHealed || time.elapsedMs >= scenario.chaosMs) return;
      const kind = dice.weighted({ outage: 2, clockForward: 2, clockBack: 2, forgetful: 2 });
      if (kind === "outage" && scenario.outages) this.#outage();
      if (kind === "clockForward" && scenario.clockJumps) this.#jump(dice.int(1, dice.pick([5_000, 10 * MINUTE_MS])));
      if (kind === "clockBack" && scenario.clockJumps) this.#jump(-dice.int(1, 20_000));
      if (kind === "forgetful" && scenario.portFaultShare > 0) this.#forget();
    }
  }

  #outage(): void {
    const { dice, time, history, note } = this.#deps;
    const lengthMs = dice.chance(0.1) ? 90_000 : dice.int(50, 12_000);
    const untilMs = Math.min(time.elapsedMs + lengthMs, this.#deps.scenario.chaosMs);
    this.#outageUntilMs = untilMs;
    history.disturbed(untilMs);
    note(`the disk refuses for ${untilMs - time.elapsedMs} ms`);
    this.happened = true;
  }

  #jump(byMs: number): void {
    this.#deps.time.jumpWallClock(byMs);
    this.#deps.note(`the wall clock jumps by ${byMs} ms`);
    this.happened = true;
  }

  #forget(): void {
    const { dice, time, note } = this.#deps;
    this.#forgetfulUntilMs = time.elapsedMs + dice.int(3_000, 40_000);
    note("receipts cannot be extended");
  }

  #happens(fault: PortFault): PortFault {
    this.happened = true;
    return fault;
  }
}
