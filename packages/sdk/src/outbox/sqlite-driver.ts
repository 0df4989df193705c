import type { SyncOutboxDriver } from "./outbox-driver.ts";
import { insertStatement, insertValues, type SqlValue } from "./sql-insert.ts";

/** A database of `bun:sqlite`, `better-sqlite3`, `libsql` or `node:sqlite`, inside a transaction. */
export interface SqliteTransaction {
  prepare(sql: string): SqliteStatement;
  /** So it is called everywhere but in `node:sqlite`. */
  readonly inTransaction?: boolean;
  readonly isTransaction?: boolean;
}

/** A prepared statement of theirs. */
export interface SqliteStatement {
  run(...values: SqlValue[]): unknown;
}

/**
 * The outbox for SQLite by `bun:sqlite`, `better-sqlite3`, `libsql` or `node:sqlite`. It is synchronous, as their
 * transactions are: call it inside `db.transaction(() => …)`, and await nothing there.
 */
export function sqliteDriver(): SyncOutboxDriver<SqliteTransaction> {
  return {
    kind: "sync",
    insert(tx, table, rows) {
      if (!(tx.inTransaction ?? tx.isTransaction ?? true)) {
        throw new TypeError("tx: no transaction is open on this database; call it inside db.transaction(() => …)()");
      }
      const statement: SqliteStatement & { finalize?(): void } = tx.prepare(insertStatement(table, 1, "marks"));
      try {
        for (const row of rows) statement.run(...insertValues([row]));
      } finally {
        // Of bun:sqlite only; the others free it with the object.
        statement.finalize?.();
      }
    },
  };
}
