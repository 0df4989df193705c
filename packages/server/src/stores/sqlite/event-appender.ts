import { CodedError, type Clock } from "@flowcatalyst/foundation";
import type { EventRecord, NewEvent } from "../../domain/event.ts";
import type { EventPosition } from "../../domain/ids.ts";
import type { AppendedEvent, EventAppender } from "../../ports/event-log.ts";
import type { SqliteDatabase } from "./database.ts";
import { createDuplicateFinder, type Repeat } from "./event-deduplication.ts";
import { eventColumns, insertEvent, toEventParams, toEventRecord, type EventRow } from "./event-row.ts";
import type { WakeSignal } from "./wake-signal.ts";

/**
 * Accepts events: the one place where a caller waits for the disk.
 *
 * A commit that reaches the disk costs as much for one event as for a thousand, so calls share them. `append` only
 * queues; the batcher runs when the event loop has handed out everything it had read (`setImmediate`), takes what is
 * queued then, and commits it in one durable transaction. There is no timer: an idle system answers after one commit,
 * a busy one fills its commits by itself.
 *
 * - Positions follow the order of the calls, without a gap, from a mark that is written in the same transaction; they
 *   go up even if all events were dropped by retention.
 * - A call is all or nothing. A commit that fails rejects all its calls, leaves nothing behind, and its positions are
 *   given again. If the fault is not one of the store (so one call's content must be its cause), each call is tried
 *   alone, so that it fails only itself.
 * - A duplicate is answered with the first event after the commit that made that one durable, which is this commit or
 *   an earlier one.
 * - What is queued is bounded in events and bytes; over that, calls are refused with OVERLOADED before they wait.
 */
export const appenderLimits = {
  waitingMaxEvents: 10_000,
  waitingMaxBytes: 33_554_432,
  /** One commit, so that it does not hold the thread for long (about 10 ms); at least one call. */
  commitMaxEvents: 1_000,
  overloadedRetryAfterSeconds: 1,
} as const;

export interface EventAppenderDeps {
  readonly database: SqliteDatabase;
  readonly clock: Pick<Clock, "now">;
  readonly appended: WakeSignal;
}

export interface EventAppenderConfig {
  readonly dedupWindowMs: number;
}

export interface ClosableEventAppender extends EventAppender {
  /** Position of the newest durable event. */
  newest(): EventPosition;
  /** Commits what is queued; later calls are refused with SHUTTING_DOWN. */
  close(): void;
}

interface Call {
  readonly events: readonly NewEvent[];
  readonly dataBytes: readonly number[];
  readonly bytes: number;
  resolve(appended: readonly AppendedEvent[]): void;
  reject(error: unknown): void;
}

const newestMark = "newest-event";

