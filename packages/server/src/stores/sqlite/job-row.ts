import type { DispatchJob, DeliveryProfile } from "../../domain/dispatch-job.ts";
import { eventGroupKey, taskGroupKey } from "../../domain/group-key.ts";
import type { ClientId, EventId, SubscriptionId } from "../../domain/ids.ts";
import { feedClock, groupClock, toJobState, type JobRow } from "../job-row.ts";

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
