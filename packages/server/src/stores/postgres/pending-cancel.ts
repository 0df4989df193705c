import type { SubscriptionId } from "../../domain/ids.ts";
import type { JobCommands } from "../../ports/job-store.ts";
import type { LeaseEpoch } from "../../ports/lease.ts";
import { keyIs, statement } from "../../postgres/statement.ts";
import { jobColumns, type JobRow } from "../job-row.ts";
import type { JobChanges } from "./job-changes.ts";
import type { JobWriter } from "./job-writer.ts";

/** Groups that one transaction looks at: most of them are of other feeds, or have nothing pending. */
const GROUP_CHUNK = 5_000;

const readFeed = statement<{ id: number; pending: number }, [key: string]>(
  "SELECT id, pending FROM job_feeds WHERE key = $1",
);
/** All groups, in slices: an index of a feed's groups by id would be taken for one by id, and read as a whole. */
export const readGroupsOfFeed = statement<
  { id: number; waits: boolean },
  [feedId: number, afterId: number, limit: number]
>(`
  SELECT g.id, g.feed_id = $1 AND EXISTS (
      SELECT 1 FROM open_jobs o WHERE o.group_id = g.id AND o.sort_key >= g.head_from AND o.status = 0) AS waits
  FROM (SELECT id, feed_id, head_from FROM job_groups WHERE id > $2 ORDER BY id LIMIT $3) AS g
  ORDER BY g.id`);
/** Group by group as they are named: the limit ends a walk over them, and sorting would walk over all. */
export const readPendingOfGroups = statement<JobRow, [groupIds: string, limit: number]>(`
  SELECT j.* FROM json_array_elements_text($1::json) AS r (id)
  JOIN job_groups g ON ${keyIs("g.id", "r.id::bigint")}
  CROSS JOIN LATERAL (
    SELECT ${jobColumns} FROM open_jobs
    WHERE group_id = g.id AND sort_key >= g.head_from AND status = 0 ORDER BY sort_key, position LIMIT $2
  ) AS j
  LIMIT $2`);

interface CancelStep {
  readonly cancelled: number;
  /** The last group that is done with; null: all of them are. */
  readonly doneGroup: number | null;
}

/**
 * Cancels what a subscription has PENDING, group by group. How far it came is remembered between calls, and forgotten
 * at the end, so that calling it again looks at everything again. With an epoch each step is fenced by it.
 */
export function createPendingCanceller(writer: JobWriter, epoch?: LeaseEpoch): JobCommands["cancelPendingOf"] {
  const fenced = epoch === undefined ? {} : { epoch };
  const cursors = new Map<SubscriptionId, number>();

  return async (id, maxJobs, nowMs) => {
    let cancelled = 0;
    while (cancelled < maxJobs) {
      const left = maxJobs - cancelled;
      const after = cursors.get(id) ?? 0;
      const step = await writer.write({ nowMs, ...fenced }, (changes) =>
        cancelSome({ id, after, maxJobs: left }, changes),
      );
      cancelled += step.cancelled;
      if (step.doneGroup === null) {
        cursors.delete(id);
        break;
      }
      cursors.set(id, step.doneGroup);
    }
    return cancelled;
  };
}

interface CancelRequest {
  readonly id: SubscriptionId;
  readonly after: number;
  readonly maxJobs: number;
}

async function cancelSome(request: CancelRequest, changes: JobChanges): Promise<CancelStep> {
  const { session } = changes;
  const feed = await session.one(readFeed, [request.id]);
  if (feed === null || feed.pending === 0) return { cancelled: 0, doneGroup: null };
  const groups = await session.query(readGroupsOfFeed, [feed.id, request.after, GROUP_CHUNK]);
  // Each of them has one job at least, so more than these would not be needed.
  const waiting = groups.filter((group) => group.waits).slice(0, request.maxJobs);
  const ids = waiting.map((group) => group.id);
  await changes.lockGroups(ids);
  const rows = ids.length === 0 ? [] : await session.query(readPendingOfGroups, [JSON.stringify(ids), request.maxJobs]);
  await changes.loadProfiles(rows.map((row) => row.profile_id));
  let cancelled = 0;
  for (const row of rows) {
    changes.keepJob(row, false);
    if ((await changes.apply(row.id, { kind: "cancel" })).kind === "moved") cancelled++;
  }
  if (rows.length < request.maxJobs) {
    const last = groups.at(-1);
    return { cancelled, doneGroup: groups.length < GROUP_CHUNK || last === undefined ? null : last.id };
  }
  // The group of the last one may have more.
  const before = waiting.findLast((group) => group.id < (rows.at(-1)?.group_id ?? 0));
  return { cancelled, doneGroup: before?.id ?? request.after };
}
