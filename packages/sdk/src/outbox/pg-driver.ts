import type { OutboxDriver } from "./outbox-driver.ts";
import { chunksOf, insertStatement, insertValues, type SqlValue } from "./sql-insert.ts";

/** A client of `pg` (`Client`, or what `pool.connect()` gives) between its BEGIN and its COMMIT. */
export interface PgTransaction {
  query(text: string, values: SqlValue[]): Promise<unknown>;
}

/** The outbox for `pg` (node-postgres). */
export function pgDriver(): OutboxDriver<PgTransaction> {
  return {
    kind: "async",
    async insert(tx, table, rows) {
      checkTransaction(tx);
      for (const chunk of chunksOf(rows)) {
        await tx.query(insertStatement(table, chunk.length, "numbered"), insertValues(chunk));
      }
    },
  };
}

function checkTransaction(
  tx: PgTransaction & { readonly totalCount?: unknown; getTransactionStatus?(): unknown },
): void {
  if (typeof tx.totalCount === "number") {
    throw new TypeError(
      "tx: is a pool, which runs each query on a connection of its own; give the client that ran BEGIN",
    );
  }
  // Known from version 8.17 on: I is idle, T in a transaction, E in a failed one.
  if (tx.getTransactionStatus?.() === "I") {
    throw new TypeError("tx: no transaction is open on this client; await client.query('BEGIN') first");
  }
}
