/**
 * A seeded simulation of the whole pipeline with faults.
 *
 * One seed is one life of an installation: the real store, queue, stream, scheduler, replays, housekeeping and router
 * in one process, applications that publish, targets that answer well or badly, an operator, and for a while
 * everything that can go wrong: the process is killed between any two of its steps and started again (after a power
 * cut from a shorter log), it is stopped and started in order, the disk refuses, calls to ports fail or their answers
 * get lost, receipts run out, messages vanish from the queue, the wall clock jumps either way. Then everything heals,
 * and within a bounded time the pipeline must come to rest.
 *
 * What must hold while it runs is judged call by call (ledger.ts); what must hold in the end, when all is at rest
 * (at-rest.ts). Nothing happens by chance: every choice comes from the seed, time is simulated, and the event loop is
 * ours (simulated-time.ts), so a seed gives the same trace each time, and its hash proves it.
 */
import { CodedError, describeError } from "@flowcatalyst/foundation";
import type { FilterCompiler } from "../../packages/server/src/domain/filter.ts";
import { createSqliteQueue } from "../../packages/server/src/queues/sqlite/index.ts";
import { checkAtRest, isAtRest, type RestFacts } from "./at-rest.ts";
import { Dice } from "./dice.ts";
import { fileDisk, memoryDisk, type Disk } from "./disk.ts";
import { Faults } from "./faults.ts";
import { History } from "./history.ts";
import { startIncarnation, type Incarnation } from "./incarnation.ts";
import { Ledger } from "./ledger.ts";
import { Life } from "./life.ts";
import { Operator } from "./operator.ts";
import { Publisher } from "./publisher.ts";
import { drawScenario, type Scenario } from "./scenario.ts";
import { SimulatedTime } from "./simulated-time.ts";
import { Targets } from "./targets.ts";
import { Trace } from "./trace.ts";
import { Violation } from "./violation.ts";

export interface SimulationOptions {
  readonly compiler: FilterCompiler;
  /** Lines of the trace that are kept for the report. */
  readonly keepLines: number;
  /** Gets each line of the trace as it comes. */
  readonly print: ((line: string) => void) | null;
}

export interface SimulationResult {
  readonly seed: number;
  readonly traceHash: string;
  readonly steps: number;
  readonly crashes: number;
  readonly calls: number;
  readonly duplicates: number;
  readonly simulatedMs: number;
  /** Null: every invariant held. */
  readonly failure: SimulationFailure | null;
}

export interface SimulationFailure {
  readonly invariant: string;
  readonly message: string;
  readonly lastLines: readonly string[];
}

/** After everything has healed, the pipeline must be at rest within this time. */
const REST_WITHIN_MS = 20 * 60_000;
/** How often an operator looks after what is left, and whether all is at rest. */
const ATTEND_EVERY_MS = 3_000;
/** Whatever else happens, a simulation ends. */
const LENGTH_MAX_MS = 2 * REST_WITHIN_MS;

export async function simulate(seed: number, options: SimulationOptions): Promise<SimulationResult> {
  const world = new World(drawScenario(seed), options);
  const failure = await world.run();
  return { seed, ...world.summary(), failure };
}

class World {
  readonly #scenario: Scenario;
  readonly #options: SimulationOptions;
  readonly #trace: Trace;
  readonly #time = new SimulatedTime();
  readonly #disk: Disk;
  readonly #history: History;
  readonly #ledger: Ledger;
  readonly #targets: Targets;
  readonly #faults: Faults;
  readonly #publisher: Publisher;
  readonly #operator: Operator;
  #process: Incarnation | null = null;
  #life: Life | null = null;
  #lives = 0;
  #crashes = 0;
  #violation: Error | null = null;
  #isOver = false;

  constructor(scenario: Scenario, options: SimulationOptions) {
    this.#scenario = scenario;
    this.#options = options;
    this.#trace = new Trace(options.keepLines, options.print);
    this.#disk = scenario.powerCuts ? fileDisk() : memoryDisk();
    const time = this.#time;
    const note = (text: string): void => this.#trace.add(time.elapsedMs, text);
    const database = () => this.#disk.database;
    const current = () => this.#process;
    const dice = (stream: number): Dice => new Dice(scenario.seed, stream);
    const history = new History(() => time.elapsedMs);
    this.#history = history;
    this.#ledger = new Ledger({ database, history, elapsedMs: () => time.elapsedMs });
    const characters = scenario.targets;
    const fail = (error: unknown): void => this.#fail(error);
    this.#targets = new Targets({ time, dice: dice(2), ledger: this.#ledger, characters, note, fail });
    this.#faults = new Faults({ scenario, time, dice: dice(3), history, note, fail });
    this.#publisher = new Publisher({ scenario, time, dice: dice(4), current, note });
    const temptFate = (): void => this.#faults.temptFate();
    this.#operator = new Operator({ scenario, time, dice: dice(5), history, database, current, note, fail, temptFate });
  }

