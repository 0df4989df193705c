import type { Clock } from "@flowcatalyst/foundation";
import type { IdempotencyState, IdempotencyStore } from "../../ports/idempotency.ts";
import type { SqliteDatabase } from "./database.ts";

/**
 * Answers under their `Idempotency-Key`. A row without a status is a reservation: its request is being worked on. One
 * that was never answered (its process died) is free again after `reservationMaxMs`, and at start, when the only
 * process that could still answer is this one.
 */
export const idempotencyLimits = {
  answerKeptMs: 86_400_000,
  reservationMaxMs: 300_000,
} as const;

interface KeyRow {
  readonly body_digest: string;
  readonly status: number | null;
  readonly headers: string | null;
  readonly body: string | null;
  readonly created_at_ms: number;
}

export interface IdempotencyStoreDeps {
  readonly database: SqliteDatabase;
  readonly clock: Pick<Clock, "now">;
}

export function createIdempotencyStore(deps: IdempotencyStoreDeps): IdempotencyStore {
  const { database } = deps;
  const read = database.statement<KeyRow, [string]>(
    "SELECT body_digest, status, headers, body, created_at_ms FROM idempotency_keys WHERE key = ?1",
  );
  const reserve = database.statement<never, [string, string, number]>(
    "INSERT OR REPLACE INTO idempotency_keys (key, body_digest, created_at_ms) VALUES (?1, ?2, ?3)",
  );
  const answer = database.statement<never, [string, number, string, string]>(
    "UPDATE idempotency_keys SET status = ?2, headers = ?3, body = ?4 WHERE key = ?1",
  );
  const drop = database.statement<never, [string]>("DELETE FROM idempotency_keys WHERE key = ?1 AND status IS NULL");

  return {
    begin: async (key, bodyDigest, nowMs) =>
      database.transaction((): IdempotencyState => {
        const row = read.get(key);
        if (row !== null && !isOver(row, nowMs)) return stateOf(row, bodyDigest);
        reserve.run(key, bodyDigest, nowMs);
        return { kind: "fresh" };
      }),
    complete: async (key, stored) => {
      // Durable, since what it answers for is: without it a repeat after a power cut would be done a second time.
      database.durableTransaction(() => answer.run(key, stored.status, JSON.stringify(stored.headers), stored.body));
    },
    forget: async (key) => {
      database.transaction(() => drop.run(key));
    },
  };
}

function isOver(row: KeyRow, nowMs: number): boolean {
  const keptMs = row.status === null ? idempotencyLimits.reservationMaxMs : idempotencyLimits.answerKeptMs;
  return row.created_at_ms <= nowMs - keptMs;
}

function stateOf(row: KeyRow, bodyDigest: string): IdempotencyState {
  if (row.body_digest !== bodyDigest) return { kind: "conflict" };
  if (row.status === null) return { kind: "inProgress" };
  const headers = JSON.parse(row.headers ?? "{}") as Record<string, string>;
  return { kind: "repeat", answer: { status: row.status, headers, body: row.body ?? "" } };
}

/** At start: what a dead process had begun. */
export function dropReservations(database: SqliteDatabase): void {
  database.transaction(() => database.exec("DELETE FROM idempotency_keys WHERE status IS NULL"));
}

/** Removes at most `maxRows` keys that are over; returns how many. Call inside a transaction. */
export function expireIdempotencyKeys(database: SqliteDatabase, nowMs: number, maxRows: number): number {
  return database
    .statement<never, [number, number]>(`
      DELETE FROM idempotency_keys WHERE rowid IN (
        SELECT rowid FROM idempotency_keys WHERE created_at_ms <= ?1 ORDER BY created_at_ms LIMIT ?2)`)
    .run(nowMs - idempotencyLimits.answerKeptMs, maxRows);
}
