import type { Clock } from "@flowcatalyst/foundation";
import { deduplicationIdOf, encodeMessage } from "../../domain/message-codec.ts";
import type { QueueMessage } from "../../domain/message.ts";
import type { PublishResult } from "../../ports/queue.ts";
import type { PostgresDatabase, PostgresSession } from "../../postgres/postgres-database.ts";
import { isUnavailable } from "../../postgres/postgres-errors.ts";
import { keyIs, statement, toJsonRows } from "../../postgres/statement.ts";
import { DedupWindow, type DedupRow } from "./dedup-window.ts";
import { findHeld } from "./group-places.ts";
import { KnownGroups } from "./known-groups.ts";
import { postgresQueueLimits } from "./postgres-queue-config.ts";
import { queueLocks, rowKind, rowState } from "./queue-rows.ts";
import type { QueueTime } from "./queue-time.ts";

export interface QueuePublishingDeps {
  readonly database: PostgresDatabase;
  /** Stamps messages: a scheduler compares that with the times it writes itself. All else goes by `time`. */
  readonly clock: Clock;
  readonly time: QueueTime;
  /** Something was published. */
  readonly published: () => void;
}

interface Call {
  readonly results: (PublishResult | undefined)[];
  left: number;
  readonly resolve: (results: readonly PublishResult[]) => void;
  readonly reject: (error: unknown) => void;
}

interface Outgoing {
  readonly call: Call;
  readonly position: number;
  readonly message: QueueMessage;
  readonly dedupId: string;
  readonly body: string;
  readonly bytes: number;
}

interface Placed {
  readonly outgoing: Outgoing;
  /** Behind an earlier one of its group, on the queue or in the same batch. */
  readonly blocked: boolean;
}

interface Committed {
  readonly placed: readonly Placed[];
  /** Of each group the first row that was on the queue before. */
  readonly firsts: ReadonlyMap<string, number | null>;
  readonly firstSeq: number;
  readonly dedupSeq: number;
}

const takeTurn = statement<never, [lock: number]>("SELECT pg_advisory_xact_lock($1)");
const readDedup = statement<DedupRow, [after: number]>(
  "SELECT seq, at_ms, ids FROM queue_dedup WHERE seq > $1 ORDER BY seq",
);
const forgetDedup = statement<never, [upTo: number]>("DELETE FROM queue_dedup WHERE seq <= $1");
const addLanes = statement<never, [lanes: string, nowMs: number]>(`
  INSERT INTO queue_lanes (lane, cursor, used_at_ms)
  SELECT r.lane, 0, $2 FROM json_to_recordset($1::json) AS r (lane text)
  ON CONFLICT (lane) DO UPDATE SET used_at_ms = excluded.used_at_ms`);
const addMessages = statement<
  { first_seq: number; dedup_seq: number },
  [dedupAtMs: number, messages: string, dedupIds: string, publishedAtMs: number]
>(`
  WITH added AS (
    INSERT INTO queue_messages (published_at_ms, lane, group_key, kind, state, rank, high, body_bytes, body)
    SELECT $4, r.lane, r.group_key, r.kind, r.state, CASE WHEN r.high THEN 0 ELSE 1 END, r.high, r.bytes, r.body
    FROM json_to_recordset($2::json) AS r
      (lane text, group_key text, kind smallint, state smallint, high boolean, bytes integer, body text)
    RETURNING seq
  ), remembered AS (
    INSERT INTO queue_dedup (at_ms, ids) VALUES ($1, $3) RETURNING seq
  )
  SELECT min(added.seq) AS first_seq, (SELECT seq FROM remembered) AS dedup_seq FROM added`);
/** A high-priority message lends its rank to the first of its group, because it cannot pass it. */
const lendRank = statement<never, [groups: string]>(`
  UPDATE queue_messages m SET rank = 0
  FROM json_to_recordset($1::json) AS g (group_key text) CROSS JOIN LATERAL (
    SELECT f.seq FROM queue_messages f WHERE f.group_key = g.group_key ORDER BY f.seq LIMIT 1
  ) AS head
  WHERE ${keyIs("m.seq", "head.seq")} AND m.state = ${rowState.ready} AND m.rank = 1`);
