import type { Clock, Logger } from "@flowcatalyst/foundation";
import type { QueueMessage } from "../../domain/message.ts";
import type { PoolCode } from "../../domain/ids.ts";
import type {
  DeadLetter,
  DeadLetterKey,
  DeadLetterPage,
  DeadLetters,
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
import { deadLetterPage, placeAfter, settleDeadRows } from "../database-queue.ts";
import { QueueAvailability } from "../queue-availability.ts";
import { ConsumerLease } from "./consumer-lease.ts";
import { HeldClaims } from "./held-claims.ts";
import { LaneWatch } from "./lane-watch.ts";
import { postgresQueueCapabilities, postgresQueueLimits, type PostgresQueueConfig } from "./postgres-queue-config.ts";
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
 * The queue in a PostgreSQL database, the store's own (`db:`) or one for routers without a store: any number of
 * publishers and consumers, in any number of processes.
 *
 * **Entities.** A message is a row with a place (`seq`, rising in commit order), a lane, perhaps a group, and a state:
 *
 *     publish ─▶ FRESH ──receive: the lane's cursor moves past it──▶ held by that receive ── ack ─▶ gone
 *        │                                                                  │ nack, delay, extend, end of time
 *        │            ┌──────────────── nack, or its time ended ────────────┴──────┐
 *        ├──▶ READY ◀─┴─ IN_FLIGHT ── nack with delay ─▶ DELAYED                   │
 *        └──▶ BLOCKED, while an earlier row of its group is there ◀────────────────┘
 *
 * `queue_lanes` holds a cursor per lane, `queue_claims` a row per receive of FRESH messages (whose, from where to
 * where, until when), `queue_consumers` a row per living consumer, `queue_dedup` a row per publish.
 *
 * **Cost, and why it does not rise.** A message is written twice: inserted and deleted. What is READY for a receive is
 * not a state that each row is moved through, but lies above a cursor that moves once per batch. So no row is updated
 * on the common path, an index gains one entry a message and loses none to updates, and the dead entries that every
 * queue leaves lie below the cursor, where no receive starts. That is what makes other table queues sink: they look for
 * work at the low end of an index, which is exactly where the dead entries are. The same thought everywhere: groups are
 * asked from a place below which nothing is unsettled (remembered by publishers, carried in receipts), totals are
 * counted from the oldest, deduplication is a row per publish, and no counter is kept that everybody would wait for.
 * Everything else than the common path (what came back, waits its turn in a group, was delayed, extended or is urgent)
 * is kept by the state of its row, as usual, at three or more writes. Every call is a few statements, whatever its
 * size.
 *
 * **Order.** Publishers take turns under a lock held to the commit, so places rise in commit order: a reader of FRESH
 * rows never passes one that commits later, and a message found to be first of its group stays first. FRESH and READY
 * rows are always first of their group. How putting behind, giving back and letting go race, and why nothing is lost
 * between them, stands in group-places.ts. A nack keeps the row's place. A receive takes what follows its first rows in
 * their groups, in order. An urgent message lends its rank to the first of its group, so stand-alone messages of groups
 * start READY, since the cursor knows no ranks; one behind a platform message waits for it.
 *
 * **Whose a message is.** A receipt names a receive of a consumer. It is live while the row says so: IN_FLIGHT under
 * that name, or FRESH with that receive on record, and its time not over. A receive belongs to its consumer's lease (10
 * s, renewed every 3 s): a living consumer touches its messages only to keep them beyond the visibility, and what a
 * crashed one held is free after 10 s instead of 60. Others free it, by rewriting the rows, and only then is it given
 * out; so two consumers never hold a live receipt of one message, whatever they believe about time. One that was
 * stopped learns it with its next renewal, tells its router, and is refused each receipt.
 *
 * **Guarantees and failures.** What was answered as published is committed to disk. Receiving, extending, nacking and
 * acks of platform messages do not wait for the disk: a crash of the server may take back the last of them, always a
 * suffix, and what was received or acked then comes again, as "at least once" allows; the store knows a platform job
 * that is done. A receive whose answer was lost is taken back with the next call. Without the database `publish`
 * answers "refused" and all else throws STORE_UNAVAILABLE; connections are made again for ever. A deadlock is done
 * again. A stand-alone message whose receive ended `maxReceives` times without ack or nack goes to the dead letters, as
 * does a body that cannot be read, while the rest of its batch is delivered.
 *
 * **Time** is the database's (queue-time.ts). **Wake-ups** only make it sooner: every look is repeated within a second.
 */
export class PostgresQueue implements QueuePublisher, QueueConsumer, DeadLetters {
  readonly name: string;
  readonly visibilityMs: number;
  readonly parallelReceives = 1;
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
  readonly #doubters = new Set<() => void>();
  #stopListening: (() => void) | null = null;

  constructor(deps: PostgresQueueDeps, config: PostgresQueueConfig) {
    this.#deps = deps;
    this.name = config.name;
    this.visibilityMs = config.visibilityMs;
    this.capabilities = postgresQueueCapabilities(config);
    const { database, clock } = deps;
    const claims = this.#claims;
    this.#availability = new QueueAvailability(clock, () => this.#onDue());
    const lost = (): void => {
      claims.reset();
      for (const doubt of this.#doubters) doubt();
    };
    this.#lease = new ConsumerLease({ ...deps, lost }, config.name);
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

  listDeadLetters(request: { limit: number; after: DeadLetterKey | null }): Promise<DeadLetterPage> {
    return this.#reach(async () => {
      const rows = await this.#totals.listDead(request.limit + 1, placeAfter(request.after));
      return deadLetterPage(rows, request);
    });
  }

  settleDeadLetters(
    keys: readonly DeadLetterKey[],
    decide: (letter: DeadLetter) => Promise<"remove" | "keep">,
  ): Promise<readonly ("removed" | "kept" | "missing")[]> {
    return settleDeadRows(this.#totals.dead, keys, decide);
  }

  metrics(): Promise<QueueMetrics> {
    return this.#reach(() => this.#totals.read());
  }

  onAvailable(wake: () => void): () => void {
    this.#listen();
    return this.#availability.listen(wake);
  }

  onDoubt(doubt: () => void): () => void {
    this.#doubters.add(doubt);
    return () => this.#doubters.delete(doubt);
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