export function createEventAppender(deps: EventAppenderDeps, config: EventAppenderConfig): ClosableEventAppender {
  const commit = createCommit(deps, config);
  let waiting: Call[] = [];
  let waitingEvents = 0;
  let waitingBytes = 0;
  let scheduled = false;
  let closed = false;

  const flush = (): void => {
    scheduled = false;
    const calls = take();
    settle(calls);
    if (waiting.length > 0) schedule();
  };
  const schedule = (): void => {
    if (scheduled) return;
    scheduled = true;
    setImmediate(flush);
  };
  const take = (): readonly Call[] => {
    let events = 0;
    let count = 0;
    for (const call of waiting) {
      if (count > 0 && events + call.events.length > appenderLimits.commitMaxEvents) break;
      events += call.events.length;
      waitingBytes -= call.bytes;
      count++;
    }
    waitingEvents -= events;
    const taken = waiting.slice(0, count);
    waiting = waiting.slice(count);
    return taken;
  };
  const settle = (calls: readonly Call[]): void => {
    if (calls.length === 0) return;
    try {
      const answers = commit.run(calls);
      for (let index = 0; index < calls.length; index++) calls[index]?.resolve(answers[index] ?? []);
      deps.appended.wake();
    } catch (error) {
      if (calls.length > 1 && !(error instanceof CodedError)) for (const call of calls) settle([call]);
      else for (const call of calls) call.reject(error);
    }
  };
  const admit = (events: number, bytes: number): void => {
    if (closed) throw new CodedError("SHUTTING_DOWN");
    const full =
      waitingEvents + events > appenderLimits.waitingMaxEvents || waitingBytes + bytes > appenderLimits.waitingMaxBytes;
    if (!full) return;
    throw new CodedError("OVERLOADED", { retryAfterSeconds: appenderLimits.overloadedRetryAfterSeconds });
  };

  return {
    append: async (events) => {
      if (events.length === 0) return [];
      const dataBytes = events.map((event) => (event.data === null ? 0 : Buffer.byteLength(event.data)));
      const bytes = dataBytes.reduce((sum, one) => sum + one, 0);
      admit(events.length, bytes);
      const { promise, resolve, reject } = Promise.withResolvers<readonly AppendedEvent[]>();
      waiting.push({ events, dataBytes, bytes, resolve, reject });
      waitingEvents += events.length;
      waitingBytes += bytes;
      schedule();
      return promise;
    },
    newest: () => commit.newest(),
    close: () => {
      closed = true;
      while (waiting.length > 0) settle(take());
    },
  };
}

/** One durable transaction for some calls; answers by call. */
interface Commit {
  run(calls: readonly Call[]): readonly (readonly AppendedEvent[])[];
  newest(): EventPosition;
}

function createCommit(deps: EventAppenderDeps, config: EventAppenderConfig): Commit {
  const { database, clock } = deps;
  const duplicates = createDuplicateFinder(database, config.dedupWindowMs);
  const insert = database.statement<never, ReturnType<typeof toEventParams>>(insertEvent);
  const byPosition = database.statement<EventRow, [number]>(`SELECT ${eventColumns} FROM events WHERE position = ?1`);
  const mark = database.statement<never, [string, number]>(
    "INSERT OR REPLACE INTO marks (name, position) VALUES (?1, ?2)",
  );
  let newest = readNewest(database);

  /** The event that is repeated; null if retention has dropped it, which makes the repeat a new event. */
  const first = (repeat: Repeat | null | undefined, done: readonly AppendedEvent[]): EventRecord | null => {
    if (repeat == null) return null;
    if (repeat.kind === "sameCommit") return done[repeat.index]?.event ?? null;
    const row = byPosition.get(repeat.position);
    return row === null ? null : toEventRecord(row);
  };

  const write = (calls: readonly Call[]): { done: readonly AppendedEvent[]; position: EventPosition } => {
    const repeats = duplicates.find(
      calls.length === 1 ? (calls[0]?.events ?? []) : calls.flatMap((call) => call.events),
      clock.now(),
    );
    const done: AppendedEvent[] = [];
    let position = newest;
    for (const call of calls) {
      for (let index = 0; index < call.events.length; index++) {
        const event = call.events[index] as NewEvent;
        const original = repeats === null ? null : first(repeats[done.length], done);
        if (original !== null) {
          done.push({ kind: "duplicate", event: original });
          continue;
        }
        position = (position + 1) as EventPosition;
        insert.run(...toEventParams(event, position, call.dataBytes[index] ?? 0));
        if (repeats !== null) duplicates.note(event, position);
        done.push({ kind: "created", event: { ...event, position } });
      }
    }
    if (position !== newest) mark.run(newestMark, position);
    return { done, position };
  };

  return {
    run: (calls) => {
      const { done, position } = database.durableTransaction(() => write(calls));
      newest = position;
      let from = 0;
      return calls.map((call) => done.slice(from, (from += call.events.length)));
    },
    newest: () => newest,
  };
}

function readNewest(database: SqliteDatabase): EventPosition {
  const row = database
    .statement<{ position: EventPosition }, [string]>("SELECT position FROM marks WHERE name = ?1")
    .get(newestMark);
  return row?.position ?? (0 as EventPosition);
}
