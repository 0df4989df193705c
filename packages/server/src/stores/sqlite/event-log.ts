import type { EventRecord } from "../../domain/event.ts";
import type { EventId } from "../../domain/ids.ts";
import { canRead } from "../../domain/scope.ts";
import type { EventFeed, EventReader, FeedEvent, FeedLimits } from "../../ports/event-log.ts";
import type { SqliteDatabase } from "./database.ts";
import {
  createEventAppender,
  type ClosableEventAppender,
  type EventAppenderConfig,
  type EventAppenderDeps,
} from "./event-appender.ts";
import {
  eventColumns,
  eventHeadColumns,
  toEventHead,
  toEventRecord,
  type EventHeadRow,
  type EventRow,
} from "./event-row.ts";

/** The event log: what is accepted (event-appender.ts), read forward by the stream and one by one by the API. */
export interface SqliteEventLog {
  readonly appender: ClosableEventAppender;
  readonly feed: EventFeed;
  readonly reader: EventReader;
}

export function createEventLog(deps: EventAppenderDeps, config: EventAppenderConfig): SqliteEventLog {
  const appender = createEventAppender(deps, config);
  return {
    appender,
    reader: createEventReader(deps.database),
    feed: {
      readAfter: createReadAfter(deps.database),
      newest: async () => appender.newest(),
      onAppended: (wake) => deps.appended.subscribe(wake),
    },
  };
}

// Why the sums: job-claim-statements.ts. Reading one head takes 0.5 us so, 3 us with bare parameters.
export const readHeadsAfter = `SELECT ${eventHeadColumns} FROM events
  WHERE position > (?1 + 0) ORDER BY position LIMIT (?2 + 0)`;
export const readDataBetween = `SELECT data FROM events
  WHERE position > (?1 + 0) AND position <= (?2 + 0) ORDER BY position`;
export const readEventById = `SELECT ${eventColumns} FROM events WHERE id = ?1`;

/** Heads first, then the data of only so many as the byte limit allows: nobody knows before how large they are. */
function createReadAfter(database: SqliteDatabase): EventFeed["readAfter"] {
  const heads = database.statement<EventHeadRow, [number, number]>(readHeadsAfter);
  const datas = database.statement<{ data: string | null }, [number, number]>(readDataBetween);
  return async (after, limits) => {
    const rows = heads.all(after, limits.maxEvents);
    if (!limits.withData) return rows.map((row) => withData(row, null));
    const fitting = rows.slice(0, countFitting(rows, limits));
    const last = fitting.at(-1);
    if (last === undefined) return [];
    const data = datas.all(after, last.position);
    return fitting.map((row, index) => withData(row, data[index]?.data ?? null));
  };
}

function withData(row: EventHeadRow, data: string | null): FeedEvent {
  return Object.assign(toEventHead(row), { data });
}

/** At least one, however large: otherwise it could never be passed. */
function countFitting(rows: readonly EventHeadRow[], limits: FeedLimits): number {
  let bytes = 0;
  let count = 0;
  for (const row of rows) {
    bytes += row.data_bytes;
    if (count > 0 && bytes > limits.maxBytes) break;
    count++;
  }
  return count;
}

function createEventReader(database: SqliteDatabase): EventReader {
  const byId = database.statement<EventRow, [string]>(readEventById);
  return {
    byId: async (id: EventId, scope): Promise<EventRecord | null> => {
      const row = byId.get(id);
      return row === null || !canRead(scope, row.client_id) ? null : toEventRecord(row);
    },
  };
}
