import type { PoolCode } from "../../domain/ids.ts";
import type { ReceivedMessage, ReceiveRequest } from "../../ports/queue.ts";
import { decodeMessage, describeFaults } from "../../domain/message-codec.ts";
import type { PostgresDatabase } from "../../postgres/postgres-database.ts";
import { keyIs, statement, toJsonRows } from "../../postgres/statement.ts";
import type { ConsumerLease } from "./consumer-lease.ts";
import type { HeldClaims } from "./held-claims.ts";
import type { LaneWatch } from "./lane-watch.ts";
import { postgresQueueLimits } from "./postgres-queue-config.ts";
import { formatReceipt, type ReceiptParts } from "./queue-receipt.ts";
import { rowKind, rowState, type MessageRow } from "./queue-rows.ts";
import { isLive } from "./queue-settling.ts";
import type { QueueTime } from "./queue-time.ts";

const { fresh, ready, blocked, inFlight } = rowState;

type Taking = [lane: string, max: number, consumerId: number, claim: number, untilMs: number, maxBytes: number];

/**
 * READY rows, by rank and place; one that another consumer is taking is passed over. Behind as many FRESH rows as were
 * asked for they wait, or a lane in which much comes back would never get to what is new.
 */
const takeReady = statement<MessageRow, Taking>(`
  WITH heads AS MATERIALIZED (
    SELECT m.seq, m.rank, m.body_bytes FROM queue_messages m
    WHERE m.lane = $1 AND m.state = ${ready} AND (m.rank = 0 OR m.seq < coalesce((
      SELECT f.seq FROM queue_lanes l CROSS JOIN LATERAL (
        SELECT n.seq FROM queue_messages n WHERE n.lane = $1 AND n.state = ${fresh} AND n.seq > l.cursor
        ORDER BY n.seq OFFSET $2 - 1 LIMIT 1
      ) AS f WHERE l.lane = $1
    ), ${Number.MAX_SAFE_INTEGER}))
    ORDER BY m.rank, m.seq LIMIT $2 FOR UPDATE SKIP LOCKED
  ), sized AS (
    SELECT seq, rank, sum(body_bytes) OVER (ORDER BY rank, seq) - body_bytes AS bytes_before FROM heads
  ), taken AS (
    UPDATE queue_messages m SET
      state = ${inFlight}, due_at_ms = $5, consumer_id = $3, claim = $4, receive_count = m.receive_count + 1
    FROM sized AS s
    WHERE ${keyIs("m.seq", "s.seq")} AND s.bytes_before < $6
    RETURNING m.seq, m.rank, m.group_key IS NOT NULL AS grouped, m.kind, m.receive_count, m.published_at_ms, m.body
  )
  SELECT seq, grouped, kind, receive_count, published_at_ms, body FROM taken ORDER BY rank, seq`);

/**
 * The next FRESH rows of a lane: its cursor moves past them, and one row says whose they are. The rows themselves are
 * not touched. Consumers of one lane take turns by the lock on the cursor; one that has waited sees the cursor as it is
 * by then. The lock is taken only if there is something, because a lock is a write. OFFSET 0 keeps that question from
 * becoming a join, which would enter the index by the lane alone and step over all that is dead below the cursor.
 */
