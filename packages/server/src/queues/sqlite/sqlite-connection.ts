import type { SQLQueryBindings } from "bun:sqlite";

/**
 * What the queue needs of a connection to SQLite. The store's own connection satisfies it: a queue in the store's file
 * must write through it, so that the process has one writer and one page cache. Everything is synchronous; a
 * transaction function must not await, and transactions do not nest.
 *
 * Faults are CodedErrors: STORE_FULL for a full disk, STORE_UNAVAILABLE for one that cannot be reached now. After
 * either the transaction did not happen.
 */
export interface SqliteConnection {
  readonly path: string;
  /** Compiled once per text and kept. */
  statement<Row, Params extends SQLQueryBindings[] = []>(sql: string): QueueStatement<Row, Params>;
  /** Statements without rows and parameters. */
  exec(sql: string): void;
  /** Survives a crash of the process. */
  transaction<Result>(work: () => Result): Result;
  /** On disk when it returns. */
  durableTransaction<Result>(work: () => Result): Result;
}

export interface QueueStatement<Row, Params extends SQLQueryBindings[]> {
  all(...params: Params): Row[];
  get(...params: Params): Row | null;
  /** How many rows it changed. */
  run(...params: Params): number;
}
