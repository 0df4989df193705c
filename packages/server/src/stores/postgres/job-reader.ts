import type { JobId, SubscriptionId } from "../../domain/ids.ts";
import { canRead, type Scope } from "../../domain/scope.ts";
import type { JobReader, StoredAttempt } from "../../ports/job-store.ts";
import type { Page, PageRequest } from "../../ports/settings.ts";
import type { PostgresSession } from "../../postgres/postgres-database.ts";
import { statement } from "../../postgres/statement.ts";
import { decodeCursor, encodeCursor } from "../page-cursor.ts";
import { toDispatchJob } from "../whole-job.ts";
import { storable } from "./entity-table.ts";
import { readAttempts, toStoredAttempt } from "./attempt-rows.ts";
import { readFullJob, readFullJobs, readJobClient, readJobsOfEvent } from "./full-job-row.ts";
import { listHeldGroups } from "./held-groups.ts";
import type { JobWriter } from "./job-writer.ts";
import { payloadOf, type StoredPayload } from "./task-jobs.ts";

export const readerLimits = {
  /** Where `stats` stops. */
  statsCountedMax: 10_000,
} as const;

/** The highest value of a column of type integer. */
const INTEGER_MAX = 2_147_483_647;

const readPayload = statement<StoredPayload & { content_type: string }, [jobId: string]>(
  "SELECT base64, payload, content_type FROM job_tasks WHERE job_id = $1",
);
const readStats = statement<StatsRow, [feedKey: string]>(
  "SELECT pending, queued, completed, failed, cancelled, expired FROM job_feeds WHERE key = $1",
);

interface StatsRow {
  readonly pending: number;
  readonly queued: number;
  readonly completed: number;
  readonly failed: number;
  readonly cancelled: number;
  readonly expired: number;
}

/** Single jobs, for the API. Searches over many have a session of their own. */
export function createJobReader(writer: JobWriter): JobReader {
  const { database, clock } = writer;

  const isVisible = async (id: JobId, scope: Scope): Promise<boolean> => {
    const row = await database.one(readJobClient, [storable(id)]);
    return row !== null && canRead(scope, row.client_id);
  };

  return {
    byId: async (id, scope) => {
      const row = await database.one(readFullJob, [storable(id)]);
      return row !== null && canRead(scope, row.client_id) ? toDispatchJob(row, clock.now()) : null;
    },
    byEvent: async (eventId, page, scope) => {
      const after = page.cursor === null ? 0 : Number(decodeCursor(page.cursor, ["number"])[0]);
      const clientId = scope.kind === "anchor" ? null : scope.clientId;
      const found = await database.query(readJobsOfEvent, [storable(eventId), after, clientId, page.limit + 1]);
      const ids = found.slice(0, page.limit).map((row) => row.id);
      const rows = ids.length === 0 ? [] : await database.query(readFullJobs, [JSON.stringify(ids)]);
      const nowMs = clock.now();
      const items = rows.map((row) => toDispatchJob(row, nowMs)).toSorted((a, b) => a.position - b.position);
      return pageOf(items, found.length > page.limit, (job) => [job.position]);
    },
    attempts: async (id, page, scope) => ((await isVisible(id, scope)) ? attemptsOf(id, page, database) : emptyPage),
    payload: async (id, scope) => {
      const row = (await isVisible(id, scope)) ? await database.one(readPayload, [storable(id)]) : null;
      return row === null ? null : { payload: payloadOf(row), contentType: row.content_type };
    },
    heldGroups: (page, scope) => listHeldGroups(database, page, scope),
    stats: (id) => statsOf(id, database),
  };
}

const emptyPage: Page<StoredAttempt> = { items: [], nextCursor: null, total: null };

async function attemptsOf(id: JobId, page: PageRequest, session: PostgresSession): Promise<Page<StoredAttempt>> {
  const [generation, number] =
    page.cursor === null
      ? [INTEGER_MAX, 0]
      : decodeCursor(page.cursor, ["number", "number"]).map((part) => Math.min(Math.max(Number(part), 0), INTEGER_MAX));
  const rows = await session.query(readAttempts, [id, generation ?? 0, number ?? 0, page.limit + 1]);
  const items = rows.slice(0, page.limit).map(toStoredAttempt);
  return pageOf(items, rows.length > page.limit, (attempt) => [attempt.generation, attempt.number]);
}

function pageOf<Item>(items: readonly Item[], more: boolean, keyOf: (item: Item) => readonly number[]): Page<Item> {
  const last = items.at(-1);
  return { items, nextCursor: more && last !== undefined ? encodeCursor(keyOf(last)) : null, total: null };
}

/** From the counters of the feed, which are kept with every change. */
async function statsOf(id: SubscriptionId, session: PostgresSession): ReturnType<JobReader["stats"]> {
  const row = await session.one(readStats, [id]);
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
