import type { EventPosition, JobPosition } from "../../domain/ids.ts";
import type { SqliteDatabase } from "./database.ts";

/**
 * Jobs of an event without an index: `stream_position` never goes down as `position` goes up, so they lie together and
 * their ends are found by bisection, about twenty look-ups for a million jobs.
 */
export interface JobsOfEvents {
  /** The first position whose job belongs to that event or a later one; one past the newest job if there is none. */
  firstFrom(streamPosition: EventPosition): JobPosition;
}

export function createJobsOfEvents(database: SqliteDatabase): JobsOfEvents {
  const ends = database.statement<{ oldest: number | null; newest: number | null }>(
    "SELECT (SELECT min(position) FROM jobs) AS oldest, (SELECT max(position) FROM jobs) AS newest",
  );
  const probe = database.statement<{ position: number; stream_position: number }, [number]>(
    "SELECT position, stream_position FROM jobs WHERE position >= (?1 + 0) ORDER BY position LIMIT 1",
  );
  return {
    firstFrom: (streamPosition) => {
      const found = ends.get();
      let low = found?.oldest ?? 0;
      let high = (found?.newest ?? -1) + 1;
      while (low < high) {
        const middle = Math.floor((low + high) / 2);
        const row = probe.get(middle);
        if (row === null || row.stream_position >= streamPosition) high = middle;
        else low = row.position + 1;
      }
      return low as JobPosition;
    },
  };
}
