import type { EventRecord, NewEvent } from "../../domain/event.ts";
import type { EventId } from "../../domain/ids.ts";
import type { PostgresSession } from "../../postgres/postgres-database.ts";
import { keyIs, statement, toJsonRows } from "../../postgres/statement.ts";
import { storable } from "./entity-table.ts";
import { eventColumns, toEventRecord, type EventRow } from "./event-row.ts";

/**
 * Which events of a commit repeat an earlier one. The key is (client, deduplicationId), with '' for the platform.
 *
 * All keys of the commit are claimed for its events in one statement. A key that another transaction has claimed and
 * not yet committed makes this one wait, and find out; so of any number of equal requests, on any number of instances,
 * one gets it. Keys are claimed in sorted order, so that no two transactions wait for each other. A claim on a key that
 * is taken fails but keeps the entry locked to the end of the transaction, so it stays what it was found to be. An
 * entry older than the window counts as absent even before housekeeping has removed it.
 *
 * If all claims succeed, which is the usual case, that was all. Otherwise the entries are read, in a statement of its
 * own, which sees what was committed while the first one waited. An entry whose event retention has dropped is taken
 * over.
 */
export type Repeat =
  /** An event of an earlier commit. */
  | { readonly kind: "stored"; readonly event: EventRecord }
  /** An earlier event of this commit, by its index. */
  | { readonly kind: "sameCommit"; readonly index: number };

export interface DedupWindow {
  readonly nowMs: number;
  readonly windowMs: number;
}

/** For each event: null if it is new, else what it repeats. Null for all: no event has a key. */
export async function claimDeduplication(
  session: PostgresSession,
  events: readonly NewEvent[],
  { nowMs, windowMs }: DedupWindow,
): Promise<readonly (Repeat | null)[] | null> {
  const keyed = sortedKeys(events);
  if (keyed.length === 0) return null;
  const repeats = Array.from<Repeat | null>({ length: events.length }).fill(null);
  const firsts = firstOfEachKey(keyed, repeats);
  const claims = toJsonRows(firsts.map(({ row }) => row));
  const claimed = await session.run(claimKeys, [claims, nowMs - windowMs]);
  if (claimed === firsts.length) return repeats;
  const taken = await session.query(readTaken, [claims]);
  const dropped: DedupRow[] = [];
  for (const entry of taken) {
    const first = firsts[entry.n - 1];
    if (first === undefined) continue;
    if (entry.id === null) dropped.push(first.row);
    else repeats[first.index] = { kind: "stored", event: toEventRecord(entry) };
  }
  if (dropped.length > 0) await session.run(takeOver, [toJsonRows(dropped)]);
  return repeats;
}

const dedupRow = "(client_id text, dedup_id text, event_id text, created_at_ms bigint)";

export const claimKeys = statement<never, [rows: string, createdUntilMs: number]>(`
  INSERT INTO event_dedup AS entry (client_id, dedup_id, event_id, created_at_ms)
  SELECT client_id, dedup_id, event_id, created_at_ms FROM json_to_recordset($1::json) AS r ${dedupRow}
  ON CONFLICT (client_id, dedup_id) DO UPDATE
    SET event_id = excluded.event_id, created_at_ms = excluded.created_at_ms
    WHERE entry.created_at_ms <= $2`);

/** Entries that belong to other events, with them; `n` counts the given rows from 1. `id` is null: it was dropped. */
export const readTaken = statement<TakenRow, [rows: string]>(`
  SELECT r.n, e.*
  FROM ROWS FROM (json_to_recordset($1::json) AS ${dedupRow}) WITH ORDINALITY
    AS r (client_id, dedup_id, event_id, created_at_ms, n)
  JOIN event_dedup entry ON ${keyIs("(entry.client_id, entry.dedup_id)", "(r.client_id, r.dedup_id)")}
    AND entry.event_id <> r.event_id
  LEFT JOIN LATERAL (SELECT ${eventColumns} FROM events WHERE ${keyIs("id", "entry.event_id")}) AS e ON true`);

type TakenRow = { readonly n: number } & (EventRow | { readonly id: null });

const takeOver = statement<never, [rows: string]>(`
  UPDATE event_dedup AS entry SET event_id = r.event_id, created_at_ms = r.created_at_ms
  FROM json_to_recordset($1::json) AS r ${dedupRow}
  WHERE ${keyIs("(entry.client_id, entry.dedup_id)", "(r.client_id, r.dedup_id)")}`);

interface DedupRow {
  readonly client_id: string;
  readonly dedup_id: string;
  readonly event_id: EventId;
  readonly created_at_ms: number;
}

interface KeyedEvent {
  readonly index: number;
  readonly row: DedupRow;
}

/** Sorted by key, then by place in the commit, so that of equal keys the first given comes first. */
function sortedKeys(events: readonly NewEvent[]): readonly KeyedEvent[] {
  const keyed: KeyedEvent[] = [];
  for (const [index, event] of events.entries()) {
    if (event.deduplicationId === null) continue;
    const row = {
      client_id: event.clientId ?? "",
      // As it is stored: keys that are one there must be one here.
      dedup_id: storable(event.deduplicationId.toWellFormed()),
      event_id: event.id,
      created_at_ms: event.createdAtMs,
    };
    keyed.push({ index, row });
  }
  return keyed.sort(
    ({ row: a, index: i }, { row: b, index: j }) =>
      compare(a.client_id, b.client_id) || compare(a.dedup_id, b.dedup_id) || i - j,
  );
}

/** Marks the others as repeats of theirs. */
function firstOfEachKey(keyed: readonly KeyedEvent[], repeats: (Repeat | null)[]): readonly KeyedEvent[] {
  const firsts: KeyedEvent[] = [];
  for (const entry of keyed) {
    const first = firsts.at(-1);
    if (first !== undefined && sameKey(first.row, entry.row)) {
      repeats[entry.index] = { kind: "sameCommit", index: first.index };
    } else firsts.push(entry);
  }
  return firsts;
}

function sameKey(a: DedupRow, b: DedupRow): boolean {
  return a.dedup_id === b.dedup_id && a.client_id === b.client_id;
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/**
 * Removes at most `maxRows` entries that are older than the window, and returns how many; 0 when there are none. Skips
 * those that an append is looking at.
 */
export function expireDeduplication(
  session: PostgresSession,
  request: { readonly createdBeforeMs: number; readonly maxRows: number },
): Promise<number> {
  return session.run(expireKeys, [request.createdBeforeMs, request.maxRows]);
}

export const expireKeys = statement<never, [createdBeforeMs: number, maxRows: number]>(`
  DELETE FROM event_dedup WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM event_dedup WHERE created_at_ms < $1
    ORDER BY created_at_ms LIMIT $2 FOR UPDATE SKIP LOCKED))`);
