/**
 * Brings messages from a queue on which a question that waits costs nothing: one is kept open for each lane (or as many
 * as the queue says), for 20 s at a time.
 *
 * Lanes are learnt: those that the queue names, those of the pools (a queue on which each lane can be asked for), and
 * the default one. Each has a loop of its own, so that a full pool, a failure or a slow answer of one is no affair of
 * another. A loop does, over and over:
 *
 * ```mermaid
 * stateDiagram-v2
 *   direction LR
 *   [*] --> asking
 *   asking --> placing: an answer
 *   asking --> asking: nothing came in 20 s
 *   placing --> asking: all found room
 *   placing --> full: something waits here for room, or the pool has none left
 *   full --> placing: its pool has room, or a second has passed
 *   asking --> paused: suspended, standby lost, memory full, or nothing can be recorded
 *   paused --> asking: looked at each second, or told
 *   asking --> failed: the queue cannot be asked
 *   failed --> asking: after a growing wait
 *   asking --> [*]: the stop, or nobody uses the lane
 * ```
 *
 * Questions are taken back, at the latest a second after, when nothing may be received any more; what an answer on its
 * way brings all the same is given back if another router is the active one, and otherwise has its place.
 *
 * Guarantees: answers of a lane are placed one after another, in the order they came. An idle lane costs a question and
 * nothing else: no timer, no look. A lane that fails shows as the consumer's error until it answers again, and takes
 * nothing from the others. No loop asks and gives back without end: what has no room waits here, or the loop waits.
 * A lane that the queue does not name, that has no pool, and that nothing came from for ten minutes is forgotten.
 *
 * Anybody who may publish can name lanes, so lanes without a pool share a few places: while more of them have something
 * than there are places, each keeps its place for one answer or a second, and goes to the end of the row. Lanes of
 * pools have places of their own, whatever strangers publish, and a stranger's lane that fails is no fault of the
 * consumer.
 */
import { backoffMs, createWakeUp, describeError, type WakeUp } from "@flowcatalyst/foundation";
import { defaultPoolCode } from "../domain/dispatch-pool.ts";
import type { PoolCode } from "../domain/ids.ts";
import { isSharedLane } from "../ports/queue.ts";
import type { Admitted } from "./admission.ts";
import type { Intake, IntakeDeps } from "./intake.ts";
import { LaneRow } from "./lane-row.ts";
import type { Pool } from "./pool.ts";
import type { QueueLink } from "./queue-link.ts";
import { Reception, receptionLimits } from "./reception.ts";

export const waitingIntakeLimits = {
  questionMs: 20_000,
  /** Lanes without a pool that are asked for at a time. */
  maxUnknownLanes: 256,
  /** How long one of them is asked while others wait for its place. */
  turnMs: 1_000,
  tooManyLanesTellMs: 60_000,
  laneIdleMs: 600_000,
  /** An answer without messages that came sooner: the next question waits, lest a broken queue be asked for ever. */
  soonMs: 100,
} as const;

interface Lane {
  readonly code: PoolCode;
  readonly isShared: boolean;
  readonly stop: AbortController;
  /** Takes the questions back that are open now. */
  question: AbortController;
  /** When something came, or the lane was named; monotonic. */
  usedAtMs: number;
  /** Until when the question that is open may wait; monotonic. */
  askedUntilMs: number;
  /** Questions that failed since the last that did not. */
  failures: number;
  /** Batches of which all was given back, in a row. */
  refused: number;
  /** The last answer has its place. */
  placed: Promise<unknown>;
  ended: Promise<unknown>;
}

const askedForLanes = "the list of lanes";

