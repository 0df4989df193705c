/**
 * The loop that brings messages from a queue that says which lanes have something, and when.
 *
 * A pass asks the queue which lanes have something, and receives from each whose pool has room. A full pool's lane is
 * left alone while the others go on; the pool wakes the loop when it has room again. Between passes the loop waits for
 * a wake-up (of the queue, or of a pool) or one second, whichever comes first: wake-ups only make it sooner, polling
 * alone suffices.
 *
 * A pass that throws (the queue or the store is out of reach) is tried again with a growing wait, for ever, and shows
 * as the consumer's error.
 */
import { backoffMs, createWakeUp, describeError, type WakeUp } from "@flowcatalyst/foundation";
import type { PoolCode } from "../domain/ids.ts";
import { isSharedLane } from "../ports/queue.ts";
import type { Intake, IntakeDeps } from "./intake.ts";
import type { QueueLink } from "./queue-link.ts";
import { Reception, receptionLimits } from "./reception.ts";

export class PollingIntake implements Intake {
  readonly link: QueueLink;
  status: Intake["status"] = "STOPPED";
  error: string | null = null;
  readonly #deps: IntakeDeps;
  readonly #reception: Reception;
  readonly #wakeUp: WakeUp;

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

  wake(): void {
    this.#wakeUp.wake();
  }

  giveBack(): void {
    this.#deps.admission.giveBackOverflow();
  }

  async run(signal: AbortSignal): Promise<void> {
    const unsubscribe = this.link.consumer.onAvailable(() => this.wake());
    let failures = 0;
    try {
      while (!signal.aborted) {
        const hasMore = await this.#guardedPass(signal);
        failures = hasMore === null ? failures + 1 : 0;
        if (hasMore === null) {
          await this.#deps.clock.sleep(backoffMs(receptionLimits.retry, failures, this.#deps.random), signal);
        } else if (!hasMore) await this.#wakeUp.wait(receptionLimits.pollMs, signal);
      }
    } finally {
      unsubscribe();
      this.status = "STOPPED";
    }
  }

  /** Null: it failed. */
  async #guardedPass(signal: AbortSignal): Promise<boolean | null> {
    try {
      if (!this.#reception.mayAsk) {
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
      this.#reception.warn(this.error);
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
    const { admission, mayReceive } = this.#deps;
    if (admission.hasOverflow(lane)) await this.#reception.place(lane);
    // Asked again before each question, because the answers to the ones before may have taken long.
    if (admission.hasOverflow(lane) || !mayReceive()) return false;
    const max = this.#reception.roomFor(lane);
    if (max === 0) return false;
    // A queue with lanes wakes us; one without is asked to hold the question open instead.
    const waitMs = isSharedLane(this.link.consumer.capabilities, lane) ? receptionLimits.pollMs : 0;
    const batch = await this.link.consumer.receive({ lane, max, waitMs }, signal);
    if (batch.length === 0) return false;
    await this.#reception.takeIn(lane, batch, signal);
    return true;
  }
}
