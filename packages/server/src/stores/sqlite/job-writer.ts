import { CodedError, type Clock, type Random } from "@flowcatalyst/foundation";
import type { LeaseEpoch } from "../../ports/lease.ts";
import { noteCancelledJobs } from "./cancelled-jobs.ts";
import type { SqliteDatabase } from "./database.ts";
import { prepareChanges } from "./job-change-statements.ts";
import { JobChanges } from "./job-changes.ts";
import { JobDirectory } from "./job-directory.ts";
import { holdsLease } from "./lease-store.ts";
import type { StoreWakes } from "./wake-signal.ts";

/** What every part of the job store is built from. */
export interface JobStoreDeps {
  readonly database: SqliteDatabase;
  readonly clock: Pick<Clock, "now">;
  readonly wakes: StoreWakes;
  /** Jitter of retries. */
  readonly random: Pick<Random, "next">;
}

/** How a transaction is fenced and committed. */
export interface WriteOptions {
  readonly nowMs: number;
  /** The lease the writer acts under; LEASE_LOST is thrown, and nothing written, if it is not the newest any more. */
  readonly epoch?: LeaseEpoch;
  /** On disk when it returns: for what is answered to a caller who will not ask again. */
  readonly durable?: boolean;
  /** Nobody is woken: for the scheduler's own look, which would wake itself. */
  readonly quiet?: boolean;
}

/** Runs transactions over jobs: settles groups and feeds at their end, and wakes whoever waits after the commit. */
export interface JobWriter {
  readonly database: SqliteDatabase;
  readonly directory: JobDirectory;
  readonly clock: Pick<Clock, "now">;
  write<Result>(options: WriteOptions, work: (changes: JobChanges) => Result): Result;
}

export function createJobWriter(deps: JobStoreDeps): JobWriter {
  const { database, wakes } = deps;
  const directory = new JobDirectory(database);
  const statements = prepareChanges(database);

  return {
    database,
    directory,
    clock: deps.clock,
    write: (options, work) => {
      const changes = new JobChanges({ directory, random: deps.random }, statements, options.nowMs);
      let ready = false;
      const body = (): ReturnType<typeof work> => {
        if (options.epoch !== undefined && !holdsLease(database, options.epoch)) throw new CodedError("LEASE_LOST");
        const result = work(changes);
        noteCancelledJobs(database, changes.cancelledQueued);
        ready = changes.settle();
        return result;
      };
      try {
        const result = options.durable === true ? database.durableTransaction(body) : database.transaction(body);
        if (ready && options.quiet !== true) wakes.jobsReady.wake();
        if (changes.cancelledQueued.length > 0 || changes.controlChanged) wakes.control.wake();
        return result;
      } catch (error) {
        // Numbers handed out in a transaction that did not happen name nothing.
        directory.forget();
        throw error;
      }
    },
  };
}
