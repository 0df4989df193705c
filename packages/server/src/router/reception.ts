import type { PoolCode } from "../domain/ids.ts";
import { isSharedLane, type ReceivedMessage } from "../ports/queue.ts";
import type { Admitted } from "./admission.ts";
import type { IntakeDeps } from "./intake.ts";

export const receptionLimits = {
  pollMs: 1_000,
  receiveMaxMessages: 256,
  retry: { baseMs: 100, capMs: 5_000, jitter: "equal" },
  /**
   * After batches of which nothing found a place and all was given back the next question waits, each time longer; not
   * for long, because what other pools and targets wait for may be behind them.
   */
  pacing: { baseMs: 10, capMs: 100, jitter: "equal" },
} as const;

/** How much of a new observation goes into the average number of jobs a message carries. */
const AVERAGE_WEIGHT = 0.2;
/** Jobs of a message before any was seen: too many only makes the first batch small. */
const FIRST_GUESS_JOBS = 8;

const nothing: Admitted = { placed: 0, givenBack: 0, full: [] };

/** What both kinds of intake do with a lane before a question, and with the answer. */
export class Reception {
  received = 0;
  lastReceivedAtMs: number | null = null;
  readonly #deps: IntakeDeps;
  #jobsPerMessage = FIRST_GUESS_JOBS;

  constructor(deps: IntakeDeps) {
    this.#deps = deps;
  }

  /** Whether anything at all may be asked for. */
  get mayAsk(): boolean {
    const { mayReceive, link, pipeline } = this.#deps;
    return mayReceive() && !link.isBehind && pipeline.hasRoom;
  }

  /** How many messages to ask a lane for; 0: leave it alone, its pool says when it has room again. */
  roomFor(lane: PoolCode): number {
    const { capabilities, parallelReceives } = this.#deps.link.consumer;
    const most = Math.min(receptionLimits.receiveMaxMessages, capabilities.maxBatch);
    if (isSharedLane(capabilities, lane)) return most;
    const pool = this.#deps.pools.serving(lane);
    if (pool.shape.isSuspended) return 0;
    if (pool.room === 0) {
      pool.isStarved = true;
      pool.shedExcess();
      return 0;
    }
    return Math.min(most, Math.max(1, Math.floor(pool.room / (this.#jobsPerMessage * parallelReceives))));
  }

  async takeIn(lane: PoolCode, batch: readonly ReceivedMessage[], signal: AbortSignal): Promise<Admitted> {
    const { link, admission, clock, mayKeep, admitted } = this.#deps;
    if (signal.aborted || !mayKeep()) {
      admission.notTaken(link, batch);
      const receipts = batch.map(({ receipt }) => receipt);
      await link.consumer.nack(receipts, 0);
      return nothing;
    }
    this.received += batch.length;
    this.lastReceivedAtMs = clock.now();
    let jobs = 0;
    for (const { message } of batch) jobs += message.kind === "platform" ? message.jobs.length : 1;
    this.#jobsPerMessage += AVERAGE_WEIGHT * (jobs / batch.length - this.#jobsPerMessage);
    const result = await admission.admit(link, lane, batch);
    admitted();
    return result;
  }

  /** What waits here for room, once more. */
  async place(lane: PoolCode): Promise<Admitted> {
    const { link, admission, admitted } = this.#deps;
    const result = await admission.admit(link, lane, []);
    admitted();
    return result;
  }

  warn(error: string): void {
    const message = `messages cannot be received: ${error}`;
    this.#deps.warnings.add({ category: "QUEUE", severity: "ERROR", message, source: this.#deps.link.consumer.name });
  }
}
