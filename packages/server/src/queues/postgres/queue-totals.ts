import type { DeadRow, DeadRowAccess } from "../database-queue.ts";
import type { QueueMetrics } from "../../ports/queue.ts";
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

const deadColumns = "seq, message_id, lane, reason, body, at_ms";
const listDead = statement<DeadRow, [max: number, below: number]>(
  `SELECT ${deadColumns} FROM queue_dead_letters WHERE seq < $2 ORDER BY seq DESC LIMIT $1`,
);
const readDead = statement<DeadRow, [seq: number]>(`SELECT ${deadColumns} FROM queue_dead_letters WHERE seq = $1`);
const removeDead = statement<{ seq: number }, [seq: number]>(
  "DELETE FROM queue_dead_letters WHERE seq = $1 RETURNING seq",
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

  listDead(max: number, below: number): Promise<readonly DeadRow[]> {
    return this.#database.query(listDead, [max, below]);
  }

  /** How a dead letter is read and removed. */
  get dead(): DeadRowAccess {
    return {
      read: (place) => this.#database.one(readDead, [place]),
      remove: async (place) => (await this.#database.one(removeDead, [place])) !== null,
    };
  }

  /** Places may have gone back: another server has taken over. */
  reset(): void {
    this.#oldestSeq = 0;
  }
}
