import type { DeliveryProfile, DispatchJob } from "../domain/dispatch-job.ts";
import { eventGroupKey, taskGroupKey } from "../domain/group-key.ts";
import type { ClientId, EventId, GroupKey, SubscriptionId } from "../domain/ids.ts";
import { feedClock, groupClock, toJobState, type JobRow } from "./job-row.ts";

/** One job with what belongs to it in other tables, for readers. */
export interface WholeJobRow extends JobRow, JobOwner {
  readonly payload_bytes: number;
  readonly created_at: number;
  readonly event_id: EventId | null;
  readonly code: string | null;
  readonly task_subscription_id: SubscriptionId | null;
  readonly idempotency_key: string | null;
  readonly metadata: string | null;
  readonly profile_body: string;
  readonly feed_held_since: number | null;
  readonly feed_held_total_ms: number;
  /** Of its group, which is missing once an idle one was dropped. */
  readonly blocked_since: number | null;
  readonly blocked_total_ms: number | null;
}

/** What decides, with the profile, which group a job belongs to. */
export interface JobOwner {
  readonly task: boolean;
  readonly client_id: ClientId | null;
  readonly message_group: string | null;
}

/** `nowMs` matters only to a job that is held: its expiry moves with the time. */
export function toDispatchJob(row: WholeJobRow, nowMs: number): DispatchJob {
  const profile = JSON.parse(row.profile_body) as DeliveryProfile;
  const state = toJobState(row);
  return {
    id: row.id,
    position: row.position,
    kind: row.task ? "TASK" : "EVENT",
    clientId: row.client_id,
    eventId: row.event_id,
    subscriptionId: row.task ? row.task_subscription_id : profile.subscriptionId,
    code: row.code,
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

/** Null: the job is not ordered. */
export function groupKeyOf(job: JobOwner, profile: DeliveryProfile): GroupKey | null {
  if (job.task) return taskGroupKey(job.client_id, profile.mode, job.message_group);
  return profile.subscriptionId === null
    ? null
    : eventGroupKey(profile.subscriptionId, profile.mode, job.message_group);
}

function clockOf(row: WholeJobRow, nowMs: number): number {
  return groupClock(feedClock({ held_since: row.feed_held_since, held_total_ms: row.feed_held_total_ms }, nowMs), {
    blocked_since: row.blocked_since,
    blocked_total_ms: row.blocked_total_ms ?? 0,
  });
}
