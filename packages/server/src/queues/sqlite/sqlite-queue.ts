import { isCodedError, type Clock } from "@flowcatalyst/foundation";
import { decodeMessage, deduplicationIdOf, describeFaults, encodeMessage } from "../../domain/message-codec.ts";
import type { PoolCode } from "../../domain/ids.ts";
import type { QueueMessage } from "../../domain/message.ts";
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
import { deadLetterPage, placeAfter, settleDeadRows } from "../database-queue.ts";
import { QueueAvailability } from "../queue-availability.ts";
import { formatReceipt, parseReceipt, type ReceiptParts } from "./queue-receipt.ts";
import { prepareQueueRows, type DueRow, type MessageRow, type QueueCounts, type QueueRows } from "./queue-rows.ts";
import { migrateQueue, rowKind, rowState } from "./queue-schema.ts";
import { DedupWindow } from "./dedup-window.ts";
import type { SqliteConnection } from "./sqlite-connection.ts";
import { sqliteQueueCapabilities, sqliteQueueLimits, type SqliteQueueConfig } from "./sqlite-queue-config.ts";

export interface SqliteQueueDeps {
  readonly connection: SqliteConnection;
  readonly clock: Clock;
}

const MAX_UTF8_BYTES_PER_CHAR = 3;

/**
 * What settling one receipt says of the group whose next row may now go: its key, none, or that the receipt is dead.
 */
type SettledGroup = string | typeof ungrouped | typeof dead;
type SettleOne = (counts: QueueCounts, parts: ReceiptParts, nowMs: number) => SettledGroup;
const ungrouped = Symbol("ungrouped");
const dead = Symbol("dead");

interface Taking {
  readonly row: MessageRow;
  readonly counts: QueueCounts;
  readonly batch: ReceivedMessage[];
  readonly dueAtMs: number;
}

/**
 * The queue in a SQLite file: the store's own (`flowcatalyst dev`), or one of a router that has no store.
 *
 * **Entities.** A message is a row with a place (`seq`, rising, never used twice), a lane, perhaps a group, and a
 * state:
 *
 *     publish ─▶ READY ─receive─▶ IN_FLIGHT ─ack─▶ gone          a message of a group is BLOCKED instead of READY
 *                  ▲                  │                          while an earlier one of the group is unsettled
 *                  └── nack, or visibility ended ── nack with delay ─▶ DELAYED ─▶ READY
 *
 * A receipt names one receive of one row. It is dead once the row was settled, received again, or its visibility ended.
 *
 * **Order.** Of a group only the first unsettled row can be READY, so "may this be given out" is never asked when
 * receiving: it was answered when the row came to rest. Whoever removes a group's first row makes the next one READY in
 * the same transaction. A receive may take the rows that follow its first one, in order; everybody else gets none of
 * them. A nack keeps the row's place. A high-priority message lends its rank to the first row of its group, because it
 * cannot pass it.
 *
 * **Cost.** Publishing, receiving and settling one message touches a constant number of index entries. READY rows and
 * rows with a due time have partial indexes of their own, so a million blocked, delayed or in-flight rows are never
 * stepped over. Totals are kept in one row that is written with each transaction, so metrics cost nothing.
 *
 * **Deduplication.** An id is remembered for the window in the generation (window number) it came in; looking in two
 * generations is exact, and old ones go in small steps with later publishing.
 *
 * **Guarantees and failures.** What `publish` answered as published survives a crash of the process; a stand-alone
 * message is on disk then, because nobody else has a copy, while a platform message that a power cut takes away is
 * published again by the scheduler. This process is the only consumer of the file, so opening frees every receipt:
 * after a crash work goes on at once. A receive that ended without ack or nack counts as abandoned; a stand-alone
 * message abandoned `maxReceives` times goes to the dead letters, since it is probably what crashes its consumer. A
 * body that cannot be read goes there too, and the rest of the batch is delivered. A full disk refuses what is
 * published; receiving and settling throw STORE_FULL or STORE_UNAVAILABLE, and nothing has changed then.
 *
 * **Time.** Due times are wall-clock time as it was at opening plus monotonic time since, so a corrected clock neither
 * frees nor holds receipts.
 */
