import type { DispatchJob } from "../../domain/dispatch-job.ts";
import type { Scope } from "../../domain/scope.ts";
import type { JobSearch, SearchPage, SearchPaging } from "../../ports/search.ts";
import { searchLimits, totalOf } from "../search-results.ts";
import type { SqliteDatabase } from "./database.ts";
import { statusCodes } from "../job-row.ts";
import { selectFullJob, toDispatchJob, type FullJobRow } from "./job-row.ts";
import { Conditions, pageOf, scanLimits, type SearchSteps } from "./search-scan.ts";

/**
 * Jobs by any filter, newest first: by position, from the end of the time window to its beginning. Positions grow with
 * the time of creation, so the window's ends are found by bisection, with some slack for clocks that were set back.
 * Jobs of one event are few and are looked at directly.
 */
export function* searchJobs(
  database: SqliteDatabase,
  request: {
    readonly search: JobSearch;
    readonly paging: SearchPaging;
    readonly scope: Scope;
    readonly nowMs: number;
  },
): SearchSteps<SearchPage<DispatchJob>> {
  const { search } = request;
  const conditions = jobConditions(search, request.scope);
  const window = positionWindow(database, search);
  const positions: number[] = [];
  let before = window.before;
  while (before > window.from && positions.length <= searchLimits.countMaxRows) {
    const from = Math.max(window.from, before - scanLimits.sliceRows);
    const rows = database.queryOnce<{ position: number }>(
      `SELECT j.position AS position FROM jobs j ${joins(search)}
      WHERE j.position >= ? AND j.position < ? AND ${conditions.sql}
      ORDER BY j.position DESC LIMIT ?`,
      [from, before, ...conditions.params, searchLimits.countMaxRows + 1 - positions.length],
    );
    positions.push(...rows.map((row) => row.position));
    before = from;
    yield;
  }
  const items = readJobs(database, pageOf(positions, request.paging), request.nowMs);
  return { items, ...totalOf(positions.length) };
}

function jobConditions(search: JobSearch, scope: Scope): Conditions {
  const conditions = new Conditions();
  conditions.addScope("j.client_id", scope);
  conditions.addOneOf("j.client_id", search.clientIds);
  conditions.addOneOf(
    "j.status",
    search.statuses?.map((status) => statusCodes[status]),
  );
  conditions.addEqual("j.message_group", search.messageGroup);
  if (search.createdAfterMs !== undefined) conditions.add("j.created_at >= ?", search.createdAfterMs);
  if (search.createdBeforeMs !== undefined) conditions.add("j.created_at < ?", search.createdBeforeMs);
  if (search.poolCode !== undefined) {
    conditions.add("j.feed_id IN (SELECT id FROM job_feeds WHERE lane = ?)", search.poolCode);
  }
  if (search.subscriptionId !== undefined) {
    conditions.add(
      `CASE j.task WHEN 0 THEN j.feed_id IN (SELECT id FROM job_feeds WHERE subscription_id = ?)
        ELSE (SELECT t.subscription_id FROM job_tasks t WHERE t.position = j.position) = ? END`,
      search.subscriptionId,
      search.subscriptionId,
    );
  }
  if (search.code !== undefined) conditions.add("CASE j.task WHEN 0 THEN e.type ELSE t.code END = ?", search.code);
  if (search.eventId !== undefined) {
    conditions.add(
      `CASE j.task WHEN 0 THEN j.stream_position = (SELECT position FROM events WHERE id = ?)
        ELSE j.position IN (SELECT position FROM job_tasks WHERE event_id = ?) END`,
      search.eventId,
      search.eventId,
    );
  }
  return conditions;
}

/** Only a search by code looks at the job's event and task. */
function joins(search: JobSearch): string {
  if (search.code === undefined) return "";
  return `LEFT JOIN events e ON j.task = 0 AND e.position = j.stream_position
    LEFT JOIN job_tasks t ON j.task = 1 AND t.position = j.position`;
}

/** Positions from `from` up to but without `before`. */
interface PositionWindow {
  readonly from: number;
  readonly before: number;
}

/** Clocks are set back by less than this; a job created later has a higher position otherwise. */
const clockSlackMs = 600_000;

function positionWindow(database: SqliteDatabase, search: JobSearch): PositionWindow {
  const ends = database
    .statement<{ oldest: number | null; newest: number | null }>(
      "SELECT (SELECT min(position) FROM jobs) AS oldest, (SELECT max(position) FROM jobs) AS newest",
    )
    .get();
  let window: PositionWindow = { from: ends?.oldest ?? 0, before: (ends?.newest ?? -1) + 1 };
  if (search.createdAfterMs !== undefined) {
    window = { ...window, from: firstWhere(database, window, ["created_at", search.createdAfterMs - clockSlackMs]) };
  }
  if (search.createdBeforeMs !== undefined) {
    window = { ...window, before: firstWhere(database, window, ["created_at", search.createdBeforeMs + clockSlackMs]) };
  }
  if (search.before !== undefined) {
    window = intersect(window, { from: window.from, before: search.before.position });
  }
  return search.eventId === undefined ? window : narrowToEvent(database, window, search.eventId);
}

/** Jobs of an event lie together, by `stream_position`; tasks that name it lie anywhere. */
function narrowToEvent(database: SqliteDatabase, window: PositionWindow, eventId: string): PositionWindow {
  const ends = database
    .statement<{ oldest: number | null; newest: number | null }, [string]>(
      "SELECT min(position) AS oldest, max(position) AS newest FROM job_tasks WHERE event_id = (?1 || '')",
    )
    .get(eventId);
  const event = database
    .statement<{ position: number }, [string]>("SELECT position FROM events WHERE id = ?1")
    .get(eventId);
  const tasks = { from: ends?.oldest ?? Number.MAX_SAFE_INTEGER, before: (ends?.newest ?? -1) + 1 };
  if (event === null) return intersect(window, tasks);
  const jobs = {
    from: firstWhere(database, window, ["stream_position", event.position]),
    before: firstWhere(database, window, ["stream_position", event.position + 1]),
  };
  if (jobs.from >= jobs.before) return intersect(window, tasks);
  return intersect(window, { from: Math.min(jobs.from, tasks.from), before: Math.max(jobs.before, tasks.before) });
}

function intersect(one: PositionWindow, other: PositionWindow): PositionWindow {
  return { from: Math.max(one.from, other.from), before: Math.min(one.before, other.before) };
}

/** The first position whose job has at least this value in a column that grows with the position; by bisection. */
function firstWhere(
  database: SqliteDatabase,
  window: PositionWindow,
  [column, value]: readonly ["created_at" | "stream_position", number],
): number {
  const probe = database.statement<{ position: number; value: number }, [number]>(
    `SELECT position, ${column} AS value FROM jobs WHERE position >= (?1 + 0) ORDER BY position LIMIT 1`,
  );
  let low = window.from;
  let high = window.before;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const row = probe.get(middle);
    if (row === null || row.value >= value) high = middle;
    else low = row.position + 1;
  }
  return low;
}

function readJobs(database: SqliteDatabase, positions: readonly number[], nowMs: number): readonly DispatchJob[] {
  const byPosition = database.statement<FullJobRow, [number]>(`${selectFullJob} WHERE j.position = ?1`);
  return positions.flatMap((position) => {
    const row = byPosition.get(position);
    return row === null ? [] : [toDispatchJob(row, nowMs)];
  });
}
