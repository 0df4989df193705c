import type { FinalStatus } from "../../domain/dispatch-job.ts";
import type { ClientId, ReplayId } from "../../domain/ids.ts";
import { canRead, type Scope } from "../../domain/scope.ts";
import type { Replay, ReplayFilter, ReplayStore } from "../../ports/job-store.ts";
import type { PostgresSession } from "../../postgres/postgres-database.ts";
import { statement } from "../../postgres/statement.ts";
import { statusCodes } from "../job-row.ts";
import { decodeCursor, encodeCursor } from "../page-cursor.ts";
import { storable } from "./entity-table.ts";
import type { JobChanges } from "./job-changes.ts";
import { loadOwnedJobs, ownedColumns, retryJob, type OwnedJob } from "./job-retry.ts";
import type { JobWriter } from "./job-writer.ts";

/**
 * Bulk retries. A replay walks the history by position, in slices, from its cursor to the newest job of the moment it
 * was created; cursor, count and the retried jobs are one transaction, so a restart goes on exactly where it was. That
 * transaction has the replay's row locked, so two instances that both advance it take turns and retry nothing twice.
 * There is no index for arbitrary filters and none is needed: a slice is a few milliseconds.
 *
 * A retried job leaves the history, and comes back to its place in it when it has ended again; the cursor has passed
 * that place by then.
 */
export const replayLimits = {
  /** Rows that are looked at in one go. */
  sliceRows: 5_000,
  /** The same while counting, which writes nothing. */
  countedRows: 50_000,
  /** Slices of one step, when few jobs match. */
  slicesPerStep: 4,
} as const;

interface ReplayRow {
  readonly id: ReplayId;
  readonly client_id: ClientId | null;
  readonly anchor: number;
  readonly filter: string;
  readonly total: number;
  readonly done: number;
  readonly status: Replay["status"];
  readonly jobs_per_second: number;
  readonly cursor: number;
  readonly last_position: number;
  readonly created_at: number;
  readonly updated_at: number;
}

export function createReplayStore(writer: JobWriter): ReplayStore {
  const { database } = writer;
  return {
    count: (filter, scope) => countMatches(filter, scope, database),
    create: async (replay, scope) => {
      await database.run(addReplay, [
        replay.id,
        scope.kind === "client" ? scope.clientId : null,
        scope.kind === "anchor" ? 1 : 0,
        JSON.stringify(replay.filter),
        replay.total,
        replay.done,
        replay.status,
        replay.jobsPerSecond,
        replay.createdAtMs,
        replay.updatedAtMs,
      ]);
      return replay;
    },
    byId: async (id, scope) => {
      const row = await database.one(readReplay, [storable(id)]);
      return row !== null && isVisible(row, scope) ? toReplay(row) : null;
    },
    list: async (page, scope) => {
      const before = page.cursor === null ? null : storable(String(decodeCursor(page.cursor, ["string"])[0]));
      const clientId = scope.kind === "client" ? scope.clientId : null;
      const rows = await database.query(listReplays, [before, clientId, page.limit + 1]);
      const items = rows.slice(0, page.limit).map(toReplay);
      const last = items.at(-1);
      const more = rows.length > page.limit && last !== undefined;
      return { items, nextCursor: more ? encodeCursor([last.id]) : null, total: null };
    },
    running: async () => (await database.query(readRunning, [])).map(toReplay),
    advance: async (id, maxJobs, nowMs) => {
      let left = maxJobs;
      for (let slice = 0; slice < replayLimits.slicesPerStep && left > 0; slice++) {
        const found = await writer.write({ nowMs }, (changes) => advance({ id, maxJobs: left }, changes, writer));
        if (found === null) break;
        left -= found;
      }
      return replayOf(id, database);
    },
    cancel: async (id, nowMs) => {
      await database.run(cancelReplay, [storable(id), nowMs]);
      return replayOf(id, database);
    },
  };
}

function isVisible(row: ReplayRow, scope: Scope): boolean {
  return scope.kind === "anchor" || (row.anchor === 0 && canRead(scope, row.client_id));
}

async function replayOf(id: ReplayId, session: PostgresSession): Promise<Replay | null> {
  const row = await session.one(readReplay, [storable(id)]);
  return row === null ? null : toReplay(row);
}

interface AdvanceRequest {
  readonly id: ReplayId;
  readonly maxJobs: number;
}

/**
 * Retries up to `maxJobs` matching jobs of the slice behind the cursor, and moves the cursor behind the last one.
 * Gives back how many matched; null: the replay has nothing left to do.
 */
async function advance(request: AdvanceRequest, changes: JobChanges, writer: JobWriter): Promise<number | null> {
  const { session } = changes;
  const row = await session.one(lockReplay, [storable(request.id)]);
  if (row === null || row.status !== "RUNNING") return null;
  const scope: Scope =
    row.anchor === 1 || row.client_id === null ? { kind: "anchor" } : { kind: "client", clientId: row.client_id };
  const slice = await session.one(readSlice, [row.cursor, row.last_position, replayLimits.sliceRows]);
  const isLast = slice === null || slice.looked < replayLimits.sliceRows;
  const end = isLast ? row.last_position : (slice.last ?? row.last_position);
  const params = paramsOf(toReplay(row).filter, scope, { after: row.cursor, to: end });
  const found = await session.query(readMatches, [...params, request.maxJobs]);
  await loadOwnedJobs(found, changes, writer.directory);
  let { done } = row;
  for (const { id } of found) if (changes.job(id) !== null && (await retryJob(id, true, changes))) done++;
  const cursor = found.length === request.maxJobs ? (found.at(-1)?.position ?? end) : end;
  const status = cursor >= row.last_position ? "COMPLETED" : "RUNNING";
  await session.run(moveReplay, [row.id, cursor, done, status, changes.nowMs]);
  return found.length;
}

