import { CodedError } from "@flowcatalyst/foundation";
import type { PostgresDatabase } from "../../postgres/postgres-database.ts";
import { statement } from "../../postgres/statement.ts";
import type { NodeNumbers } from "../../ports/lease.ts";
import { databaseNowMs } from "./database-clock.ts";
import { storeLocks } from "./store-locks.ts";

/**
 * Node numbers of ids, each had by one live process, until a time by the database's clock.
 *
 * A process asks again, well before its time to live is over, for as long as it makes ids; it then has the same number.
 * One that came too late may be told another, because its own has gone to somebody else meanwhile: it makes no more ids
 * under the old one. Given back at a stop, a number is used again last of all, so that ids of its last holder, whose
 * clock may have been ahead, are far away in time.
 */
export const nodeNumberCount = 1_024;

const renewNumber = statement<{ number: number }, [holder: string, ttlMs: number]>(`
  UPDATE node_numbers SET expires_at_ms = ${databaseNowMs} + $2::bigint WHERE holder = $1 RETURNING number`);
const lockChoosing = statement<never, [number]>("SELECT pg_advisory_xact_lock($1)");
/** Numbers are handed out in order, so rows are 0 to their count - 1; then the one that has been free for longest. */
const takeNumber = statement<{ number: number }, [holder: string, ttlMs: number, count: number]>(`
  WITH idle AS (
    SELECT number FROM node_numbers WHERE holder IS NULL OR expires_at_ms <= ${databaseNowMs}
    ORDER BY expires_at_ms, number LIMIT 1
  ), chosen AS (
    SELECT CASE WHEN used < $3::integer THEN used ELSE (SELECT number FROM idle) END AS number
    FROM (SELECT count(*)::integer AS used FROM node_numbers) AS n
  )
  INSERT INTO node_numbers (number, holder, expires_at_ms)
  SELECT number, $1, ${databaseNowMs} + $2::bigint FROM chosen WHERE number IS NOT NULL
  ON CONFLICT (number) DO UPDATE SET holder = excluded.holder, expires_at_ms = excluded.expires_at_ms
  RETURNING number`);
const freeNumber = statement<never, [holder: string]>(
  `UPDATE node_numbers SET holder = NULL, expires_at_ms = ${databaseNowMs} WHERE holder = $1`,
);

export function createNodeNumbers({ database }: { readonly database: PostgresDatabase }): NodeNumbers {
  const take = (holder: string, ttlMs: number): Promise<{ number: number } | null> =>
    database.transaction(async (session) => {
      await session.run(lockChoosing, [storeLocks.nodeNumbers]);
      const own = await session.one(renewNumber, [holder, ttlMs]);
      return own ?? (await session.one(takeNumber, [holder, ttlMs, nodeNumberCount]));
    });

  return {
    lease: async (holder, ttlMs) => {
      const row = (await database.one(renewNumber, [holder, ttlMs])) ?? (await take(holder, ttlMs));
      if (row === null) {
        throw new CodedError("STORE_UNAVAILABLE", {
          message: `All ${nodeNumberCount} node numbers are taken by live processes`,
        });
      }
      return row.number;
    },
    release: async (holder) => {
      await database.run(freeNumber, [holder]);
    },
  };
}
