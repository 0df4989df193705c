import type { DispatchJob } from "../../domain/dispatch-job.ts";
import type { ClientId, JobId, SubscriptionId } from "../../domain/ids.ts";
import { canWrite, type Scope } from "../../domain/scope.ts";
import type { CommandResult, JobCommands } from "../../ports/job-store.ts";
import type { SqliteDatabase } from "./database.ts";
import { createHeldGroups } from "./held-groups.ts";
import type { JobChanges } from "./job-changes.ts";
import { groupRowKey } from "../feed-key.ts";
import { groupKeyOf } from "../whole-job.ts";
import { statusName, jobColumns, type JobRow } from "../job-row.ts";
import { selectFullJob, toDispatchJob, type FullJobRow } from "./job-row.ts";
import type { JobWriter } from "./job-writer.ts";
import { createSubscriptionPauses } from "./subscription-pauses.ts";
import { createTaskCreator } from "./task-jobs.ts";

/**
 * What operators and callers of the API do to jobs. Each command is one transaction, and on disk before it is answered,
 * because nobody would do it again after a power cut.
 */
export function createJobCommands(writer: JobWriter): JobCommands {
  const { database } = writer;
  const sql = prepare(database);
  const pauses = createSubscriptionPauses(writer);
  const heldGroups = createHeldGroups(writer);
  const retryJob = createJobRetry(writer);
  const context: CommandContext = { sql, writer };

  return {
    createTasks: createTaskCreator(writer),
    cancel: async (id, nowMs, scope) =>
      command({ id, nowMs, scope }, context, (row, changes) => changes.apply(row, { kind: "cancel" }).kind === "moved"),
    retry: async (id, { replay, nowMs }, scope) =>
      command({ id, nowMs, scope }, context, (row, changes) => retryJob(row, replay, changes)),
    unblock: async (...[key, action, nowMs, scope]) =>
      writer.write({ nowMs, durable: true }, (changes) => {
        const held = heldGroups.byKey(key);
        const blocking = held === null || held.reason !== "GROUP_BLOCKED" ? null : held.headJobId;
        const row = blocking === null ? null : sql.job.get(blocking);
        if (row === null || !canWrite(scope, row.client_id)) return null;
        if (action === "retry") retryJob(row, false, changes);
        // What has expired can't be cancelled: it stays as it is, and the group goes on without it.
        else if (changes.apply(row, { kind: "cancel" }).kind !== "moved") changes.unblock(changes.group(row.group_id));
        return held;
      }),
    holdSubscription: async (id, held, nowMs) =>
      writer.write({ nowMs, durable: true }, (changes) => pauses.hold(id, held, changes)),
    holdPool: async (code, held, nowMs) =>
      writer.write({ nowMs, durable: true }, (changes) => pauses.holdPool(code, held, changes)),
    cancelPendingOf: createPendingCanceller(writer, sql),
  };
}

interface CommandContext {
  readonly sql: CommandStatements;
  readonly writer: JobWriter;
}

interface CommandTarget {
  readonly id: JobId;
  readonly nowMs: number;
  readonly scope: Scope;
}

/** Loads the job, lets `act` change it, and answers with the job as it is then. */
function command(
  target: CommandTarget,
  { sql, writer }: CommandContext,
  act: (row: OwnedJobRow, changes: JobChanges) => boolean,
): CommandResult {
  const refused = writer.write({ nowMs: target.nowMs, durable: true }, (changes): CommandResult | null => {
    const row = sql.job.get(target.id);
    // Somebody who may read a job of the platform, but not change it, gets the same answer as for one that is not
    // there.
    if (row === null || !canWrite(target.scope, row.client_id)) return { kind: "notFound" };
    return act(row, changes) ? null : { kind: "conflict", status: statusName(row.status) };
  });
  return refused ?? { kind: "done", job: readJob(target.id, target.nowMs, sql) };
}

function readJob(id: JobId, nowMs: number, sql: CommandStatements): DispatchJob {
  const row = sql.fullJob.get(id);
  if (row === null) throw new Error(`Job ${id} is gone`);
  return toDispatchJob(row, nowMs);
}

export type JobRetry = (row: OwnedJobRow, replay: boolean, changes: JobChanges) => boolean;

export type OwnedJobRow = JobRow & {
  readonly task: number;
  readonly client_id: ClientId | null;
  readonly message_group: string | null;
};

export const ownedJobColumns = `${jobColumns}, task, client_id, message_group`;