async function countMatches(filter: ReplayFilter, scope: Scope, session: PostgresSession): Promise<number> {
  const newest = (await session.one(readNewestPosition, []))?.position ?? 0;
  let total = 0;
  for (let after = 0; after < newest;) {
    const slice = await session.one(readSlice, [after, newest, replayLimits.countedRows]);
    const to = slice?.last ?? null;
    if (to === null) break;
    total += (await session.one(countSlice, paramsOf(filter, scope, { after, to })))?.total ?? 0;
    after = to;
  }
  return total;
}

type FilterParams = [
  ...[after: number, to: number, statuses: readonly number[], clientId: string | null, subscriptionId: string | null],
  ...[eventType: string | null, createdAfterMs: number | null, createdBeforeMs: number | null],
];

function paramsOf(
  filter: ReplayFilter,
  scope: Scope,
  range: { readonly after: number; readonly to: number },
): FilterParams {
  return [
    range.after,
    range.to,
    filter.statuses.map((status: FinalStatus) => statusCodes[status]),
    scope.kind === "client" ? scope.clientId : null,
    filter.subscriptionId === undefined ? null : storable<string>(filter.subscriptionId),
    filter.eventType === undefined ? null : storable(filter.eventType),
    filter.createdAfterMs ?? null,
    filter.createdBeforeMs ?? null,
  ];
}

function toReplay(row: ReplayRow): Replay {
  return {
    id: row.id,
    filter: JSON.parse(row.filter) as ReplayFilter,
    total: row.total,
    done: row.done,
    status: row.status,
    jobsPerSecond: row.jobs_per_second,
    createdAtMs: row.created_at,
    updatedAtMs: row.updated_at,
  };
}

/** A tenant replays its own jobs only: those of the platform are not its to change. */
const filterCondition = `position > $1 AND position <= $2 AND status = ANY ($3::smallint[])
  AND ($4::text IS NULL OR client_id = $4)
  AND ($5::text IS NULL OR feed_id = (SELECT id FROM job_feeds WHERE key = $5))
  AND ($6::text IS NULL OR code = $6)
  AND ($7::bigint IS NULL OR created_at >= $7) AND ($8::bigint IS NULL OR created_at < $8)`;

/** Where the next so many jobs of the history end. */
export const readSlice = statement<{ last: number | null; looked: number }, [after: number, to: number, rows: number]>(`
  SELECT max(position) AS last, count(*) AS looked
  FROM (SELECT position FROM jobs WHERE position > $1 AND position <= $2 ORDER BY position LIMIT $3) AS slice`);

export const countSlice = statement<{ total: number }, FilterParams>(
  `SELECT count(*) AS total FROM jobs WHERE ${filterCondition}`,
);

export const readMatches = statement<OwnedJob, [...FilterParams, limit: number]>(
  `SELECT ${ownedColumns} FROM jobs WHERE ${filterCondition} ORDER BY position LIMIT $9`,
);

/** No job that was made before has a higher one. */
const newestPosition = "(SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM job_positions)";
const readNewestPosition = statement<{ position: number }>(`SELECT ${newestPosition} AS position`);

/** By name: a statement that gives all columns fails on its connection for good when a later version adds one. */
const replayColumns = `id, client_id, anchor, filter, total, done, status, jobs_per_second, cursor, last_position,
  created_at, updated_at`;
const selectReplays = `SELECT ${replayColumns} FROM replays`;

const readReplay = statement<ReplayRow, [string]>(`${selectReplays} WHERE id = $1`);
const lockReplay = statement<ReplayRow, [string]>(`${selectReplays} WHERE id = $1 FOR UPDATE`);
const readRunning = statement<ReplayRow>(`${selectReplays} WHERE status = 'RUNNING' ORDER BY id`);
const listReplays = statement<ReplayRow, [before: string | null, clientId: string | null, limit: number]>(`
  ${selectReplays} WHERE ($1::text IS NULL OR id < $1) AND ($2::text IS NULL OR client_id = $2)
  ORDER BY id DESC LIMIT $3`);
const addReplay = statement<
  never,
  [
    ...[id: string, clientId: string | null, anchor: number, filter: string, total: number, done: number],
    ...[status: string, jobsPerSecond: number, createdAt: number, updatedAt: number],
  ]
>(`
  INSERT INTO replays (${replayColumns})
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, ${newestPosition}, $9, $10)`);
const moveReplay = statement<never, [id: string, cursor: number, done: number, status: string, nowMs: number]>(
  "UPDATE replays SET cursor = $2, done = $3, status = $4, updated_at = $5 WHERE id = $1",
);
const cancelReplay = statement<never, [id: string, nowMs: number]>(
  "UPDATE replays SET status = 'CANCELLED', updated_at = $2 WHERE id = $1 AND status = 'RUNNING'",
);
