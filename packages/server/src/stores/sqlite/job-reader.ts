import type { DispatchJob } from "../../domain/dispatch-job.ts";
import type { ClientId, EventId, EventPosition, JobId, JobPosition, SubscriptionId } from "../../domain/ids.ts";
import { canRead, type Scope } from "../../domain/scope.ts";
import type { JobReader, StoredAttempt } from "../../ports/job-store.ts";
import type { Page, PageRequest } from "../../ports/settings.ts";
import { readAttempts, toStoredAttempt, type AttemptRow } from "./attempt-rows.ts";
import type { SqliteDatabase } from "./database.ts";
import { createHeldGroups } from "./held-groups.ts";
import { selectFullJob, toDispatchJob, type FullJobRow } from "./job-row.ts";
import type { JobWriter } from "./job-writer.ts";
import { createJobsOfEvents, type JobsOfEvents } from "./jobs-of-event.ts";
import { decodeCursor, encodeCursor } from "../page-cursor.ts";

export const readerLimits = {
  /** Where `stats` stops. */
  statsCountedMax: 10_000,
} as const;

/** Single jobs, for the API. Searches over many run elsewhere, off this thread. */
export function createJobReader(writer: JobWriter): JobReader {
  const { database, clock } = writer;
  const sql = prepare(database);
  const jobsOfEvents = createJobsOfEvents(database);
  const heldGroups = createHeldGroups(writer);

  const visibleJob = (id: JobId, scope: Scope): FullJobRow | null => {
    const row = sql.byId.get(id);
    return row !== null && canRead(scope, row.client_id) ? row : null;
  };

  return {
    byId: async (id, scope) => {
      const row = visibleJob(id, scope);
      return row === null ? null : toDispatchJob(row, clock.now());
    },
    byEvent: async (eventId, page, scope) => {
      const nowMs = clock.now();
      const after = page.cursor === null ? 0 : Number(decodeCursor(page.cursor, ["number"])[0]);
      const positions = positionsOf(eventId, { after, count: page.limit + 1, scope }, { sql, jobsOfEvents });
      const items: DispatchJob[] = [];
      for (const position of positions.slice(0, page.limit)) {
        const row = sql.byPosition.get(position);
        if (row !== null) items.push(toDispatchJob(row, nowMs));
      }
      return pageOf(items, positions.length > page.limit, (job) => [job.position]);
    },
    attempts: async (id, page, scope) => {
      const job = visibleJob(id, scope);
      return job === null ? emptyPage : attemptsOf(job.position, page, sql);
    },
    payload: async (id, scope) => {
      const job = visibleJob(id, scope);
      const row = job === null ? null : sql.payload.get(job.position);
      return row === null ? null : { payload: row.payload, contentType: row.content_type };
    },
    heldGroups: async (page, scope) => heldGroups.list(page, scope),
    stats: async (id) => statsOf(id, sql),
  };
}

const emptyPage: Page<StoredAttempt> = { items: [], nextCursor: null, total: null };

type ReaderStatements = ReturnType<typeof prepare>;

interface PositionQuery {
  readonly after: number;
  readonly count: number;
  readonly scope: Scope;
}

/** Jobs that were made from the event, and tasks that name it, by position. */
function positionsOf(
  eventId: EventId,
  { after, count, scope }: PositionQuery,
  { sql, jobsOfEvents }: { readonly sql: ReaderStatements; readonly jobsOfEvents: JobsOfEvents },
): readonly JobPosition[] {
  const clientId = scope.kind === "anchor" ? null : scope.clientId;
  const tasks = sql.tasksOfEvent.all(eventId, after, clientId, count);
  const event = sql.eventPosition.get(eventId);
  if (event === null) return tasks.map((row) => row.position);
  const from = Math.max(jobsOfEvents.firstFrom(event.position), after + 1);
  const before = jobsOfEvents.firstFrom((event.position + 1) as EventPosition);
  const made = sql.jobsBetween.all(from, before, clientId, count);
  const all = [...made, ...tasks].map((row) => row.position);
  return all.sort((a, b) => a - b).slice(0, count);
}

function attemptsOf(position: JobPosition, page: PageRequest, sql: ReaderStatements): Page<StoredAttempt> {
  const [generation, number] =
    page.cursor === null
      ? [Number.MAX_SAFE_INTEGER, 0]
      : decodeCursor(page.cursor, ["number", "number"]).map((part) => Number(part));
  const rows = sql.attempts.all(position, generation ?? 0, number ?? 0, page.limit + 1);
  const items = rows.slice(0, page.limit).map((row) => toStoredAttempt(row));
  return pageOf(items, rows.length > page.limit, (attempt) => [attempt.generation, attempt.number]);
}

function pageOf<Item>(items: readonly Item[], more: boolean, keyOf: (item: Item) => readonly number[]): Page<Item> {
  const last = items.at(-1);
  return { items, nextCursor: more && last !== undefined ? encodeCursor(keyOf(last)) : null, total: null };
}

/** From the counters of the feed, which are kept with every change. */
function statsOf(id: SubscriptionId, sql: ReaderStatements): Awaited<ReturnType<JobReader["stats"]>> {
  const row = sql.stats.get(id);
  const capped = (count: number | undefined): number => Math.min(count ?? 0, readerLimits.statsCountedMax);
  return {
    PENDING: capped(row?.pending),
    QUEUED: capped(row?.queued),
    COMPLETED: capped(row?.completed),
    FAILED: capped(row?.failed),
    CANCELLED: capped(row?.cancelled),
    EXPIRED: capped(row?.expired),
  };
}

interface StatsRow {
  readonly pending: number;
  readonly queued: number;
  readonly completed: number;
  readonly failed: number;
  readonly cancelled: number;
  readonly expired: number;
}

function prepare(database: SqliteDatabase) {
  return {
    byId: database.statement<FullJobRow, [string]>(`${selectFullJob} WHERE j.id = (?1 || '')`),
    byPosition: database.statement<FullJobRow, [number]>(`${selectFullJob} WHERE j.position = (?1 + 0)`),
    eventPosition: database.statement<{ position: EventPosition }, [string]>(
      "SELECT position FROM events WHERE id = ?1",
    ),
    jobsBetween: database.statement<
      { position: JobPosition },
      [from: number, before: number, clientId: ClientId | null, limit: number]
    >(`
      SELECT position FROM jobs WHERE position >= ?1 AND position < ?2 AND task = 0
        AND (?3 IS NULL OR client_id IS NULL OR client_id = ?3)
      ORDER BY position LIMIT (?4 + 0)`),
    tasksOfEvent: database.statement<
      { position: JobPosition },
      [eventId: string, after: number, clientId: ClientId | null, limit: number]
    >(`
      SELECT position FROM job_tasks WHERE event_id = ?1 AND position > ?2
        AND (?3 IS NULL OR client_id IN ('', ?3))
      ORDER BY position LIMIT (?4 + 0)`),
    attempts: database.statement<AttemptRow, [number, number, number, number]>(readAttempts),
    payload: database.statement<{ payload: string; content_type: string }, [number]>(
      "SELECT payload, content_type FROM job_tasks WHERE position = ?1",
    ),
    stats: database.statement<StatsRow, [string]>(
      "SELECT pending, queued, completed, failed, cancelled, expired FROM job_feeds WHERE key = ?1",
    ),
  };
}