const takeFresh = statement<MessageRow & { followed: boolean; is_cut: boolean }, Taking>(`
  WITH lane AS MATERIALIZED (
    SELECT l.cursor FROM queue_lanes l WHERE l.lane = $1 AND EXISTS (
      SELECT 1 FROM queue_messages m WHERE m.lane = $1 AND m.state = ${fresh} AND m.seq > l.cursor OFFSET 0
    ) FOR UPDATE
  ), next AS MATERIALIZED (
    SELECT m.*, sum(m.body_bytes) OVER (ORDER BY m.seq) - m.body_bytes AS bytes_before
    FROM lane CROSS JOIN LATERAL (
      SELECT n.seq, n.group_key, n.kind, n.published_at_ms, n.body_bytes, n.body FROM queue_messages n
      WHERE n.lane = $1 AND n.state = ${fresh} AND n.seq > lane.cursor ORDER BY n.seq LIMIT $2
    ) AS m
  ), taken AS MATERIALIZED (
    SELECT next.* FROM next WHERE next.bytes_before < $6
  ), moved AS (
    UPDATE queue_lanes SET cursor = (SELECT max(seq) FROM taken)
    WHERE lane = $1 AND EXISTS (SELECT 1 FROM taken)
  ), claimed AS (
    INSERT INTO queue_claims (consumer_id, claim, lane, first_seq, last_seq, until_ms)
    SELECT $3, $4, $1, min(seq), max(seq), $5 FROM taken HAVING count(*) > 0
  )
  SELECT t.seq, t.group_key IS NOT NULL AS grouped, t.kind, 1 AS receive_count, t.published_at_ms, t.body,
    t.group_key IS NOT NULL AND EXISTS (
      SELECT 1 FROM queue_messages f WHERE f.group_key = t.group_key AND f.seq > t.seq
    ) AS followed,
    (SELECT count(*) FROM next) > (SELECT count(*) FROM taken) AS is_cut
  FROM taken t ORDER BY t.seq`);

/**
 * What stands behind rows just taken goes with them, up to the first that is held or belongs to another lane. The row
 * in front is locked and still ours, so nobody else can have moved those behind it.
 */
const takeFollowers = statement<
  MessageRow & { head: number },
  [heads: string, room: number, groupMax: number, consumerId: number, claim: number, untilMs: number, nowMs: number]
>(`
  WITH heads AS MATERIALIZED (
    SELECT m.seq, m.group_key, m.lane
    FROM json_to_recordset($1::json) AS r (seq bigint, consumer bigint, claim bigint)
    JOIN queue_messages m ON ${keyIs("m.seq", "r.seq")}
    WHERE ${isLive("$7")} FOR NO KEY UPDATE OF m
  ), behind AS (
    SELECT h.seq AS head, f.seq, f.body_bytes,
      bool_and(f.state = ${blocked} AND f.lane = h.lane) OVER (PARTITION BY h.seq ORDER BY f.seq) AS may_go
    FROM heads h CROSS JOIN LATERAL (
      SELECT n.seq, n.state, n.lane, n.body_bytes FROM queue_messages n
      WHERE n.group_key = h.group_key AND n.seq > h.seq ORDER BY n.seq LIMIT $3
    ) AS f
  ), chosen AS (
    SELECT c.head, c.seq FROM (
      SELECT head, seq, sum(body_bytes) OVER (ORDER BY head, seq) AS bytes FROM behind WHERE may_go
    ) AS c WHERE c.bytes < ${postgresQueueLimits.receiveMaxBytes} ORDER BY c.head, c.seq LIMIT $2
  ), taken AS (
    UPDATE queue_messages m SET
      state = ${inFlight}, due_at_ms = $6, consumer_id = $4, claim = $5, receive_count = m.receive_count + 1
    FROM chosen WHERE ${keyIs("m.seq", "chosen.seq")} AND m.state = ${blocked}
    RETURNING chosen.head, m.seq, m.kind, m.receive_count, m.published_at_ms, m.body
  )
  SELECT seq, head, true AS grouped, kind, receive_count, published_at_ms, body FROM taken ORDER BY head, seq`);

export interface QueueReceivingDeps {
  readonly database: PostgresDatabase;
  readonly time: QueueTime;
  readonly lease: ConsumerLease;
  readonly lanes: LaneWatch;
  readonly claims: HeldClaims;
}

/** `head`: the first row of its group, which went with it; none: that is itself. */
type TakenRow = MessageRow & { readonly head?: number };

/** A received row whose body cannot be read. */
export interface Unreadable {
  readonly parts: ReceiptParts;
  readonly reason: string;
}

export interface Received {
  readonly batch: readonly ReceivedMessage[];
  readonly unreadable: readonly Unreadable[];
}

interface Claim {
  readonly lane: PoolCode;
  readonly consumerId: number;
  readonly number: number;
  readonly nowMs: number;
  readonly untilMs: number;
}

