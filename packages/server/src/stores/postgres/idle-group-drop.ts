import type { Housekeeping } from "../../ports/housekeeping.ts";
import type { PostgresSession } from "../../postgres/postgres-database.ts";
import { keyIs, statement } from "../../postgres/statement.ts";
import type { Fenced } from "./housekeeping.ts";
import type { JobWriter } from "./job-writer.ts";

/** Groups looked at in one transaction, and how many in a row may remove nothing. */
const SLICE_ROWS = 5_000;
const EMPTY_SLICES_MAX = 200;

const isIdle = "used_at < $1 AND ready_at IS NULL AND outstanding = 0 AND blocked_job_id IS NULL";

export const readIdleGroups = statement<
  { id: number; idle: boolean },
  [idleBeforeMs: number, after: number, limit: number]
>(`
  SELECT id, ${isIdle} AS idle
  FROM (SELECT * FROM job_groups WHERE id > $2 ORDER BY id LIMIT $3) AS g ORDER BY id`);
export const lockIdleGroups = statement<{ id: number }, [idleBeforeMs: number, ids: string]>(`
  SELECT g.id FROM (SELECT id::bigint AS id FROM json_array_elements_text($2::json) AS r (id) ORDER BY 1) AS r
  CROSS JOIN LATERAL (SELECT id FROM job_groups WHERE id = r.id AND ${isIdle} FOR UPDATE SKIP LOCKED) AS g`);
export const dropGroups = statement<never, [ids: string]>(`
  DELETE FROM job_groups g USING json_array_elements_text($1::json) AS r (id)
  WHERE ${keyIs("g.id", "r.id::bigint")} AND NOT EXISTS (SELECT 1 FROM open_jobs o WHERE o.group_id = g.id)`);

/**
 * Groups that have nothing and have not been used for a while. Whoever adds jobs to a group, or changes one of them,
 * locks it first. So they are locked here, which passes over those in use; only a statement after that, which sees what
 * was committed before, looks whether there really are no jobs; and who has remembered the number of one that went
 * finds it missing when he locks it, and makes it again.
 */
export function createIdleGroupDrop(writer: JobWriter, fenced: Fenced): Housekeeping["dropIdleGroups"] {
  const { database, directory } = writer;
  let cursor = 0;

  const drop = async (ids: readonly number[], idleBeforeMs: number, session: PostgresSession): Promise<number> => {
    const locked = await session.query(lockIdleGroups, [idleBeforeMs, JSON.stringify(ids)]);
    if (locked.length === 0) return 0;
    return session.run(dropGroups, [JSON.stringify(locked.map((group) => group.id))]);
  };

  return async (idleBeforeMs, maxRows, epoch) => {
    let removed = 0;
    for (let slice = 0; removed === 0 && slice < EMPTY_SLICES_MAX; slice++) {
      const rows = await database.query(readIdleGroups, [idleBeforeMs, cursor, SLICE_ROWS]);
      const idle = rows.filter((row) => row.idle).map((row) => row.id);
      const ids = idle.slice(0, maxRows);
      removed = await fenced(epoch, (session) => (ids.length === 0 ? 0 : drop(ids, idleBeforeMs, session)));
      if (idle.length > ids.length) cursor = ids.at(-1) ?? cursor;
      else if (rows.length === SLICE_ROWS) cursor = rows.at(-1)?.id ?? cursor;
      else {
        cursor = 0;
        break;
      }
    }
    if (removed > 0) directory.forget();
    return removed;
  };
}