export class WaitingIntake implements Intake {
  readonly link: QueueLink;
  readonly #deps: IntakeDeps;
  readonly #reception: Reception;
  readonly #wakeUp: WakeUp;
  readonly #lanes = new Map<PoolCode, Lane>();
  /** Those of them that have no pool. */
  readonly #unknown = new Set<Lane>();
  /** Lanes without a pool that wait for a place. */
  readonly #row = new LaneRow();
  /** Lanes that have ended, until the last of their loops has. */
  readonly #leaving = new Map<PoolCode, Promise<unknown>>();
  #tooManyToldAtMs = Number.NEGATIVE_INFINITY;
  /** Loops that wait for room, or for leave to ask; by the pools they wait for, and all. */
  readonly #waiting = new Set<() => void>();
  readonly #waitingFor = new Map<Pool, Set<() => void>>();
  readonly #errors = new Map<string, string>();
  #isRunning = false;
  #isPaused = false;

  constructor(deps: IntakeDeps) {
    this.#deps = deps;
    this.link = deps.link;
    this.#reception = new Reception(deps);
    this.#wakeUp = createWakeUp(deps.clock);
  }

  get received(): number {
    return this.#reception.received;
  }

  get lastReceivedAtMs(): number | null {
    return this.#reception.lastReceivedAtMs;
  }

