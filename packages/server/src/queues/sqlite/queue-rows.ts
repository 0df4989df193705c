import type { DeadRow } from "../database-queue.ts";
import type { SqliteConnection } from "./sqlite-connection.ts";

/**
 * The statements of the queue, one operation a function, each called inside a transaction of `sqlite-queue.ts`. What a
 * row's state means stands in `queue-schema.ts`. Each is bounded by the rows it returns or changes: none steps over
 * rows that are blocked, delayed or in flight (`queue-plans.test.ts`).
 */
export interface MessageRow {
  readonly seq: number;
  readonly lane: string;
  readonly group_key: string | null;
  readonly kind: number;
  readonly state: number;
  readonly receive_count: number;
  readonly published_at_ms: number;
  /** Null: kept apart in `queue_bodies`, because it is long and rows are rewritten at each change. */
  readonly body: string | null;
}

export interface DueRow {
  readonly seq: number;
  readonly state: number;
  readonly kind: number;
  readonly group_key: string | null;
  readonly lane: string;
  readonly abandoned_count: number;
}

export interface QueueCounts {
  nextSeq: number;
  total: number;
  blocked: number;
  delayed: number;
  inFlight: number;
  dead: number;
}

/** READY or BLOCKED, as the row's place in its group says. `queue_messages` is the row that is updated. */
const restingState = `
  CASE WHEN group_key IS NOT NULL AND EXISTS (
    SELECT 1 FROM queue_messages AS earlier
    WHERE earlier.group_key = queue_messages.group_key AND earlier.seq < queue_messages.seq
  ) THEN 1 ELSE 0 END`;

/**
 * A row of a group that holds a high-priority message goes ahead of other groups, or that message would wait behind it.
 */
const restingRank = `
  CASE WHEN high = 1 OR (group_key IS NOT NULL AND EXISTS (
    SELECT 1 FROM queue_messages AS urgent WHERE urgent.group_key = queue_messages.group_key AND urgent.high = 1
  )) THEN 0 ELSE 1 END`;

/**
 * The first row of group ?1. The index is walked in its own order, which ends in `seq`; with ORDER BY the same byte
 * code took 3 to 10 us instead of 1 (measured, Bun 1.4.5), and this runs once per settled row.
 */
const firstOfGroup = "(SELECT seq FROM queue_messages INDEXED BY queue_group WHERE group_key = ?1 LIMIT 1)";

const messageColumns = "seq, lane, group_key, kind, state, receive_count, published_at_ms, body";

