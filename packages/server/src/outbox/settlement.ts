import {
  backoffMs,
  describeError,
  type BackoffPolicy,
  type Clock,
  type Logger,
  type Random,
} from "@flowcatalyst/foundation";
import type { OutboxResult, OutboxRow, OutboxRowId } from "../domain/outbox-row.ts";
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

type Persisted = { readonly kind: "written"; readonly locked: ReadonlySet<OutboxRowId> } | { readonly kind: "givenUp" };

const sourceRetry: BackoffPolicy = { baseMs: 50, capMs: 5_000, jitter: "equal" };

/**
 * Writes results down. While one call to the source is under way further results gather for the next one, so that many
 * batches share it. A source that is away is asked again until the term is over: what is not written then is sent once
 * more by whoever comes next, and recognised by the other side. A row that the application has locked for a while waits
 * by itself, and with it only its own batch.
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
      const persisted = await this.#persist(entries);
      for (const entry of entries) this.#conclude(entry, persisted);
    }
    this.#isRunning = false;
  }

  #conclude(entry: Entry, persisted: Persisted): void {
    if (persisted.kind === "givenUp") return entry.written(false);
    const results = entry.results.filter(({ id }) => persisted.locked.has(id));
    const released = entry.released.filter(({ id }) => persisted.locked.has(id));
    if (results.length === 0 && released.length === 0) entry.written(true);
    else void this.#later({ ...entry, results, released });
  }

  async #later(entry: Entry): Promise<void> {
    await this.#deps.clock.sleep(outboxProcessorLimits.lockedRetryMs, this.#over);
    if (this.#over.aborted) return entry.written(false);
    this.#queue.push(entry);
    if (!this.#isRunning) await this.#run();
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

  async #persist(entries: readonly Entry[]): Promise<Persisted> {
    const { source, clock, random, logger } = this.#deps;
    const results = entries.flatMap((entry) => entry.results);
    const released = entries.flatMap((entry) => entry.released);
    let locked: readonly OutboxRowId[] | null = results.length === 0 ? [] : null;
    for (let failures = 0; !this.#over.aborted; failures++) {
      try {
        locked ??= await source.settle(results);
        const lockedToo = released.length === 0 ? [] : await source.release(released);
        if (failures > 0) logger.info({ failures }, "Results of the outbox can be written again");
        return { kind: "written", locked: new Set([...locked, ...lockedToo]) };
      } catch (error) {
        if (failures === 0) {
          logger.error({ error: describeError(error) }, "Results of the outbox cannot be written; it is tried again");
        }
        await clock.sleep(backoffMs(sourceRetry, failures, random), this.#over);
      }
    }
    return { kind: "givenUp" };
  }
}
