import type { JobId } from "../../domain/ids.ts";
import { keyIs, statement } from "../../postgres/statement.ts";
import { groupRowKey } from "../feed-key.ts";
import { groupKeyOf, type JobOwner } from "../whole-job.ts";
import { numberOf } from "./job-appender.ts";
import type { JobChanges } from "./job-changes.ts";
import type { GroupKeyed, JobDirectory } from "./job-directory.ts";

/**
 * Jobs that somebody asks for by name, open or final, to be changed.
 *
 * A final job's group may have been dropped as idle since it ended; then it is made again, under the same key, and the
 * job moves to it. So whoever changes a job, final ones included, has its group locked first, and of two that retry the
 * same job the second finds it PENDING.
 */
export interface OwnedJob extends JobOwner {
  readonly id: JobId;
  readonly position: number;
  readonly group_id: number;
  readonly feed_id: number;
  readonly profile_id: number;
}

export const ownedColumns = "id, position, group_id, feed_id, profile_id, task, client_id, message_group";

export const readOwnedJob = statement<OwnedJob, [id: string]>(`
  SELECT ${ownedColumns} FROM open_jobs WHERE id = $1 UNION ALL SELECT ${ownedColumns} FROM jobs WHERE id = $1`);

const readExistingGroups = statement<{ id: number }, [ids: string]>(`
  SELECT g.id FROM (SELECT DISTINCT id::bigint AS id FROM json_array_elements_text($1::json) AS r (id)) AS r
  JOIN job_groups g ON ${keyIs("g.id", "r.id")}`);
const readFeedKeys = statement<{ id: number; key: string }, [ids: string]>(`
  SELECT f.id, f.key FROM (SELECT DISTINCT id::integer AS id FROM json_array_elements_text($1::json) AS r (id)) AS r
  JOIN job_feeds f ON ${keyIs("f.id", "r.id")}`);

/** Locks the groups of the jobs, making those that are gone, and loads the jobs. One that is gone is left out. */
export async function loadOwnedJobs(
  jobs: readonly OwnedJob[],
  changes: JobChanges,
  directory: JobDirectory,
): Promise<void> {
  if (jobs.length === 0) return;
  const asked = JSON.stringify(jobs.map((job) => job.group_id));
  const existing = new Set((await changes.session.query(readExistingGroups, [asked])).map((row) => row.id));
  const homeless = jobs.filter((job) => !existing.has(job.group_id));
  const remade = homeless.length === 0 ? new Map<JobId, number>() : await remakeGroups(homeless, changes, directory);
  await changes.lockGroups([...existing, ...remade.values()]);
  await changes.loadJobsOfLockedGroups(jobs.map((job) => job.id));
  for (const [id, groupId] of remade) {
    const row = changes.job(id);
    // Another one may have moved it there before the lock was ours.
    if (row === null || row.group_id === groupId) continue;
    changes.moveToGroup(id, { id: groupId, feedId: changes.group(groupId).feed_id });
  }
}

/** The numbers of the groups, new or found, by job. */
async function remakeGroups(
  jobs: readonly OwnedJob[],
  changes: JobChanges,
  directory: JobDirectory,
): Promise<ReadonlyMap<JobId, number>> {
  const { session, nowMs } = changes;
  const profiles = await directory.loadProfiles(
    session,
    jobs.map((job) => job.profile_id),
  );
  const feeds = await session.query(readFeedKeys, [JSON.stringify(jobs.map((job) => job.feed_id))]);
  const feedKeys = new Map(feeds.map((feed) => [feed.id, feed.key]));
  const keys = new Map<JobId, string>();
  const groups = new Map<string, GroupKeyed>();
  for (const job of jobs) {
    const profile = profiles.get(job.profile_id);
    // Dropped after its last job was: the job is gone.
    if (profile === undefined) continue;
    const groupKey = groupKeyOf(job, profile);
    const key = groupRowKey(groupKey, feedKeys.get(job.feed_id) ?? "");
    keys.set(job.id, key);
    groups.set(key, { key, feedId: job.feed_id, ordered: groupKey !== null });
  }
  const ids = await directory.groupIds(session, groups, nowMs);
  return new Map([...keys].map(([id, key]) => [id, numberOf(ids, key)]));
}

/** Retries a loaded job; false: it is not final. */
export async function retryJob(id: JobId, replay: boolean, changes: JobChanges): Promise<boolean> {
  return (await changes.apply(id, { kind: "retry", replay })).kind === "moved";
}
