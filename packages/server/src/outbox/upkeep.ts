import { describeError, type Clock, type Logger } from "@flowcatalyst/foundation";
import type { OutboxRetryRule, OutboxSource } from "../ports/outbox-source.ts";
import { outboxProcessorLimits as limits } from "./outbox-limits.ts";
import type { OutboxMeters } from "./outbox-meters.ts";

export interface UpkeepDeps {
  readonly source: Pick<OutboxSource, "recover" | "deleteFinished" | "counts">;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly meters: OutboxMeters;
}

export interface UpkeepConfig extends OutboxRetryRule {
  /** 0: rows that were taken are kept for ever. */
  readonly retentionMs: number;
}

/** Beside sending: counts rows, brings back what a crash left behind, deletes what is done with. */
export class Upkeep {
  readonly #deps: UpkeepDeps;
  readonly #config: UpkeepConfig;
  #hasFailed = false;

  constructor(deps: UpkeepDeps, config: UpkeepConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, meters } = this.#deps;
    let nextMs = clock.monotonicMs() + limits.upkeepMs;
    while (!signal.aborted) {
      await this.#try(() => this.#count());
      if (clock.monotonicMs() >= nextMs) {
        nextMs = clock.monotonicMs() + limits.upkeepMs;
        await this.#try(() => this.#tidy(signal));
      }
      await clock.sleep(limits.countMs, signal);
    }
    meters.counted(null);
  }

  async #count(): Promise<void> {
    this.#deps.meters.counted(await this.#deps.source.counts(this.#config));
  }

  async #tidy(signal: AbortSignal): Promise<void> {
    const { source, logger } = this.#deps;
    const recovered = await source.recover(limits.leftBehindMs);
    if (recovered > 0) logger.warn({ rows: recovered }, "Rows of the outbox that were left in progress go again");
    const { retentionMs } = this.#config;
    if (retentionMs === 0) return;
    let deleted: number = limits.deleteMaxRows;
    while (deleted >= limits.deleteMaxRows && !signal.aborted) {
      deleted = await source.deleteFinished(retentionMs, limits.deleteMaxRows);
    }
  }

  async #try(work: () => Promise<void>): Promise<void> {
    try {
      await work();
      this.#hasFailed = false;
    } catch (error) {
      if (!this.#hasFailed) this.#deps.logger.warn({ error: describeError(error) }, "The outbox's upkeep has failed");
      this.#hasFailed = true;
    }
  }
}
