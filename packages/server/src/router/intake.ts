/**
 * The loop that brings messages from one queue into the pools.
 *
 * A pass asks the queue which lanes have something, and receives from each whose pool has room. A full pool's lane is
 * left alone while the others go on; the pool wakes the loop when it has room again. Between passes the loop waits for
 * a wake-up (of the queue, or of a pool) or one second, whichever comes first: wake-ups only make it sooner, polling
 * alone suffices.
 *
 * A pass that throws (the queue or the store is out of reach) is tried again with a growing wait, for ever, and shows
 * as the consumer's error.
 */
import { backoffMs, createWakeUp, describeError, type Clock, type Random, type WakeUp } from "@flowcatalyst/foundation";
import type { PoolCode } from "../domain/ids.ts";
import { isSharedLane } from "../ports/queue.ts";
import type { Admission } from "./admission.ts";
import type { Pipeline } from "./pipeline.ts";
import type { Pool } from "./pool.ts";
import type { PoolRegistry } from "./pool-registry.ts";
import type { QueueLink } from "./queue-link.ts";
import type { Warnings } from "./warnings.ts";

export const intakeLimits = {
  pollMs: 1_000,
  receiveMaxMessages: 256,
  retry: { baseMs: 100, capMs: 5_000, jitter: "equal" },
} as const;

/** How much of a new observation goes into the average number of jobs a message carries. */
const AVERAGE_WEIGHT = 0.2;
/** Jobs of a message before any was seen: too many only makes the first batch small. */
const FIRST_GUESS_JOBS = 8;

export interface IntakeDeps {
  readonly link: QueueLink;
  readonly admission: Admission;
  readonly pools: PoolRegistry;
  readonly pipeline: Pipeline;
  readonly clock: Clock;
  readonly random: Random;
  readonly warnings: Warnings;
  /** False while nothing new should come in. */
  readonly mayReceive: () => boolean;
  /** False: what has come in meanwhile is given back at once, because another router is the active one. */
  readonly mayKeep: () => boolean;
  /** A batch has its place. */
  readonly admitted: () => void;
}

export class Intake {
  readonly link: QueueLink;
  status: "RUNNING" | "PAUSED" | "STOPPED" | "FAILED" = "STOPPED";
  received = 0;
  lastReceivedAtMs: number | null = null;
  error: string | null = null;
  readonly #deps: IntakeDeps;
  readonly #wakeUp: WakeUp;
  #jobsPerMessage = FIRST_GUESS_JOBS;

  constructor(deps: IntakeDeps) {
    this.#deps = deps;
    this.link = deps.link;
    this.#wakeUp = createWakeUp(deps.clock);
  }

  /** Something may be received again: of the lanes of a pool, or of all. */
  wake(_pool?: Pool): void {
    this.#wakeUp.wake();
  }

  /** Nothing more is received; what waits here for room goes back. */
  giveBack(): void {}

  async run(signal: AbortSignal): Promise<void> {
    const unsubscribe = this.link.consumer.onAvailable(() => this.wake());
    let failures = 0;
    try {
      while (!signal.aborted) {
        const hasMore = await this.#guardedPass(signal);
        failures = hasMore === null ? failures + 1 : 0;
        if (hasMore === null) {
          await this.#deps.clock.sleep(backoffMs(intakeLimits.retry, failures, this.#deps.random), signal);
        } else if (!hasMore) await this.#wakeUp.wait(intakeLimits.pollMs, signal);
      }
    } finally {
      unsubscribe();
      this.status = "STOPPED";
    }
  }

  /** Null: it failed. */
  async #guardedPass(signal: AbortSignal): Promise<boolean | null> {
    const { warnings, mayReceive, pipeline } = this.#deps;
    try {
      if (!mayReceive() || this.link.isBehind || !pipeline.hasRoom) {
        this.status = "PAUSED";
        return false;
      }
      this.status = "RUNNING";
      const hasMore = await this.#pass(signal);
      this.error = null;
      return hasMore;
    } catch (error) {
      if (signal.aborted) return false;
      this.status = "FAILED";
      this.error = describeError(error);
      const message = `messages cannot be received: ${this.error}`;
      warnings.add({ category: "QUEUE", severity: "ERROR", message, source: this.link.consumer.name });
      return null;
    }
  }

  async #pass(signal: AbortSignal): Promise<boolean> {
    let hasMore = false;
    for (const lane of await this.link.consumer.readyLanes()) {
      if (signal.aborted) return false;
      if (await this.#receive(lane, signal)) hasMore = true;
    }
    return hasMore;
  }

  async #receive(lane: PoolCode, signal: AbortSignal): Promise<boolean> {
    const { pools, admission, clock } = this.#deps;
    const { capabilities } = this.link.consumer;
    // Asked again before each question, because the answers to the ones before may have taken long.
    if (!this.#deps.mayReceive()) return false;
    let max: number = intakeLimits.receiveMaxMessages;
    const isShared = isSharedLane(capabilities, lane);
    if (!isShared) {
      const pool = pools.forLane(lane);
      if (pool.shape.isSuspended) return false;
      if (pool.room === 0) {
        pool.isStarved = true;
        pool.shedExcess();
        return false;
      }
      max = Math.min(max, Math.max(1, Math.floor(pool.room / this.#jobsPerMessage)));
    }
    // A queue with lanes wakes us; one without is asked to hold the question open instead.
    const waitMs = isShared ? intakeLimits.pollMs : 0;
    const batch = await this.link.consumer.receive({ lane, max: Math.min(max, capabilities.maxBatch), waitMs }, signal);
    if (batch.length === 0) return false;
    if (signal.aborted || !this.#deps.mayKeep()) {
      const receipts = batch.map(({ receipt }) => receipt);
      await this.link.consumer.nack(receipts, 0);
      return false;
    }
    this.received += batch.length;
    this.lastReceivedAtMs = clock.now();
    let jobs = 0;
    for (const { message } of batch) jobs += message.kind === "platform" ? message.jobs.length : 1;
    this.#jobsPerMessage += AVERAGE_WEIGHT * (jobs / batch.length - this.#jobsPerMessage);
    await admission.admit(this.link, batch);
    this.#deps.admitted();
    return true;
  }
}
