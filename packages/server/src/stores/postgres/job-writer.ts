import type { Clock, Random } from "@flowcatalyst/foundation";
import type { PostgresDatabase } from "../../postgres/postgres-database.ts";
import type { LeaseEpoch } from "../../ports/lease.ts";
import { noteCancelledJobs } from "./cancelled-jobs.ts";
import { JobChanges, StaleDirectory } from "./job-changes.ts";
import { JobDirectory } from "./job-directory.ts";
import { fence } from "./lease-store.ts";
import type { StoreWakes } from "../store-wakes.ts";

/** What every part of the job store is built from. */
export interface JobStoreDeps {
  readonly database: PostgresDatabase;
  readonly clock: Pick<Clock, "now">;
  readonly wakes: StoreWakes;
  /** Jitter of retries. */
  readonly random: Pick<Random, "next">;
}

export const writerLimits = {
  /** Each time the directory may have been told of what another transaction of this process has made, and undid. */
  staleTriesMax: 5,
} as const;

/** How a transaction is fenced. */
export interface WriteOptions {
  readonly nowMs: number;
  /** The lease the writer acts under; LEASE_LOST is thrown, and nothing written, if it is not the newest any more. */
  readonly epoch?: LeaseEpoch;
  /** Nobody is woken: for the scheduler's own look, which would wake itself. */
  readonly quiet?: boolean;
}

/**
 * Runs transactions over jobs: settles groups and feeds at their end, and wakes whoever waits after the commit. `work`
 * may be run more than once, so it has no effect outside of the transaction.
 */
export interface JobWriter {
  readonly database: PostgresDatabase;
  readonly directory: JobDirectory;
  readonly clock: Pick<Clock, "now">;
  write<Result>(options: WriteOptions, work: (changes: JobChanges) => Promise<Result>): Promise<Result>;
}

export function createJobWriter(deps: JobStoreDeps): JobWriter {
  const { database, wakes, random } = deps;
  const directory = new JobDirectory();

  const once = async <Result>(
    options: WriteOptions,
    work: (changes: JobChanges) => Promise<Result>,
  ): Promise<Result> => {
    let ready = false;
    let controlChanged = false;
    let tried = 0;
    const result = await database.transaction(async (session) => {
      // After a deadlock: what was made before it does not exist.
      if (tried++ > 0) directory.forget();
      if (options.epoch !== undefined) await fence(session, options.epoch);
      const changes = new JobChanges({ session, directory, random }, options.nowMs);
      const done = await work(changes);
      ready = await changes.settle();
      await noteCancelledJobs(session, changes.cancelledQueued);
      controlChanged = changes.controlChanged || changes.cancelledQueued.length > 0;
      return done;
    });
    if (ready && options.quiet !== true) wakes.jobsReady.wake();
    if (controlChanged) wakes.control.wake();
    return result;
  };

  return {
    database,
    directory,
    clock: deps.clock,
    write: async (options, work) => {
      for (let tried = 1; ; tried++) {
        try {
          return await once(options, work);
        } catch (error) {
          // Numbers handed out in a transaction that did not happen name nothing.
          directory.forget();
          if (!(error instanceof StaleDirectory) || tried === writerLimits.staleTriesMax) throw error;
        }
      }
    },
  };
}
