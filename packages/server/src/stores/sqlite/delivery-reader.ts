import type { DeliveredEvent, JobDelivery, JobReference } from "../../domain/message.ts";
import type { DataKind } from "../../domain/event.ts";
import type { ClientId, EventId, JobId, SubscriptionId } from "../../domain/ids.ts";
import type { DeliveryReader } from "../../ports/delivery-reader.ts";
import type { DueRun } from "../../ports/job-claims.ts";
import type { SqliteDatabase, SqliteStatement } from "./database.ts";
import type { JobDirectory } from "./job-directory.ts";
import { feedClock, groupClock } from "../job-row.ts";
import type { JobWriter } from "./job-writer.ts";

/**
 * What is sent, put together from the job, its profile and its event or task. Profiles are remembered, and held times
 * are read once a group. The event is a look-up of its own: as a join the two cost three times as much (measured).
 */
interface DeliveryRow {
  readonly id: JobId;
  readonly stream_position: number;
  readonly feed_id: number;
  readonly group_id: number;
  readonly profile_id: number;
  readonly generation: number;
  readonly attempt_count: number;
  readonly generation_attempts: number;
  readonly expires_clock: number | null;
  readonly task: number;
  readonly client_id: ClientId | null;
}

interface EventPart {
  readonly id: EventId;
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
  readonly data_kind: DataKind;
  readonly extensions: string | null;
  readonly data: string | null;
}

interface TaskRow {
  readonly payload: string;
  readonly content_type: string;
  readonly event_id: EventId | null;
  readonly subscription_id: SubscriptionId | null;
}

interface HeldRow {
  readonly held_since: number | null;
  readonly held_total_ms: number;
}

interface BlockedRow {
  readonly blocked_since: number | null;
  readonly blocked_total_ms: number;
}

const eventColumns = `id, sender_id, type, source, subject, time_ms, correlation_id, causation_id, message_group,
    data_content_type, data_schema, data_kind, extensions, data`;

/** An open job of one generation. */
export const readDelivery = `
  SELECT id, stream_position, feed_id, group_id, profile_id, generation, attempt_count, generation_attempts,
    expires_clock, task, client_id
  FROM jobs WHERE id = ?1 AND generation = ?2 AND open = 1`;

export const readDeliveredEvent = `SELECT ${eventColumns} FROM events WHERE position = ?1`;

export const readTaskOfJob = `SELECT t.payload, t.content_type, t.event_id, t.subscription_id
  FROM job_tasks t WHERE t.position = (SELECT position FROM jobs WHERE id = ?1)`;

interface ReaderContext {
  readonly directory: JobDirectory;
  readonly delivery: SqliteStatement<DeliveryRow, [string, number]>;
  readonly task: SqliteStatement<TaskRow, [string]>;
  readonly event: SqliteStatement<EventPart, [number]>;
  readonly eventById: SqliteStatement<EventPart, [string]>;
  readonly group: SqliteStatement<BlockedRow, [number]>;
  readonly feed: SqliteStatement<HeldRow, [number]>;
  now(): number;
}

export function createDeliveryReader(writer: JobWriter): DeliveryReader {
  const context = prepare(writer);
  // One transaction: outside of one, each look-up would lock and unlock the file (three times the cost, measured).
  return { read: async (references) => writer.database.transaction(() => readAll(references, context)) };
}

/** The same for queues that carry payloads themselves. */
export function composeDeliveries(
  writer: JobWriter,
): (runs: readonly DueRun[]) => Promise<ReadonlyMap<JobId, JobDelivery>> {
  const context = prepare(writer);
  return async (runs) =>
    writer.database.transaction(() =>
      readAll(
        runs.flatMap((run) => run.jobs),
        context,
      ),
    );
}

