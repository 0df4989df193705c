import { CodedError } from "@flowcatalyst/foundation";
import type { DeadLetter, DeadLetterKey, DeadLetters, QueuePublisher } from "../ports/queue.ts";

/**
 * Dead letters of several queues, page by page: those of one queue newest first, then those of the next.
 *
 * A page looks at a bounded number of letters, so that with a filter it may hold few or none and still have a next one.
 * A queue that cannot be paged shows what one look finds, and has a page of its own, so that the look is a whole one.
 */

/** A queue as far as its dead letters are concerned. */
export interface DeadLetterQueue extends QueuePublisher, DeadLetters {
  /** Unique among the queues of a process. */
  readonly name: string;
}

/** Where a page starts. */
interface Place {
  readonly queue: string;
  readonly after: DeadLetterKey | null;
  /** Letters that came later are left out, so that who replays all does not meet again what failed again. */
  readonly untilMs: number | null;
}

export interface PageRequest {
  readonly limit: number;
  /** Null: the first page. */
  readonly cursor: string | null;
  readonly filter: LetterFilter;
  /** Of the first page; the cursor keeps it. */
  readonly untilMs: number | null;
}

export interface LetterFilter {
  readonly poolCode: string | null;
  /** Part of the reason. */
  readonly reason: string | null;
}

export interface FoundLetter {
  readonly queue: DeadLetterQueue;
  readonly letter: DeadLetter;
}

export interface LetterPage {
  readonly letters: readonly FoundLetter[];
  /** Null: the last page. */
  readonly nextCursor: string | null;
  /** Names of queues on it that cannot be paged. */
  readonly unpaged: readonly string[];
  /** This page again, for what a queue that cannot be paged shows once these are gone; null: it can be paged. */
  readonly sameCursor: string | null;
}

/** Throws CURSOR_INVALID. */
export async function letterPage(queues: readonly DeadLetterQueue[], request: PageRequest): Promise<LetterPage> {
  const start = startOf(queues, request);
  if (start === null) return { letters: [], nextCursor: null, unpaged: [], sameCursor: null };
  const { untilMs } = start;
  const letters: FoundLetter[] = [];
  let looked = 0;
  let { after } = start;
  for (const [at, queue] of queues.entries()) {
    if (at < queues.findIndex(({ name }) => name === start.queue)) continue;
    const paged = queue.capabilities.pagesDeadLetters;
    const from = cursorOf({ queue: queue.name, after, untilMs });
    if (looked >= request.limit || (!paged && looked > 0)) return pageOf(letters, from);
    const page = await queue.listDeadLetters({ limit: request.limit - looked, after });
    looked += page.letters.length;
    const wanted = page.letters.filter((letter) => isWanted(letter, request.filter, untilMs));
    letters.push(...wanted.map((letter) => ({ queue, letter })));
    if (page.next !== null) return pageOf(letters, cursorOf({ queue: queue.name, after: page.next, untilMs }));
    after = null;
    if (paged) continue;
    const following = queues[at + 1];
    const next = following === undefined ? null : cursorOf({ queue: following.name, after, untilMs });
    return { letters, nextCursor: next, unpaged: [queue.name], sameCursor: from };
  }
  return pageOf(letters, null);
}

function pageOf(letters: readonly FoundLetter[], nextCursor: string | null): LetterPage {
  return { letters, nextCursor, unpaged: [], sameCursor: null };
}

function startOf(queues: readonly DeadLetterQueue[], { cursor, untilMs }: PageRequest): Place | null {
  const [first] = queues;
  if (cursor === null) return first === undefined ? null : { queue: first.name, after: null, untilMs };
  const place = placeOf(cursor);
  if (place === null || !queues.some(({ name }) => name === place.queue)) throw new CodedError("CURSOR_INVALID");
  return place;
}

function isWanted(letter: DeadLetter, { poolCode, reason }: LetterFilter, untilMs: number | null): boolean {
  if (untilMs !== null && letter.atMs > untilMs) return false;
  if (poolCode !== null && letter.lane !== poolCode) return false;
  return reason === null || letter.reason.includes(reason);
}

function cursorOf({ queue, after, untilMs }: Place): string {
  return Buffer.from(JSON.stringify([queue, after, untilMs])).toString("base64url");
}

function placeOf(cursor: string): Place | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(cursor, "base64url").toString());
    if (!Array.isArray(value)) return null;
    const [queue, after, untilMs] = value as readonly unknown[];
    if (typeof queue !== "string" || (after !== null && typeof after !== "string")) return null;
    if (untilMs !== null && typeof untilMs !== "number") return null;
    return { queue, after: after as DeadLetterKey | null, untilMs };
  } catch {
    return null;
  }
}
