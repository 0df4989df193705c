import type { ClientId, EventId, JobId } from "../../domain/ids.ts";
import { statement, toJsonRows } from "../../postgres/statement.ts";
import type { JobChanges } from "./job-changes.ts";

/**
 * Inserts new jobs and makes their groups and feeds ready.
 *
 * Positions come from a sequence while the groups are locked, so in each group they follow the order of commits. A job
 * at the end of an ordered group changes nothing for a group that is ready, busy or blocked already, so its other jobs
 * are not looked at.
 */
export interface InsertedJob {
  readonly id: JobId;
  readonly eventId: EventId | null;
  readonly task: boolean;
  readonly feedId: number;
  readonly groupId: number;
  readonly ordered: boolean;
  readonly profileId: number;
  readonly clientId: ClientId | null;
  readonly messageGroup: string | null;
  readonly code: string | null;
  readonly dueAtMs: number;
  readonly payloadBytes: number;
  readonly createdAtMs: number;
}

export const insertJobs = statement<never, [jobs: string]>(`
  INSERT INTO open_jobs (id, position, event_id, task, feed_id, group_id, profile_id, client_id, message_group, code,
    status, generation, attempt_count, generation_attempts, unburnt_attempts, due_at, replay_count, payload_bytes,
    created_at, updated_at, sort_key)
  SELECT r.i, r.position, r.e, r.t, r.f, r.g, r.p, r.c, r.m, r.k, 0, 1, 0, 0, 0, r.d, 0, r.b, r.a, r.a,
    CASE WHEN r.o THEN r.position ELSE r.d END
  FROM (
    SELECT nextval('job_positions') AS position, r.*
    FROM json_to_recordset($1::json) AS r (i text, e text, t boolean, f integer, g bigint, p integer, c text, m text,
      k text, d bigint, b integer, a bigint, o boolean)
    OFFSET 0
  ) AS r`);

/** Locks the groups, inserts the jobs as given, and tells groups and feeds of them. */
export async function insertNewJobs(jobs: readonly InsertedJob[], changes: JobChanges): Promise<void> {
  if (jobs.length === 0) return;
  await changes.lockGroups(jobs.map((job) => job.groupId));
  await changes.session.run(insertJobs, [toJsonRows(jobs.map(toRow))]);
  const groups = new Map<number, AddedToGroup>();
  for (const job of jobs) {
    changes.count(job.feedId, "pending", 1);
    const added = groups.get(job.groupId);
    if (added === undefined) groups.set(job.groupId, { ordered: job.ordered, dueAtMs: job.dueAtMs });
    // Of an ordered group the first new job is its head, whenever the others are due.
    else if (!added.ordered && added.dueAtMs > job.dueAtMs) added.dueAtMs = job.dueAtMs;
  }
  for (const [groupId, { ordered, dueAtMs }] of groups) {
    const lowestSortKey = ordered ? Number.MAX_SAFE_INTEGER : dueAtMs;
    changes.addedToGroup(groupId, { dueAtMs, lowestSortKey });
  }
}

interface AddedToGroup {
  readonly ordered: boolean;
  dueAtMs: number;
}

/** Short names, because a batch has thousands of them. */
function toRow(job: InsertedJob): object {
  return {
    i: job.id,
    e: job.eventId,
    t: job.task,
    f: job.feedId,
    g: job.groupId,
    p: job.profileId,
    c: job.clientId,
    m: job.messageGroup,
    k: job.code,
    d: job.dueAtMs,
    b: job.payloadBytes,
    a: job.createdAtMs,
    o: job.ordered,
  };
}
