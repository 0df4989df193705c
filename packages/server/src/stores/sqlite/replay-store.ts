import type { FinalStatus } from "../../domain/dispatch-job.ts";
import type { ClientId, JobPosition, ReplayId } from "../../domain/ids.ts";
import { canRead, type Scope } from "../../domain/scope.ts";
import type { Replay, ReplayFilter, ReplayStore } from "../../ports/job-store.ts";
import type { SqliteDatabase } from "./database.ts";
import { createJobRetry, ownedJobColumns, type OwnedJobRow } from "./job-commands.ts";
import type { JobChanges } from "./job-changes.ts";
import { statusCodes } from "../job-row.ts";
import type { JobWriter } from "./job-writer.ts";
import { decodeCursor, encodeCursor } from "../page-cursor.ts";

/**
 * Bulk retries. A replay walks the jobs by position, in slices, from its cursor to the newest job of the moment it was
 * created; cursor, count and the retried jobs are one transaction, so a restart goes on exactly where it was. There is
 * no index for arbitrary filters and none is needed: a slice is a few milliseconds, and between two slices the thread
 * is free.
 */
export const replayLimits = {
  /** Positions that are looked at in one go. */
  sliceRows: 5_000,
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
  const sql = prepare(writer.database);
  const matches = createMatcher(writer.database);
  const step = createStep(writer, { sql, matches });
  const visible = (row: ReplayRow, scope: Scope): boolean => row.anchor === 0 && canRead(scope, row.client_id);

  return {
    count: async (filter, scope) => {
      let total = 0;
      const last = sql.newest.get()?.position ?? 0;
      for (let from = sql.oldest.get()?.position ?? 0; from <= last; from += replayLimits.sliceRows) {
        total += matches.count(filter, scope, { from, before: from + replayLimits.sliceRows });
        // Long walks give way after each slice.
        await new Promise((resolve) => setImmediate(resolve));
      }
      return total;
    },
    create: async (replay, scope) => {
      writer.database.durableTransaction(() =>
        sql.add.run(
          replay.id,
          scope.kind === "client" ? scope.clientId : null,
          scope.kind === "anchor" ? 1 : 0,
          JSON.stringify(replay.filter),
          replay.total,
          replay.done,
          replay.status,
          replay.jobsPerSecond,
          sql.newest.get()?.position ?? 0,
          replay.createdAtMs,
          replay.updatedAtMs,
        ),
      );
      return replay;
    },
    byId: async (id, scope) => {
      const row = sql.byId.get(id);
      return row !== null && (scope.kind === "anchor" || visible(row, scope)) ? toReplay(row) : null;
    },
    list: async (page, scope) => {
      const before = page.cursor === null ? null : String(decodeCursor(page.cursor, ["string"])[0]);
      const rows = sql.list.all(before, scope.kind === "client" ? scope.clientId : null, page.limit + 1);
      const items = rows.slice(0, page.limit).map((row) => toReplay(row));
      const last = items.at(-1);
      const more = rows.length > page.limit && last !== undefined;
      return { items, nextCursor: more ? encodeCursor([last.id]) : null, total: null };
    },
    running: async () => sql.running.all().map((row) => toReplay(row)),
    advance: async (id, maxJobs, nowMs) => {
      let left = maxJobs;
      for (let slice = 0; slice < replayLimits.slicesPerStep && left > 0; slice++) {
        const found = writer.write({ nowMs }, (changes) => step(id, left, changes));
        if (found === null) break;
        left -= found;
        // Deliveries and requests have their turn between two slices.
        if (left > 0) await new Promise((resolve) => setImmediate(resolve));
      }
      return readReplay(id, sql);
    },
    cancel: async (id, nowMs) => {
      writer.database.durableTransaction(() => sql.cancel.run(id, nowMs));
      return readReplay(id, sql);
    },
  };
}

function readReplay(id: ReplayId, sql: ReplayStatements): Replay | null {
  const row = sql.byId.get(id);
  return row === null ? null : toReplay(row);
}

/**
 * Retries up to `maxJobs` matching jobs of the slice behind the cursor, and moves the cursor behind the last one.
 * Gives back how many matched; null: the replay has nothing left to do.
 */
