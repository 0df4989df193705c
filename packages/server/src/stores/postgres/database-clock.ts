import type { PostgresSession } from "../../postgres/postgres-database.ts";
import { statement } from "../../postgres/statement.ts";

/**
 * The database's own clock in epoch milliseconds, as an SQL expression: what processes with clocks of their own agree
 * on. It is the time at which the expression is evaluated, not that of the transaction's start. A function of ours (see
 * migration-0001-settings.ts), so that a test can set it; PostgreSQL puts its body in place of the call.
 */
export const databaseNowMs = "flowcatalyst_now_ms()";

const selectNow = statement<{ now_ms: number }>(`SELECT ${databaseNowMs} AS now_ms`);

/** What the database's clock says. */
export async function readDatabaseNowMs(session: PostgresSession): Promise<number> {
  const row = await session.one(selectNow, []);
  if (row === null) throw new Error("The database does not tell the time");
  return row.now_ms;
}
