import { CodedError, describeError, type Clock, type Logger } from "@flowcatalyst/foundation";
import type { OutboxLease } from "../ports/outbox-source.ts";

export interface LeadershipDeps {
  readonly lease: OutboxLease;
  readonly clock: Clock;
  readonly logger: Logger;
  /** It was renewed, perhaps after a time in which it was not trusted. */
  readonly renewed: () => void;
}

export interface LeadershipConfig {
  /** Unique among live processes. */
  readonly holder: string;
  readonly ttlMs: number;
}

/** Of the ttl: renewed after it, so that two renewals may fail before the lease is lost. */
const renewAfterShare = 1 / 3;
/** Of the ttl: not trusted at its end, for clocks that do not run equally fast. */
const trustedShare = 9 / 10;
const retryMs = 500;

/** The lease in the source's own database: taken, renewed, and not trusted when in doubt. */
export class Leadership {
  readonly #deps: LeadershipDeps;
  readonly #config: LeadershipConfig;
  #trustedUntilMs = 0;

  constructor(deps: LeadershipDeps, config: LeadershipConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  /** By the monotonic clock, read before the lease was asked for. */
  get holds(): boolean {
    return this.#deps.clock.monotonicMs() < this.#trustedUntilMs;
  }

  /** The epoch; null: somebody else leads. */
  async take(): Promise<number | null> {
    const { lease, clock } = this.#deps;
    const { holder, ttlMs } = this.#config;
    const askedAtMs = clock.monotonicMs();
    const held = await lease.acquire(holder, ttlMs);
    this.#trustedUntilMs = held === null ? 0 : askedAtMs + ttlMs * trustedShare;
    return held?.epoch ?? null;
  }

  /** Renews until the signal, or until the lease is lost; then it throws why. */
  async keep(epoch: number, signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#deps;
    let waitMs = this.#config.ttlMs * renewAfterShare;
    while (!signal.aborted) {
      await clock.sleep(waitMs, signal);
      if (signal.aborted) return;
      try {
        const renewed = await this.take();
        if (renewed !== epoch) throw this.#lost();
        waitMs = this.#config.ttlMs * renewAfterShare;
        this.#deps.renewed();
      } catch (error) {
        if (!this.holds) throw error;
        logger.debug({ error: describeError(error) }, "The outbox's lease could not be renewed and is tried again");
        waitMs = retryMs;
      }
    }
  }

  #lost(): CodedError {
    this.#trustedUntilMs = 0;
    return new CodedError("LEASE_LOST", { message: "Another outbox processor leads." });
  }

  /** A claim was refused for its epoch. */
  doubt(): void {
    this.#trustedUntilMs = 0;
  }

  async giveBack(): Promise<void> {
    this.#trustedUntilMs = 0;
    try {
      await this.#deps.lease.release(this.#config.holder);
    } catch (error) {
      this.#deps.logger.debug({ error: describeError(error) }, "The outbox's lease will run out by itself");
    }
  }
}
