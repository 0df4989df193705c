import { Database, SQLiteError, type SQLQueryBindings, type Statement } from "bun:sqlite";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { CodedError } from "@flowcatalyst/foundation";
import type { QueueStatement, SqliteConnection } from "./sqlite-connection.ts";

/** What is queued is nobody else's business. */
const ownerOnlyMode = 0o700;

/** A connection of the queue's own, for a router that has a queue file and no store. */
export interface QueueFile extends SqliteConnection {
  close(): void;
}

const queueFileLimits = { cacheKibibytes: 32_768, busyTimeoutMs: 5_000, walAutocheckpointPages: 4_000 } as const;

/** Primary result codes (https://www.sqlite.org/rescode.html): the low byte of an extended one. */
const sqliteCodes = { corrupt: 11, full: 13, notADatabase: 26, constraint: 19, error: 1 } as const;
const PRIMARY_CODE_MASK = 0xff;

/**
 * Opens the file, made if it is missing, for this process alone; ":memory:" is a queue that ends with the process.
 * The lock is an uncommitted exclusive transaction on an empty file beside it, which the operating system drops with
 * the process however that ends. The pid in a third file only tells a person who holds it.
 * Throws DATA_DIR_IN_USE, DATA_DIR_NOT_WRITABLE or DATABASE_CORRUPT.
 */
export function openQueueFile(path: string): QueueFile {
  if (path === ":memory:") return connect(new Database(":memory:"), path, () => undefined);
  const file = resolve(path);
  try {
    mkdirSync(dirname(file), { recursive: true, mode: ownerOnlyMode });
  } catch (cause) {
    throw new CodedError("DATA_DIR_NOT_WRITABLE", { message: `The directory of ${file} cannot be made`, cause });
  }
  const unlock = lockFile(file);
  try {
    const raw = new Database(file, { create: true, readwrite: true });
    raw.run(`PRAGMA busy_timeout=${queueFileLimits.busyTimeoutMs}`);
    raw.run("PRAGMA journal_mode=WAL");
    raw.run(`PRAGMA wal_autocheckpoint=${queueFileLimits.walAutocheckpointPages}`);
    raw.run(`PRAGMA cache_size=-${queueFileLimits.cacheKibibytes}`);
    return connect(raw, file, unlock);
  } catch (error) {
    unlock();
    throw codedError(error, file);
  }
}

function lockFile(file: string): () => void {
  const pidPath = `${file}.pid`;
  let database: Database | undefined;
  try {
    database = new Database(`${file}.lock`, { create: true, readwrite: true });
    database.run("PRAGMA busy_timeout=0");
    database.run("BEGIN EXCLUSIVE");
    writeFileSync(pidPath, `${process.pid}\n`);
  } catch (cause) {
    database?.close();
    const isHeld = cause instanceof SQLiteError && cause.code === "SQLITE_BUSY";
    if (!isHeld) throw new CodedError("DATA_DIR_NOT_WRITABLE", { message: `${file} cannot be written`, cause });
    const message = `The queue file ${file} is in use by ${holder(pidPath)}`;
    throw new CodedError("DATA_DIR_IN_USE", { message, cause });
  }
  const held = database;
  return () => held.close();
}

function holder(pidPath: string): string {
  try {
    return `process ${readFileSync(pidPath, "utf8").trim()}`;
  } catch {
    return "another process";
  }
}

function connect(raw: Database, path: string, unlock: () => void): QueueFile {
  const statements = new Map<string, unknown>();
  let synchronous = "";
  const guard = <Result>(work: () => Result): Result => {
    try {
      return work();
    } catch (error) {
      throw codedError(error, path);
    }
  };
  const commit = <Result>(work: () => Result, wanted: "FULL" | "NORMAL"): Result =>
    guard(() => {
      // Cannot be changed inside a transaction, and is cheap only when it is not changed at all.
      if (synchronous !== wanted) raw.run(`PRAGMA synchronous=${wanted}`);
      synchronous = wanted;
      raw.run("BEGIN IMMEDIATE");
      try {
        const result = work();
        raw.run("COMMIT");
        return result;
      } catch (error) {
        if (raw.inTransaction) raw.run("ROLLBACK");
        throw error;
      }
    });
  return {
    path,
    statement<Row, Params extends SQLQueryBindings[]>(sql: string): QueueStatement<Row, Params> {
      const known = statements.get(sql);
      if (known !== undefined) return known as QueueStatement<Row, Params>;
      const prepared: Statement<Row, Params> = guard(() => raw.prepare<Row, Params>(sql) as Statement<Row, Params>);
      const statement: QueueStatement<Row, Params> = {
        all: (...params) => guard(() => prepared.all(...params)),
        get: (...params) => guard(() => prepared.get(...params)),
        run: (...params) => guard(() => prepared.run(...params).changes),
      };
      statements.set(sql, statement);
      return statement;
    },
    exec: (sql) => guard(() => raw.run(sql)),
    transaction: (work) => commit(work, "NORMAL"),
    durableTransaction: (work) => commit(work, "FULL"),
    close() {
      raw.close();
      unlock();
    },
  };
}

function codedError(error: unknown, path: string): unknown {
  if (!(error instanceof SQLiteError)) return error;
  const context = { path, sqliteCode: error.code };
  switch (error.errno & PRIMARY_CODE_MASK) {
    case sqliteCodes.full:
      return new CodedError("STORE_FULL", { context, cause: error });
    case sqliteCodes.corrupt:
    case sqliteCodes.notADatabase:
      return new CodedError("DATABASE_CORRUPT", {
        message: `The queue file ${path} is damaged`,
        context,
        cause: error,
      });
    case sqliteCodes.error:
    case sqliteCodes.constraint:
      // A wrong statement or a broken invariant is a fault of this code, not of the disk.
      return error;
    default:
      return new CodedError("STORE_UNAVAILABLE", { context, cause: error });
  }
}
