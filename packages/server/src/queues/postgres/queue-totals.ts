import type { DeadLetter, QueueMetrics } from "../../ports/queue.ts";
import type { MessageId, PoolCode } from "../../domain/ids.ts";
import type { PostgresDatabase } from "../../postgres/postgres-database.ts";
import { statement } from "../../postgres/statement.ts";
import { postgresQueueLimits } from "./postgres-queue-config.ts";
import { freshRowsOf, rowState } from "./queue-rows.ts";

interface Totals {
  readonly total: number;
  readonly delayed: number;
  readonly marked: number;
  readonly claimed: number;
  readonly dead: number;
  readonly oldest_seq: number | null;
  readonly oldest_at_ms: number | null;
  readonly estimate: number;
}

const counted = (rows: string): string => `(SELECT count(*) FROM (${rows} LIMIT $2) AS found)`;

const readTotals = statement<Totals, [from: number, max: number]>(`
  SELECT
    ${counted("SELECT 1 FROM queue_messages WHERE seq >= $1 ORDER BY seq")} AS total,
    ${counted(`SELECT 1 FROM queue_messages WHERE state = ${rowState.delayed} ORDER BY due_at_ms`)} AS delayed,
    ${counted(`SELECT 1 FROM queue_messages WHERE state = ${rowState.inFlight} ORDER BY due_at_ms`)} AS marked,
    ${counted(`SELECT 1 FROM queue_claims c CROSS JOIN LATERAL ${freshRowsOf("1")} AS m`)} AS claimed,
    ${counted("SELECT 1 FROM queue_dead_letters ORDER BY seq")} AS dead,
    oldest.seq AS oldest_seq, oldest.published_at_ms AS oldest_at_ms,
    pg_stat_get_live_tuples('queue_messages'::regclass) AS estimate
  FROM (SELECT 1) AS one LEFT JOIN LATERAL (
    SELECT m.seq, m.published_at_ms FROM queue_messages m WHERE m.seq >= $1 ORDER BY m.seq LIMIT 1
  ) AS oldest ON true`);

interface DeadRow {
  readonly message_id: string | null;
  readonly lane: string | null;
  readonly reason: string;
  readonly body: string;
  readonly at_ms: number;
}

const readDead = statement<DeadRow, [max: number]>(
  "SELECT message_id, lane, reason, body, at_ms FROM queue_dead_letters ORDER BY seq DESC LIMIT $1",
);

/**
 * Totals without a counter, which would make all publishers and consumers wait for each other: counted, up to 100,000
 * of each kind; beyond it the server's estimate. Places only rise, so what was the oldest once is where the next count
 * starts, and dead rows below it are never stepped over.
 */
export class QueueTotals {
  readonly #database: PostgresDatabase;
  #oldestSeq = 0;

  constructor(database: PostgresDatabase) {
    this.#database = database;
  }

  async read(): Promise<QueueMetrics> {
    const max = postgresQueueLimits.countMax;
    const totals = await this.#database.one(readTotals, [this.#oldestSeq, max]);
    if (totals === null) throw new Error("the totals of the queue have no row");
    if (totals.oldest_seq !== null) this.#oldestSeq = totals.oldest_seq;
    const total = totals.total < max ? totals.total : Math.max(totals.estimate, max);
    const inFlight = totals.marked + totals.claimed;
    const visible = Math.max(0, total - inFlight - totals.delayed);
    return {
      visible,
      inFlight,
      delayed: totals.delayed,
      dead: totals.dead,
      oldestUnsettledAtMs: totals.oldest_at_ms,
    };
  }

  async deadLetters(limit: number): Promise<readonly DeadLetter[]> {
    const rows = await this.#database.query(readDead, [Math.min(limit, postgresQueueLimits.maxDeadLetters)]);
    return rows.map((row) => ({
      id: row.message_id as MessageId | null,
      lane: row.lane as PoolCode | null,
      reason: row.reason,
      body: row.body,
      atMs: row.at_ms,
    }));
  }

  /** Places may have gone back: another server has taken over. */
  reset(): void {
    this.#oldestSeq = 0;
  }
}
