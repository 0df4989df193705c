import { describeError, type Clock, type Logger } from "@flowcatalyst/foundation";
import { databaseLimits, type CheckpointResult, type SqliteDatabase } from "./database.ts";
import { createStoreThread, type StoreThread } from "./store-thread.ts";

/**
 * Keeps the write-ahead log short without making a commit wait for it.
 *
 * Writing the log back means reading it, writing each page to its place and flushing both files: 100 ms and more for
 * 64 MiB. So a thread of its own does it (PASSIVE, which blocks nobody) as soon as the log has `startPages`. While it
 * works the log grows, so it goes over it again for what came in between, until it has caught up: then the next
 * transaction starts the log again from its beginning. Under a load that never pauses it does not quite catch up; when
 * the log has `softMaxPages`, the writing connection writes back the few pages that are left, which is short because
 * the thread has done the bulk. Should the thread be missing, the writing connection does it all at
 * `databaseLimits.walHardMaxPages`, inside a commit.
 *
 * A search that is under way holds its place in the log; until it ends (2 s at most) the log cannot start again.
 */
export interface WalLimits {
  /** Below that nothing is done. */
  readonly startPages: number;
  /** From here the writing connection does the rest itself. */
  readonly softMaxPages: number;
  /** What the writing connection takes on at once; more is left to the thread, unless the log gets too long. */
  readonly finishMaxPages: number;
  readonly intervalMs: number;
  readonly threadTimeoutMs: number;
}

/** In pages of 4 KiB: 32 MiB, 64 MiB, and 4 MiB, which take a few ms. */
export const walLimits: WalLimits = {
  startPages: 8_192,
  softMaxPages: 16_384,
  finishMaxPages: 1_024,
  intervalMs: 200,
  threadTimeoutMs: 60_000,
};

export interface WalCheckpointerDeps {
  readonly database: SqliteDatabase;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface WalCheckpointer {
  /** One look at the log, and what it asks for. */
  pass(): Promise<void>;
  /** Looks after the log until the signal aborts; its thread has ended when the promise settles. */
  run(signal: AbortSignal): Promise<void>;
}

export function createWalCheckpointer(deps: WalCheckpointerDeps, limits: WalLimits = walLimits): WalCheckpointer {
  const { database, clock, logger } = deps;
  // Made by the first pass that needs it: most processes never have that much to write back.
  let thread: StoreThread | undefined;

  const pass = async (): Promise<void> => {
    if (database.inMemory || pagesToRestart(database.checkpoint("NOOP")) < limits.startPages) return;
    thread ??= createStoreThread(deps, { path: database.path, role: "checkpoint" });
    await thread.ask({ kind: "checkpoint" }, limits.threadTimeoutMs);
    finish(database, limits);
  };

  return {
    pass,
    run: async (signal) => {
      while (!signal.aborted) {
        try {
          await pass();
        } catch (error) {
          logger.warn({ error: describeError(error) }, "The write-ahead log could not be written back");
        }
        await clock.sleep(limits.intervalMs, signal);
      }
      await thread?.close();
      thread = undefined;
    },
  };
}

/** How long the log is; 0 when all of it is written back, because then the next transaction starts it again. */
function pagesToRestart(log: CheckpointResult): number {
  return log.writtenBackPages >= log.logPages ? 0 : log.logPages;
}

function finish(database: SqliteDatabase, limits: WalLimits): void {
  const log = database.checkpoint("NOOP");
  if (pagesToRestart(log) < limits.softMaxPages) return;
  const left = log.logPages - log.writtenBackPages;
  const tooLong = log.logPages >= databaseLimits.walHardMaxPages / 2;
  if (left <= limits.finishMaxPages || tooLong) database.checkpoint("PASSIVE");
}
