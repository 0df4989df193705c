import type { EventRecord } from "../../domain/event.ts";
import type { EventId, EventPosition } from "../../domain/ids.ts";
import { canRead } from "../../domain/scope.ts";
import type { EventFeed, EventReader, FeedEvent } from "../../ports/event-log.ts";
import type { PostgresSession } from "../../postgres/postgres-database.ts";
import { statement } from "../../postgres/statement.ts";
import { storable } from "./entity-table.ts";
import {
  createEventAppender,
  type ClosableEventAppender,
  type EventAppenderConfig,
  type EventAppenderDeps,
} from "./event-appender.ts";
import {
  dataOf,
  eventColumns,
  eventHeadColumns,
  toEventHead,
  toEventRecord,
  type EventHeadRow,
  type EventRow,
} from "./event-row.ts";
import { storeChannels } from "./wake-signal.ts";

/** The event log: what is accepted (event-appender.ts), read forward by the stream and one by one by the API. */
export interface PostgresEventLog {
  readonly appender: ClosableEventAppender;
  readonly feed: EventFeed;
  readonly reader: EventReader;
}

export function createEventLog(deps: EventAppenderDeps, config: EventAppenderConfig): PostgresEventLog {
  const { database } = deps;
  return {
    appender: createEventAppender(deps, config),
    reader: createEventReader(database),
    feed: {
      readAfter: createReadAfter(database),
      newest: async () => (await database.one(readNewest, []))?.newest ?? (0 as EventPosition),
      onAppended: (wake) => database.listen(storeChannels.appended, wake),
    },
  };
}

export const readHeadsAfter = statement<EventHeadRow, [after: number, maxEvents: number]>(`
  SELECT ${eventHeadColumns} FROM events WHERE position > $1 ORDER BY position LIMIT $2`);

/**
 * Data of so many events as fit into the byte limit, and of one at least, however large: otherwise it could never be
 * passed. Large data is kept beside its row, and is read only where it is given out.
 */
export const readEventsAfter = statement<
  EventHeadRow & { readonly data: string | null },
  [after: number, maxEvents: number, maxBytes: number]
>(`
  SELECT ${eventHeadColumns}, data
  FROM (
    SELECT *, sum(data_bytes) OVER (ORDER BY position ROWS UNBOUNDED PRECEDING) AS bytes_to_here
    FROM (
      SELECT ${eventHeadColumns}, data FROM events WHERE position > $1 ORDER BY position LIMIT $2
    ) AS following
  ) AS summed
  WHERE bytes_to_here <= $3 OR bytes_to_here = data_bytes
  ORDER BY position`);

export const readEventById = statement<EventRow, [string]>(`SELECT ${eventColumns} FROM events WHERE id = $1`);

const readNewest = statement<{ newest: EventPosition }>("SELECT newest FROM event_log_head WHERE only_row");

function createReadAfter(session: PostgresSession): EventFeed["readAfter"] {
  return async (after, { maxEvents, maxBytes, withData }): Promise<readonly FeedEvent[]> => {
    if (!withData) {
      const heads = await session.query(readHeadsAfter, [after, maxEvents]);
      return heads.map((row) => Object.assign(toEventHead(row), { data: null }));
    }
    const rows = await session.query(readEventsAfter, [after, maxEvents, maxBytes]);
    return rows.map((row) => Object.assign(toEventHead(row), { data: dataOf(row) }));
  };
}

function createEventReader(session: PostgresSession): EventReader {
  return {
    byId: async (id: EventId, scope): Promise<EventRecord | null> => {
      const row = await session.one(readEventById, [storable(id)]);
      return row === null || !canRead(scope, row.client_id) ? null : toEventRecord(row);
    },
  };
}
