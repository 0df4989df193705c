import { describeError, type Clock, type Logger } from "@flowcatalyst/foundation";
import { databaseLimits, type CheckpointResult, type SqliteDatabase } from "./database.ts";
import { createStoreThread } from "./store-thread.ts";

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
export const walLimits = {
  /** 32 MiB: below that nothing is done. */
  startPages: 8_192,
  /** 64 MiB: the writing connection does the rest itself. */
  softMaxPages: 16_384,
  /** What the writing connection takes on at once (about 4 MiB, a few ms); more is left to the thread. */
  finishMaxPages: 1_024,
  intervalMs: 200,
  threadTimeoutMs: 60_000,
} as const;

export interface WalCheckpointerDeps {
  readonly database: SqliteDatabase;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface WalCheckpointer {
  /** Looks after the log until the signal aborts; its thread has ended when the promise settles. */
  run(signal: AbortSignal): Promise<void>;
}

export function createWalCheckpointer(deps: WalCheckpointerDeps): WalCheckpointer {
  const { database, clock, logger } = deps;

  return {
    run: async (signal) => {
      if (database.inMemory) return;
      const thread = createStoreThread(deps, { path: database.path, role: "checkpoint" });
      const pass = async (): Promise<void> => {
        if (openPages(database.checkpoint("NOOP")) < walLimits.startPages) return;
        const reply = await thread.ask({ kind: "checkpoint" }, walLimits.threadTimeoutMs);
        if (!signal.aborted) finish(database, reply.result as CheckpointResult);
      };
      while (!signal.aborted) {
        try {
          await pass();
        } catch (error) {
          logger.warn({ error: describeError(error) }, "The write-ahead log could not be written back");
        }
        await clock.sleep(walLimits.intervalMs, signal);
      }
      await thread.close();
    },
  };
}

/** Pages in the log that matter to its length: all, unless every one is written back, when it is about to start again. */
function openPages(log: CheckpointResult): number {
  return log.writtenBackPages >= log.logPages ? 0 : log.logPages;
}

function finish(database: SqliteDatabase, reached: CheckpointResult): void {
  if (reached.logPages < walLimits.softMaxPages) return;
  const left = database.checkpoint("NOOP");
  const pagesLeft = left.logPages - left.writtenBackPages;
  const near = databaseLimits.walHardMaxPages / 2;
  if (pagesLeft === 0) return;
  if (pagesLeft <= walLimits.finishMaxPages || left.logPages >= near) database.checkpoint("PASSIVE");
}
