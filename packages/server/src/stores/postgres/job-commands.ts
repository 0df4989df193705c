import type { DispatchJob } from "../../domain/dispatch-job.ts";
import type { JobId } from "../../domain/ids.ts";
import { canWrite, type Scope } from "../../domain/scope.ts";
import type { HeldGroup } from "../../ports/job-claims.ts";
import type { CommandResult, JobCommands } from "../../ports/job-store.ts";
import type { PostgresSession } from "../../postgres/postgres-database.ts";
import { statement } from "../../postgres/statement.ts";
import { statusName } from "../job-row.ts";
import { toDispatchJob } from "../whole-job.ts";
import { storable } from "./entity-table.ts";
import { holdPoolFeeds, holdSubscriptionFeed } from "./feed-holds.ts";
import { readFullJob, readJobClient } from "./full-job-row.ts";
import { readHeldGroupByKey } from "./held-groups.ts";
import type { JobChanges } from "./job-changes.ts";
import { loadOwnedJobs, readOwnedJob, retryJob } from "./job-retry.ts";
import type { JobWriter } from "./job-writer.ts";
import { createPendingCanceller } from "./pending-cancel.ts";
import { createTaskCreator } from "./task-jobs.ts";
import { storeChannels } from "./wake-signal.ts";

/**
 * What operators and callers of the API do to jobs. Each command is one transaction; two that name the same job wait
 * for each other at its group, and the second sees what the first has done.
 */
export function createJobCommands(writer: JobWriter): JobCommands {
  const { database } = writer;

  /** Nobody knows the job, or may learn of it, until its group is locked; so a conflict is a true one. */
  const command = async (
    { id, nowMs, scope }: CommandTarget,
    act: (changes: JobChanges) => Promise<boolean>,
  ): Promise<CommandResult> => {
    const refused = await writer.write({ nowMs }, async (changes): Promise<CommandResult | null> => {
      const job = await changes.session.one(readOwnedJob, [storable(id)]);
      // Somebody who may read a job of the platform, but not change it, gets the same answer as for one that is not
      // there.
      if (job === null || !canWrite(scope, job.client_id)) return { kind: "notFound" };
      await loadOwnedJobs([job], changes, writer.directory);
      const before = changes.job(id);
      if (before === null) return { kind: "notFound" };
      return (await act(changes)) ? null : { kind: "conflict", status: statusName(before.status) };
    });
    return refused ?? { kind: "done", job: await readJob(id, nowMs, database) };
  };

  return {
    createTasks: createTaskCreator(writer),
    cancel: (id, nowMs, scope) =>
      command({ id, nowMs, scope }, async (changes) => (await changes.apply(id, { kind: "cancel" })).kind === "moved"),
    retry: (id, { replay, nowMs }, scope) => command({ id, nowMs, scope }, (changes) => retryJob(id, replay, changes)),
    unblock: (...[key, action, nowMs, scope]) =>
      writer.write({ nowMs }, (changes) => unblock({ key: storable(key), action, scope }, changes)),
    holdSubscription: async (id, asked, nowMs) => {
      const held = await database.transaction(async (session) => {
        const row = await session.one(readSubscriptionHold, [id]);
        await holdSubscriptionFeed(session, { id, held: row?.held ?? asked, nowMs });
        return row?.held ?? asked;
      });
      if (!held) database.notify(storeChannels.jobsReady);
    },
    holdPool: async (code, asked, nowMs) => {
      const held = await database.transaction(async (session) => {
        const row = await session.one(readPoolHold, [code]);
        await holdPoolFeeds(session, { code, held: row?.held ?? asked, nowMs });
        return row?.held ?? asked;
      });
      if (!held) database.notify(storeChannels.jobsReady);
    },
    cancelPendingOf: createPendingCanceller(writer),
  };
}

interface CommandTarget {
  readonly id: JobId;
  readonly nowMs: number;
  readonly scope: Scope;
}

async function readJob(id: JobId, nowMs: number, session: PostgresSession): Promise<DispatchJob> {
  const row = await session.one(readFullJob, [id]);
  if (row === null) throw new Error(`Job ${id} is gone`);
  return toDispatchJob(row, nowMs);
}

/**
 * What the settings say is what holds: of two requests on two instances that pause and resume, the one that changed the
 * settings first may come here last. The lock makes a change of the settings wait, which brings its hold with it.
 */
const readSubscriptionHold = statement<{ held: boolean }, [id: string]>(
  "SELECT status <> 'ACTIVE' AS held FROM subscriptions WHERE id = $1 FOR SHARE",
);
const readPoolHold = statement<{ held: boolean }, [code: string]>(
  "SELECT status = 'SUSPENDED' AS held FROM dispatch_pools WHERE code = $1 FOR SHARE",
);

const findGroup = statement<{ id: number }, [key: string]>("SELECT id FROM job_groups WHERE key = $1");

interface Unblocking {
  readonly key: string;
  readonly action: "skip" | "retry";
  readonly scope: Scope;
}

/** Answers the group as it was held. */
async function unblock({ key, action, scope }: Unblocking, changes: JobChanges): Promise<HeldGroup | null> {
  const { session } = changes;
  const found = await session.one(findGroup, [key]);
  if (found === null) return null;
  await changes.lockGroups([found.id], "skipMissing");
  const held = changes.hasGroup(found.id) ? await readHeldGroupByKey(session, key) : null;
  if (held?.reason !== "GROUP_BLOCKED" || held.headJobId === null) return null;
  const owner = await session.one(readJobClient, [held.headJobId]);
  if (owner === null || !canWrite(scope, owner.client_id)) return null;
  await changes.loadJobsOfLockedGroups([held.headJobId]);
  if (action === "retry") await retryJob(held.headJobId, false, changes);
  // What has expired can't be cancelled: it stays as it is, and the group goes on without it.
  else if ((await changes.apply(held.headJobId, { kind: "cancel" })).kind !== "moved") {
    changes.unblock(changes.group(found.id));
  }
  return held;
}