export const queueSql = {
  ready: `SELECT ${messageColumns} FROM queue_messages WHERE lane = (?1 || '') AND state = 0
    ORDER BY rank, seq LIMIT (?2 + 0)`,
  // Sums and joins hide the parameters from the planner: bare ones in a query that sorts or limits make SQLite compile
  // it anew each time they are bound, which costs 8 us (the same is why `firstOfGroup` does without ORDER BY).
  followers: `
    SELECT ${messageColumns} FROM queue_messages WHERE group_key = (?1 || '') AND seq > (?2 + 0)
    ORDER BY seq LIMIT (?3 + 0)`,
  readyLanes: `
    WITH RECURSIVE lanes (lane) AS (
      SELECT (SELECT lane FROM queue_messages WHERE state = 0 ORDER BY lane LIMIT 1)
      UNION ALL
      SELECT (SELECT lane FROM queue_messages WHERE state = 0 AND lane > lanes.lane ORDER BY lane LIMIT 1)
      FROM lanes WHERE lanes.lane IS NOT NULL
    ) SELECT lane FROM lanes WHERE lane IS NOT NULL LIMIT (?1 + 0)`,
  due: `
    SELECT seq, state, kind, group_key, lane, abandoned_count
    FROM queue_messages WHERE state = (?1 + 0) AND due_at_ms <= (?2 + 0)
    ORDER BY due_at_ms LIMIT (?3 + 0)`,
  nextDue: `
    SELECT due_at_ms FROM queue_messages WHERE state = (?1 + 0) AND due_at_ms IS NOT NULL
    ORDER BY due_at_ms LIMIT 1`,
  oldest: "SELECT published_at_ms FROM queue_messages ORDER BY seq LIMIT 1",
  inGroup: "SELECT 1 AS found FROM queue_messages WHERE group_key = ?1 LIMIT 1",
  bySeq: `SELECT ${messageColumns} FROM queue_messages WHERE seq = ?1`,
  insert: `
    INSERT INTO queue_messages (seq, lane, group_key, kind, high, state, rank, due_at_ms, receive_count,
      abandoned_count, published_at_ms, body)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1 - ?5, NULL, 0, 0, ?7, ?8)`,
  urge: `
    UPDATE queue_messages SET rank = 0
    WHERE seq = ${firstOfGroup} AND state = 0 AND rank = 1`,
  take: `
    UPDATE queue_messages SET state = 3, due_at_ms = ?2, receive_count = receive_count + 1 WHERE seq = ?1`,
  rest: `
    UPDATE queue_messages SET state = ${restingState}, rank = ${restingRank}, due_at_ms = NULL,
      abandoned_count = abandoned_count + ?2
    WHERE seq = ?1 RETURNING state`,
  promote: `
    UPDATE queue_messages SET state = 0, rank = ${restingRank}
    WHERE seq = ${firstOfGroup} AND state = 1`,
  live: `
    SELECT group_key FROM queue_messages WHERE seq = ?1 AND state = 3 AND receive_count = ?2 AND due_at_ms > ?3`,
  settle: `
    DELETE FROM queue_messages WHERE seq = ?1 AND state = 3 AND receive_count = ?2 AND due_at_ms > ?3`,
  remove: "DELETE FROM queue_messages WHERE seq = ?1",
  delay: `
    UPDATE queue_messages SET state = 2, due_at_ms = ?4
    WHERE seq = ?1 AND state = 3 AND receive_count = ?2 AND due_at_ms > ?3`,
  extend: `
    UPDATE queue_messages SET due_at_ms = ?4
    WHERE seq = ?1 AND state = 3 AND receive_count = ?2 AND due_at_ms > ?3`,
  insertBody: "INSERT INTO queue_bodies (seq, body) VALUES (?1, ?2)",
  body: "SELECT body FROM queue_bodies WHERE seq = ?1",
  removeBody: "DELETE FROM queue_bodies WHERE seq = ?1",
  remember: `
    INSERT INTO queue_dedup (generation, id, at_ms)
    SELECT ?1, ?2, ?3 WHERE NOT EXISTS (
      SELECT 1 FROM queue_dedup WHERE generation = ?1 - 1 AND id = ?2 AND at_ms > ?4
    )
    ON CONFLICT DO NOTHING`,
  forget: `
    DELETE FROM queue_dedup WHERE (generation, id) IN (
      SELECT generation, id FROM queue_dedup WHERE generation < (?1 + 0) ORDER BY generation, id LIMIT (?2 + 0)
    )`,
  insertDead: `
    INSERT INTO dead_letters (message_id, lane, reason, body, at_ms) VALUES (?1, ?2, ?3, ?4, ?5)`,
  dropOldestDead: "DELETE FROM dead_letters WHERE seq IN (SELECT seq FROM dead_letters ORDER BY seq LIMIT ?1)",
  deadLetters: `
    SELECT seq, message_id, lane, reason, body, at_ms FROM dead_letters WHERE seq < ?2 ORDER BY seq DESC LIMIT ?1`,
  deadLetter: "SELECT seq, message_id, lane, reason, body, at_ms FROM dead_letters WHERE seq = ?1",
  removeDead: "DELETE FROM dead_letters WHERE seq = ?1",
  readCounts: "SELECT next_seq, total, blocked, delayed, in_flight, dead FROM queue_state WHERE id = 1",
  writeCounts: `
    UPDATE queue_state
    SET next_seq = ?1, total = ?2, blocked = ?3, delayed = ?4, in_flight = ?5, dead = ?6 WHERE id = 1`,
} as const;

