import type { QueueRows } from "./queue-rows.ts";
import { sqliteQueueLimits } from "./sqlite-queue-config.ts";

/**
 * Which deduplication ids were published lately. Each id is kept under the number of the window it came in, so looking
 * in the present and the one before is exact, and what is older lies at one end of the key and goes in small steps.
 */
export class DedupWindow {
  readonly #rows: QueueRows;
  readonly #windowMs: number;
  #generation = -1;
  #forgetting = true;

  constructor(rows: QueueRows, windowMs: number) {
    this.#rows = rows;
    this.#windowMs = windowMs;
  }

  /** Inside the publishing transaction. False: known within the window. */
  admit(id: string, nowMs: number): boolean {
    const generation = Math.floor(nowMs / this.#windowMs);
    if (generation !== this.#generation) {
      this.#generation = generation;
      this.#forgetting = true;
    }
    if (this.#forgetting) {
      const step = sqliteQueueLimits.dedupForgetStep;
      this.#forgetting = this.#rows.forget.run(generation - 1, step) === step;
    }
    return this.#rows.remember.run(generation, id, nowMs, nowMs - this.#windowMs) > 0;
  }
}
