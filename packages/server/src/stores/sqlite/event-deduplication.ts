import type { NewEvent } from "../../domain/event.ts";
import type { EventPosition } from "../../domain/ids.ts";
import type { SqliteDatabase } from "./database.ts";

/**
 * Which events of a commit repeat an earlier one.
 *
 * The key is (client, deduplicationId), with '' for the platform. Keys are visited in sorted order, which touches each
 * page of the table once. An entry older than the window counts as absent even before housekeeping has removed it.
 * Everything here runs inside the append transaction, so there is no gap between looking and writing.
 */
export interface DuplicateFinder {
  /** For each event: null if it is new, else what it repeats. */
  find(events: readonly NewEvent[], nowMs: number): readonly (Repeat | null)[] | null;
  /** Notes the key of an event that was found to be new. */
  note(event: NewEvent, position: EventPosition): void;
}

export type Repeat =
  /** An event of an earlier commit. */
  | { readonly kind: "stored"; readonly position: EventPosition }
  /** An earlier event of this commit, by its index. */
  | { readonly kind: "sameCommit"; readonly index: number };

interface DedupRow {
  readonly position: EventPosition;
  readonly created_at_ms: number;
}

export function createDuplicateFinder(database: SqliteDatabase, windowMs: number): DuplicateFinder {
  const read = database.statement<DedupRow, [string, string]>(
    "SELECT position, created_at_ms FROM event_dedup WHERE client_id = ?1 AND dedup_id = ?2",
  );
  const write = database.statement<never, [string, string, number, number]>(
    "INSERT OR REPLACE INTO event_dedup (client_id, dedup_id, position, created_at_ms) VALUES (?1, ?2, ?3, ?4)",
  );
  return {
    find: (events, nowMs) => {
      const keyed = sortedKeys(events);
      if (keyed.length === 0) return null;
      const repeats = Array.from<Repeat | null>({ length: events.length }).fill(null);
      let first: KeyedEvent | undefined;
      for (const entry of keyed) {
        if (first !== undefined && sameKey(first, entry)) {
          repeats[entry.index] = { kind: "sameCommit", index: first.index };
          continue;
        }
        first = entry;
        const row = read.get(entry.client, entry.dedupId);
        if (row !== null && row.created_at_ms > nowMs - windowMs) {
          repeats[entry.index] = { kind: "stored", position: row.position };
        }
      }
      return repeats;
    },
    note: (event, position) => {
      if (event.deduplicationId === null) return;
      write.run(event.clientId ?? "", event.deduplicationId, position, event.createdAtMs);
    },
  };
}

interface KeyedEvent {
  readonly index: number;
  readonly client: string;
  readonly dedupId: string;
}

/** Sorted by key, then by place in the commit, so that of equal keys the first given comes first. */
function sortedKeys(events: readonly NewEvent[]): readonly KeyedEvent[] {
  const keyed: KeyedEvent[] = [];
  for (let index = 0; index < events.length; index++) {
    const event = events[index];
    if (event?.deduplicationId == null) continue;
    keyed.push({ index, client: event.clientId ?? "", dedupId: event.deduplicationId });
  }
  return keyed.sort((a, b) => compare(a.client, b.client) || compare(a.dedupId, b.dedupId) || a.index - b.index);
}

function sameKey(a: KeyedEvent, b: KeyedEvent): boolean {
  return a.dedupId === b.dedupId && a.client === b.client;
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

const expiredMark = "deduplication-expired";

/**
 * Removes entries that are older than the window: walks the log from where the last call stopped, at most `maxRows`
 * events, and returns how many it passed; 0 when everything old enough is done. Call inside a transaction.
 */
export function expireDeduplication(
  database: SqliteDatabase,
  request: { readonly createdBeforeMs: number; readonly nowMs: number; readonly maxRows: number },
): number {
  const from = database
    .statement<{ position: number }, [string]>("SELECT position FROM marks WHERE name = ?1")
    .get(expiredMark);
  const rows = database
    .statement<ExpirableRow, [number, number]>(`
      SELECT position, client_id, deduplication_id, created_at_ms FROM events
      WHERE position > (?1 + 0) ORDER BY position LIMIT (?2 + 0)`)
    .all(from?.position ?? 0, request.maxRows);
  const remove = database.statement<never, [string, string, number]>(
    "DELETE FROM event_dedup WHERE client_id = ?1 AND dedup_id = ?2 AND position = ?3",
  );
  let passed = 0;
  for (const row of rows) {
    const isOver = row.created_at_ms < request.createdBeforeMs;
    // One from the future was stamped by a clock that was ahead: it must not keep the others, and goes with its event.
    if (!isOver && row.created_at_ms <= request.nowMs) break;
    if (isOver && row.deduplication_id !== null) {
      remove.run(row.client_id ?? "", row.deduplication_id, row.position);
    }
    passed++;
  }
  const last = rows[passed - 1];
  if (last === undefined) return 0;
  database
    .statement<never, [string, number]>("INSERT OR REPLACE INTO marks (name, position) VALUES (?1, ?2)")
    .run(expiredMark, last.position);
  return passed;
}

interface ExpirableRow {
  readonly position: number;
  readonly client_id: string | null;
  readonly deduplication_id: string | null;
  readonly created_at_ms: number;
}
