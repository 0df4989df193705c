import { Database, SQLiteError, type SQLQueryBindings, type Statement } from "bun:sqlite";
import { CodedError, type Clock } from "@flowcatalyst/foundation";
import { existsSync } from "node:fs";

/**
 * An application's SQLite file, to which others write as well.
 *
 * SQLite has one writer at a time, and waiting for it inside SQLite would stop this whole thread. So nobody waits
 * there: a transaction that cannot begin, or commit, is rolled back and tried again after a pause in which others go
 * on, for five seconds in all. Work within a transaction is synchronous, so two of this process never mix.
 *
 * The file is opened with the first call, and again after a failure to open it. The application chooses the journal
 * mode. Where it is WAL, commits here do not wait for the disk: what a power cut takes back is claimed and sent again,
 * which deduplication ids make harmless.
 */
export class OutboxFile {
  readonly #path: string;
  readonly #clock: Clock;
  #database: Database | null = null;
  #closed = false;

  constructor(path: string, clock: Clock) {
    this.#path = path;
    this.#clock = clock;
  }

  /** One transaction; `work` must not await, and has no effect outside of the file. */
  write<Result>(work: (file: FileSession) => Result): Promise<Result> {
    return this.#patiently((database) => {
      database.run("BEGIN IMMEDIATE");
      try {
        const result = work(sessionOf(database));
        database.run("COMMIT");
        return result;
      } catch (error) {
        if (database.inTransaction) database.run("ROLLBACK");
        throw error;
      }
    });
  }

  read<Result>(work: (file: FileSession) => Result): Promise<Result> {
    return this.#patiently((database) => work(sessionOf(database)));
  }

  /** Makes the file if it is not there. */
  create(): void {
    this.#open(true);
  }

  close(): void {
    this.#closed = true;
    this.#database?.close();
    this.#database = null;
  }

  async #patiently<Result>(work: (database: Database) => Result): Promise<Result> {
    const untilMs = this.#clock.monotonicMs() + outboxFileLimits.busyTimeoutMs;
    for (;;) {
      try {
        return work(this.#open(false));
      } catch (error) {
        if (!isBusy(error) || this.#clock.monotonicMs() >= untilMs) throw toOutboxError(error, this.#path);
      }
      await this.#clock.sleep(outboxFileLimits.busyPauseMs);
    }
  }

  #open(create: boolean): Database {
    if (this.#closed) throw new CodedError("STORE_UNAVAILABLE", { context: { path: this.#path, reason: "closed" } });
    if (this.#database !== null) return this.#database;
    if (!create && !existsSync(this.#path)) throw noFile(this.#path);
    try {
      const database = new Database(this.#path, { readwrite: true, create });
      database.run("PRAGMA busy_timeout = 0");
      const mode = database.query<{ journal_mode: string }, []>("PRAGMA journal_mode").get();
      if (mode?.journal_mode === "wal") database.run("PRAGMA synchronous = NORMAL");
      this.#database = database;
      return database;
    } catch (error) {
      throw isBusy(error) ? error : toOutboxError(error, this.#path);
    }
  }
}

export const outboxFileLimits = {
  busyTimeoutMs: 5_000,
  busyPauseMs: 5,
  /** How often the file is asked whether somebody wrote to it. */
  watchEveryMs: 20,
} as const;

export interface FileSession {
  all<Row>(text: string, ...values: SQLQueryBindings[]): Row[];
  one<Row>(text: string, ...values: SQLQueryBindings[]): Row | null;
  /** How many rows were inserted, changed or deleted. */
  run(text: string, ...values: SQLQueryBindings[]): number;
}

/** Texts are constants of their table, so each is compiled once and kept by the driver. */
function sessionOf(database: Database): FileSession {
  const compiled = <Row>(text: string): Statement<Row, SQLQueryBindings[]> => database.query(text);
  return {
    all: <Row>(text: string, ...values: SQLQueryBindings[]) => compiled<Row>(text).all(...values),
    one: <Row>(text: string, ...values: SQLQueryBindings[]) => compiled<Row>(text).get(...values),
    run: (text, ...values) => compiled(text).run(...values).changes,
  };
}

const PRIMARY_CODE_MASK = 0xff;
const busyCodes: ReadonlySet<number> = new Set([5, 6]);
const fullCode = 13;
/** Permissions, memory, read-only, I/O, cannot open, protocol: https://www.sqlite.org/rescode.html */
const unavailableCodes: ReadonlySet<number> = new Set([3, 5, 6, 7, 8, 10, 14, 15]);

function isBusy(error: unknown): boolean {
  return error instanceof SQLiteError && busyCodes.has(error.errno & PRIMARY_CODE_MASK);
}

function noFile(path: string): CodedError {
  const message = `There is no file ${path}; \`flowcatalyst outbox init\` makes it, with the outbox table`;
  return new CodedError("STORE_UNAVAILABLE", { message, context: { path } });
}

function toOutboxError(error: unknown, path: string): unknown {
  if (!(error instanceof SQLiteError)) return error;
  const context = { path, sqliteCode: error.code };
  const code = error.errno & PRIMARY_CODE_MASK;
  if (code === fullCode) return new CodedError("STORE_FULL", { context, cause: error });
  if (unavailableCodes.has(code)) return new CodedError("STORE_UNAVAILABLE", { context, cause: error });
  return error;
}
