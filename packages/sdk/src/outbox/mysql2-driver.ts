import type { OutboxDriver } from "./outbox-driver.ts";
import { chunksOf, insertStatement, insertValues, type SqlValue } from "./sql-insert.ts";

/** A connection of `mysql2/promise` between `beginTransaction()` and `commit()`. */
export interface Mysql2Transaction {
  execute(sql: string, values: SqlValue[]): Promise<unknown>;
}

/** Of the flags of an answer: a transaction is open on the connection. */
const IN_TRANSACTION = 1;

/**
 * The outbox for `mysql2` on MySQL and MariaDB. Values go by prepared statements: written into the text, they would be
 * wrong where the server's mode has NO_BACKSLASH_ESCAPES.
 */
export function mysql2Driver(): OutboxDriver<Mysql2Transaction> {
  return {
    kind: "async",
    async insert(tx, table, rows) {
      checkConnection(tx);
      for (const chunk of chunksOf(rows)) {
        const answer = await tx.execute(insertStatement(table, chunk.length, "marks"), insertValues(chunk));
        checkTransaction(answer);
      }
    },
  };
}

function checkConnection(tx: Mysql2Transaction & { readonly getConnection?: unknown }): void {
  if (typeof tx.getConnection === "function") {
    throw new TypeError(
      "tx: is a pool, which runs each query on a connection of its own; give one of pool.getConnection(), " +
        "after its beginTransaction()",
    );
  }
}

/** The library cannot say beforehand; the server tells with its answer. */
function checkTransaction(answer: unknown): void {
  const header: unknown = Array.isArray(answer) ? answer[0] : undefined;
  if (typeof header !== "object" || header === null || !("serverStatus" in header)) return;
  const { serverStatus } = header;
  if (typeof serverStatus === "number" && (serverStatus & IN_TRANSACTION) === 0) {
    throw new TypeError(
      "tx: no transaction is open on this connection, so that the row is committed by itself; " +
        "await connection.beginTransaction() first",
    );
  }
}