  summary(): Omit<SimulationResult, "seed" | "failure"> {
    return {
      traceHash: this.#trace.hash,
      steps: this.#trace.steps,
      crashes: this.#crashes,
      calls: this.#ledger.calls,
      duplicates: this.#ledger.duplicates,
      simulatedMs: this.#time.elapsedMs,
    };
  }

  async run(): Promise<SimulationFailure | null> {
    const giveBack = this.#time.install();
    const onRejection = (error: unknown): void => this.#fail(error);
    process.on("unhandledRejection", onRejection);
    try {
      this.#spawn(() => this.#story());
      await this.#turn();
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#kill();
      process.off("unhandledRejection", onRejection);
      giveBack();
    }
    const failure = this.#failure();
    this.#disk.dispose();
    return failure;
  }

  #failure(): SimulationFailure | null {
    const error = this.#violation;
    if (error === null) return null;
    const invariant = error instanceof Violation ? error.invariant : "no faults of our own";
    const message = error instanceof Violation ? error.message : (error.stack ?? describeError(error));
    return { invariant, message: `${message}\n${this.#openJobs()}`, lastLines: this.#trace.lastLines };
  }

  /** The first jobs that are not final, and what the store knows around them, for the report. */
  #openJobs(): string {
    const sql = `SELECT j.id, j.status, j.generation, j.due_at, j.queued_at, g.key, g.ready_at, g.outstanding,
        g.held_reason, f.key AS feed, f.ready_at AS feed_ready, f.held_since, f.window_full, f.queued, f.pending,
        s.status AS subscription
      FROM jobs j JOIN job_groups g ON g.id = j.group_id JOIN job_feeds f ON f.id = j.feed_id
        LEFT JOIN subscriptions s ON s.id = f.subscription_id
      WHERE j.open = 1 ORDER BY j.position LIMIT 4`;
    try {
      const rows = this.#disk.database.queryOnce<Record<string, unknown>>(sql, []);
      return [`  it is ${this.#time.now()}; open jobs:`, ...rows.map((row) => `  ${JSON.stringify(row)}`)].join("\n");
    } catch (error) {
      return `  (the store cannot be read: ${describeError(error)})`;
    }
  }

  async #turn(): Promise<void> {
    while (!this.#isOver && this.#violation === null) {
      await this.#time.settle();
      if (this.#isOver || this.#violation !== null) return;
      if (!this.#time.fireNext()) throw new Violation("rest", "nothing is left that could happen");
      if (this.#time.elapsedMs > LENGTH_MAX_MS) throw new Violation("rest", "it does not come to an end");
    }
  }

  async #story(): Promise<void> {
    const { chaosMs } = this.#scenario;
    await this.#operator.createPools();
    await this.#start();
    await this.#operator.createSubscriptions();
    this.#spawn(() => this.#publisher.run());
    this.#spawn(() => this.#operator.run());
    this.#spawn(() => this.#faults.run());
    this.#spawn(() => this.#restarts());
    await this.#time.sleep(Math.max(0, chaosMs - this.#time.elapsedMs));
    this.#trace.add(this.#time.elapsedMs, "everything heals");
    this.#faults.heal();
    this.#targets.isHealed = true;
    await this.#operator.heal();
    await this.#untilAtRest();
    const process = this.#process;
    if (process !== null) await checkAtRest(this.#restFacts(process));
    this.#isOver = true;
  }

  async #untilAtRest(): Promise<void> {
    const lastMs = this.#time.elapsedMs + REST_WITHIN_MS;
    for (;;) {
      await this.#time.sleep(ATTEND_EVERY_MS);
      const process = this.#process;
      if (process !== null && this.#publisher.isDone && (await isAtRest(this.#restFacts(process)))) return;
      if (this.#time.elapsedMs > lastMs) {
        throw new Violation("rest", `still not at rest ${REST_WITHIN_MS / 1_000} s after everything has healed`);
      }
      await this.#operator.attend();
    }
  }

  #restFacts(process: Incarnation): RestFacts {
    return {
      process,
      database: this.#disk.database,
      scenario: this.#scenario,
      sent: this.#publisher.sent,
      tasks: this.#publisher.tasks,
      subscriptions: this.#operator.subscriptions,
      history: this.#history,
      ledger: this.#ledger,
      crashes: this.#crashes,
      wasDisturbed: this.#faults.happened || this.#lives > 1,
    };
  }

  /** Stops and starts in order, now and then, as an operator does it to update. */
  async #restarts(): Promise<void> {
    const dice = new Dice(this.#scenario.seed, 6);
    if (!dice.chance(0.3)) return;
    await this.#time.sleep(dice.int(1_000, this.#scenario.chaosMs));
    const process = this.#process;
    if (process === null || this.#faults.isHealed) return;
    this.#trace.add(this.#time.elapsedMs, `p${process.life.number} is told to stop`);
    await process.stop();
    if (process.life.isDead) return;
    this.#trace.add(this.#time.elapsedMs, `p${process.life.number} has stopped`);
    process.life.isDead = true;
    this.#process = null;
    this.#restartIn(dice.int(10, 3_000));
  }

  async #start(): Promise<void> {
    const { scenario, time } = { scenario: this.#scenario, time: this.#time };
    const life = new Life(++this.#lives, {
      onStep: (one, what) => this.#onStep(one, what),
      isOutage: () => this.#faults.isOutage,
    });
    this.#life = life;
    this.#trace.add(time.elapsedMs, `p${life.number} starts`);
    try {
      this.#faults.schedule();
      const process = await startIncarnation({
        scenario,
        time,
        life,
        database: this.#disk.database,
        faults: this.#faults,
        transport: this.#targets.transportOf(life),
        compiler: this.#options.compiler,
        stageEnded: (stage, error) => this.#fail(new Error(`the ${stage} has ended: ${describeError(error)}`)),
      });
      if (this.#life === life && !life.isDead) this.#process = process;
    } catch (error) {
      if (life.isDead) return;
      if (!(error instanceof CodedError) || error.code !== "STORE_UNAVAILABLE") throw error;
      this.#crash(life, `cannot start: ${describeError(error)}`);
    }
  }

  #onStep(life: Life, what: string): void {
    this.#trace.add(this.#time.elapsedMs, `p${life.number} ${what}`);
    if (this.#faults.crashesNow()) this.#crash(life, `killed at ${what}`);
  }

  #crash(life: Life, why: string): void {
    life.isDead = true;
    this.#process = null;
    this.#crashes++;
    this.#trace.add(this.#time.elapsedMs, `p${life.number} ${why}`);
    this.#restartIn(this.#faults.downtimeMs());
  }

  #restartIn(ms: number): void {
    this.#time.setTimer(ms, () => {
      if (this.#isOver || this.#violation !== null) return;
      const share = this.#faults.powerCutShare();
      if (share !== null) {
        this.#trace.add(this.#time.elapsedMs, `the power was cut; ${share.toFixed(2)} of what was not flushed is left`);
        this.#disk.cutPower(share);
      }
      this.#spawn(async () => {
        if (this.#faults.losesMessages()) await this.#purgeQueue();
        await this.#start();
      });
    });
  }

  async #purgeQueue(): Promise<void> {
    const clock = this.#time.clockOf(() => true, 0);
    const queue = createSqliteQueue({ connection: this.#disk.database, clock });
    let messages = 0;
    for (let lanes = await queue.readyLanes(); lanes.length > 0; lanes = await queue.readyLanes()) {
      for (const lane of lanes) {
        const received = await queue.receive({ lane, max: 1_000, waitMs: 0 }, new AbortController().signal);
        await queue.ack(received.map(({ receipt }) => receipt));
        messages += received.length;
      }
    }
    queue.close();
    this.#trace.add(this.#time.elapsedMs, `the queue has lost ${messages} messages`);
  }

  #kill(): void {
    if (this.#life !== null) this.#life.isDead = true;
    this.#process = null;
  }

  #spawn(work: () => Promise<void>): void {
    work().catch((error: unknown) => this.#fail(error));
  }

  #fail(error: unknown): void {
    this.#violation ??= error instanceof Error ? error : new Error(String(error));
    this.#trace.add(this.#time.elapsedMs, `FAILED: ${this.#violation.message}`);
  }
}
