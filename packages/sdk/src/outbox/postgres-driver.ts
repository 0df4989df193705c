import type { OutboxDriver } from "./outbox-driver.ts";
import { chunksOf, insertStatement, insertValues, type SqlValue } from "./sql-insert.ts";

/** What `sql.begin(async (tx) => …)` hands over, of `postgres` (Postgres.js) and of `Bun.sql` on PostgreSQL. */
export interface PostgresTransaction {
  unsafe(query: string, parameters: SqlValue[]): PromiseLike<unknown>;
}

/** The outbox for `postgres` (Postgres.js), and for `Bun.sql` on PostgreSQL. */
export function postgresDriver(): OutboxDriver<PostgresTransaction> {
  return {
    kind: "async",
    async insert(tx, table, rows) {
      checkTransaction(tx);
      for (const chunk of chunksOf(rows)) {
        await tx.unsafe(insertStatement(table, chunk.length, "numbered"), insertValues(chunk));
      }
    },
  };
}

function checkTransaction(tx: PostgresTransaction & { readonly savepoint?: unknown }): void {
  if (typeof tx.savepoint !== "function") {
    throw new TypeError("tx: is no transaction; give what sql.begin(async (tx) => …) hands over");
  }
}
