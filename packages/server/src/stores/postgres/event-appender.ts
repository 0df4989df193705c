import { CodedError, type Clock } from "@flowcatalyst/foundation";
import type { NewEvent } from "../../domain/event.ts";
import type { EventPosition } from "../../domain/ids.ts";
import type { AppendedEvent, EventAppender } from "../../ports/event-log.ts";
import type { PostgresDatabase, PostgresSession } from "../../postgres/postgres-database.ts";
import { statement, toJsonRows } from "../../postgres/statement.ts";
import { claimDeduplication, type Repeat } from "./event-deduplication.ts";
import { newRowColumns, newRowTypes, toNewRow } from "./event-row.ts";
import { storeChannels } from "./wake-signal.ts";

/**
 * Accepts events: the one place where a caller waits for the disk.
 *
 * A commit that reaches the disk costs as much for one event as for a thousand, so calls share them. `append` only
 * queues; the batcher runs when the event loop has handed out everything it had read (`setImmediate`), takes what is
 * queued then, and commits it. While that is under way the next calls queue up. There is no timer: an idle system
 * answers after one commit, a busy one fills its commits by itself.
 *
 * Positions. `event_log_head` has one row with the newest position. A commit adds its number of events to it, and so
 * holds the row's lock until it has ended, visible to everybody; the next one waits for that, and counts on from what
 * it left. So whoever sees position n sees every position below it, whichever instance wrote it and whatever its clock
 * says. Positions have no gaps: a transaction that fails gives its positions back. One commit of a process is under way
 * at a time, or calls could overtake each other.
 *
 * The lock is taken last, by the statement that inserts, and a commit without deduplication ids is that statement
 * alone: the server takes the lock, inserts and commits without waiting for this process, which might be stopped just
 * then. With such ids there is a transaction, and their keys are claimed first (event-deduplication.ts).
 *
 * - A call is all or nothing. A commit that fails rejects all its calls and leaves nothing behind. If the fault is not
 *   one of the store (so one call's content must be its cause), each call is tried alone, so that it fails only itself.
 * - A connection that breaks during the commit leaves open whether it happened. Its calls are rejected all the same;
 *   who repeats them with deduplication ids gets the events that were accepted.
 * - A duplicate is answered with the first event after the commit that made that one durable, which is this commit or
 *   an earlier one.
 * - What is queued or being committed is bounded in events and bytes; over that, calls are refused with OVERLOADED
 *   before they wait.
 */
export const appenderLimits = {
  waitingMaxEvents: 10_000,
  waitingMaxBytes: 33_554_432,
  /** One commit, so that it does not hold the lock for long (about 20 ms); at least one call. */
  commitMaxEvents: 1_000,
  commitMaxBytes: 4_194_304,
  overloadedRetryAfterSeconds: 1,
} as const;

export interface EventAppenderDeps {
  readonly database: PostgresDatabase;
  readonly clock: Pick<Clock, "now">;
}

export interface EventAppenderConfig {
  readonly dedupWindowMs: number;
}

export interface ClosableEventAppender extends EventAppender {
  /** Commits what is queued; later calls are refused with SHUTTING_DOWN. */
  close(): Promise<void>;
}

interface Call {
  readonly events: readonly NewEvent[];
  readonly dataBytes: readonly number[];
  readonly bytes: number;
  resolve(appended: readonly AppendedEvent[]): void;
  reject(error: unknown): void;
}

export function createEventAppender(deps: EventAppenderDeps, config: EventAppenderConfig): ClosableEventAppender {
  const queue = createCallQueue();
  let running: Promise<void> | null = null;
  let closed = false;

  const settle = async (calls: readonly Call[]): Promise<void> => {
    try {
      const answers = await commit(deps, config, calls);
      if (answers.some((answer) => answer.some(({ kind }) => kind === "created"))) {
        deps.database.notify(storeChannels.appended);
      }
      queue.free(calls);
      for (const [index, call] of calls.entries()) call.resolve(answers[index] ?? []);
    } catch (error) {
      if (calls.length > 1 && !(error instanceof CodedError)) {
        for (const call of calls) await settle([call]);
        return;
      }
      queue.free(calls);
      for (const call of calls) call.reject(error);
    }
  };
  const run = async (): Promise<void> => {
    await new Promise<void>((resolve) => setImmediate(resolve));
    for (let calls = queue.take(); calls.length > 0; calls = queue.take()) await settle(calls);
    running = null;
  };

  return {
    append: async (events) => {
      if (events.length === 0) return [];
      if (closed) throw new CodedError("SHUTTING_DOWN");
      const answer = queue.add(events);
      running ??= run();
      return answer;
    },
    close: async () => {
      closed = true;
      await running;
    },
  };
}