export class SqliteQueue implements QueuePublisher, QueueConsumer, DeadLetters {
  readonly name: string;
  readonly visibilityMs: number;
  readonly parallelReceives = 1;
  readonly capabilities: QueueCapabilities;
  readonly #connection: SqliteConnection;
  readonly #clock: Clock;
  readonly #config: SqliteQueueConfig;
  readonly #rows: QueueRows;
  readonly #availability: QueueAvailability;
  readonly #queueTimeOffsetMs: number;
  #counts: QueueCounts;
  readonly #dedup: DedupWindow;

  constructor(deps: SqliteQueueDeps, config: SqliteQueueConfig) {
    this.#connection = deps.connection;
    this.#clock = deps.clock;
    this.#config = config;
    this.name = config.name;
    this.visibilityMs = config.visibilityMs;
    this.#queueTimeOffsetMs = deps.clock.now() - deps.clock.monotonicMs();
    migrateQueue(deps.connection, deps.clock.now());
    this.#rows = prepareQueueRows(deps.connection);
    this.#counts = this.#rows.readCounts();
    this.#dedup = new DedupWindow(this.#rows, config.dedupWindowMs);
    this.#availability = new QueueAvailability(deps.clock, () => this.#onDue());
    this.capabilities = sqliteQueueCapabilities(config);
    this.#freeReceipts();
    this.#expectNextDue();
  }

  async publish(messages: readonly QueueMessage[]): Promise<readonly PublishResult[]> {
    // Encoded before the transaction, which holds up every other writer of the file.
    const bodies = messages.map((message) => encodeMessage(message));
    const durable = messages.some((message) => message.kind === "standalone");
    try {
      const results = this.#change(
        (counts) => messages.map((message, i) => this.#insert(counts, message, bodies[i] ?? "")),
        durable,
      );
      if (results.some((result) => result.kind === "published")) this.#availability.announce();
      return results;
    } catch (error) {
      if (!isCodedError(error, "STORE_FULL") && !isCodedError(error, "STORE_UNAVAILABLE")) throw error;
      return messages.map(() => ({ kind: "refused", detail: error.publicMessage }));
    }
  }

  async readyLanes(): Promise<readonly PoolCode[]> {
    this.#releaseDue(this.#nowMs());
    return this.#rows.readyLanes.all(sqliteQueueLimits.maxLanes).map((row) => row.lane as PoolCode);
  }

  async receive(request: ReceiveRequest, signal: AbortSignal): Promise<readonly ReceivedMessage[]> {
    const untilMs = this.#clock.monotonicMs() + request.waitMs;
    for (;;) {
      if (signal.aborted || this.#availability.closed) return [];
      const received = this.#take(request);
      const leftMs = untilMs - this.#clock.monotonicMs();
      if (received.length > 0 || leftMs <= 0) return received;
      await this.#availability.wait(leftMs, signal);
    }
  }

  async ack(receipts: readonly Receipt[]): Promise<readonly ReceiptResult[]> {
    return this.#settle(receipts, (counts, parts, nowMs) => {
      const { seq, receiveCount } = parts;
      // The group matters only if something may wait behind this row.
      const inGroup = parts.grouped && counts.blocked > 0;
      const group = inGroup ? this.#rows.live.get(seq, receiveCount, nowMs)?.group_key : null;
      if (this.#rows.settle.run(seq, receiveCount, nowMs) === 0) return dead;
      if (parts.bodyApart) this.#rows.removeBody.run(seq);
      counts.inFlight -= 1;
      counts.total -= 1;
      return group ?? ungrouped;
    });
  }

