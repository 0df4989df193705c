import type { DispatchJob } from "../../domain/dispatch-job.ts";
import type { EventId } from "../../domain/ids.ts";
import { toDispatchJob as wholeToDispatchJob, type WholeJobRow } from "../whole-job.ts";

/** One job as SQLite gives it: the event's job names its event by position, the task carries what it was told. */
export type FullJobRow = Omit<WholeJobRow, "task" | "code"> & {
  readonly task: number;
  readonly event_type: string | null;
  readonly task_event_id: EventId | null;
  readonly task_code: string | null;
};

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
  const task = row.task === 1;
  const whole = {
    ...row,
    task,
    event_id: task ? row.task_event_id : row.event_id,
    code: task ? row.task_code : row.event_type,
  };
  return wholeToDispatchJob(whole, nowMs);
}
