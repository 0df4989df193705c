import type { JobStatus } from "../domain/dispatch-job.ts";
import type { JobId, JobPosition } from "../domain/ids.ts";
import { isFinal, type JobState } from "../domain/job-state.ts";

/** How every store of ours keeps a job: the part of a row that scheduling looks at, and what follows from it. */

/** Statuses are stored as small numbers; the first two are the open ones. */
export const statusCodes = {
  PENDING: 0,
  QUEUED: 1,
  COMPLETED: 2,
  FAILED: 3,
  CANCELLED: 4,
  EXPIRED: 5,
} as const satisfies Record<JobStatus, number>;

const statusNames: readonly JobStatus[] = ["PENDING", "QUEUED", "COMPLETED", "FAILED", "CANCELLED", "EXPIRED"];

export function statusName(code: number): JobStatus {
  const name = statusNames[code];
  if (name === undefined) throw new Error(`Not a job status: ${code}`);
  return name;
}

/** Sort keys of QUEUED jobs of unordered groups count up from here, so that they are all below zero. */
const QUEUED_SORT_BASE = -(2 ** 52);

/** Everything a transition and the bookkeeping around it look at. */
export interface JobRow {
  readonly position: JobPosition;
  readonly id: JobId;
  readonly feed_id: number;
  readonly group_id: number;
  readonly profile_id: number;
  readonly status: number;
  readonly generation: number;
  readonly attempt_count: number;
  readonly generation_attempts: number;
  readonly unburnt_attempts: number;
  readonly due_at: number;
  readonly queued_at: number | null;
  readonly expires_clock: number | null;
  readonly replay_count: number;
  readonly updated_at: number;
  readonly last_error: string | null;
}

export const jobColumns = `position, id, feed_id, group_id, profile_id, status, generation, attempt_count,
  generation_attempts, unburnt_attempts, due_at, queued_at, expires_clock, replay_count, updated_at, last_error`;

export function toJobState(row: JobRow): JobState {
  const status = statusName(row.status);
  return {
    status,
    generation: row.generation,
    attemptCount: row.attempt_count,
    generationAttempts: row.generation_attempts,
    dueAtMs: row.due_at,
    queuedAtMs: row.queued_at,
    finishedAtMs: isFinal(status) ? row.updated_at : null,
    lastError: row.last_error,
    replayCount: row.replay_count,
  };
}

/**
 * May it be published now? What was due when it was last written still is, though the clock may have been set back
 * since; what waits for a time waits until the clock says so.
 */
export function isDue(row: { readonly due_at: number; readonly updated_at: number }, nowMs: number): boolean {
  return row.due_at <= nowMs || row.due_at <= row.updated_at;
}

/** Where an open job stands in the order of its group. */
export function sortKey(state: JobState, position: JobPosition, ordered: boolean): number {
  if (ordered) return position;
  return state.status === "QUEUED" ? queuedSortKey(state.queuedAtMs ?? 0) : state.dueAtMs;
}

export function queuedSortKey(queuedAtMs: number): number {
  return QUEUED_SORT_BASE + queuedAtMs;
}

/** Time of a feed: stands still while the feed is held, so that held time does not count towards an expiry. */
export function feedClock(
  feed: { readonly held_since: number | null; readonly held_total_ms: number },
  nowMs: number,
): number {
  return (feed.held_since ?? nowMs) - feed.held_total_ms;
}

/** Time of a group: runs with its feed's, and stands still while the group is blocked. No moment is taken off twice. */
export function groupClock(
  clockOfFeed: number,
  group: { readonly blocked_since: number | null; readonly blocked_total_ms: number },
): number {
  return (group.blocked_since ?? clockOfFeed) - group.blocked_total_ms;
}