  async nack(receipts: readonly Receipt[], delayMs: number): Promise<readonly ReceiptResult[]> {
    const waitMs = Math.min(Math.max(delayMs, 0), sqliteQueueLimits.maxDelayMs);
    const results = this.#settle(receipts, (counts, parts, nowMs) => {
      if (waitMs === 0) return this.#giveBack(counts, parts, nowMs);
      const delayed = this.#rows.delay.run(parts.seq, parts.receiveCount, nowMs, nowMs + waitMs);
      if (delayed === 0) return dead;
      counts.inFlight -= 1;
      counts.delayed += 1;
      return ungrouped;
    });
    if (waitMs > 0) this.#availability.expect(waitMs);
    else if (results.includes("done")) this.#availability.announce();
    return results;
  }

  async extend(receipts: readonly Receipt[], forMs: number): Promise<readonly ReceiptResult[]> {
    const results = this.#settle(receipts, (_counts, parts, nowMs) =>
      this.#rows.extend.run(parts.seq, parts.receiveCount, nowMs, nowMs + forMs) === 0 ? dead : ungrouped,
    );
    this.#availability.expect(forMs);
    return results;
  }

  async deadLetter(receipt: Receipt, reason: string): Promise<ReceiptResult> {
    const [result] = this.#settle([receipt], (counts, parts, nowMs) => {
      if (this.#rows.live.get(parts.seq, parts.receiveCount, nowMs) === null) return dead;
      const row = this.#rows.bySeq.get(parts.seq);
      if (row === null) return dead;
      this.#bury(counts, row, reason);
      return row.group_key ?? ungrouped;
    });
    return result ?? "dead";
  }

  async listDeadLetters(request: { limit: number; after: DeadLetterKey | null }): Promise<DeadLetterPage> {
    return deadLetterPage(this.#rows.deadLetters.all(request.limit + 1, placeAfter(request.after)), request);
  }

  settleDeadLetters(
    keys: readonly DeadLetterKey[],
    decide: (letter: DeadLetter) => Promise<"remove" | "keep">,
  ): Promise<readonly ("removed" | "kept" | "missing")[]> {
    const rows = {
      read: async (place: number) => this.#rows.deadLetter.get(place),
      remove: async (place: number) => this.#removeDead(place),
    };
    return settleDeadRows(rows, keys, decide);
  }

  async metrics(): Promise<QueueMetrics> {
    const { total, delayed, inFlight, dead } = this.#counts;
    const oldestUnsettledAtMs = this.#rows.oldest.get()?.published_at_ms ?? null;
    return { visible: total - delayed - inFlight, inFlight, delayed, dead, oldestUnsettledAtMs };
  }

  onAvailable(wake: () => void): () => void {
    return this.#availability.listen(wake);
  }

  /** Ends waiting receivers and the timer. The connection belongs to whoever made it. */
  close(): void {
    this.#availability.close();
  }

  /** One transaction; the totals are written with it and take effect only if it commits. */
  #change<Result>(work: (counts: QueueCounts) => Result, durable: boolean): Result {
    const counts = { ...this.#counts };
    const transact = (): Result => {
      const result = work(counts);
      this.#rows.writeCounts(counts);
      return result;
    };
    const result = durable ? this.#connection.durableTransaction(transact) : this.#connection.transaction(transact);
    this.#counts = counts;
    return result;
  }

  #insert(counts: QueueCounts, message: QueueMessage, body: string): PublishResult {
    const refusal = this.#refusal(counts, message, body);
    if (refusal !== null) return refusal;
    const nowMs = this.#clock.now();
    if (!this.#dedup.admit(deduplicationIdOf(message), this.#nowMs())) return { kind: "duplicate" };
    const group = message.groupKey;
    const blocked = group !== null && this.#rows.inGroup.get(group) !== null;
    const high = message.kind === "standalone" && message.highPriority;
    const seq = counts.nextSeq;
    const apart = body.length > sqliteQueueLimits.inlineBodyMaxChars;
    const state = blocked ? rowState.blocked : rowState.ready;
    const kind = rowKind[message.kind];
    this.#rows.insert.run(seq, message.lane, group, kind, high ? 1 : 0, state, nowMs, apart ? null : body);
    if (apart) this.#rows.insertBody.run(seq, body);
    if (blocked && high && group !== null) this.#rows.urge.run(group);
    counts.nextSeq += 1;
    counts.total += 1;
    if (blocked) counts.blocked += 1;
    return { kind: "published" };
  }

  #refusal(counts: QueueCounts, message: QueueMessage, body: string): PublishResult | null {
    const { maxMessageBytes, maxMessages } = sqliteQueueLimits;
    if (body.length * MAX_UTF8_BYTES_PER_CHAR > maxMessageBytes && Buffer.byteLength(body) > maxMessageBytes) {
      return { kind: "invalid", code: "MESSAGE_TOO_LARGE", detail: `larger than ${maxMessageBytes} bytes` };
    }
    const empty = message.kind === "platform" && message.jobs.length === 0;
    if (empty || message.id.length === 0 || message.lane.length === 0) {
      return { kind: "invalid", code: "MESSAGE_INVALID", detail: "has no id, lane or job" };
    }
    if (counts.total >= maxMessages) return { kind: "refused", detail: `the queue holds ${maxMessages} messages` };
    return null;
  }

  /** Each round takes out what it cannot read, so an empty batch with rows in sight calls for another one. */
  #take(request: ReceiveRequest): ReceivedMessage[] {
    const nowMs = this.#nowMs();
    this.#releaseDue(nowMs);
    const max = Math.min(request.max, sqliteQueueLimits.maxBatch);
    for (;;) {
      // Reading outside the transaction is safe, because nothing else runs in between and nobody else writes.
      const heads = this.#rows.ready.all(request.lane, max);
      if (heads.length === 0) return [];
      const batch = this.#takeBatch(heads, max, nowMs + this.#config.visibilityMs);
      if (batch.length > 0) return batch;
    }
  }

  /** First rows of many groups before many rows of one: a deep group must not crowd out the others. */
  #takeBatch(heads: readonly MessageRow[], max: number, dueAtMs: number): ReceivedMessage[] {
    const batch: ReceivedMessage[] = [];
    this.#change((counts) => {
      for (const head of heads) this.#takeRow({ row: head, counts, batch, dueAtMs });
      for (const head of heads) {
        if (counts.blocked === 0 || batch.length >= max) break;
        this.#takeFollowers({ row: head, counts, batch, dueAtMs }, max - batch.length);
      }
    }, false);
    this.#availability.expect(this.#config.visibilityMs);
    return batch;
  }

  /** What follows a group's first row goes with it, up to the first row that is held or belongs to another lane. */
  #takeFollowers(taking: Taking, room: number): void {
    const head = taking.row;
    if (head.group_key === null) return;
    const rows = this.#rows.followers.all(
      head.group_key,
      head.seq,
      Math.min(room, sqliteQueueLimits.groupBatchMax - 1),
    );
    for (const row of rows) {
      if (row.state !== rowState.blocked || row.lane !== head.lane) break;
      taking.counts.blocked -= 1;
      this.#takeRow({ ...taking, row });
    }
  }

  #takeRow({ row, counts, batch, dueAtMs }: Taking): void {
    const bodyApart = row.body === null;
    const body = row.body ?? this.#rows.body.get(row.seq)?.body ?? "";
    const decoded = decodeMessage(body);
    counts.inFlight += 1;
    this.#rows.take.run(row.seq, dueAtMs);
    if (decoded.kind === "malformed") {
      this.#bury(counts, { ...row, body }, `${decoded.code}: ${describeFaults(decoded.faults)}`);
      this.#promote(counts, row.group_key);
      return;
    }
    const receiveCount = row.receive_count + 1;
    const receipt = formatReceipt({ seq: row.seq, receiveCount, grouped: row.group_key !== null, bodyApart });
    batch.push({ message: decoded.message, receipt, receiveCount, publishedAtMs: row.published_at_ms });
  }

  /** Judges each receipt in one transaction, then lets the groups go on whose rows went. */
  #settle(receipts: readonly Receipt[], settleOne: SettleOne): readonly ReceiptResult[] {
    const nowMs = this.#nowMs();
    let promoted = 0;
    const results = this.#change((counts) => {
      const groups = new Set<string>();
      const judged = receipts.map((receipt): ReceiptResult => {
        const parts = parseReceipt(receipt);
        const group = parts === null ? dead : settleOne(counts, parts, nowMs);
        if (typeof group === "string") groups.add(group);
        return group === dead ? "dead" : "done";
      });
      for (const group of groups) promoted += this.#promote(counts, group);
      return judged;
    }, false);
    if (promoted > 0) this.#availability.announce();
    return results;
  }

  #giveBack(counts: QueueCounts, parts: ReceiptParts, nowMs: number): SettledGroup {
    if (this.#rows.live.get(parts.seq, parts.receiveCount, nowMs) === null) return dead;
    counts.inFlight -= 1;
    this.#rest(counts, parts.seq, 0);
    return ungrouped;
  }

  #rest(counts: QueueCounts, seq: number, abandoned: 0 | 1): void {
    if (this.#rows.rest.get(seq, abandoned)?.state === rowState.blocked) counts.blocked += 1;
  }

  /** The group's first row becomes READY if it was waiting for the ones before it. */
  #promote(counts: QueueCounts, group: string | null): number {
    if (group === null || counts.blocked === 0) return 0;
    const promoted = this.#rows.promote.run(group);
    counts.blocked -= promoted;
    return promoted;
  }

  /** Moves a row that is in flight to the dead letters. */
  #bury(counts: QueueCounts, row: Pick<MessageRow, "seq" | "lane" | "body">, reason: string): void {
    const body = row.body ?? this.#rows.body.get(row.seq)?.body ?? "";
    const decoded = decodeMessage(body);
    const id = decoded.kind === "message" ? decoded.message.id : decoded.id;
    this.#rows.insertDead.run(id, row.lane, reason, body, this.#clock.now());
    this.#rows.remove.run(row.seq);
    this.#rows.removeBody.run(row.seq);
    counts.inFlight -= 1;
    counts.total -= 1;
    counts.dead += 1;
    const excess = counts.dead - sqliteQueueLimits.maxDeadLetters;
    if (excess > 0) counts.dead -= this.#rows.dropOldestDead.run(excess);
  }

  #removeDead(place: number): boolean {
    return this.#change((counts) => {
      const removed = this.#rows.removeDead.run(place);
      counts.dead -= removed;
      return removed > 0;
    }, false);
  }

  /** Brings back what was delayed until now, and what was received and not settled in time. Bounded a call. */
  #releaseDue(nowMs: number): void {
    const { releaseStep } = sqliteQueueLimits;
    const { delayed, inFlight } = this.#counts;
    const due = delayed > 0 ? this.#rows.due.all(rowState.delayed, nowMs, releaseStep) : [];
    if (inFlight > 0) due.push(...this.#rows.due.all(rowState.inFlight, nowMs, releaseStep));
    this.#release(due);
  }

  #release(due: readonly DueRow[]): void {
    if (due.length === 0) return;
    this.#change((counts) => {
      for (const row of due) this.#releaseRow(counts, row);
    }, false);
    this.#availability.announce();
  }

  #releaseRow(counts: QueueCounts, row: DueRow): void {
    if (row.state === rowState.delayed) {
      counts.delayed -= 1;
      this.#rest(counts, row.seq, 0);
      return;
    }
    const abandonedCount = row.abandoned_count + 1;
    if (row.kind === rowKind.standalone && abandonedCount >= this.#config.maxReceives) {
      const reason = `MAX_RECEIVES: received ${abandonedCount} times without being settled`;
      this.#bury(counts, { seq: row.seq, lane: row.lane, body: this.#rows.bySeq.get(row.seq)?.body ?? null }, reason);
      this.#promote(counts, row.group_key);
      return;
    }
    counts.inFlight -= 1;
    this.#rest(counts, row.seq, 1);
  }

  /** This process is the only consumer: whatever is in flight at opening was received by one that is gone. */
  #freeReceipts(): void {
    for (;;) {
      const held = this.#rows.due.all(rowState.inFlight, Number.MAX_SAFE_INTEGER, sqliteQueueLimits.releaseStep);
      if (held.length === 0) return;
      this.#release(held);
    }
  }

  #onDue(): void {
    try {
      this.#releaseDue(this.#nowMs());
      this.#expectNextDue();
    } catch (error) {
      if (!isCodedError(error)) throw error;
      // A full disk or a locked file heals; receivers meet the same error and report it.
      this.#availability.expect(sqliteQueueLimits.releaseRetryMs);
    }
  }

  #expectNextDue(): void {
    const nowMs = this.#nowMs();
    for (const state of [rowState.delayed, rowState.inFlight]) {
      const next = this.#rows.nextDue.get(state);
      if (next !== null) this.#availability.expect(next.due_at_ms - nowMs);
    }
  }

  #nowMs(): number {
    return Math.floor(this.#queueTimeOffsetMs + this.#clock.monotonicMs());
  }
}
