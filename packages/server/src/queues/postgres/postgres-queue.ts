import type { Clock, Logger } from "@flowcatalyst/foundation";
import type { QueueMessage } from "../../domain/message.ts";
import type { PoolCode } from "../../domain/ids.ts";
import type {
  DeadLetter,
  DeadLetterReader,
  PublishResult,
  QueueCapabilities,
  QueueConsumer,
  QueueMetrics,
  QueuePublisher,
  Receipt,
  ReceiptResult,
  ReceiveRequest,
  ReceivedMessage,
} from "../../ports/queue.ts";
import type { PostgresDatabase } from "../../postgres/postgres-database.ts";
import { isRepeatable, isUnavailable, toStoreError } from "../../postgres/postgres-errors.ts";
import { QueueAvailability } from "../queue-availability.ts";
import { ConsumerLease } from "./consumer-lease.ts";
import { HeldClaims } from "./held-claims.ts";
import { LaneWatch } from "./lane-watch.ts";
import { postgresQueueLimits, type PostgresQueueConfig } from "./postgres-queue-config.ts";
import { QueuePublishing } from "./queue-publishing.ts";
import { formatReceipt } from "./queue-receipt.ts";
import { QueueReceiving } from "./queue-receiving.ts";
import { QueueSettling } from "./queue-settling.ts";
import { QueueSweep } from "./queue-sweep.ts";
import type { QueueTime } from "./queue-time.ts";
import { QueueTotals } from "./queue-totals.ts";

export interface PostgresQueueDeps {
  readonly database: PostgresDatabase;
  readonly clock: Clock;
  readonly time: QueueTime;
  readonly logger: Logger;
}

const wakeUpChannel = "fc_queue";
const repeatTries = 3;

/**
 * ESSAY
 */
export class PostgresQueue implements QueuePublisher, QueueConsumer, DeadLetterReader {
  readonly name: string;
  readonly capabilities: QueueCapabilities;
  readonly #deps: PostgresQueueDeps;
  readonly #availability: QueueAvailability;
  readonly #lease: ConsumerLease;
  readonly #claims = new HeldClaims();
  readonly #lanes: LaneWatch;
  readonly #totals: QueueTotals;
  readonly #publishing: QueuePublishing;
  readonly #receiving: QueueReceiving;
  readonly #settling: QueueSettling;
  readonly #sweep: QueueSweep;
  #stopListening: (() => void) | null = null;

  constructor(deps: PostgresQueueDeps, config: PostgresQueueConfig) {
    this.#deps = deps;
    this.name = config.name;
    this.capabilities = {
      grouping: "strict",
      lanes: true,
      deadReceiptRefused: true,
      redelivery: "visibility",
      maxDelayMs: postgresQueueLimits.maxDelayMs,
      dedupWindowMs: config.dedupWindowMs,
      maxMessageBytes: postgresQueueLimits.maxMessageBytes,
      maxBatch: postgresQueueLimits.maxBatch,
      reportsOldest: true,
      carriesReferences: config.carriesReferences,
    };
    const { database, clock } = deps;
    const claims = this.#claims;
    this.#availability = new QueueAvailability(clock, () => this.#onDue());
    this.#lease = new ConsumerLease({ ...deps, lost: () => claims.reset() }, config.name);
    this.#lanes = new LaneWatch(database, clock);
    this.#totals = new QueueTotals(database);
    const announce = (): void => this.#announce();
    this.#publishing = new QueuePublishing({ ...deps, published: announce }, config.dedupWindowMs);
    this.#receiving = new QueueReceiving(
      { ...deps, lease: this.#lease, lanes: this.#lanes, claims },
      config.visibilityMs,
    );
    this.#settling = new QueueSettling({ ...deps, claims, released: announce });
    const expect = (inMs: number): void => this.#availability.expect(inMs);
    this.#sweep = new QueueSweep(
      { ...deps, lease: this.#lease, claims, released: announce, expect },
      config.maxReceives,
    );
  }

  publish(messages: readonly QueueMessage[]): Promise<readonly PublishResult[]> {
    return this.#publishing.publish(messages);
  }

