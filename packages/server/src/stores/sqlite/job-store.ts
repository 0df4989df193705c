import type { AttemptSink } from "../../ports/attempt-sink.ts";
import type { DeliveryReader } from "../../ports/delivery-reader.ts";
import type { Housekeeping } from "../../ports/housekeeping.ts";
import type { JobAppender } from "../../ports/job-appender.ts";
import type { JobClaims } from "../../ports/job-claims.ts";
import type { JobCommands, JobReader, ReplayStore } from "../../ports/job-store.ts";
import { createAttemptSink } from "./attempt-sink.ts";
import { createDeliveryReader } from "./delivery-reader.ts";
import { createHousekeeping, type HousekeepingConfig } from "./housekeeping.ts";
import { createJobAppender } from "./job-appender.ts";
import { createJobClaims } from "./job-claims.ts";
import { createJobCommands } from "./job-commands.ts";
import { createJobReader } from "./job-reader.ts";
import { createJobWriter, type JobStoreDeps } from "./job-writer.ts";
import { createReplayStore } from "./replay-store.ts";
import { reconcileHolds } from "./subscription-pauses.ts";

/**
 * Dispatch jobs on SQLite: everything between an event and its final delivery that has to survive.
 *
 * Entities. A *job* is one delivery owed. It refers to a *profile*, the immutable snapshot of how to deliver, stored
 * once for each version of a subscription. It belongs to a *group*: the jobs of one order key, or, not ordered, all
 * others of its feed. Groups belong to a *feed*: one for each subscription, and one for each client and lane of tasks.
 * Attempts are kept by (job, generation, number).
 *
 * Readiness. What is due is a property of groups and feeds, never found by looking at jobs. `job_groups.ready_at` says
 * from when on the group has something to publish; it is NULL while a run of an ordered group is outstanding, while the
 * group is blocked, and when nothing is pending. `job_feeds.ready_at` is a lower bound over its groups, NULL while the
 * publish window is full. The scheduler reads the index over feeds that are ready and not held, then the index over
 * ready groups of each. Holding a subscription or a pool sets a mark on feeds, so pausing a million jobs writes one
 * row, and resuming restores nothing.
 *
 * Writes. `JobWriter` runs each operation as one transaction; in it `JobChanges` moves jobs by the state machine of
 * domain/job-state.ts and writes every touched group and feed once, at the end. A delivered job costs four row writes
 * in its life: made, QUEUED, COMPLETED, its attempt. Caches and cursors in memory are either of things that do not
 * change or thrown away on rollback.
 *
 * Guarantees. Fan-out happens once: jobs and checkpoint are one transaction under compare-and-set. Of an ordered group
 * at most one run is outstanding, in order of position. A report applies once. A final state is left only by an
 * operator's retry. Time a feed or group was held does not count towards an expiry: expiries are kept on the group's
 * own clock.
 *
 * Failures. A crash between any two calls leaves a state from which the next pass goes on; see job-claims.ts for the
 * one between publishing and marking. Commits are not flushed to disk, except of what an operator or a caller of the
 * API was told (createTasks, commands): after a power cut a suffix of derived work is done again, from events that were
 * flushed. Faults of the file are coded errors (database.ts), and then nothing of the call has happened.
 */
export interface SqliteJobs {
  readonly jobAppender: JobAppender;
  readonly jobClaims: JobClaims;
  readonly attemptSink: AttemptSink;
  readonly deliveryReader: DeliveryReader;
  readonly jobs: JobReader;
  readonly jobCommands: JobCommands;
  readonly replays: ReplayStore;
  readonly housekeeping: Housekeeping;
}

export function createSqliteJobs(deps: JobStoreDeps, config: HousekeepingConfig): SqliteJobs {
  const writer = createJobWriter(deps);
  reconcileHolds(deps.database, deps.clock.now());
  return {
    jobAppender: createJobAppender(writer),
    jobClaims: createJobClaims(writer, deps.wakes),
    attemptSink: createAttemptSink(writer),
    deliveryReader: createDeliveryReader(writer),
    jobs: createJobReader(writer),
    jobCommands: createJobCommands(writer),
    replays: createReplayStore(writer),
    housekeeping: createHousekeeping(writer, config),
  };
}
