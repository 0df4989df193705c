import { decodeMessage } from "../../domain/message-codec.ts";
import type { Receipt, ReceiptResult } from "../../ports/queue.ts";
import type { PostgresDatabase, PostgresSession } from "../../postgres/postgres-database.ts";
import { keyIs, statement, toJsonRows } from "../../postgres/statement.ts";
import { promote, rest } from "./group-places.ts";
import type { HeldClaims } from "./held-claims.ts";
import { postgresQueueLimits } from "./postgres-queue-config.ts";
import { parseReceipt, type ReceiptParts } from "./queue-receipt.ts";
import { rowState, type PlacedRow } from "./queue-rows.ts";
import type { QueueTime } from "./queue-time.ts";

/**
 * Whether row `m` is still held by the receive that `r` names, at the time of parameter `now`. A FRESH row belongs to
 * the receive that moved the cursor past it, as long as that is on record; any other row says itself whose it is.
 */
export function isLive(now: string): string {
  return `(
    (m.state = ${rowState.inFlight} AND m.consumer_id = r.consumer AND m.claim = r.claim AND m.due_at_ms > ${now})
    OR (m.state = ${rowState.fresh} AND EXISTS (
      SELECT 1 FROM queue_claims c
      WHERE ${keyIs("(c.consumer_id, c.claim)", "(r.consumer, r.claim)")} AND c.until_ms > ${now}
        AND c.lane = m.lane AND m.seq BETWEEN c.first_seq AND c.last_seq
    ))
  )`;
}

interface LiveRow extends PlacedRow {
  readonly consumer: number;
  readonly claim: number;
}

const liveColumns = "m.seq, m.group_key, r.consumer, r.claim, r.floor";
const receiptRows = "json_to_recordset($1::json) AS r (seq bigint, consumer bigint, claim bigint, floor bigint)";

const removeLive = statement<LiveRow, [receipts: string, nowMs: number]>(`
  DELETE FROM queue_messages m USING ${receiptRows}
  WHERE ${keyIs("m.seq", "r.seq")} AND ${isLive("$2")} RETURNING ${liveColumns}`);
const removeLiveQuickly = statement<LiveRow, [receipts: string, nowMs: number]>(`
  DELETE FROM queue_messages m USING ${receiptRows}
  WHERE ${keyIs("m.seq", "r.seq")} AND ${isLive("$2")} RETURNING ${liveColumns}`);
const lockLive = statement<LiveRow & { body: string }, [receipts: string, nowMs: number]>(`
  SELECT ${liveColumns}, m.body
  FROM ${receiptRows} JOIN queue_messages m ON ${keyIs("m.seq", "r.seq")}
  WHERE ${isLive("$2")} FOR UPDATE OF m`);
const delayLive = statement<LiveRow, [receipts: string, nowMs: number, dueAtMs: number]>(`
  UPDATE queue_messages m SET
    state = ${rowState.delayed}, due_at_ms = $3, consumer_id = NULL, claim = NULL,
    receive_count = CASE WHEN m.state = ${rowState.fresh} THEN 1 ELSE m.receive_count END
  FROM ${receiptRows}
  WHERE ${keyIs("m.seq", "r.seq")} AND ${isLive("$2")} RETURNING ${liveColumns}`);
/** A FRESH row that is kept for longer than its receive says so itself from now on. */
const extendLive = statement<LiveRow, [receipts: string, nowMs: number, dueAtMs: number]>(`
  UPDATE queue_messages m SET
    state = ${rowState.inFlight}, due_at_ms = $3, consumer_id = r.consumer, claim = r.claim,
    receive_count = CASE WHEN m.state = ${rowState.fresh} THEN 1 ELSE m.receive_count END
  FROM ${receiptRows}
  WHERE ${keyIs("m.seq", "r.seq")} AND ${isLive("$2")} RETURNING ${liveColumns}`);

const removeRows = statement<never, [letters: string, nowMs: number]>(`
  WITH gone AS (
    DELETE FROM queue_messages m
    USING json_to_recordset($1::json) AS r (seq bigint, message_id text, reason text)
    WHERE ${keyIs("m.seq", "r.seq")} RETURNING r.message_id, m.lane, r.reason, m.body
  )
  INSERT INTO queue_dead_letters (message_id, lane, reason, body, at_ms)
  SELECT message_id, lane, reason, body, $2 FROM gone`);
const dropOldestDead = statement<never, [keep: number]>(
  "DELETE FROM queue_dead_letters WHERE seq <= (SELECT max(seq) FROM queue_dead_letters) - $1",
);

export interface Burial extends PlacedRow {
  readonly body: string;
  readonly reason: string;
}