function readAll(
  references: readonly Pick<JobReference, "jobId" | "generation">[],
  context: ReaderContext,
): ReadonlyMap<JobId, JobDelivery> {
  const deliveries = new Map<JobId, JobDelivery>();
  const nowMs = context.now();
  const held = new HeldTimes(context, nowMs);
  for (const reference of references) {
    const row = context.delivery.get(reference.jobId, reference.generation);
    if (row === null) continue;
    const delivery = row.task === 1 ? taskDelivery(row, context) : eventDelivery(row, context);
    if (delivery === null) continue;
    const profile = context.directory.profile(row.profile_id);
    // Before its first publication is marked, a job is as old as if it were published now.
    const leftMs = row.expires_clock === null ? profile.maxAgeSeconds * 1_000 : row.expires_clock - held.groupTime(row);
    deliveries.set(row.id, { ...delivery, expiresAtMs: nowMs + leftMs });
  }
  return deliveries;
}

/** What was read for one call: held times of groups and feeds. */
class HeldTimes {
  readonly #context: ReaderContext;
  readonly #nowMs: number;
  readonly #feeds = new Map<number, number>();
  readonly #groups = new Map<number, number>();

  constructor(context: ReaderContext, nowMs: number) {
    this.#context = context;
    this.#nowMs = nowMs;
  }

  /** The time on the clock of the job's group. */
  groupTime(row: DeliveryRow): number {
    let time = this.#groups.get(row.group_id);
    if (time === undefined) {
      const group = this.#context.group.get(row.group_id);
      const feedTime = this.#feedTime(row.feed_id);
      time = group === null ? feedTime : groupClock(feedTime, group);
      this.#groups.set(row.group_id, time);
    }
    return time;
  }

  #feedTime(feedId: number): number {
    let time = this.#feeds.get(feedId);
    if (time === undefined) {
      const feed = this.#context.feed.get(feedId);
      time = feed === null ? this.#nowMs : feedClock(feed, this.#nowMs);
      this.#feeds.set(feedId, time);
    }
    return time;
  }
}

type Delivery = Omit<JobDelivery, "expiresAtMs">;

/** Null: the event is missing, so there is nothing to send. */
function eventDelivery(row: DeliveryRow, context: ReaderContext): Delivery | null {
  const event = context.event.get(row.stream_position);
  if (event === null) return null;
  return {
    ...fromProfile(row, context),
    contentType: event.data_content_type,
    payloadKind: event.data_kind,
    payload: event.data,
    event: toDeliveredEvent(event),
  };
}

function taskDelivery(row: DeliveryRow, context: ReaderContext): Delivery | null {
  const task = context.task.get(row.id);
  if (task === null) return null;
  const named = task.event_id === null ? null : context.eventById.get(task.event_id);
  return {
    ...fromProfile(row, context),
    subscriptionId: task.subscription_id,
    contentType: task.content_type,
    payloadKind: isJson(task.content_type) ? "json" : "text",
    payload: task.payload,
    event: named === null ? null : toDeliveredEvent(named),
  };
}

function fromProfile(row: DeliveryRow, context: ReaderContext) {
  const profile = context.directory.profile(row.profile_id);
  return {
    kind: "delivery",
    jobId: row.id,
    generation: row.generation,
    attemptCount: row.attempt_count,
    generationAttempts: row.generation_attempts,
    clientId: row.client_id,
    subscriptionId: profile.subscriptionId,
    target: profile.targetUrl,
    format: profile.format,
    headers: profile.headers,
    timeoutSeconds: profile.timeoutSeconds,
    retry: profile.retry,
    legacySignature: profile.legacySignature,
    secretRef: profile.secretRef,
  } as const;
}

function toDeliveredEvent(row: EventPart): DeliveredEvent {
  return {
    id: row.id,
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

function prepare({ database, directory, clock }: JobWriter): ReaderContext {
  return {
    directory,
    now: () => clock.now(),
    ...statements(database),
  };
}

function statements(database: SqliteDatabase) {
  return {
    delivery: database.statement<DeliveryRow, [string, number]>(readDelivery),
    task: database.statement<TaskRow, [string]>(readTaskOfJob),
    event: database.statement<EventPart, [number]>(readDeliveredEvent),
    eventById: database.statement<EventPart, [string]>(`SELECT ${eventColumns} FROM events WHERE id = ?1`),
    group: database.statement<BlockedRow, [number]>(
      "SELECT blocked_since, blocked_total_ms FROM job_groups WHERE id = ?1",
    ),
    feed: database.statement<HeldRow, [number]>("SELECT held_since, held_total_ms FROM job_feeds WHERE id = ?1"),
  };
}
