import type { DeliveryProfile } from "../../domain/dispatch-job.ts";
import type { ClientId, EventId, JobId, SubscriptionId } from "../../domain/ids.ts";
import type { DeliveredEvent, JobDelivery, JobReference } from "../../domain/message.ts";
import type { PostgresSession } from "../../postgres/postgres-database.ts";
import { keyIs, statement } from "../../postgres/statement.ts";
import type { DeliveryReader } from "../../ports/delivery-reader.ts";
import type { DueRun } from "../../ports/job-claims.ts";
import { feedClock, groupClock } from "../job-row.ts";
import { dataKindOf, dataOf, type StoredDataKind } from "./event-row.ts";
import type { JobDirectory } from "./job-directory.ts";
import type { JobWriter } from "./job-writer.ts";
import { payloadOf } from "./task-jobs.ts";

/**
 * What is sent, put together from the job, its profile and its event or task, in one statement for all that were asked.
 * Profiles are remembered.
 */
interface DeliveryRow {
  readonly id: JobId;
  readonly profile_id: number;
  readonly generation: number;
  readonly attempt_count: number;
  readonly generation_attempts: number;
  readonly expires_clock: number | null;
  readonly task: boolean;
  readonly client_id: ClientId | null;
  readonly held_since: number | null;
  readonly held_total_ms: number;
  readonly blocked_since: number | null;
  readonly blocked_total_ms: number;
  readonly event_id: EventId | null;
  readonly sender_id: string | null;
  readonly type: string;
  readonly source: string;
  readonly subject: string | null;
  readonly time_ms: number;
  readonly correlation_id: string | null;
  readonly causation_id: string | null;
  readonly message_group: string | null;
  readonly data_content_type: string;
  readonly data_schema: string | null;
  readonly data_kind: StoredDataKind;
  readonly extensions: string | null;
  readonly data: string | null;
  readonly subscription_id: SubscriptionId | null;
  readonly content_type: string | null;
  readonly base64: boolean | null;
  readonly payload: string | null;
}

/** Open jobs of one generation. */
export const readDeliveries = statement<DeliveryRow, [references: string]>(`
  SELECT o.id, o.profile_id, o.generation, o.attempt_count, o.generation_attempts, o.expires_clock, o.task, o.client_id,
    f.held_since, f.held_total_ms, g.blocked_since, g.blocked_total_ms,
    e.id AS event_id, e.sender_id, e.type, e.source, e.subject, e.time_ms, e.correlation_id, e.causation_id,
    e.message_group, e.data_content_type, e.data_schema, e.data_kind, e.extensions, e.data,
    t.subscription_id, t.content_type, t.base64, t.payload
  FROM json_to_recordset($1::json) AS r (i text, g integer)
  JOIN open_jobs o ON ${keyIs("o.id", "r.i")} AND o.generation = r.g
  JOIN job_groups g ON ${keyIs("g.id", "o.group_id")}
  JOIN job_feeds f ON ${keyIs("f.id", "o.feed_id")}
  LEFT JOIN events e ON ${keyIs("e.id", "o.event_id")}
  LEFT JOIN job_tasks t ON ${keyIs("t.job_id", "CASE WHEN o.task THEN o.id END")}`);

export function createDeliveryReader(writer: JobWriter): DeliveryReader {
  return { read: (references) => readAll(references, writer.database, contextOf(writer)) };
}

/** The same for queues that carry payloads themselves. */
export function composeDeliveries(
  writer: JobWriter,
): (runs: readonly DueRun[]) => Promise<ReadonlyMap<JobId, JobDelivery>> {
  return (runs) =>
    readAll(
      runs.flatMap((run) => run.jobs),
      writer.database,
      contextOf(writer),
    );
}

interface ReaderContext {
  readonly directory: JobDirectory;
  readonly nowMs: number;
}

function contextOf({ directory, clock }: JobWriter): ReaderContext {
  return { directory, nowMs: clock.now() };
}

async function readAll(
  references: readonly Pick<JobReference, "jobId" | "generation">[],
  session: PostgresSession,
  context: ReaderContext,
): Promise<ReadonlyMap<JobId, JobDelivery>> {
  if (references.length === 0) return new Map();
  const asked = JSON.stringify(references.map(({ jobId, generation }) => ({ i: jobId, g: generation })));
  const rows = await session.query(readDeliveries, [asked]);
  const profiles = await context.directory.loadProfiles(
    session,
    rows.map((row) => row.profile_id),
  );
  const deliveries = new Map<JobId, JobDelivery>();
  for (const row of rows) {
    const delivery = toDelivery(row, profiles.get(row.profile_id), context.nowMs);
    if (delivery !== null) deliveries.set(row.id, delivery);
  }
  return deliveries;
}

/** Null: the event or the task is missing, so there is nothing to send. */
function toDelivery(row: DeliveryRow, profile: DeliveryProfile | undefined, nowMs: number): JobDelivery | null {
  const content = row.task ? taskContent(row) : eventContent(row);
  if (content === null || profile === undefined) return null;
  const time = groupClock(feedClock(row, nowMs), row);
  // Before its first publication is marked, a job is as old as if it were published now.
  const leftMs = row.expires_clock === null ? profile.maxAgeSeconds * 1_000 : row.expires_clock - time;
  return {
    kind: "delivery",
    jobId: row.id,
    generation: row.generation,
    attemptCount: row.attempt_count,
    generationAttempts: row.generation_attempts,
    clientId: row.client_id,
    subscriptionId: row.task ? row.subscription_id : profile.subscriptionId,
    target: profile.targetUrl,
    format: profile.format,
    headers: profile.headers,
    timeoutSeconds: profile.timeoutSeconds,
    retry: profile.retry,
    legacySignature: profile.legacySignature,
    secretRef: profile.secretRef,
    expiresAtMs: nowMs + leftMs,
    ...content,
  };
}

type Content = Pick<JobDelivery, "contentType" | "payloadKind" | "payload" | "event">;

function eventContent(row: DeliveryRow): Content | null {
  if (row.event_id === null) return null;
  return {
    contentType: row.data_content_type,
    payloadKind: dataKindOf(row.data_kind),
    payload: dataOf(row),
    event: toDeliveredEvent(row, row.event_id),
  };
}

function taskContent(row: DeliveryRow): Content | null {
  if (row.payload === null || row.content_type === null) return null;
  return {
    contentType: row.content_type,
    payloadKind: isJson(row.content_type) ? "json" : "text",
    payload: payloadOf({ base64: row.base64 === true, payload: row.payload }),
    event: row.event_id === null ? null : toDeliveredEvent(row, row.event_id),
  };
}

function toDeliveredEvent(row: DeliveryRow, id: EventId): DeliveredEvent {
  return {
    id,
    senderId: row.sender_id,
    type: row.type,
    source: row.source,
    subject: row.subject,
    timeMs: row.time_ms,
    correlationId: row.correlation_id,
    causationId: row.causation_id,
    messageGroup: row.message_group,
    dataSchema: row.data_schema,
    extensions: row.extensions === null ? {} : (JSON.parse(row.extensions) as DeliveredEvent["extensions"]),
  };
}

function isJson(contentType: string): boolean {
  const type = (contentType.split(";")[0] ?? "").trim().toLowerCase();
  return type === "application/json" || type.endsWith("+json");
}