/** Retries a final job. Its group may have been dropped as idle since it ended: then it is made again. */
export function createJobRetry({ database, directory }: JobWriter): JobRetry {
  const groupExists = database.statement<{ found: number }, [number]>(
    "SELECT 1 AS found FROM job_groups WHERE id = ?1",
  );
  const moveToGroup = database.statement<never, [number, number, number]>(
    "UPDATE jobs SET group_id = ?2, feed_id = ?3 WHERE position = ?1",
  );
  const feedKey = database.statement<{ key: string }, [number]>("SELECT key FROM job_feeds WHERE id = ?1");

  const withGroup = (row: OwnedJobRow, changes: JobChanges): OwnedJobRow => {
    if (groupExists.get(row.group_id) !== null) return row;
    const groupKey = groupKeyOf({ ...row, task: row.task === 1 }, changes.profile(row));
    const key = groupRowKey(groupKey, feedKey.get(row.feed_id)?.key ?? "");
    const created = { feedId: row.feed_id, ordered: groupKey !== null, nowMs: changes.nowMs };
    const groupId = directory.groupId(key, created);
    const feedId = directory.feedOfGroup(groupId);
    moveToGroup.run(row.position, groupId, feedId);
    const moved = { ...row, group_id: groupId, feed_id: feedId };
    changes.moveCount(row, moved);
    return moved;
  };

  return (row, replay, changes) => changes.apply(withGroup(row, changes), { kind: "retry", replay }).kind === "moved";
}

/** Groups of a feed that one transaction looks at: most of them may have nothing pending. */
const GROUP_CHUNK = 1_000;

interface CancelStep {
  readonly cancelled: number;
  /** The last group that is done with; null: all of them are. */
  readonly doneGroup: number | null;
}

/**
 * Cancels what a subscription has PENDING, group by group, a thousand groups in one transaction. How far it came is
 * remembered between calls, and forgotten at the end, so that calling it again looks at everything again.
 */
function createPendingCanceller(writer: JobWriter, sql: CommandStatements): JobCommands["cancelPendingOf"] {
  const cursors = new Map<SubscriptionId, number>();

  const cancelOfGroup = (groupId: number, maxJobs: number, changes: JobChanges): number => {
    let cancelled = 0;
    for (const row of sql.pendingOfGroup.all(groupId, maxJobs)) {
      if (changes.apply(row, { kind: "cancel" }).kind === "moved") cancelled++;
    }
    return cancelled;
  };

  const cancelSome = (id: SubscriptionId, maxJobs: number, changes: JobChanges): CancelStep => {
    const feed = sql.feed.get(id);
    let doneGroup = cursors.get(id) ?? 0;
    let cancelled = 0;
    const groups = feed === null || feed.pending === 0 ? [] : sql.groupsOfFeed.all(feed.id, doneGroup);
    for (const group of groups) {
      cancelled += cancelOfGroup(group.id, maxJobs - cancelled, changes);
      if (cancelled >= maxJobs) return { cancelled, doneGroup };
      doneGroup = group.id;
    }
    return { cancelled, doneGroup: groups.length < GROUP_CHUNK ? null : doneGroup };
  };

  return async (id, maxJobs, nowMs) => {
    let cancelled = 0;
    while (cancelled < maxJobs) {
      const left = maxJobs - cancelled;
      const step = writer.write({ nowMs }, (changes) => cancelSome(id, left, changes));
      cancelled += step.cancelled;
      if (step.doneGroup === null) {
        cursors.delete(id);
        break;
      }
      cursors.set(id, step.doneGroup);
      await new Promise((resolve) => setImmediate(resolve));
    }
    return cancelled;
  };
}

type CommandStatements = ReturnType<typeof prepare>;

function prepare(database: SqliteDatabase) {
  return {
    job: database.statement<OwnedJobRow, [string]>(`SELECT ${ownedJobColumns} FROM jobs WHERE id = ?1`),
    fullJob: database.statement<FullJobRow, [string]>(`${selectFullJob} WHERE j.id = (?1 || '')`),
    feed: database.statement<{ id: number; pending: number }, [string]>(
      "SELECT id, pending FROM job_feeds WHERE key = ?1",
    ),
    groupsOfFeed: database.statement<{ id: number }, [number, number]>(
      `SELECT id FROM job_groups WHERE feed_id = (?1 + 0) AND id > (?2 + 0) ORDER BY id LIMIT ${GROUP_CHUNK}`,
    ),
    pendingOfGroup: database.statement<JobRow, [number, number]>(`
      SELECT ${jobColumns} FROM jobs WHERE group_id = (?1 + 0) AND open = 1 AND status = 0
      ORDER BY sort_key LIMIT (?2 + 0)`),
  };
}
