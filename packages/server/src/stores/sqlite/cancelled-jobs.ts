import type { SqliteDatabase } from "./database.ts";
import { raiseRevision } from "./revisions.ts";

/** Cancelled jobs that routers are told of; older ones are forgotten, and their result is then simply ignored. */
export const cancelledJobsKept = 10_000;

/**
 * Notes QUEUED jobs that were cancelled, by `jobGenerationKey`, so that routers do not start them. Call inside the
 * transaction that cancels them, and wake `StoreWakes.control` after its commit.
 */
export function noteCancelledJobs(database: SqliteDatabase, keys: readonly string[]): void {
  if (keys.length === 0) return;
  const insert = database.statement<never, [string]>("INSERT INTO cancelled_jobs (job_id) VALUES (?1)");
  for (const key of keys) insert.run(key);
  database
    .statement<never, [number]>(
      "DELETE FROM cancelled_jobs WHERE sequence <= (SELECT max(sequence) FROM cancelled_jobs) - ?1",
    )
    .run(cancelledJobsKept);
  raiseRevision(database, "control");
}

export function readCancelledJobs(database: SqliteDatabase): ReadonlySet<string> {
  const rows = database.statement<{ job_id: string }>("SELECT job_id FROM cancelled_jobs").all();
  return new Set(rows.map((row) => row.job_id));
}