interface CountsRow {
  readonly next_seq: number;
  readonly total: number;
  readonly blocked: number;
  readonly delayed: number;
  readonly in_flight: number;
  readonly dead: number;
}

/** One live receipt and the time it is judged at. */
export type LiveReceipt = [seq: number, receiveCount: number, nowMs: number];

type InsertParams = [
  seq: number,
  lane: string,
  groupKey: string | null,
  kind: number,
  high: number,
  state: number,
  publishedAtMs: number,
  body: string | null,
];

export type QueueRows = ReturnType<typeof prepareQueueRows>;

/** Compiles every statement once. */
export function prepareQueueRows(connection: SqliteConnection) {
  const readCounts = connection.statement<CountsRow>(queueSql.readCounts);
  const writeCounts = connection.statement<never, number[]>(queueSql.writeCounts);
  return {
    ready: connection.statement<MessageRow, [string, number]>(queueSql.ready),
    followers: connection.statement<MessageRow, [string, number, number]>(queueSql.followers),
    readyLanes: connection.statement<{ lane: string }, [number]>(queueSql.readyLanes),
    due: connection.statement<DueRow, [state: number, nowMs: number, max: number]>(queueSql.due),
    nextDue: connection.statement<{ due_at_ms: number }, [state: number]>(queueSql.nextDue),
    oldest: connection.statement<{ published_at_ms: number }>(queueSql.oldest),
    inGroup: connection.statement<{ found: number }, [string]>(queueSql.inGroup),
    bySeq: connection.statement<MessageRow, [number]>(queueSql.bySeq),
    insert: connection.statement<never, InsertParams>(queueSql.insert),
    urge: connection.statement<never, [string]>(queueSql.urge),
    take: connection.statement<never, [seq: number, dueAtMs: number]>(queueSql.take),
    rest: connection.statement<{ state: number }, [seq: number, abandoned: number]>(queueSql.rest),
    promote: connection.statement<never, [string]>(queueSql.promote),
    live: connection.statement<{ group_key: string | null }, LiveReceipt>(queueSql.live),
    settle: connection.statement<never, LiveReceipt>(queueSql.settle),
    remove: connection.statement<never, [number]>(queueSql.remove),
    delay: connection.statement<never, [...LiveReceipt, number]>(queueSql.delay),
    extend: connection.statement<never, [...LiveReceipt, number]>(queueSql.extend),
    insertBody: connection.statement<never, [number, string]>(queueSql.insertBody),
    body: connection.statement<{ body: string }, [number]>(queueSql.body),
    removeBody: connection.statement<never, [number]>(queueSql.removeBody),
    remember: connection.statement<never, [number, string, number, number]>(queueSql.remember),
    forget: connection.statement<never, [number, number]>(queueSql.forget),
    insertDead: connection.statement<never, [string | null, string | null, string, string, number]>(
      queueSql.insertDead,
    ),
    dropOldestDead: connection.statement<never, [number]>(queueSql.dropOldestDead),
    deadLetters: connection.statement<DeadRow, [max: number, below: number]>(queueSql.deadLetters),
    deadLetter: connection.statement<DeadRow, [number]>(queueSql.deadLetter),
    removeDead: connection.statement<never, [number]>(queueSql.removeDead),
    readCounts(): QueueCounts {
      const row = readCounts.get();
      if (row === null) throw new Error("queue_state has no row");
      const { next_seq: nextSeq, total, blocked, delayed, in_flight: inFlight, dead } = row;
      return { nextSeq, total, blocked, delayed, inFlight, dead };
    },
    writeCounts(counts: QueueCounts): void {
      const { nextSeq, total, blocked, delayed, inFlight, dead } = counts;
      writeCounts.run(nextSeq, total, blocked, delayed, inFlight, dead);
    },
  };
}
