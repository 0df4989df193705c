import type { Metrics } from "@flowcatalyst/foundation";
import type { CountedDatabase } from "./database.ts";

/**
 * What is asked of SQLite through one connection, by the store and by a queue that shares it. The counts are read when
 * somebody scrapes.
 */
export function countUsage(database: CountedDatabase, metrics: Metrics): void {
  const rowWrites = metrics.counter("fc_store_row_writes_total", "Rows the store has inserted, changed and deleted");
  const statements = metrics.counter("fc_store_statements_total", "Statements the store has executed");
  const told = { rowWrites: 0, statements: 0 };
  metrics.onCollect(() => {
    const now = database.usage();
    if (now.statements < told.statements) return;
    rowWrites.inc(now.rowWrites - told.rowWrites);
    statements.inc(now.statements - told.statements);
    Object.assign(told, now);
  });
}