function createStep(
  writer: JobWriter,
  { sql, matches }: { readonly sql: ReplayStatements; readonly matches: Matcher },
): (id: ReplayId, maxJobs: number, changes: JobChanges) => number | null {
  const retryJob = createJobRetry(writer);
  return (id, maxJobs, changes) => {
    const row = sql.byId.get(id);
    if (row === null || row.status !== "RUNNING") return null;
    const scope: Scope =
      row.anchor === 1 || row.client_id === null ? { kind: "anchor" } : { kind: "client", clientId: row.client_id };
    const end = Math.min(row.cursor + replayLimits.sliceRows, row.last_position);
    const range = { from: row.cursor + 1, before: end + 1, limit: maxJobs };
    const found = matches.read(toReplay(row).filter, scope, range);
    let done = row.done;
    for (const job of found) if (retryJob(job, true, changes)) done++;
    const cursor = found.length === maxJobs ? (found.at(-1)?.position ?? end) : end;
    const status = cursor >= row.last_position ? "COMPLETED" : "RUNNING";
    sql.advance.run(id, cursor, done, status, changes.nowMs);
    return found.length;
  };
}

interface PositionRange {
  readonly from: number;
  readonly before: number;
}

interface Matcher {
  count(filter: ReplayFilter, scope: Scope, range: PositionRange): number;
  read(filter: ReplayFilter, scope: Scope, range: PositionRange & { readonly limit: number }): readonly OwnedJobRow[];
}

type FilterParams = [
  ...[from: number, before: number, statusBits: number, clientId: string | null, subscriptionId: string | null],
  ...[eventType: string | null, createdAfterMs: number | null, createdBeforeMs: number | null],
];

/** A tenant replays its own jobs only: those of the platform are not its to change. */
const filterCondition = `position >= ?1 AND position < ?2 AND (?3 >> status) & 1
  AND (?4 IS NULL OR client_id = ?4)
  AND (?5 IS NULL OR feed_id = (SELECT id FROM job_feeds WHERE key = ?5))
  AND (?6 IS NULL OR ?6 = CASE task
    WHEN 0 THEN (SELECT type FROM events e WHERE e.position = stream_position)
    ELSE (SELECT code FROM job_tasks t WHERE t.position = jobs.position) END)
  AND (?7 IS NULL OR created_at >= ?7) AND (?8 IS NULL OR created_at < ?8)`;

function createMatcher(database: SqliteDatabase): Matcher {
  const count = database.statement<{ total: number }, FilterParams>(
    `SELECT count(*) AS total FROM jobs WHERE ${filterCondition}`,
  );
  const read = database.statement<OwnedJobRow, [...FilterParams, limit: number]>(
    `SELECT ${ownedJobColumns} FROM jobs WHERE ${filterCondition} ORDER BY position LIMIT ?9`,
  );
  return {
    count: (filter, scope, range) => count.get(...paramsOf(filter, scope, range))?.total ?? 0,
    read: (filter, scope, range) => read.all(...paramsOf(filter, scope, range), range.limit),
  };
}

function paramsOf(filter: ReplayFilter, scope: Scope, range: PositionRange): FilterParams {
  return [
    range.from,
    range.before,
    statusBits(filter.statuses),
    scope.kind === "client" ? scope.clientId : null,
    filter.subscriptionId ?? null,
    filter.eventType ?? null,
    filter.createdAfterMs ?? null,
    filter.createdBeforeMs ?? null,
  ];
}

function statusBits(statuses: readonly FinalStatus[]): number {
  return statuses.reduce((bits, status) => bits | (1 << statusCodes[status]), 0);
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

type ReplayStatements = ReturnType<typeof prepare>;

function prepare(database: SqliteDatabase) {
  return {
    newest: database.statement<{ position: JobPosition | null }>("SELECT max(position) AS position FROM jobs"),
    oldest: database.statement<{ position: JobPosition | null }>("SELECT min(position) AS position FROM jobs"),
    byId: database.statement<ReplayRow, [string]>("SELECT * FROM replays WHERE id = ?1"),
    running: database.statement<ReplayRow>("SELECT * FROM replays WHERE status = 'RUNNING' ORDER BY id"),
    list: database.statement<ReplayRow, [string | null, string | null, number]>(`
      SELECT * FROM replays WHERE (?1 IS NULL OR id < ?1) AND (?2 IS NULL OR client_id = ?2)
      ORDER BY id DESC LIMIT ?3`),
    add: database.statement<
      never,
      [
        ...[id: string, clientId: string | null, anchor: number, filter: string, total: number, done: number],
        ...[status: string, jobsPerSecond: number, lastPosition: number, createdAt: number, updatedAt: number],
      ]
    >(`
      INSERT INTO replays (id, client_id, anchor, filter, total, done, status, jobs_per_second, cursor, last_position,
        created_at, updated_at)
      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?9, ?10, ?11)`),
    advance: database.statement<never, [string, number, number, string, number]>(
      "UPDATE replays SET cursor = ?2, done = ?3, status = ?4, updated_at = ?5 WHERE id = ?1",
    ),
    cancel: database.statement<never, [string, number]>(
      "UPDATE replays SET status = 'CANCELLED', updated_at = ?2 WHERE id = ?1 AND status = 'RUNNING'",
    ),
  };
}
