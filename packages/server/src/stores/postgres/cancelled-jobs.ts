import type { PostgresSession } from "../../postgres/postgres-database.ts";
import { statement } from "../../postgres/statement.ts";
import { raiseRevision } from "./revisions.ts";

/** Cancelled jobs that routers are told of; older ones are forgotten, and their result is then simply ignored. */
export const cancelledJobsKept = 10_000;

const insertCancelled = statement<never, [keys: string]>(`
  INSERT INTO cancelled_jobs (job_id)
  SELECT key FROM json_array_elements_text($1::json) WITH ORDINALITY AS k (key, ordinal) ORDER BY ordinal`);
const trimCancelled = statement<never, [number]>(
  "DELETE FROM cancelled_jobs WHERE sequence <= (SELECT max(sequence) FROM cancelled_jobs) - $1::bigint",
);

/**
 * Notes QUEUED jobs that were cancelled, by `jobGenerationKey`, so that routers do not start them. Call inside the
 * transaction that cancels them, after all of its other locks, and wake `StoreWakes.control` after its commit.
 */
export async function noteCancelledJobs(session: PostgresSession, keys: readonly string[]): Promise<void> {
  if (keys.length === 0) return;
  // First, because it lets one transaction at a time in: two that trim would meet on the same rows.
  await raiseRevision(session, "control");
  await session.run(insertCancelled, [JSON.stringify(keys)]);
  await session.run(trimCancelled, [cancelledJobsKept]);
}