/** Moves rows that this transaction has locked to the dead letters, and lets their groups go on. */
export async function bury(session: PostgresSession, burials: readonly Burial[], nowMs: number): Promise<void> {
  if (burials.length === 0) return;
  const letters = burials.map(({ seq, body, reason }) => {
    const decoded = decodeMessage(body);
    const id = decoded.kind === "message" ? decoded.message.id : decoded.id;
    return { seq, message_id: id, reason };
  });
  await session.run(removeRows, [toJsonRows(letters), nowMs]);
  await session.run(dropOldestDead, [postgresQueueLimits.maxDeadLetters]);
  await promote(session, burials);
}

export interface QueueSettlingDeps {
  readonly database: PostgresDatabase;
  readonly time: QueueTime;
  readonly claims: HeldClaims;
  /** Something became receivable. */
  readonly released: () => void;
}

/** Settling by receipts, a whole call at once. A receipt is dead unless its row says otherwise. */
export class QueueSettling {
  readonly #deps: QueueSettlingDeps;

  constructor(deps: QueueSettlingDeps) {
    this.#deps = deps;
  }

  /** Acks of rows of groups look, after the rows are gone, for what may go now. */
  async ack(receipts: readonly Receipt[]): Promise<readonly ReceiptResult[]> {
    const { database } = this.#deps;
    return this.#settle(receipts, async (parts, nowMs) => {
      const remove = parts.some(({ standalone }) => standalone) ? removeLive : removeLiveQuickly;
      const values: [string, number] = [receiptsJson(parts), nowMs];
      if (!parts.some(({ grouped }) => grouped)) return database.query(remove, values);
      let promoted = 0;
      const gone = await database.transaction(async (session) => {
        const removed = await session.query(remove, values);
        promoted = await promote(session, removed);
        return removed;
      });
      if (promoted > 0) this.#deps.released();
      return gone;
    });
  }

  async nack(receipts: readonly Receipt[], delayMs: number): Promise<readonly ReceiptResult[]> {
    const { database, released } = this.#deps;
    return this.#settle(receipts, async (parts, nowMs) => {
      if (delayMs > 0) return database.query(delayLive, [receiptsJson(parts), nowMs, nowMs + delayMs]);
      const rows = await database.transaction(async (session) => {
        const live = await session.query(lockLive, [receiptsJson(parts), nowMs]);
        await rest(
          session,
          live.map((row) => ({ ...row, abandoned: 0 })),
        );
        return live;
      });
      if (rows.length > 0) released();
      return rows;
    });
  }

  extend(receipts: readonly Receipt[], forMs: number): Promise<readonly ReceiptResult[]> {
    return this.#settle(receipts, (parts, nowMs) =>
      this.#deps.database.query(extendLive, [receiptsJson(parts), nowMs, nowMs + forMs]),
    );
  }

  async deadLetter(receipts: readonly Receipt[], reasons: readonly string[]): Promise<readonly ReceiptResult[]> {
    const reasonOf = new Map(receipts.map((receipt, at) => [parseReceipt(receipt)?.seq ?? -1, reasons[at] ?? ""]));
    return this.#settle(receipts, async (parts, nowMs) => {
      const rows = await this.#deps.database.transaction(async (session) => {
        const live = await session.query(lockLive, [receiptsJson(parts), nowMs]);
        const burials = live.map((row) => ({ ...row, reason: reasonOf.get(row.seq) ?? "" }));
        await bury(session, burials, nowMs);
        return live;
      });
      if (rows.some(({ group_key }) => group_key !== null)) this.#deps.released();
      return rows;
    });
  }

  /** `work` answers with the rows it found live. */
  async #settle(
    receipts: readonly Receipt[],
    work: (parts: readonly ReceiptParts[], nowMs: number) => Promise<readonly LiveRow[]>,
  ): Promise<readonly ReceiptResult[]> {
    const parsed = receipts.map(parseReceipt);
    const parts = parsed.filter((each) => each !== null);
    if (parts.length === 0) return parsed.map(() => "dead");
    // In order of place, as everybody locks rows of messages.
    parts.sort((one, other) => one.seq - other.seq);
    const rows = await work(parts, await this.#deps.time.now());
    for (const row of rows) this.#deps.claims.settled(row);
    const live = new Set(rows.map(({ seq, consumer, claim }) => `${seq}.${consumer}.${claim}`));
    return parsed.map((each) => (each !== null && live.has(nameOf(each)) ? "done" : "dead"));
  }
}

function nameOf({ seq, consumerId, claim }: ReceiptParts): string {
  return `${seq}.${consumerId}.${claim}`;
}

function receiptsJson(parts: readonly ReceiptParts[]): string {
  return JSON.stringify(
    parts.map(({ seq, consumerId, claim, floor }) => ({ seq, consumer: consumerId, claim, floor })),
  );
}