interface CallQueue {
  /** Throws OVERLOADED. */
  add(events: readonly NewEvent[]): Promise<readonly AppendedEvent[]>;
  /** The oldest calls, as many as one commit takes; none when there are none. */
  take(): readonly Call[];
  /** Makes room for others, before calls that were taken are answered. */
  free(calls: readonly Call[]): void;
}

function createCallQueue(): CallQueue {
  let waiting: Call[] = [];
  let heldEvents = 0;
  let heldBytes = 0;
  return {
    add: (events) => {
      const dataBytes = events.map((event) => (event.data === null ? 0 : Buffer.byteLength(event.data)));
      const bytes = dataBytes.reduce((sum, one) => sum + one, 0);
      const { waitingMaxEvents, waitingMaxBytes, overloadedRetryAfterSeconds } = appenderLimits;
      if (heldEvents + events.length > waitingMaxEvents || heldBytes + bytes > waitingMaxBytes) {
        throw new CodedError("OVERLOADED", { retryAfterSeconds: overloadedRetryAfterSeconds });
      }
      const { promise, resolve, reject } = Promise.withResolvers<readonly AppendedEvent[]>();
      waiting.push({ events, dataBytes, bytes, resolve, reject });
      heldEvents += events.length;
      heldBytes += bytes;
      return promise;
    },
    take: () => {
      let events = 0;
      let bytes = 0;
      let count = 0;
      for (const call of waiting) {
        events += call.events.length;
        bytes += call.bytes;
        if (count > 0 && (events > appenderLimits.commitMaxEvents || bytes > appenderLimits.commitMaxBytes)) break;
        count++;
      }
      const taken = waiting.slice(0, count);
      waiting = waiting.slice(count);
      return taken;
    },
    free: (calls) => {
      for (const call of calls) {
        heldEvents -= call.events.length;
        heldBytes -= call.bytes;
      }
    },
  };
}

/** One durable transaction for some calls; answers by call. */
async function commit(
  { database, clock }: EventAppenderDeps,
  { dedupWindowMs }: EventAppenderConfig,
  calls: readonly Call[],
): Promise<readonly (readonly AppendedEvent[])[]> {
  const events = calls.flatMap((call) => call.events);
  const dataBytes = calls.flatMap((call) => call.dataBytes);
  const done = events.some((event) => event.deduplicationId !== null)
    ? await database.transaction(async (session) => {
        const window = { nowMs: clock.now(), windowMs: dedupWindowMs };
        return insert(session, { events, dataBytes, repeats: await claimDeduplication(session, events, window) });
      })
    : await insert(database, { events, dataBytes, repeats: null });
  let from = 0;
  return calls.map((call) => done.slice(from, (from += call.events.length)));
}

interface NewEvents {
  readonly events: readonly NewEvent[];
  readonly dataBytes: readonly number[];
  readonly repeats: readonly (Repeat | null)[] | null;
}

async function insert(
  session: PostgresSession,
  { events, dataBytes, repeats }: NewEvents,
): Promise<readonly AppendedEvent[]> {
  const rows: object[] = [];
  for (const [index, event] of events.entries()) {
    if (repeats === null || repeats[index] === null) rows.push(toNewRow(event, dataBytes[index] ?? 0));
  }
  let position = 0;
  if (rows.length > 0) {
    const head = await session.one(insertEvents, [toJsonRows(rows), rows.length]);
    position = (head?.newest ?? 0) - rows.length;
  }
  const done: AppendedEvent[] = [];
  for (const [index, event] of events.entries()) {
    const repeat = repeats?.[index] ?? null;
    if (repeat === null) done.push({ kind: "created", event: { ...event, position: ++position as EventPosition } });
    else done.push({ kind: "duplicate", event: originalOf(repeat, done) });
  }
  return done;
}

function originalOf(repeat: Repeat, done: readonly AppendedEvent[]): AppendedEvent["event"] {
  if (repeat.kind === "stored") return repeat.event;
  const original = done[repeat.index];
  if (original === undefined) throw new CodedError("INTERNAL", { context: { reason: "a repeat before its original" } });
  return original.event;
}

/**
 * The rows need the position, and so the lock, before there is anything to insert. An update waits for one under way
 * and then goes on from the row as that has left it, though the statement began before.
 */
export const insertEvents = statement<{ newest: number }, [rows: string, count: number]>(`
  WITH place AS (
    UPDATE event_log_head SET newest = newest + $2::bigint WHERE only_row RETURNING newest
  ), inserted AS (
    INSERT INTO events (position, ${newRowColumns})
    SELECT place.newest - $2::bigint + r.n, ${newRowColumns}
    FROM place, ROWS FROM (json_to_recordset($1::json) AS (${newRowTypes})) WITH ORDINALITY
      AS r (${newRowColumns}, n)
  )
  SELECT newest FROM place`);