const estimateRows = statement<{ live: number }>("SELECT pg_stat_get_live_tuples('queue_messages'::regclass) AS live");

const MAX_UTF8_BYTES_PER_CHAR = 3;
const BEYOND_ALL_PLACES = Number.MAX_SAFE_INTEGER;

/**
 * Publishing: one transaction for all that this process wants to publish by then, under a lock that all publishers
 * share and hold to their commit. Therefore places rise in commit order, deduplication is exact, and whether a message
 * is the first of its group can be decided (group-places.ts). While one transaction is under way, further calls gather
 * for the next.
 *
 * A publisher remembers ids (dedup-window.ts), for five minutes the lanes that exist (an idle one goes after an hour,
 * queue-sweep.ts), and of groups below which place nothing is unsettled,
 * so that looking for an earlier row never steps over the dead ones of a busy group. All of that is knowledge about
 * what has committed; it is thrown away when the database was out of reach, since another server may have taken over.
 */
export class QueuePublishing {
  readonly #deps: QueuePublishingDeps;
  readonly #windowMs: number;
  readonly #dedup: DedupWindow;
  readonly #groups = new KnownGroups(postgresQueueLimits.maxKnownGroups);
  /** Until when each lane is known to exist. */
  readonly #lanes = new Map<string, number>();
  #waiting: Outgoing[] = [];
  #isRunning = false;
  #forgetAtMs = 0;
  #estimate = { rows: 0, untilMs: 0 };

  constructor(deps: QueuePublishingDeps, dedupWindowMs: number) {
    this.#deps = deps;
    this.#windowMs = dedupWindowMs;
    this.#dedup = new DedupWindow(dedupWindowMs);
  }

