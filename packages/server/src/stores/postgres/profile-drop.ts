import type { Housekeeping } from "../../ports/housekeeping.ts";
import type { PostgresSession } from "../../postgres/postgres-database.ts";
import { adHoc, keyIs, statement, toJsonRows } from "../../postgres/statement.ts";
import type { Fenced } from "./housekeeping.ts";
import { listPartitions } from "./history-partitions.ts";
import { directoryLimits } from "./job-directory.ts";
import type { JobWriter } from "./job-writer.ts";

interface Candidate {
  readonly id: number;
  readonly used_at: number;
}

const readCandidates = statement<Candidate, [usedBeforeMs: number]>(
  "SELECT id, used_at FROM delivery_profiles WHERE used_at < $1 ORDER BY id",
);
/** Planned on its own: a look at all of a table is what is wanted. */
const readUsed = adHoc<{ profile_id: number }>(`
  SELECT profile_id FROM open_jobs UNION SELECT profile_id FROM jobs_default`);
const dropProfiles = statement<never, [candidates: string]>(`
  DELETE FROM delivery_profiles p USING json_to_recordset($1::json) AS r (id integer, used_at bigint)
  WHERE ${keyIs("p.id", "r.id")} AND p.used_at = r.used_at AND NOT EXISTS (
    SELECT 1 FROM stream_checkpoint c, json_array_elements_text(c.frozen_profile_keys::json) AS k (key)
    WHERE k.key = p.key)`);

/**
 * Profiles no job and no checkpoint refers to.
 *
 * `used_at` is brought up to date at least once in `profileUseStepMs` while jobs are made with a profile, so of a month
 * of history all profiles were used after a little before that month began: those used last before the oldest month
 * that is kept are in none. What is not history by months, open jobs and the DEFAULT partition, is looked at as a
 * whole, in one statement, so that a job which moves between the two is not overlooked; that happens only if there is
 * any candidate. Who uses a profile again meanwhile writes `used_at`, and the removal passes it over.
 */
export function createProfileDrop(writer: JobWriter, fenced: Fenced): Housekeeping["dropUnusedProfiles"] {
  return async (maxRows, epoch) => {
    const removed = await fenced(epoch, (session) => drop(maxRows, writer.clock.now(), session));
    if (removed > 0) writer.directory.forget();
    return removed;
  };
}

async function drop(maxRows: number, nowMs: number, session: PostgresSession): Promise<number> {
  const months = (await listPartitions(session)).filter(({ table }) => table === "jobs");
  const oldestMs = Math.min(nowMs, ...months.map((month) => month.fromMs));
  const usedBeforeMs = oldestMs - 2 * directoryLimits.profileUseStepMs;
  const candidates = await session.query(readCandidates, [usedBeforeMs]);
  if (candidates.length === 0) return 0;
  await session.run(adHoc("SET LOCAL enable_seqscan = on"), []);
  const used = new Set((await session.query(readUsed, [])).map((row) => row.profile_id));
  await session.run(adHoc("SET LOCAL enable_seqscan = off"), []);
  const unused = candidates.filter(({ id }) => !used.has(id)).slice(0, maxRows);
  return unused.length === 0 ? 0 : session.run(dropProfiles, [toJsonRows(unused)]);
}
