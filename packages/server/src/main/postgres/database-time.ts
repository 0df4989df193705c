import { CodedError, type Service } from "@flowcatalyst/foundation";
import type { PostgresDatabase } from "../../postgres/postgres-database.ts";
import type { ProcessContext } from "../process-context.ts";

/** Clocks of machines drift by less than a millisecond in this time. */
const measureEveryMs = 30_000;
/** A measurement that took longer says too little about when the answer was made. */
const measurementMaxMs = 500;

type Measuring = Pick<ProcessContext, "clock" | "steerClock" | "logger">;

/** Sets the process's clock by the database's, once. Throws STORE_UNAVAILABLE. */
export async function followDatabaseTime(
  readNowMs: (database: PostgresDatabase) => Promise<number>,
  database: PostgresDatabase,
  { clock, steerClock }: Measuring,
): Promise<void> {
  const askedMs = clock.monotonicMs();
  const nowMs = await readNowMs(database);
  const tookMs = clock.monotonicMs() - askedMs;
  if (tookMs <= measurementMaxMs) steerClock(nowMs + tookMs / 2);
}

/** Keeps it so. While the database is away the clock runs on by itself. */
export function databaseTimeService(
  readNowMs: (database: PostgresDatabase) => Promise<number>,
  database: PostgresDatabase,
  context: Measuring,
): Service {
  return {
    name: "database-time",
    run: async (signal) => {
      while (!signal.aborted) {
        await context.clock.sleep(measureEveryMs, signal);
        if (signal.aborted) return;
        try {
          await followDatabaseTime(readNowMs, database, context);
        } catch (error) {
          if (!(error instanceof CodedError)) throw error;
          context.logger.debug({ error }, "the database's clock was not read");
        }
      }
    },
  };
}
