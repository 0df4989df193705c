import type { OutboxRow } from "./outbox-entry.ts";

/**
 * How rows get into a database: all that the outbox has to know of a library. `Tx` is what that library calls an open
 * transaction.
 *
 * A driver inserts all rows, in their order, by that transaction and by nothing else, and lets every error of the
 * library through, so that the application's transaction fails with it. Where it can tell that `tx` is no open
 * transaction, it throws a TypeError: such a row would be there whatever became of the business data.
 */
export interface OutboxDriver<Tx> {
  readonly kind: "async";
  /** `table` has been checked: letters, digits and underscores, with at most one dot. */
  insert(tx: Tx, table: string, rows: readonly OutboxRow[]): Promise<void>;
}

/** The same for libraries whose transactions are synchronous, as those of SQLite. */
export interface SyncOutboxDriver<Tx> {
  readonly kind: "sync";
  insert(tx: Tx, table: string, rows: readonly OutboxRow[]): void;
}
