import { Database, SQLiteError } from "bun:sqlite";
import { readFileSync, writeFileSync } from "node:fs";
import { CodedError } from "@flowcatalyst/foundation";

/**
 * One process per database file.
 *
 * The lock is an exclusive transaction, never committed, on an empty SQLite file beside the database. The operating
 * system holds it (fcntl on Unix, LockFileEx on Windows) and drops it with the process however that ends, so nothing
 * is ever stale after SIGKILL; SQLite makes it hold between two openers inside one process too, which fcntl alone does
 * not. The pid beside it only tells a person who it is: it is never used to decide.
 */
export interface DataDirLock {
  release(): void;
}

/** Throws DATA_DIR_IN_USE with the holder's pid. */
export function lockDatabaseFile(path: string, pid: number): DataDirLock {
  const pidPath = `${path}.pid`;
  const database = new Database(`${path}.lock`, { create: true, readwrite: true });
  try {
    database.run("PRAGMA busy_timeout=0");
    database.run("BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    if (!(error instanceof SQLiteError && error.code === "SQLITE_BUSY")) throw error;
    throw new CodedError("DATA_DIR_IN_USE", {
      message: `${path} is in use by ${holder(pidPath)}`,
      context: { path },
      cause: error,
    });
  }
  writeFileSync(pidPath, `${pid}\n`);
  return {
    release: () => {
      database.close();
    },
  };
}

function holder(pidPath: string): string {
  try {
    return `process ${readFileSync(pidPath, "utf8").trim()}`;
  } catch {
    return "another process";
  }
}
