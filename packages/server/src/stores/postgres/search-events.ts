import type { EventRecord } from "../../domain/event.ts";
import type { Scope } from "../../domain/scope.ts";
import type { EventSearch, FilterOptions, SearchPage, SearchPaging } from "../../ports/search.ts";
import type { PostgresSession } from "../../postgres/postgres-database.ts";
import { adHoc, type SqlValue } from "../../postgres/statement.ts";
import { OptionCollector } from "../filter-options.ts";
import { searchLimits, totalOf } from "../search-results.ts";
import { eventColumns, toEventRecord, type EventRow } from "./event-row.ts";
import { Conditions, toLike } from "./search-conditions.ts";
import { findMatches, inOrder, type MatchQuery } from "./search-matches.ts";

/** Events by any filter, newest time first: the time index from the end of the window to its beginning. */
export async function searchEvents(
  session: PostgresSession,
  request: { readonly search: EventSearch; readonly paging: SearchPaging; readonly scope: Scope },
): Promise<SearchPage<EventRecord>> {
  const { matched, ids } = await findMatches(session, eventQuery(request.search, request.scope), request.paging);
  const rows = ids.length === 0 ? [] : await session.query(readEvents, [ids]);
  return { items: inOrder(rows, ids).map(toEventRecord), ...totalOf(matched) };
}

const readEvents = adHoc<EventRow, [readonly string[]]>(`SELECT ${eventColumns} FROM events WHERE id = ANY ($1)`);

export function eventQuery(search: EventSearch, scope: Scope): MatchQuery {
  const conditions = new Conditions();
  conditions.addBetween("time_ms", search.timeAfterMs, search.timeBeforeMs);
  conditions.addScope("client_id", scope);
  conditions.addOneOf("client_id", search.clientIds);
  addTypes(conditions, search.types);
  conditions.addEqual("source", search.source);
  conditions.addEqual("subject", search.subject);
  conditions.addEqual("correlation_id", search.correlationId);
  conditions.addEqual("message_group", search.messageGroup);
  if (search.text !== undefined) {
    // ASCII letters in either case: the collation C knows no others, and is much faster than those that do.
    conditions.add(`data_kind IN ('json', 'text')
      AND strpos(lower(data COLLATE "C"), lower(${conditions.value(search.text)}::text COLLATE "C")) > 0`);
  }
  return {
    select: `SELECT id, time_ms, position FROM events WHERE ${conditions.sql}`,
    order: "time_ms DESC, position DESC",
    values: conditions.values,
  };
}

function addTypes(conditions: Conditions, types: readonly string[] | undefined): void {
  if (types === undefined || types.length === 0) return;
  const patterns = types.filter((type) => type.includes("*")).map(toLike);
  if (patterns.length === 0) return conditions.addOneOf("type", types);
  const literals = types.filter((type) => !type.includes("*"));
  conditions.add(`(type = ANY (${conditions.value(literals)}::text[])
    OR type LIKE ANY (${conditions.value(patterns)}::text[]))`);
}

/** What may be chosen from, read from the newest events: each list is narrowed by the choices before it. */
export async function findEventFilterOptions(
  session: PostgresSession,
  request: { readonly chosen: Readonly<Record<string, string | undefined>>; readonly scope: Scope },
): Promise<FilterOptions> {
  // Asked for before, since the planner must know where the newest events begin.
  const newest = (await session.one(readNewest, []))?.newest ?? 0;
  const { text, values } = eventKindsQuery(newest, request.scope);
  const found = new OptionCollector(request.chosen);
  for (const row of await session.query(adHoc<KindRow>(text), values)) found.add(row.client_id, row.type);
  return found.options();
}

interface KindRow {
  readonly client_id: string | null;
  readonly type: string;
}

const readNewest = adHoc<{ newest: number }, []>("SELECT newest FROM event_log_head");

export function eventKindsQuery(newest: number, scope: Scope): { readonly text: string; readonly values: SqlValue[] } {
  const conditions = new Conditions();
  conditions.add(`position > ${conditions.value(newest - searchLimits.filterOptionEvents)}`);
  conditions.addScope("client_id", scope);
  const text = `SELECT DISTINCT client_id, type FROM events WHERE ${conditions.sql} ORDER BY client_id, type`;
  return { text, values: conditions.values };
}
