import type { PostgresDatabase, PostgresSession } from "../../postgres/postgres-database.ts";
import { statement } from "../../postgres/statement.ts";
import type { IdempotencyState, IdempotencyStore, StoredAnswer } from "../../ports/idempotency.ts";
import { databaseNowMs } from "./database-clock.ts";

/**
 * Answers under their `Idempotency-Key`, shared by all platform processes. A row without a status is a reservation: its
 * request is being worked on, by whichever process.
 *
 * Everything expires by the database's clock, not by the caller's: a process whose clock is ahead would take another's
 * reservation for an abandoned one, and do the request a second time.
 *
 * A reservation ends by itself after `reservationMaxMs`, because nobody can tell whether the process that made it still
 * lives. A request that took longer than that could be done twice, so the limit is far above what a request may take:
 * a few statements, each ended by the server after 15 s. One that was late all the same finds its key answered and
 * leaves the first answer as it is.
 */
export const idempotencyLimits = {
  answerKeptMs: 86_400_000,
  reservationMaxMs: 120_000,
} as const;

interface KeyRow {
  readonly body_digest: string;
  readonly status: number | null;
  readonly headers: string | null;
  readonly body: string | null;
}

/** Waits for another transaction that has the key; with it, either a row of ours or none. */
export const reserveKey = statement<{ key: string }, [key: string, bodyDigest: string, reservationMs: number]>(`
  INSERT INTO idempotency_keys AS k (key, body_digest, expires_at_ms) VALUES ($1, $2, ${databaseNowMs} + $3::bigint)
  ON CONFLICT (key) DO UPDATE SET
    body_digest = excluded.body_digest, status = NULL, headers = NULL, body = NULL,
    expires_at_ms = excluded.expires_at_ms
  WHERE k.expires_at_ms <= ${databaseNowMs}
  RETURNING key`);
export const readKey = statement<KeyRow, [key: string]>(
  "SELECT body_digest, status, headers, body FROM idempotency_keys WHERE key = $1",
);
const answerKey = statement<never, [key: string, status: number, headers: string, body: string, keptMs: number]>(`
  UPDATE idempotency_keys
  SET status = $2, headers = $3, body = $4, expires_at_ms = ${databaseNowMs} + $5::bigint
  WHERE key = $1 AND status IS NULL`);
const forgetKey = statement<never, [key: string]>("DELETE FROM idempotency_keys WHERE key = $1 AND status IS NULL");
export const dropExpiredKeys = statement<never, [maxRows: number]>(`
  DELETE FROM idempotency_keys WHERE key IN (
    SELECT key FROM idempotency_keys WHERE expires_at_ms <= ${databaseNowMs}
    ORDER BY expires_at_ms LIMIT $1 FOR UPDATE SKIP LOCKED)`);

export function createIdempotencyStore({ database }: { readonly database: PostgresDatabase }): IdempotencyStore {
  return {
    begin: async (key, bodyDigest) => {
      for (;;) {
        const reserved = await database.one(reserveKey, [key, bodyDigest, idempotencyLimits.reservationMaxMs]);
        if (reserved !== null) return { kind: "fresh" };
        const row = await database.one(readKey, [key]);
        if (row !== null) return stateOf(row, bodyDigest);
        // Forgotten in between: the key is free again.
      }
    },
    complete: async (key, answer: StoredAnswer) => {
      const headers = JSON.stringify(answer.headers);
      await database.run(answerKey, [key, answer.status, headers, answer.body, idempotencyLimits.answerKeptMs]);
    },
    forget: async (key) => {
      await database.run(forgetKey, [key]);
    },
  };
}

function stateOf(row: KeyRow, bodyDigest: string): IdempotencyState {
  if (row.body_digest !== bodyDigest) return { kind: "conflict" };
  if (row.status === null) return { kind: "inProgress" };
  const headers = JSON.parse(row.headers ?? "{}") as Record<string, string>;
  return { kind: "repeat", answer: { status: row.status, headers, body: row.body ?? "" } };
}

/** Removes at most `maxRows` keys that are over, the oldest first; returns how many. */
export function expireIdempotencyKeys(session: PostgresSession, maxRows: number): Promise<number> {
  return session.run(dropExpiredKeys, [maxRows]);
}
