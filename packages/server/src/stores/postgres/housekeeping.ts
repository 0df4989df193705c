import type { Housekeeping } from "../../ports/housekeeping.ts";
import type { LeaseEpoch } from "../../ports/lease.ts";
import type { PostgresSession } from "../../postgres/postgres-database.ts";
import { dropArchived } from "./archive-drop.ts";
import { dropAuditLogs } from "./audit-logs.ts";
import { expireDeduplication } from "./event-deduplication.ts";
import { ensurePartitions } from "./history-partitions.ts";
import { HistoryRows } from "./history-rows.ts";
import { expireIdempotencyKeys } from "./idempotency-store.ts";
import { createIdleGroupDrop } from "./idle-group-drop.ts";
import type { JobWriter } from "./job-writer.ts";
import { fence } from "./lease-store.ts";
import { PartitionDrop } from "./partition-drop.ts";
import { createProfileDrop } from "./profile-drop.ts";
import { createSubscriptionArchiver } from "./subscription-archiver.ts";

/**
 * Housekeeping in steps, each a short transaction fenced by the lease, beside all who write at the same time.
 *
 * - History goes by whole months (partition-drop.ts), and row by row where it is not in months (history-rows.ts). So
 *   what is older than the retention may stay for up to a month more; nothing goes before its time.
 * - Groups, feeds, profiles: others remember the numbers of these. Each removal locks what it removes and looks at it
 *   again under the lock, and each user finds out when he locks it himself (job-directory.ts).
 * - Keys and answers expire by their own clocks (event-deduplication.ts, idempotency-store.ts).
 *
 * Cursors of walks are in memory: they spare a walk to look at the same rows again. Who takes over begins anew.
 */
export const housekeepingLimits = {
  /** Steps of history that remove nothing, one after another. */
  emptyStepsMax: 200,
} as const;

export interface HousekeepingConfig {
  readonly dedupWindowMs: number;
}

/** Runs `work` in a transaction under the lease. Throws LEASE_LOST. */
export type Fenced = <Result>(
  epoch: LeaseEpoch,
  work: (session: PostgresSession) => Result | Promise<Result>,
) => Promise<Result>;

export function createHousekeeping(writer: JobWriter, config: HousekeepingConfig): Housekeeping {
  const { database } = writer;
  const fenced: Fenced = (epoch, work) =>
    database.transaction(async (session) => {
      await fence(session, epoch);
      return work(session);
    });

  return {
    prepareHistory: async (nowMs, epoch) => {
      await fenced(epoch, () => undefined);
      // Not under the lease: anybody may do it at any time, and a takeover should not wait for the locks it takes.
      return (await ensurePartitions(database, nowMs)).length;
    },
    dropHistory: createHistoryDrop(writer),
    expireDeduplication: (nowMs, maxRows, epoch) =>
      fenced(epoch, (session) =>
        expireDeduplication(session, { createdBeforeMs: nowMs - config.dedupWindowMs, maxRows }),
      ),
    expireIdempotencyKeys: (_nowMs, maxRows, epoch) =>
      fenced(epoch, (session) => expireIdempotencyKeys(session, maxRows)),
    dropIdleGroups: createIdleGroupDrop(writer, fenced),
    dropUnusedProfiles: createProfileDrop(writer, fenced),
    dropArchived: async (beforeMs, maxRows, epoch) => {
      const removed = await fenced(epoch, (session) => dropArchived(session, { beforeMs, maxRows }));
      if (removed > 0) writer.directory.forget();
      return removed;
    },
    dropAuditLogs: (beforeMs, maxRows, epoch) => fenced(epoch, (session) => dropAuditLogs(session, beforeMs, maxRows)),
    archiveExpiredSubscriptions: createSubscriptionArchiver(writer),
  };
}

function createHistoryDrop(writer: JobWriter): Housekeeping["dropHistory"] {
  const partitions = new PartitionDrop(writer);
  const rows = new HistoryRows();
  let partitionsDone = false;

  return async (beforeMs, maxRows, epoch) => {
    const options = { nowMs: writer.clock.now(), epoch, quiet: true };
    for (let step = 0; step < housekeepingLimits.emptyStepsMax; step++) {
      if (!partitionsDone) {
        const { removed, finished } = await partitions.step(beforeMs, epoch);
        partitionsDone = finished;
        if (removed > 0) return removed;
      } else {
        const { removed, finished } = await writer.write(options, (changes) =>
          rows.step({ beforeMs, maxRows }, changes),
        );
        if (finished) partitionsDone = false;
        if (removed > 0 || finished) return removed;
      }
    }
    return 0;
  };
}
