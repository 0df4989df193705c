import type { DispatchJob, DeliveryProfile, JobStatus } from "../../domain/dispatch-job.ts";
import { eventGroupKey, taskGroupKey } from "../../domain/group-key.ts";
import type { ClientId, EventId, JobId, JobPosition, SubscriptionId } from "../../domain/ids.ts";
import { isFinal, type JobState } from "../../domain/job-state.ts";

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

/** Where an open job stands in `jobs_open`. */
export function sortKey(state: JobState, position: JobPosition, ordered: boolean): number {
  if (ordered) return position;
  return state.status === "QUEUED" ? queuedSortKey(state.queuedAtMs ?? 0) : state.dueAtMs;
}

export function queuedSortKey(queuedAtMs: number): number {
  return QUEUED_SORT_BASE + queuedAtMs;
}

/** One job with what belongs to it in other tables, for readers. */
export interface FullJobRow extends JobRow {
  readonly task: number;
  readonly client_id: ClientId | null;
  readonly message_group: string | null;
  readonly payload_bytes: number;
  readonly created_at: number;
  readonly event_id: EventId | null;
  readonly event_type: string | null;
  readonly task_event_id: EventId | null;
  readonly task_subscription_id: SubscriptionId | null;
  readonly task_code: string | null;
  readonly idempotency_key: string | null;
  readonly metadata: string | null;
  readonly profile_body: string;
  readonly feed_held_since: number | null;
  readonly feed_held_total_ms: number;
  readonly blocked_since: number | null;
  readonly blocked_total_ms: number | null;
}

/**
 * Selects whole jobs; append a WHERE over `j`, `e` (its event), `t` (its task), `p` (its profile), `f` (its feed) or
 * `g` (its group, which is missing once an idle one was dropped).
 */
export const selectFullJob = `
  SELECT j.position, j.id, j.feed_id, j.group_id, j.profile_id, j.status, j.generation, j.attempt_count,
    j.generation_attempts, j.unburnt_attempts, j.due_at, j.queued_at, j.expires_clock, j.replay_count, j.updated_at,
    j.last_error, j.task, j.client_id, j.message_group, j.payload_bytes, j.created_at, e.id AS event_id,
    e.type AS event_type, t.event_id AS task_event_id, t.subscription_id AS task_subscription_id, t.code AS task_code,
    t.idempotency_key, t.metadata, p.body AS profile_body, f.held_since AS feed_held_since,
    f.held_total_ms AS feed_held_total_ms, g.blocked_since, g.blocked_total_ms
  FROM jobs j
  JOIN delivery_profiles p ON p.id = j.profile_id
  JOIN job_feeds f ON f.id = j.feed_id
  LEFT JOIN job_groups g ON g.id = j.group_id
  LEFT JOIN events e ON j.task = 0 AND e.position = j.stream_position
  LEFT JOIN job_tasks t ON j.task = 1 AND t.position = j.position`;

/** `nowMs` matters only to a job that is held: its expiry moves with the time. */
export function toDispatchJob(row: FullJobRow, nowMs: number): DispatchJob {
  const profile = JSON.parse(row.profile_body) as DeliveryProfile;
  const state = toJobState(row);
  const task = row.task === 1;
  return {
    id: row.id,
    position: row.position,
    kind: task ? "TASK" : "EVENT",
    clientId: row.client_id,
    eventId: task ? row.task_event_id : row.event_id,
    subscriptionId: task ? row.task_subscription_id : profile.subscriptionId,
    code: task ? row.task_code : row.event_type,
    messageGroup: row.message_group,
    groupKey: groupKeyOf(row, profile),
    profile,
    status: state.status,
    generation: state.generation,
    attemptCount: state.attemptCount,
    generationAttempts: state.generationAttempts,
    dueAtMs: state.dueAtMs,
    queuedAtMs: state.queuedAtMs,
    expiresAtMs: row.expires_clock === null ? null : nowMs + row.expires_clock - clockOf(row, nowMs),
    finishedAtMs: state.finishedAtMs,
    lastError: state.lastError,
    replayCount: state.replayCount,
    idempotencyKey: row.idempotency_key,
    metadata: row.metadata === null ? {} : (JSON.parse(row.metadata) as Record<string, string>),
    payloadBytes: row.payload_bytes,
    createdAtMs: row.created_at,
    updatedAtMs: row.updated_at,
  };
}

function groupKeyOf(row: FullJobRow, profile: DeliveryProfile): DispatchJob["groupKey"] {
  if (row.task === 1) return taskGroupKey(row.client_id, profile.mode, row.message_group);
  return profile.subscriptionId === null
    ? null
    : eventGroupKey(profile.subscriptionId, profile.mode, row.message_group);
}

function clockOf(row: FullJobRow, nowMs: number): number {
  return groupClock(feedClock({ held_since: row.feed_held_since, held_total_ms: row.feed_held_total_ms }, nowMs), {
    blocked_since: row.blocked_since,
    blocked_total_ms: row.blocked_total_ms ?? 0,
  });
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