  readyLanes(): Promise<readonly PoolCode[]> {
    return this.#reach(async () => {
      await this.#sweep.runIfDue();
      return this.#lanes.look();
    });
  }

  async receive(request: ReceiveRequest, signal: AbortSignal): Promise<readonly ReceivedMessage[]> {
    const { clock } = this.#deps;
    const untilMs = clock.monotonicMs() + request.waitMs;
    if (request.waitMs > 0) this.#listen();
    for (;;) {
      if (signal.aborted || this.#availability.closed) return [];
      const { announcements } = this.#availability;
      const batch = await this.#reach(() => this.#take(request));
      const leftMs = untilMs - clock.monotonicMs();
      if (batch.length > 0 || leftMs <= 0) return batch;
      const waitMs = Math.min(leftMs, postgresQueueLimits.sweepEveryMs);
      if (!this.#sweep.isDue) await this.#availability.wait(waitMs, signal, announcements);
    }
  }

  async ack(receipts: readonly Receipt[]): Promise<readonly ReceiptResult[]> {
    return this.#reach(async () => {
      const results = await this.#settling.ack(receipts);
      await this.#claims.removeFinished(this.#deps.database);
      return results;
    });
  }

  async nack(receipts: readonly Receipt[], delayMs: number): Promise<readonly ReceiptResult[]> {
    const waitMs = Math.min(Math.max(delayMs, 0), postgresQueueLimits.maxDelayMs);
    const results = await this.#reach(() => this.#settling.nack(receipts, waitMs));
    if (waitMs > 0) this.#sweep.noteDue(waitMs);
    return results;
  }

  extend(receipts: readonly Receipt[], forMs: number): Promise<readonly ReceiptResult[]> {
    return this.#reach(() => this.#settling.extend(receipts, forMs));
  }

  async deadLetter(receipt: Receipt, reason: string): Promise<ReceiptResult> {
    const [result] = await this.#reach(() => this.#settling.deadLetter([receipt], [reason]));
    return result ?? "dead";
  }

  list(limit: number): Promise<readonly DeadLetter[]> {
    return this.#reach(() => this.#totals.deadLetters(limit));
  }

  metrics(): Promise<QueueMetrics> {
    return this.#reach(() => this.#totals.read());
  }

  onAvailable(wake: () => void): () => void {
    this.#listen();
    return this.#availability.listen(wake);
  }

  /** Ends waiting receivers, and lets others have what was not settled. The database belongs to whoever made it. */
  async close(): Promise<void> {
    this.#stopListening?.();
    this.#availability.close();
    await this.#lease.close();
  }

  /** Each round takes out what it cannot read, so an empty batch with rows in sight calls for another one. */
  async #take(request: ReceiveRequest): Promise<readonly ReceivedMessage[]> {
    for (;;) {
      await this.#sweep.runIfDue();
      const { batch, unreadable } = await this.#receiving.take(request);
      if (unreadable.length > 0) {
        await this.#settling.deadLetter(
          unreadable.map(({ parts }) => formatReceipt(parts)),
          unreadable.map(({ reason }) => reason),
        );
      }
      if (batch.length > 0 || unreadable.length === 0) return batch;
    }
  }

  /** Wakes whoever waits here, and the other processes soon. */
  #announce(): void {
    this.#lanes.doubt();
    this.#availability.announce();
    this.#deps.database.notify(wakeUpChannel);
  }

  #listen(): void {
    this.#stopListening ??= this.#deps.database.listen(wakeUpChannel, () => {
      this.#lanes.doubt();
      this.#availability.announce();
    });
  }

  #onDue(): void {
    // Out of reach: receivers meet the same error and report it, and look again by themselves.
    this.#sweep.runIfDue().catch((error: unknown) => {
      if (!isUnavailable(error))
        this.#deps.logger.error({ error }, "what fell due on the queue cannot be brought back");
    });
  }

  /** Does the loser of a deadlock again, and drops what was remembered of a server that may have been replaced. */
  async #reach<Result>(work: () => Promise<Result>): Promise<Result> {
    for (let tried = 1; ; tried++) {
      try {
        return await work();
      } catch (error) {
        if (isRepeatable(error) && tried < repeatTries) continue;
        if (isUnavailable(error)) {
          this.#lanes.doubt();
          this.#totals.reset();
        }
        throw isRepeatable(error) ? toStoreError(error) : error;
      }
    }
  }
}
