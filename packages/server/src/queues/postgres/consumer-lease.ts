import type { Clock, Logger } from "@flowcatalyst/foundation";
import type { PostgresDatabase } from "../../postgres/postgres-database.ts";
import { isUnavailable } from "../../postgres/postgres-errors.ts";
import { statement } from "../../postgres/statement.ts";
import { postgresQueueLimits } from "./postgres-queue-config.ts";
import type { QueueTime } from "./queue-time.ts";

export interface ConsumerLeaseDeps {
  readonly database: PostgresDatabase;
  readonly clock: Clock;
  readonly time: QueueTime;
  readonly logger: Logger;
  /** The lease ended, and what was received went to others. */
  readonly lost: () => void;
}

const register = statement<{ id: number }, [name: string, leaseUntilMs: number]>(
  "INSERT INTO queue_consumers (name, lease_until_ms) VALUES ($1, $2) RETURNING id",
);
const renew = statement<never, [id: number, leaseUntilMs: number]>(
  // Two renewals may be under way at once, and end in either order.
  "UPDATE queue_consumers SET lease_until_ms = greatest(lease_until_ms, $2) WHERE id = $1",
);
const giveUp = statement<never, [id: number]>("UPDATE queue_consumers SET lease_until_ms = 0 WHERE id = $1");

/**
 * The row that says that this consumer lives. What it has received belongs to it as long as the row is there: others
 * free it once the lease has ended (queue-sweep.ts), and take the row away in the same transaction. Then every receipt
 * is dead by the state of its message, whatever this process believes, and it goes on under a new id.
 */
export class ConsumerLease {
  readonly #deps: ConsumerLeaseDeps;
  readonly #name: string;
  #id: Promise<number> | null = null;
  #renewedAtMs = Number.NEGATIVE_INFINITY;
  #cancelTimer: () => void = () => undefined;
  #isClosed = false;
  #claims = 0;

  constructor(deps: ConsumerLeaseDeps, name: string) {
    this.#deps = deps;
    this.#name = name;
  }

  /**
   * This consumer's id, for a receive: the first call makes its row. Somebody who was stopped for so long that the
   * lease may have ended asks first whether it is still there.
   */
  async id(): Promise<number> {
    const sinceMs = this.#deps.clock.monotonicMs() - this.#renewedAtMs;
    if (this.#id !== null && sinceMs > postgresQueueLimits.leaseMs / 2) await this.renewIfDue();
    this.#id ??= this.#register();
    return this.#id;
  }

  /** A number that this consumer gives to one receive. */
  nextClaim(): number {
    return ++this.#claims;
  }

  /** Renews unless that was done lately. */
  async renewIfDue(): Promise<void> {
    const { clock, database, time, logger } = this.#deps;
    const id = await this.#id;
    const sinceMs = clock.monotonicMs() - this.#renewedAtMs;
    if (id === null || this.#isClosed || sinceMs < postgresQueueLimits.leaseRenewEveryMs) return;
    const startedMs = clock.monotonicMs();
    const leaseUntilMs = (await time.now()) + postgresQueueLimits.leaseMs;
    if ((await database.run(renew, [id, leaseUntilMs])) === 0) {
      logger.warn({ consumer: id }, "what this consumer had received was given to others: it was silent for too long");
      this.#id = null;
      this.#deps.lost();
    } else this.#renewedAtMs = startedMs;
  }

  /** Lets others free what is left at once. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.kill();
    const id = await this.#id?.catch(() => null);
    if (id === null || id === undefined) return;
    // Out of reach: then the lease ends by itself.
    await this.#deps.database.run(giveUp, [id]).catch(() => undefined);
  }

  /** Ends without a word, as a killed process does. */
  kill(): void {
    this.#isClosed = true;
    this.#cancelTimer();
  }

  async #register(): Promise<number> {
    const { clock, database, time } = this.#deps;
    try {
      const startedMs = clock.monotonicMs();
      const leaseUntilMs = (await time.now()) + postgresQueueLimits.leaseMs;
      const row = await database.one(register, [this.#name, leaseUntilMs]);
      if (row === null) throw new Error("queue_consumers gave no id");
      this.#renewedAtMs = startedMs;
      this.#renewLater(postgresQueueLimits.leaseRenewEveryMs);
      return row.id;
    } catch (error) {
      this.#id = null;
      throw error;
    }
  }

  #renewLater(inMs: number): void {
    this.#cancelTimer();
    if (this.#isClosed) return;
    this.#cancelTimer = this.#deps.clock.setTimer(inMs, () => void this.#renewByTimer());
  }

  async #renewByTimer(): Promise<void> {
    const { leaseRenewEveryMs, leaseRetryMs } = postgresQueueLimits;
    try {
      await this.renewIfDue();
      if (this.#id !== null) this.#renewLater(leaseRenewEveryMs);
    } catch (error) {
      if (!isUnavailable(error)) this.#deps.logger.error({ error }, "the queue's lease cannot be renewed");
      this.#renewLater(leaseRetryMs);
    }
  }
}
