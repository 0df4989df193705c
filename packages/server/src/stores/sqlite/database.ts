import { Database, type SQLQueryBindings, type Statement } from "bun:sqlite";
import { accessSync, constants, mkdirSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { lockDatabaseFile, type DataDirLock } from "./data-dir-lock.ts";
import { notWritable, toOpenError, toStoreError } from "./database-errors.ts";
import { migrate, storeMigrations, type Migration } from "./migrations.ts";

/**
 * The connection of the SQLite store.
 *
 * One process has one connection that writes. SQLite has one writer at a time anyway, and a second connection that
 * writes makes the first drop its page cache at every switch. Everything here is synchronous and runs on the thread
 * that calls it, so transactions of one process never interleave: a transaction function must not await.
 *
 * Durability is chosen per transaction, because only what is answered to a caller must survive a power cut:
 * - `durableTransaction` commits with synchronous=FULL: when it returns, this and every earlier commit is on disk.
 * - `transaction` commits with synchronous=NORMAL: the write-ahead log is not flushed. After a crash of the process
 *   nothing is missing; after a crash of the machine a suffix of such commits may be, never something out of the
 * middle. `PRAGMA synchronous` cannot run inside a transaction and takes effect when it is compiled, so it is executed
 * afresh before BEGIN, and only when the wish changes: 0.4 us each (measured), against 14 us for the smallest
 * transaction.
 *
 * Checkpoints are not left to chance: SQLite would run one inside whichever commit reaches 1,000 pages, which costs
 * that commit over 10 ms. Here the automatic one is only the last resort at `walHardMaxPages`; the usual ones are made
 * by `wal-checkpointer.ts` on another thread. Closing writes the whole log back and truncates it.
 *
 * Faults: a full disk is STORE_FULL, an I/O error or a lock held by somebody else STORE_UNAVAILABLE; the transaction
 * did not happen and the next may succeed. A damaged file is DATABASE_CORRUPT, one of a newer build DATABASE_TOO_NEW,
 * one that another process has open DATA_DIR_IN_USE, a directory without permission DATA_DIR_NOT_WRITABLE.
 */
export interface SqliteDatabase {
  /** Absolute path of the file; ":memory:" when there is none. */
  readonly path: string;
  readonly inMemory: boolean;
  /**
   * A prepared statement, compiled once per text and kept while the database is open. Texts are constants.
   * Statements that write belong inside a transaction: outside, their durability would be that of the last one.
   */
  statement<Row, Params extends SQLQueryBindings[] = []>(sql: string): SqliteStatement<Row, Params>;
  /** Rows of a text that is put together for the occasion: compiled for this once. */
  queryOnce<Row>(sql: string, params: readonly SQLQueryBindings[]): Row[];
  /** Runs statements that give no rows and take no parameters: schema, pragmas. */
  exec(sql: string): void;
  /** BEGIN IMMEDIATE ... COMMIT; an exception rolls back and is rethrown. Survives a crash of the process. */
  transaction<Result>(work: () => Result): Result;
  /** The same, and on disk when it returns. */
  durableTransaction<Result>(work: () => Result): Result;
  /** Writes the log back into the database as far as `mode` allows. */
  checkpoint(mode: CheckpointMode): CheckpointResult;
  /** Writes the log back, frees the file. Idempotent. */
  close(): void;
}

/** A connection that counts. */
export interface CountedDatabase extends SqliteDatabase {
  /** What has been asked of it since it was opened; nothing after it was closed. */
  usage(): DatabaseUsage;
}

export interface DatabaseUsage {
  /** Executions of prepared statements, BEGIN and COMMIT among them. */
  readonly statements: number;
  /** Rows inserted, changed and deleted (https://www.sqlite.org/c3ref/total_changes.html); of indexes none. */
  readonly rowWrites: number;
}

export interface SqliteStatement<Row, Params extends SQLQueryBindings[]> {
  all(...params: Params): Row[];
  get(...params: Params): Row | null;
  /** Returns how many rows the statement changed. */
  run(...params: Params): number;
}

/** NOOP only reports (https://www.sqlite.org/pragma.html#pragma_wal_checkpoint). */
export type CheckpointMode = "NOOP" | "PASSIVE" | "TRUNCATE";

export interface CheckpointResult {
  /** Somebody else was at it, or a reader stood in the way of TRUNCATE. */
  readonly busy: boolean;
  /** Pages in the log, and how many of them are written back. */
  readonly logPages: number;
  readonly writtenBackPages: number;
}

export const databaseLimits = {
  /** Page cache of the connection that writes. */
  cacheKibibytes: 65_536,
  /** Page cache of a connection that only reads (searches). */
  readerCacheKibibytes: 8_192,
  /** How long a statement waits for a lock of another process or thread (a queue in the same file, a checkpoint). */
  busyTimeoutMs: 5_000,
  /** 256 MiB of 4 KiB pages: the connection that writes makes a checkpoint itself. */
  walHardMaxPages: 65_536,
  pageBytes: 4_096,
} as const;

export interface OpenDatabaseRequest {
  /** A file, made if it is missing; or ":memory:". */
  readonly path: string;
  /** Opens an existing file for reading only: no lock, no migrations. */
  readonly readOnly?: boolean;
  /** Opens an existing file beside the connection that writes, for checkpoints only: no lock, no migrations. */
  readonly checkpointOnly?: boolean;
}

export interface OpenDatabaseDeps {
  readonly clock: { now(): number };
  readonly pid: number;
  /** For tests of migrations; the store's own when left out. */
  readonly migrations?: readonly Migration[];
}

export function openDatabase(request: OpenDatabaseRequest, deps: OpenDatabaseDeps): CountedDatabase {
  if (request.path === ":memory:") return initialise(new Connection(new Database(":memory:"), ":memory:"), deps);
  const path = resolve(request.path);
  if (request.readOnly === true) return openBeside(path, "reader");
  if (request.checkpointOnly === true) return openBeside(path, "checkpointer");
  makeWritable(path);
  let lock: DataDirLock | undefined;
  let connection: Connection | undefined;
  try {
    lock = lockDatabaseFile(path, deps.pid);
    connection = new Connection(new Database(path, { create: true, readwrite: true }), path, lock);
    return initialise(connection, deps);
  } catch (error) {
    connection?.abandon();
    lock?.release();
    throw toOpenError(error, path);
  }
}

function initialise(connection: Connection, deps: OpenDatabaseDeps): CountedDatabase {
  connection.exec(`PRAGMA busy_timeout=${databaseLimits.busyTimeoutMs}`);
  if (!connection.inMemory) {
    connection.exec("PRAGMA journal_mode=WAL");
    connection.exec(`PRAGMA wal_autocheckpoint=${databaseLimits.walHardMaxPages}`);
  }
  connection.exec(`PRAGMA cache_size=-${databaseLimits.cacheKibibytes}`);
  connection.exec("PRAGMA temp_store=MEMORY");
  migrate(connection, deps.migrations ?? storeMigrations, deps.clock.now());
  return connection;
}

/** A further connection of the process that holds the lock, or (reading only) of any process. */
function openBeside(path: string, role: "reader" | "checkpointer"): CountedDatabase {
  try {
    const options = role === "reader" ? { readonly: true } : { readwrite: true, create: false };
    const connection = new Connection(new Database(path, options), path);
    connection.exec(`PRAGMA busy_timeout=${databaseLimits.busyTimeoutMs}`);
    connection.exec(`PRAGMA cache_size=-${databaseLimits.readerCacheKibibytes}`);
    // A checkpoint is flushed as far as NORMAL does it: the log before the pages, the pages before the log is reused.
    connection.exec(role === "reader" ? "PRAGMA query_only=1" : "PRAGMA synchronous=NORMAL");
    return connection;
  } catch (error) {
    throw toStoreError(error, path);
  }
}

/** Events are nobody else's business. A directory that exists keeps the permissions it has. */
const ownerOnlyMode = 0o700;

function makeWritable(path: string): void {
  const directory = dirname(path);
  try {
    mkdirSync(directory, { recursive: true, mode: ownerOnlyMode });
    accessSync(directory, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw notWritable(directory, error);
  }
}

type Synchronous = "FULL" | "NORMAL";

class Connection implements CountedDatabase {
  readonly path: string;
  readonly inMemory: boolean;
  readonly #raw: Database;
  readonly #lock: DataDirLock | undefined;
  readonly #statements = new Map<string, PreparedStatement<unknown, SQLQueryBindings[]>>();
  readonly #executed: StatementCount = { statements: 0 };
  #synchronous: Synchronous = "FULL";
  #closed = false;

  constructor(raw: Database, path: string, lock?: DataDirLock) {
    this.#raw = raw;
    this.path = path;
    this.inMemory = path === ":memory:";
    this.#lock = lock;
  }

  statement<Row, Params extends SQLQueryBindings[] = []>(sql: string): SqliteStatement<Row, Params> {
    let prepared = this.#statements.get(sql);
    if (prepared === undefined) {
      prepared = new PreparedStatement(
        this.#guard(() => this.#raw.prepare(sql)),
        { path: this.path, executed: this.#executed },
      );
      this.#statements.set(sql, prepared);
    }
    return prepared as SqliteStatement<unknown, SQLQueryBindings[]> as SqliteStatement<Row, Params>;
  }

  queryOnce<Row>(sql: string, params: readonly SQLQueryBindings[]): Row[] {
    const statement = this.#guard(() => this.#raw.prepare<Row, SQLQueryBindings[]>(sql));
    try {
      return this.#guard(() => statement.all(...params));
    } finally {
      statement.finalize();
    }
  }

  exec(sql: string): void {
    this.#guard(() => this.#raw.run(sql));
  }

  transaction<Result>(work: () => Result): Result {
    return this.#commit(work, "NORMAL");
  }

  durableTransaction<Result>(work: () => Result): Result {
    return this.#commit(work, "FULL");
  }

  checkpoint(mode: CheckpointMode): CheckpointResult {
    if (this.inMemory) return { busy: false, logPages: 0, writtenBackPages: 0 };
    const row = this.statement<{ busy: number; log: number; checkpointed: number }>(
      `PRAGMA wal_checkpoint(${mode})`,
    ).get();
    return {
      busy: row?.busy === 1,
      logPages: Math.max(0, row?.log ?? 0),
      writtenBackPages: Math.max(0, row?.checkpointed ?? 0),
    };
  }

  usage(): DatabaseUsage {
    if (this.#closed) return { statements: 0, rowWrites: 0 };
    const row = this.statement<{ total: number }>("SELECT total_changes() AS total").get();
    return { statements: this.#executed.statements, rowWrites: row?.total ?? 0 };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      if (this.#lock !== undefined) this.checkpoint("TRUNCATE");
    } finally {
      this.abandon();
      this.#lock?.release();
    }
  }

  /** Closes without writing the log back: what is left after a failed open. */
  abandon(): void {
    for (const prepared of this.#statements.values()) prepared.finalize();
    this.#statements.clear();
    // `true`: refuses while a statement is left open, which would keep the file open behind our back.
    this.#raw.close(true);
  }

  #commit<Result>(work: () => Result, synchronous: Synchronous): Result {
    const raw = this.#raw;
    if (raw.inTransaction) throw new Error("Transactions do not nest: an earlier one is still open");
    try {
      if (this.#synchronous !== synchronous) {
        raw.run(`PRAGMA synchronous=${synchronous}`);
        this.#synchronous = synchronous;
      }
      this.statement("BEGIN IMMEDIATE").run();
      const result = work();
      this.statement("COMMIT").run();
      return result;
    } catch (error) {
      this.#rollBack();
      throw toStoreError(error, this.path);
    }
  }

  /** SQLite has rolled back by itself after some faults (a full disk among them); then there is nothing left to do. */
  #rollBack(): void {
    if (!this.#raw.inTransaction) return;
    try {
      this.#raw.run("ROLLBACK");
    } catch {
      // The fault that led here is the one to report; a transaction that cannot end is ended by the next BEGIN's fault.
    }
  }

  #guard<Result>(work: () => Result): Result {
    try {
      return work();
    } catch (error) {
      throw toStoreError(error, this.path);
    }
  }
}

/** Counted in the statements themselves: one addition to a field, where a statement takes at least 400 ns. */
interface StatementCount {
  statements: number;
}

class PreparedStatement<Row, Params extends SQLQueryBindings[]> implements SqliteStatement<Row, Params> {
  readonly #raw: Statement<Row, Params>;
  readonly #path: string;
  readonly #executed: StatementCount;

  constructor(raw: Statement<Row, Params>, of: { readonly path: string; readonly executed: StatementCount }) {
    this.#raw = raw;
    this.#path = of.path;
    this.#executed = of.executed;
  }

  all(...params: Params): Row[] {
    this.#executed.statements++;
    try {
      return this.#raw.all(...params);
    } catch (error) {
      throw toStoreError(error, this.#path);
    }
  }

  get(...params: Params): Row | null {
    this.#executed.statements++;
    try {
      return this.#raw.get(...params);
    } catch (error) {
      throw toStoreError(error, this.#path);
    }
  }

  run(...params: Params): number {
    this.#executed.statements++;
    try {
      return this.#raw.run(...params).changes;
    } catch (error) {
      throw toStoreError(error, this.#path);
    }
  }

  finalize(): void {
    this.#raw.finalize();
  }
}
