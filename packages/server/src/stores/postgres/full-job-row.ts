import type { ClientId, EventId, JobId } from "../../domain/ids.ts";
import { keyIs, statement } from "../../postgres/statement.ts";
import type { WholeJobRow } from "../whole-job.ts";

/**
 * Whole jobs, wherever they are: open ones and history are looked at by one statement each time, so a job that moves
 * from one to the other meanwhile is seen in exactly one of them.
 */
const columns = `j.position, j.id, j.feed_id, j.group_id, j.profile_id, j.status, j.generation, j.attempt_count,
  j.generation_attempts, j.unburnt_attempts, j.due_at, j.queued_at, j.expires_clock, j.replay_count, j.updated_at,
  j.last_error, j.task, j.client_id, j.message_group, j.payload_bytes, j.created_at, j.event_id, j.code`;

/** Selects whole jobs `j` from one of the two tables; append a WHERE over `j`. */
export function selectFullJob(table: "open_jobs" | "jobs", from = `${table} j`): string {
  return `
  SELECT ${columns}, t.subscription_id AS task_subscription_id, t.idempotency_key, t.metadata, p.body AS profile_body,
    f.held_since AS feed_held_since, f.held_total_ms AS feed_held_total_ms, g.blocked_since, g.blocked_total_ms
  FROM ${from}
  JOIN delivery_profiles p ON ${keyIs("p.id", "j.profile_id")}
  JOIN job_feeds f ON ${keyIs("f.id", "j.feed_id")}
  LEFT JOIN job_groups g ON ${keyIs("g.id", "j.group_id")}
  LEFT JOIN job_tasks t ON ${keyIs("t.job_id", "CASE WHEN j.task THEN j.id END")}`;
}

export const readFullJob = statement<WholeJobRow, [id: string]>(`
  ${selectFullJob("open_jobs")} WHERE j.id = $1
  UNION ALL ${selectFullJob("jobs")} WHERE j.id = $1`);

const named = "json_array_elements_text($1::json) AS r (id)";

/** In no order. */
export const readFullJobs = statement<WholeJobRow, [ids: string]>(`
  ${selectFullJob("open_jobs", `${named} JOIN open_jobs j ON ${keyIs("j.id", "r.id")}`)}
  UNION ALL ${selectFullJob("jobs", `${named} JOIN jobs j ON ${keyIs("j.id", "r.id")}`)}`);

/** Whose the job is. */
export const readJobClient = statement<{ client_id: ClientId | null }, [id: string]>(`
  SELECT client_id FROM open_jobs WHERE id = $1 UNION ALL SELECT client_id FROM jobs WHERE id = $1`);

/** Jobs of an event, and tasks that name it, oldest first behind a position; null: of all clients. */
export const readJobsOfEvent = statement<
  { id: JobId; position: number },
  [eventId: EventId, after: number, clientId: ClientId | null, limit: number]
>(`
  SELECT id, position FROM open_jobs
  WHERE event_id = $1 AND position > $2 AND ($3::text IS NULL OR client_id IS NULL OR client_id = $3)
  UNION ALL
  SELECT id, position FROM jobs
  WHERE event_id = $1 AND position > $2 AND ($3::text IS NULL OR client_id IS NULL OR client_id = $3)
  ORDER BY position LIMIT $4`);
