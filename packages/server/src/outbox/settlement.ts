import {
  backoffMs,
  describeError,
  type BackoffPolicy,
  type Clock,
  type Logger,
  type Random,
} from "@flowcatalyst/foundation";
import type { OutboxResult, OutboxRow } from "../domain/outbox-row.ts";
import type { OutboxSource } from "../ports/outbox-source.ts";
import { outboxProcessorLimits } from "./outbox-limits.ts";

export interface SettlementDeps {
  readonly source: Pick<OutboxSource, "settle" | "release">;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** What became of the rows of a batch. */
export interface Verdicts {
  readonly results: readonly OutboxResult[];
  readonly released: readonly OutboxRow[];
}

interface Entry extends Verdicts {
  readonly written: (isWritten: boolean) => void;
}

const sourceRetry: BackoffPolicy = { baseMs: 50, capMs: 5_000, jitter: "equal" };

/**
 * Writes results down. While one call to the source is under way further results gather for the next one, so that many
 * batches share it. A source that is away is asked again until the term is over: what is not written then is sent once
 * more by whoever comes next, and recognised by the other side.
 */
export class Settlement {
  readonly #deps: SettlementDeps;
  readonly #over: AbortSignal;
  #queue: Entry[] = [];
  #isRunning = false;

  constructor(deps: SettlementDeps, over: AbortSignal) {
    this.#deps = deps;
    this.#over = over;
  }

  /** Resolves when it is written, with true; with false when the term is over before. */
  write(verdicts: Verdicts): Promise<boolean> {
    return new Promise((written) => {
      this.#queue.push({ ...verdicts, written });
      if (!this.#isRunning) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#queue.length > 0) {
      const entries = this.#next();
      const isWritten = await this.#persist(entries);
      for (const { written } of entries) written(isWritten);
    }
    this.#isRunning = false;
  }

  #next(): readonly Entry[] {
    let rows = 0;
    let count = 0;
    while (count < this.#queue.length && (count === 0 || rows < outboxProcessorLimits.settleMaxRows)) {
      const entry = this.#queue[count++];
      rows += (entry?.results.length ?? 0) + (entry?.released.length ?? 0);
    }
    return this.#queue.splice(0, count);
  }

  async #persist(entries: readonly Entry[]): Promise<boolean> {
    const { source, clock, random, logger } = this.#deps;
    const results = entries.flatMap((entry) => entry.results);
    const released = entries.flatMap((entry) => entry.released);
    let isSettled = results.length === 0;
    for (let failures = 0; !this.#over.aborted; failures++) {
      try {
        if (!isSettled) await source.settle(results);
        isSettled = true;
        if (released.length > 0) await source.release(released);
        if (failures > 0) logger.info({ failures }, "Results of the outbox can be written again");
        return true;
      } catch (error) {
        if (failures === 0) {
          logger.error({ error: describeError(error) }, "Results of the outbox cannot be written; it is tried again");
        }
        await clock.sleep(backoffMs(sourceRetry, failures, random), this.#over);
      }
    }
    return false;
  }
}
