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

/**
 * Dispatch jobs on PostgreSQL: everything between an event and its final delivery that has to survive.
 *
 * Entities. A *job* is one delivery owed. It refers to a *profile*, the immutable snapshot of how to deliver, stored
 * once for each version of a subscription. It belongs to a *group*: the jobs of one order key, or, not ordered, all
 * others of its feed. Groups belong to a *feed*: one for each subscription, and one for each client and lane of tasks.
 * Attempts are kept by (job, generation, number). Jobs that are not final are in `open_jobs`, the others in `jobs`, by
 * months; see migration-0003-jobs.ts for what that is good for.
 *
 * Readiness. What is due is a property of groups and feeds, never found by looking at jobs. `job_groups.ready_at` says
 * from when on the group has something to publish; it is NULL while a run of an ordered group is outstanding, while the
 * group is blocked, and when nothing is pending. `job_feeds.ready_at` is a lower bound over its groups, NULL while the
 * publish window is full. The scheduler reads the index over feeds that are ready and not held, then the index over
 * ready groups of each. Holding a subscription or a pool sets a mark on feeds, so pausing a million jobs writes one
 * row, and resuming restores nothing.
 *
 * Writers at once. Stream, scheduler, any number of routers and platforms write at the same time. Who changes a job has
 * locked its group's row first; so a group and its jobs are always seen and changed as a whole, and two that meet in a
 * group wait for each other, while all others do not. What many meet in, the feed's row, is written last and only added
 * to. `JobWriter` runs each operation as one transaction; in it `JobChanges` moves jobs by the state machine of
 * domain/job-state.ts and writes each kind of change as one statement for all its rows.
 *
 * Cost. A delivered job costs five row writes in its life: made, QUEUED, taken from the open ones, kept as history, its
 * attempt. Its group is written twice a run, its feed once a transaction.
 *
 * Guarantees. Fan-out happens once: jobs and checkpoint are one transaction under compare-and-set. Of an ordered group
 * at most one run is outstanding, in order of position. A report applies once. A final state is left only by an
 * operator's retry. Time a feed or group was held does not count towards an expiry: expiries are kept on the group's
 * own clock. The stages that may be active once write under the epoch of their lease.
 *
 * Failures. A crash between any two calls leaves a state from which the next pass goes on; see job-claims.ts for the
 * one between publishing and marking. A transaction whose COMMIT was cut off may have happened: fan-out finds the
 * checkpoint moved, a report finds its attempt recorded, a mark finds the job QUEUED.
 */
export interface PostgresJobs {
  readonly jobAppender: JobAppender;
  readonly jobClaims: JobClaims;
  readonly attemptSink: AttemptSink;
  readonly deliveryReader: DeliveryReader;
  readonly jobs: JobReader;
  readonly jobCommands: JobCommands;
  readonly replays: ReplayStore;
  readonly housekeeping: Housekeeping;
}

export function createPostgresJobs(deps: JobStoreDeps, config: HousekeepingConfig): PostgresJobs {
  const writer = createJobWriter(deps);
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
