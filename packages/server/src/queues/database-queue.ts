import type { MessageId, PoolCode } from "../domain/ids.ts";
import type { DeadLetter, DeadLetterKey, DeadLetterPage, DeadLetters, QueueCapabilities } from "../ports/queue.ts";

/** What the queues in a database have in common. They promise the same, because rows and transactions can all of it. */
export const databaseQueueCapabilities = {
  grouping: "strict",
  priority: true,
  sharedBatches: true,
  lanes: "all",
  longPoll: false,
  deadReceiptRefused: true,
  redelivery: "visibility",
  reportsDuplicates: true,
  reportsOldest: true,
  counts: "all",
  givesUpAbandoned: true,
  pagesDeadLetters: true,
} as const satisfies Partial<QueueCapabilities>;

/** A row of their dead-letter tables. */
export interface DeadRow {
  readonly seq: number;
  readonly message_id: string | null;
  readonly lane: string | null;
  readonly reason: string;
  readonly body: string;
  readonly at_ms: number;
}

type ListRequest = Parameters<DeadLetters["listDeadLetters"]>[0];

/** Where a page starts that goes down from the newest row: below this place. */
export function placeAfter(after: DeadLetterKey | null): number {
  return (after === null ? null : placeOfDeadLetter(after)) ?? Number.MAX_SAFE_INTEGER;
}

/** Null: no letter of this queue has such a key. */
export function placeOfDeadLetter(key: DeadLetterKey): number | null {
  const place = Number(key);
  return /^(?:0|[1-9]\d{0,14})$/.test(key) && Number.isSafeInteger(place) ? place : null;
}

/** `rows` were asked for with one more than the limit, which tells whether another page follows. */
export function deadLetterPage(rows: readonly DeadRow[], { limit }: Pick<ListRequest, "limit">): DeadLetterPage {
  const letters = rows.slice(0, limit).map(toDeadLetter);
  return { letters, next: rows.length > limit ? (letters.at(-1)?.key ?? null) : null };
}

export function toDeadLetter(row: DeadRow): DeadLetter {
  return {
    key: String(row.seq) as DeadLetterKey,
    id: row.message_id as MessageId | null,
    lane: row.lane as PoolCode | null,
    reason: row.reason,
    body: row.body,
    atMs: row.at_ms,
  };
}

/** How one row of the table is read and removed; `remove` says whether it was there. */
export interface DeadRowAccess {
  read(place: number): Promise<DeadRow | null>;
  remove(place: number): Promise<boolean>;
}

/** `DeadLetters.settleDeadLetters` for a table. */
export async function settleDeadRows(
  rows: DeadRowAccess,
  keys: readonly DeadLetterKey[],
  decide: (letter: DeadLetter) => Promise<"remove" | "keep">,
): Promise<readonly ("removed" | "kept" | "missing")[]> {
  const results: ("removed" | "kept" | "missing")[] = [];
  for (const key of keys) {
    const place = placeOfDeadLetter(key);
    const row = place === null ? null : await rows.read(place);
    if (row === null) results.push("missing");
    else if ((await decide(toDeadLetter(row))) === "keep") results.push("kept");
    else results.push((await rows.remove(row.seq)) ? "removed" : "missing");
  }
  return results;
}
