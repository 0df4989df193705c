import type { Clock } from "@flowcatalyst/foundation";
import type { PostgresDatabase } from "../../postgres/postgres-database.ts";
import { statement } from "../../postgres/statement.ts";
import { postgresQueueLimits } from "./postgres-queue-config.ts";

/**
 * What time it is for the queue, in ms since the Unix epoch. Consumers' clocks differ, so due times and leases go by
 * the database's clock: its difference to this process's monotonic clock is measured when first asked for and every 30
 * s, which costs no statement of its own in between. A measurement is off by at most half of its round trip.
 */
export interface QueueTime {
  now(): Promise<number>;
}

const readClock = statement<{ at_ms: number }>(
  "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS at_ms",
);

export function databaseTime(database: PostgresDatabase, clock: Clock): QueueTime {
  let offsetMs = 0;
  let measuredAtMs = Number.NEGATIVE_INFINITY;
  const measure = async (): Promise<void> => {
    const sentMs = clock.monotonicMs();
    const row = await database.one(readClock, []);
    const answeredMs = clock.monotonicMs();
    offsetMs = (row?.at_ms ?? clock.now()) - (sentMs + answeredMs) / 2;
    measuredAtMs = answeredMs;
  };
  return {
    async now() {
      if (clock.monotonicMs() - measuredAtMs > postgresQueueLimits.timeMaxAgeMs) await measure();
      return Math.floor(clock.monotonicMs() + offsetMs);
    },
  };
}

/** The time of a clock that is moved by hand: for tests, where the database's own cannot be. */
export function clockTime(clock: Clock): QueueTime {
  return { now: async () => clock.now() };
}