/**
 * Receiving: READY rows, then FRESH ones, then what follows them in their groups. A statement each, without a
 * transaction around them: each by itself leaves the queue in order. First rows of many groups come before many rows of
 * one, since a deep group must not crowd out the others.
 */
export class QueueReceiving {
  readonly #deps: QueueReceivingDeps;
  readonly #visibilityMs: number;

  constructor(deps: QueueReceivingDeps, visibilityMs: number) {
    this.#deps = deps;
    this.#visibilityMs = visibilityMs;
  }

  async take({ lane, max: asked }: Pick<ReceiveRequest, "lane" | "max">): Promise<Received> {
    const { lease, time, claims } = this.#deps;
    const max = Math.min(asked, postgresQueueLimits.maxBatch);
    if (max <= 0) return { batch: [], unreadable: [] };
    const consumerId = await lease.id();
    const nowMs = await time.now();
    const number = lease.nextClaim();
    const claim: Claim = { lane, consumerId, number, nowMs, untilMs: nowMs + this.#visibilityMs };
    try {
      return this.#read(await this.#takeRows(claim, max), claim);
    } catch (error) {
      // It may have happened, and the answer was lost: then nobody knows of these messages but the database.
      claims.doubt({ consumer: consumerId, claim: number });
      throw error;
    }
  }

  async #takeRows(claim: Claim, max: number): Promise<readonly TakenRow[]> {
    const { database, lanes, claims } = this.#deps;
    const { receiveMaxBytes } = postgresQueueLimits;
    const values = (room: number): Taking => {
      return [claim.lane, room, claim.consumerId, claim.number, claim.untilMs, receiveMaxBytes];
    };
    const newest = lanes.newestFresh(claim.lane);
    const again = lanes.mayHoldReady(claim.lane) ? await database.query(takeReady, values(max)) : [];
    const room = max - again.length;
    const next = room > 0 ? await database.query(takeFresh, values(room)) : [];
    claims.took(
      claim.number,
      next.map(({ seq }) => seq),
    );
    if (next.length < room && next[0]?.is_cut !== true) lanes.foundEnd(claim.lane, newest);
    const heads = [...again.filter(({ grouped }) => grouped), ...next.filter(({ followed }) => followed)];
    const left = room - next.length;
    if (heads.length === 0 || left === 0) return [...again, ...next];
    return [...again, ...next, ...(await this.#takeBehind(claim, heads, left))];
  }

  #takeBehind(claim: Claim, heads: readonly MessageRow[], room: number): Promise<readonly TakenRow[]> {
    const { consumerId, number, untilMs, nowMs } = claim;
    const inOrder = heads.map(({ seq }) => ({ seq, consumer: consumerId, claim: number }));
    inOrder.sort((one, other) => one.seq - other.seq);
    // An equal share each: what is left over is not worth looking through all that waits.
    const share = Math.ceil(room / heads.length);
    const groupMax = Math.min(share, postgresQueueLimits.groupBatchMax - 1);
    const values = [toJsonRows(inOrder), room, groupMax, consumerId, number, untilMs, nowMs] as const;
    return this.#deps.database.query(takeFollowers, [...values]);
  }

  #read(rows: readonly TakenRow[], { consumerId, number }: Claim): Received {
    const batch: ReceivedMessage[] = [];
    const unreadable: Unreadable[] = [];
    for (const row of rows) {
      const { seq, grouped, kind } = row;
      const standalone = kind === rowKind.standalone;
      const parts: ReceiptParts = { seq, consumerId, claim: number, grouped, standalone, floor: row.head ?? seq };
      const decoded = decodeMessage(row.body);
      if (decoded.kind === "malformed") {
        unreadable.push({ parts, reason: `${decoded.code}: ${describeFaults(decoded.faults)}` });
        continue;
      }
      const { receive_count: receiveCount, published_at_ms: publishedAtMs } = row;
      batch.push({ message: decoded.message, receipt: formatReceipt(parts), receiveCount, publishedAtMs });
    }
    return { batch, unreadable };
  }
}