  get error(): string | null {
    for (const error of this.#errors.values()) return error;
    return null;
  }

  get status(): Intake["status"] {
    if (!this.#isRunning) return "STOPPED";
    if (this.#isPaused) return "PAUSED";
    return this.error === null ? "RUNNING" : "FAILED";
  }

  wake(pool?: Pool): void {
    if (pool === undefined) this.#wakeUp.wake();
    else this.#waitingFor.get(pool)?.forEach((wake) => wake());
  }

  giveBack(): void {
    this.#deps.admission.giveBackOverflow();
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#isRunning = true;
    const learning = this.#learn(signal);
    try {
      while (!signal.aborted) {
        this.#look();
        await this.#wakeUp.wait(receptionLimits.pollMs, signal);
      }
    } finally {
      const lanes = [...this.#lanes.values()];
      this.#row.clear();
      for (const lane of lanes) this.#end(lane);
      await Promise.all([learning, ...this.#leaving.values()]);
      this.#errors.clear();
      this.#isRunning = false;
    }
  }

  /** Each second, or when told: whether anything may be asked, and which lanes are not used any more. */
  #look(): void {
    this.#isPaused = !this.#reception.mayAsk;
    const idleSinceMs = this.#deps.clock.monotonicMs() - waitingIntakeLimits.laneIdleMs;
    for (const lane of this.#lanes.values()) {
      if (this.#isPaused || this.#isSuspended(lane)) lane.question.abort();
      if (lane.usedAtMs < idleSinceMs && !this.#deps.admission.hasOverflow(lane.code)) this.#end(lane);
    }
    // Paused for want of memory too: what waits here fills it, and finds its place all the same.
    for (const wake of this.#waiting) wake();
  }

  #isSuspended({ isShared, code }: Lane): boolean {
    return !isShared && this.#deps.pools.serving(code).shape.isSuspended;
  }

  /** Asks the queue for its lanes, each second; nobody else waits for the answer. */
  async #learn(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      this.#use(defaultPoolCode);
      let waitMs: number = receptionLimits.pollMs;
      try {
        await this.#useLanes(signal);
        failures = 0;
        this.#errors.delete(askedForLanes);
      } catch (error) {
        if (signal.aborted) return;
        this.#failed(askedForLanes, error);
        waitMs = backoffMs(receptionLimits.retry, failures++, this.#deps.random);
      }
      await this.#deps.clock.sleep(waitMs, signal);
    }
  }

  async #useLanes(signal: AbortSignal): Promise<void> {
    const { link, pools } = this.#deps;
    const { consumer } = link;
    const { lanes } = consumer.capabilities;
    if (lanes === "all") for (const code of pools.codes()) this.#use(code);
    if (lanes === "none") return;
    const named = await consumer.readyLanes();
    if (signal.aborted) return;
    this.#sortOut();
    const waiting: PoolCode[] = [];
    for (const code of named) {
      if (this.#lanes.has(code) || isKnown(pools, code)) this.#use(code);
      else waiting.push(code);
    }
    this.#row.replace(waiting);
    this.#fillPlaces();
    this.#hurry();
  }

  /** Pools come and go, and with them what is known of a lane. */
  #sortOut(): void {
    for (const lane of this.#lanes.values()) {
      if (isKnown(this.#deps.pools, lane.code)) this.#unknown.delete(lane);
      else this.#unknown.add(lane);
    }
  }

  #fillPlaces(): void {
    const max = waitingIntakeLimits.maxUnknownLanes;
    for (let free = max - this.#unknown.size; free > 0; free -= 1) {
      const code = this.#row.next((waiting) => !this.#leaving.has(waiting));
      if (code === null) return;
      this.#use(code);
    }
  }

  /** While others wait, no lane without a pool is asked for longer than its turn. */
  #hurry(): void {
    if (this.#row.size === 0) return;
    const nowMs = this.#deps.clock.monotonicMs();
    const { maxUnknownLanes, turnMs, tooManyLanesTellMs } = waitingIntakeLimits;
    for (const lane of this.#unknown) if (lane.askedUntilMs > nowMs + turnMs) lane.question.abort();
    if (nowMs - this.#tooManyToldAtMs < tooManyLanesTellMs) return;
    this.#tooManyToldAtMs = nowMs;
    const message =
      `more than ${maxUnknownLanes} pools that do not exist have messages, which are received in turn: ` +
      "see who publishes to them";
    this.#deps.warnings.add({ category: "ROUTING", severity: "WARN", message, source: this.link.consumer.name });
  }

  /** The lane is in use: it has its loops. */
  #use(code: PoolCode): void {
    const nowMs = this.#deps.clock.monotonicMs();
    const known = this.#lanes.get(code);
    if (known !== undefined) {
      known.usedAtMs = nowMs;
      return;
    }
    // It is named again, and has its loops again, when those before are through with what they hold.
    if (this.#leaving.has(code)) return;
    const { capabilities, parallelReceives } = this.link.consumer;
    const none = Promise.resolve();
    const lane: Lane = {
      code,
      isShared: isSharedLane(capabilities, code),
      stop: new AbortController(),
      question: new AbortController(),
      usedAtMs: nowMs,
      askedUntilMs: nowMs,
      failures: 0,
      refused: 0,
      placed: none,
      ended: none,
    };
    this.#lanes.set(code, lane);
    if (!isKnown(this.#deps.pools, code)) this.#unknown.add(lane);
    lane.ended = Promise.all(Array.from({ length: Math.max(1, parallelReceives) }, () => this.#serve(lane)));
  }

  #end(lane: Lane): void {
    lane.stop.abort();
    lane.question.abort();
    if (this.#lanes.get(lane.code) === lane) {
      this.#lanes.delete(lane.code);
      this.#unknown.delete(lane);
      this.#leaving.set(
        lane.code,
        lane.ended.finally(() => this.#leaving.delete(lane.code)),
      );
    }
    this.#errors.delete(lane.code);
    for (const wake of this.#waiting) wake();
  }

  /** A lane without a pool has had its turn: the next one of the row has its place, if one waits. */
  #giveWay(lane: Lane): void {
    if (this.#row.size === 0 || !this.#unknown.has(lane) || this.#deps.admission.hasOverflow(lane.code)) return;
    this.#end(lane);
    this.#fillPlaces();
  }

  async #serve(lane: Lane): Promise<void> {
    const { clock, random } = this.#deps;
    const stop = lane.stop.signal;
    while (!stop.aborted) {
      try {
        await this.#round(lane);
      } catch (error) {
        if (stop.aborted) return;
        this.#failed(lane.code, error);
        this.#giveWay(lane);
        await clock.sleep(backoffMs(receptionLimits.retry, lane.failures++, random), stop);
      }
    }
  }

  /** What waits here for room, a question, or a wait. */
  async #round(lane: Lane): Promise<void> {
    const { admission, pools, mayReceive } = this.#deps;
    if (!mayReceive()) return this.#untilWoken([]);
    if (admission.hasOverflow(lane.code)) {
      const { full } = await this.#inTurn(lane, () => this.#reception.place(lane.code));
      if (admission.hasOverflow(lane.code)) await this.#untilRoom(lane, full);
      return;
    }
    if (!this.#reception.mayAsk) return this.#untilWoken([]);
    const max = this.#reception.roomFor(lane.code);
    if (max > 0) return this.#ask(lane, max);
    return this.#untilRoom(lane, [pools.serving(lane.code)]);
  }

  async #ask(lane: Lane, max: number): Promise<void> {
    const { clock, random } = this.#deps;
    const stop = lane.stop.signal;
    if (lane.question.signal.aborted) lane.question = new AbortController();
    const question = lane.question.signal;
    const askedAtMs = clock.monotonicMs();
    // After a failure an answer is wanted soon, to know that it is over.
    const isInTurn = this.#row.size > 0 && this.#unknown.has(lane);
    const mostMs = isInTurn ? waitingIntakeLimits.turnMs : waitingIntakeLimits.questionMs;
    const waitMs = lane.failures > 0 ? 0 : mostMs;
    lane.askedUntilMs = askedAtMs + waitMs;
    const batch = await this.link.consumer.receive({ lane: lane.code, max, waitMs }, question);
    lane.failures = 0;
    this.#errors.delete(lane.code);
    if (batch.length === 0) {
      this.#giveWay(lane);
      const isSoon = clock.monotonicMs() - askedAtMs < waitingIntakeLimits.soonMs;
      if (isSoon && !question.aborted) await clock.sleep(waitingIntakeLimits.soonMs, stop);
      return;
    }
    lane.usedAtMs = clock.monotonicMs();
    const admitted = await this.#inTurn(lane, () => this.#reception.takeIn(lane.code, batch, stop));
    lane.refused = admitted.placed === 0 && admitted.givenBack > 0 ? lane.refused + 1 : 0;
    this.#giveWay(lane);
    if (lane.refused > 0) await clock.sleep(backoffMs(receptionLimits.pacing, lane.refused - 1, random), stop);
  }

  /** Answers of a lane get their places one after another, however many questions are open. */
  #inTurn(lane: Lane, place: () => Promise<Admitted>): Promise<Admitted> {
    const turn = lane.placed.then(place, place);
    lane.placed = turn;
    return turn;
  }

  async #untilRoom(lane: Lane, pools: readonly Pool[]): Promise<void> {
    // It may have said so since it was found full.
    const hasRoom = pools.some((pool) => !pool.isStarved && pool.room > 0 && !pool.shape.isSuspended);
    if (!hasRoom && !lane.stop.signal.aborted) await this.#untilWoken(pools);
  }

  #untilWoken(pools: readonly Pool[]): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake);
        for (const pool of pools) {
          const others = this.#waitingFor.get(pool);
          others?.delete(wake);
          if (others?.size === 0) this.#waitingFor.delete(pool);
        }
        resolve();
      };
      this.#waiting.add(wake);
      for (const pool of pools) {
        const others = this.#waitingFor.get(pool);
        if (others === undefined) this.#waitingFor.set(pool, new Set([wake]));
        else others.add(wake);
      }
    });
  }

  #failed(what: string, error: unknown): void {
    const text = describeError(error);
    const lane = this.#lanes.get(what as PoolCode);
    if (lane === undefined || !this.#unknown.has(lane)) this.#errors.set(what, text);
    this.#reception.warn(text);
  }
}

function isKnown(pools: IntakeDeps["pools"], code: PoolCode): boolean {
  return code === defaultPoolCode || pools.has(code);
}
