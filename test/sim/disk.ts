/**
 * What survives a process: a database in memory that stays open, or files whose log can be cut.
 *
 * A kill leaves every committed transaction. A power cut leaves those that were flushed and any prefix of what came
 * after: the write-ahead log is cut at some byte behind the last flush, as it would be if the machine lost power while
 * the operating system still held the rest, and the database is opened from what is left.
 */
import { copyFileSync, existsSync, mkdtempSync, rmSync, statSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDatabase, type SqliteDatabase } from "../../packages/server/src/stores/sqlite/index.ts";

export interface Disk {
  /** The connection of the process that lives now. */
  readonly database: SqliteDatabase;
  /** `share` of what was not flushed survives. No effect on a database in memory. */
  cutPower(share: number): void;
  dispose(): void;
}

const opening = { clock: { now: () => Date.UTC(2026, 0, 1) }, pid: process.pid };

export function memoryDisk(): Disk {
  const database = openDatabase({ path: ":memory:" }, opening);
  return { database, cutPower: () => undefined, dispose: () => database.close() };
}

/** A directory in memory where the system has one: flushing it costs nothing. */
const SHARED_MEMORY = "/dev/shm";

export function fileDisk(): Disk {
  const directory = mkdtempSync(join(existsSync(SHARED_MEMORY) ? SHARED_MEMORY : tmpdir(), "flowcatalyst-sim-"));
  let number = 0;
  let flushedBytes = 0;
  const pathOf = (at: number): string => join(directory, `${at}.db`);
  const logBytes = (): number => statSync(`${pathOf(number)}-wal`).size;
  const open = (): { readonly real: SqliteDatabase; readonly shown: SqliteDatabase } => {
    const real = openDatabase({ path: pathOf(number) }, opening);
    flushedBytes = logBytes();
    const durableTransaction: SqliteDatabase["durableTransaction"] = (work) => {
      const result = real.durableTransaction(work);
      flushedBytes = logBytes();
      return result;
    };
    // Bound one by one: the connection keeps its state in private fields.
    const shown: SqliteDatabase = {
      path: real.path,
      inMemory: real.inMemory,
      statement: real.statement.bind(real),
      queryOnce: real.queryOnce.bind(real),
      exec: real.exec.bind(real),
      transaction: real.transaction.bind(real),
      durableTransaction,
      checkpoint: real.checkpoint.bind(real),
      close: real.close.bind(real),
    };
    return { real, shown };
  };
  let connection = open();
  return {
    get database() {
      return connection.shown;
    },
    cutPower: (share) => {
      const [from, to] = [pathOf(number), pathOf(number + 1)];
      const keptBytes = flushedBytes + Math.floor((logBytes() - flushedBytes) * share);
      copyFileSync(from, to);
      copyFileSync(`${from}-wal`, `${to}-wal`);
      truncateSync(`${to}-wal`, keptBytes);
      connection.real.close();
      number++;
      connection = open();
    },
    dispose: () => {
      connection.real.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