  publish(messages: readonly QueueMessage[]): Promise<readonly PublishResult[]> {
    return new Promise((resolve, reject) => {
      const call: Call = { results: Array.from({ length: messages.length }), left: messages.length, resolve, reject };
      for (const [position, message] of messages.entries()) this.#accept(call, position, message);
      if (call.left === 0) resolve(call.results as PublishResult[]);
      else if (!this.#isRunning) void this.#run();
    });
  }

  #accept(call: Call, position: number, message: QueueMessage): void {
    const body = encodeMessage(message);
    const refusal = refusalOf(message, body);
    if (refusal !== null) {
      call.results[position] = refusal;
      call.left -= 1;
      return;
    }
    const bytes = Buffer.byteLength(body);
    this.#waiting.push({ call, position, message, dedupId: deduplicationIdOf(message), body, bytes });
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#waiting.length > 0) {
      const batch = this.#nextBatch();
      await this.#publishBatch(batch).then(
        (results) => this.#answer(batch, results),
        (error: unknown) => this.#fail(batch, error),
      );
    }
    this.#isRunning = false;
  }

  #fail(batch: readonly Outgoing[], error: unknown): void {
    this.#forgetAll();
    if (isUnavailable(error)) {
      this.#answer(batch, refusedBy(batch, "the database cannot be reached"));
      return;
    }
    for (const { call } of batch) call.reject(error);
  }

  #nextBatch(): readonly Outgoing[] {
    let bytes = 0;
    let end = 0;
    for (const outgoing of this.#waiting) {
      bytes += outgoing.bytes;
      const isFull = end === postgresQueueLimits.maxBatch || bytes > postgresQueueLimits.publishMaxBytes;
      if (isFull && end > 0) break;
      end += 1;
    }
    const batch = this.#waiting.slice(0, end);
    this.#waiting = this.#waiting.slice(end);
    return batch;
  }

  #answer(batch: readonly Outgoing[], results: readonly PublishResult[]): void {
    for (const [at, { call, position }] of batch.entries()) {
      const result = results[at];
      if (result === undefined) continue;
      call.results[position] = result;
      call.left -= 1;
      if (call.left === 0) call.resolve(call.results as PublishResult[]);
    }
  }

  async #publishBatch(batch: readonly Outgoing[]): Promise<readonly PublishResult[]> {
    const nowMs = await this.#deps.time.now();
    const { maxMessages } = postgresQueueLimits;
    if ((await this.#estimatedRows(nowMs)) >= maxMessages) {
      return refusedBy(batch, `the queue holds ${maxMessages} messages`);
    }
    const committed = await this.#deps.database.transaction((session) => this.#commit(session, batch, nowMs));
    if (committed !== null) this.#remember(committed, nowMs);
    const published = new Set(committed?.placed.map(({ outgoing }) => outgoing));
    return batch.map((outgoing) => ({ kind: published.has(outgoing) ? "published" : "duplicate" }));
  }

  /** Null: all of them are duplicates. */
  async #commit(session: PostgresSession, batch: readonly Outgoing[], nowMs: number): Promise<Committed | null> {
    await session.run(takeTurn, [queueLocks.publishing]);
    if (this.#windowMs > 0) this.#dedup.absorb(await session.query(readDedup, [this.#dedup.lastSeq]));
    const admitted = this.#admit(batch, nowMs);
    if (admitted.length === 0) return null;
    const firsts = await this.#findFirsts(session, admitted);
    const placed = placeAll(admitted, firsts);
    await this.#addLanes(session, admitted, nowMs);
    const dedupIds = JSON.stringify(admitted.map(({ dedupId }) => dedupId));
    const added = await session.one(addMessages, [
      nowMs,
      toJsonRows(placed.map(rowOf)),
      dedupIds,
      this.#deps.clock.now(),
    ]);
    await lendRanks(session, placed);
    await this.#forgetDedup(session, nowMs);
    return { placed, firsts, firstSeq: added?.first_seq ?? 0, dedupSeq: added?.dedup_seq ?? 0 };
  }

  /** Without those known within the window, or earlier in the same batch. */
  #admit(batch: readonly Outgoing[], nowMs: number): readonly Outgoing[] {
    if (this.#windowMs === 0) return batch;
    const ids = new Set<string>();
    return batch.filter(({ dedupId }) => {
      if (ids.has(dedupId) || this.#dedup.has(dedupId, nowMs)) return false;
      ids.add(dedupId);
      return true;
    });
  }

  /** Of each of their groups the first row on the queue, which stays until the commit; null: the group has none. */
  async #findFirsts(
    session: PostgresSession,
    admitted: readonly Outgoing[],
  ): Promise<ReadonlyMap<string, number | null>> {
    const groups = [...new Set(admitted.flatMap(({ message }) => message.groupKey ?? []))];
    if (groups.length === 0) return new Map();
    const questions = groups.map((group, key) => {
      return { key, group_key: group, before: BEYOND_ALL_PLACES, after: this.#groups.settledUpTo(group) };
    });
    const held = await findHeld(session, questions);
    return new Map(groups.map((group, key) => [group, held.get(key) ?? null]));
  }

  async #addLanes(session: PostgresSession, admitted: readonly Outgoing[], nowMs: number): Promise<void> {
    const lanes = new Set<string>(admitted.map(({ message }) => message.lane));
    const unknown = [...lanes].filter((lane) => !this.#knows(lane, nowMs)).toSorted();
    if (unknown.length > 0) await session.run(addLanes, [toJsonRows(unknown.map((lane) => ({ lane }))), nowMs]);
  }

  #knows(lane: string, nowMs: number): boolean {
    return (this.#lanes.get(lane) ?? 0) > nowMs;
  }

  async #forgetDedup(session: PostgresSession, nowMs: number): Promise<void> {
    if (nowMs < this.#forgetAtMs) return;
    this.#forgetAtMs = nowMs + postgresQueueLimits.dedupForgetEveryMs;
    const upTo = this.#dedup.forget(nowMs);
    if (upTo !== null) await session.run(forgetDedup, [upTo]);
  }

  /** After the commit. */
  #remember({ placed, firsts, firstSeq, dedupSeq }: Committed, nowMs: number): void {
    this.#dedup.add(
      dedupSeq,
      nowMs,
      placed.map(({ outgoing }) => outgoing.dedupId),
    );
    const { maxLanes, laneKnownMs } = postgresQueueLimits;
    if (this.#lanes.size >= maxLanes) this.#lanes.clear();
    for (const { outgoing } of placed) {
      const { lane } = outgoing.message;
      if (!this.#knows(lane, nowMs)) this.#lanes.set(lane, nowMs + laneKnownMs);
    }
    for (const [group, first] of firsts) this.#groups.learn(group, (first ?? firstSeq) - 1);
    this.#deps.published();
  }

  async #estimatedRows(nowMs: number): Promise<number> {
    if (nowMs >= this.#estimate.untilMs) {
      const row = await this.#deps.database.one(estimateRows, []);
      this.#estimate = { rows: row?.live ?? 0, untilMs: nowMs + postgresQueueLimits.estimateMaxAgeMs };
    }
    return this.#estimate.rows;
  }

  #forgetAll(): void {
    this.#dedup.reset();
    this.#groups.reset();
    this.#lanes.clear();
  }
}

