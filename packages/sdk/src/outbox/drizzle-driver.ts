import type { OutboxDriver, SyncOutboxDriver } from "./outbox-driver.ts";
import type { OutboxRow } from "./outbox-entry.ts";
import { chunksOf, insertValues, outboxColumns } from "./sql-insert.ts";

/** The tag `sql` of `drizzle-orm`: it makes statements with the quotes and parameters of whatever database this is. */
export interface DrizzleSql<Statement> {
  (strings: TemplateStringsArray, ...values: unknown[]): Statement;
  identifier(name: string): unknown;
}

/** What `db.transaction(async (tx) => …)` hands over on PostgreSQL, MySQL and MariaDB. */
export interface DrizzleTransaction<Statement> {
  execute(query: Statement): PromiseLike<unknown>;
  rollback(): never;
}

/** What `db.transaction((tx) => …)` hands over on SQLite. */
export interface DrizzleSqliteTransaction<Statement> {
  run(query: Statement): unknown;
  rollback(): never;
}

const noTransaction = "tx: is no transaction; give what db.transaction((tx) => …) hands over";

/**
 * The outbox for `drizzle-orm` on PostgreSQL, MySQL and MariaDB.
 *
 * @example
 * ```ts
 * import { sql } from "drizzle-orm";
 * const outbox = createOutbox(drizzleDriver(sql), { source: "shop" });
 * ```
 */
export function drizzleDriver<Statement>(sql: DrizzleSql<Statement>): OutboxDriver<DrizzleTransaction<Statement>> {
  return {
    kind: "async",
    async insert(tx, table, rows) {
      if (typeof tx.rollback !== "function") throw new TypeError(noTransaction);
      for (const chunk of chunksOf(rows)) await tx.execute(statementOf(sql, table, chunk));
    },
  };
}

/** The outbox for `drizzle-orm` on SQLite by a synchronous library (`bun-sqlite`, `better-sqlite3`). */
export function drizzleSqliteDriver<Statement>(
  sql: DrizzleSql<Statement>,
): SyncOutboxDriver<DrizzleSqliteTransaction<Statement>> {
  return {
    kind: "sync",
    insert(tx, table, rows) {
      if (typeof tx.rollback !== "function") throw new TypeError(noTransaction);
      for (const row of rows) tx.run(statementOf(sql, table, [row]));
    },
  };
}

function statementOf<Statement>(sql: DrizzleSql<Statement>, table: string, rows: readonly OutboxRow[]): Statement {
  const names = table.split(".").map((name) => sql.identifier(name));
  const tuple = `(${outboxColumns.map(() => "?").join(", ")})`;
  const places = `${names.map(() => "?").join(".")} (${outboxColumns.join(", ")})`;
  // What a template literal would be, cut where its values stand.
  const strings = `INSERT INTO ${places} VALUES ${rows.map(() => tuple).join(", ")}`.split("?");
  return sql(Object.assign(strings, { raw: strings }), ...names, ...insertValues(rows));
}
