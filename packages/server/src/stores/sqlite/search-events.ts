import type { EventRecord } from "../../domain/event.ts";
import type { Scope } from "../../domain/scope.ts";
import type { EventSearch, FilterOptions, SearchPage, SearchPaging } from "../../ports/search.ts";
import { OptionCollector } from "../filter-options.ts";
import { searchLimits, totalOf } from "../search-results.ts";
import type { SqliteDatabase } from "./database.ts";
import { eventColumns, toEventRecord, type EventRow } from "./event-row.ts";
import { Conditions, pageOf, scanLimits, toGlob, toLike, type SearchSteps } from "./search-scan.ts";

/** Events by any filter, newest time first. Visits the time index from the end of the window to its beginning. */
export function* searchEvents(
  database: SqliteDatabase,
  request: { readonly search: EventSearch; readonly paging: SearchPaging; readonly scope: Scope },
): SearchSteps<SearchPage<EventRecord>> {
  const conditions = eventConditions(request.search, request.scope);
  const positions: number[] = [];
  const afterMs = request.search.timeAfterMs ?? Number.MIN_SAFE_INTEGER;
  let from: TimePlace | null = { time_ms: request.search.timeBeforeMs ?? Number.MAX_SAFE_INTEGER, position: 0 };
  while (from !== null && positions.length <= searchLimits.countMaxRows) {
    const to: TimePlace | null = sliceEnd(database, from, afterMs);
    positions.push(...matchesBetween(database, { from, to, afterMs, conditions, room: roomLeft(positions) }));
    from = to;
    yield;
  }
  return { items: readEvents(database, pageOf(positions, request.paging)), ...totalOf(positions.length) };
}

/** A place in the time index. Everything before it (in time, then position) has not been visited. */
interface TimePlace {
  readonly time_ms: number;
  readonly position: number;
}

export const findSliceEnd = `
  SELECT time_ms, position FROM events
  WHERE (time_ms, position) < (?1, ?2) AND time_ms >= ?3
  ORDER BY time_ms DESC, position DESC LIMIT 1 OFFSET ?4`;

/** Where the slice after `from` ends: this place belongs to it. Null: at the beginning of the window. */
function sliceEnd(database: SqliteDatabase, from: TimePlace, afterMs: number): TimePlace | null {
  return database
    .statement<TimePlace, [number, number, number, number]>(findSliceEnd)
    .get(from.time_ms, from.position, afterMs, scanLimits.sliceRows - 1);
}

interface Slice {
  readonly from: TimePlace;
  readonly to: TimePlace | null;
  readonly afterMs: number;
  readonly conditions: Conditions;
  readonly room: number;
}

function matchesBetween(database: SqliteDatabase, slice: Slice): readonly number[] {
  const { from, conditions } = slice;
  const to = slice.to ?? { time_ms: slice.afterMs, position: 0 };
  return database
    .queryOnce<{ position: number }>(
      `SELECT position FROM events
      WHERE (time_ms, position) < (?, ?) AND (time_ms, position) >= (?, ?) AND ${conditions.sql}
      ORDER BY time_ms DESC, position DESC LIMIT ?`,
      [from.time_ms, from.position, to.time_ms, to.position, ...conditions.params, slice.room],
    )
    .map((row) => row.position);
}

function roomLeft(positions: readonly number[]): number {
  return searchLimits.countMaxRows + 1 - positions.length;
}

function eventConditions(search: EventSearch, scope: Scope): Conditions {
  const conditions = new Conditions();
  conditions.addScope("client_id", scope);
  conditions.addOneOf("client_id", search.clientIds);
  addTypes(conditions, search.types);
  conditions.addEqual("source", search.source);
  conditions.addEqual("subject", search.subject);
  conditions.addEqual("correlation_id", search.correlationId);
  conditions.addEqual("message_group", search.messageGroup);
  if (search.text !== undefined) {
    conditions.add("data_kind <> 'base64' AND data LIKE ? ESCAPE '\\'", toLike(search.text));
  }
  return conditions;
}

function addTypes(conditions: Conditions, types: readonly string[] | undefined): void {
  if (types === undefined || types.length === 0) return;
  const literals = JSON.stringify(types.filter((type) => !type.includes("*")));
  const globs = JSON.stringify(types.filter((type) => type.includes("*")).map(toGlob));
  conditions.add(
    `(type IN (SELECT value FROM json_each(?)) OR EXISTS (SELECT 1 FROM json_each(?) WHERE events.type GLOB value))`,
    literals,
    globs,
  );
}

function readEvents(database: SqliteDatabase, positions: readonly number[]): readonly EventRecord[] {
  const byPosition = database.statement<EventRow, [number]>(`SELECT ${eventColumns} FROM events WHERE position = ?1`);
  return positions.flatMap((position) => {
    const row = byPosition.get(position);
    return row === null ? [] : [toEventRecord(row)];
  });
}

/** What may be chosen from, read from the newest events: each list is narrowed by the choices before it. */
export function* findEventFilterOptions(
  database: SqliteDatabase,
  request: { readonly chosen: Readonly<Record<string, string | undefined>>; readonly scope: Scope },
): SearchSteps<FilterOptions> {
  const found = new OptionCollector(request.chosen);
  const conditions = new Conditions();
  conditions.addScope("client_id", request.scope);
  const newest = database.statement<{ newest: number | null }>("SELECT max(position) AS newest FROM events").get();
  let before = (newest?.newest ?? 0) + 1;
  const end = Math.max(1, before - searchLimits.filterOptionEvents);
  while (before > end) {
    const from = Math.max(end, before - scanLimits.sliceRows);
    const rows = database.queryOnce<{ client_id: string | null; type: string }>(
      `SELECT DISTINCT client_id, type FROM events WHERE position >= ? AND position < ? AND ${conditions.sql}`,
      [from, before, ...conditions.params],
    );
    for (const row of rows) found.add(row.client_id, row.type);
    before = from;
    yield;
  }
  return found.options();
}