function placeAll(admitted: readonly Outgoing[], firsts: ReadonlyMap<string, number | null>): readonly Placed[] {
  const occupied = new Set<string>();
  for (const [group, first] of firsts) if (first !== null) occupied.add(group);
  return admitted.map((outgoing) => {
    const group = outgoing.message.groupKey;
    const blocked = group !== null && occupied.has(group);
    if (group !== null) occupied.add(group);
    return { outgoing, blocked };
  });
}

function rowOf({ outgoing: { message, bytes, body }, blocked }: Placed): object {
  const { lane, groupKey } = message;
  const kind = rowKind[message.kind];
  return { lane, group_key: groupKey, kind, state: stateOf(message, blocked), high: isHigh(message), bytes, body };
}

function isHigh(message: QueueMessage): boolean {
  return message.kind === "standalone" && message.highPriority;
}

/**
 * FRESH is for what is given out in order of publication. What may have to go ahead of others is READY instead: urgent
 * messages, and stand-alone ones of a group, which an urgent one behind them lends its rank.
 */
function stateOf(message: QueueMessage, blocked: boolean): number {
  if (blocked) return rowState.blocked;
  const mayGoAhead = message.kind === "standalone" && (message.highPriority || message.groupKey !== null);
  return mayGoAhead ? rowState.ready : rowState.fresh;
}

async function lendRanks(session: PostgresSession, placed: readonly Placed[]): Promise<void> {
  const urgent = placed.filter(({ outgoing, blocked }) => blocked && isHigh(outgoing.message));
  if (urgent.length === 0) return;
  const groups = new Set(urgent.map(({ outgoing }) => outgoing.message.groupKey));
  await session.run(lendRank, [toJsonRows([...groups].map((group) => ({ group_key: group })))]);
}

function refusedBy(batch: readonly Outgoing[], detail: string): readonly PublishResult[] {
  return batch.map(() => ({ kind: "refused", detail }));
}

function refusalOf(message: QueueMessage, body: string): PublishResult | null {
  const { maxMessageBytes } = postgresQueueLimits;
  if (body.length * MAX_UTF8_BYTES_PER_CHAR > maxMessageBytes && Buffer.byteLength(body) > maxMessageBytes) {
    return { kind: "invalid", code: "MESSAGE_TOO_LARGE", detail: `larger than ${maxMessageBytes} bytes` };
  }
  const empty = message.kind === "platform" && message.jobs.length === 0;
  if (empty || message.id.length === 0 || message.lane.length === 0) {
    return { kind: "invalid", code: "MESSAGE_INVALID", detail: "has no id, lane or job" };
  }
  return null;
}
