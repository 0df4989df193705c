import type { Attempt } from "../../domain/attempt.ts";
import { jobLimits } from "../../domain/dispatch-job.ts";
import type { JobPosition } from "../../domain/ids.ts";
import type { StoredAttempt } from "../../ports/job-store.ts";
import { outcomeCode, outcomeName } from "../attempt-outcomes.ts";
import type { SqliteDatabase } from "./database.ts";

export interface AttemptRow {
  readonly generation: number;
  readonly number: number;
  readonly started_at: number;
  readonly duration_ms: number;
  readonly outcome: number;
  readonly status_code: number | null;
  readonly burnt: number;
  readonly signed: number;
  readonly error: string | null;
  readonly response_body: string | null;
}

/** Newest first, before a cursor of (generation, number). */
export const readAttempts = `SELECT generation, number, started_at, duration_ms, outcome, status_code, burnt, signed,
    error, response_body
  FROM attempts WHERE job_position = (?1 + 0) AND (generation, number) < (?2 + 0, ?3 + 0)
  ORDER BY generation DESC, number DESC LIMIT (?4 + 0)`;

export function toStoredAttempt(row: AttemptRow): StoredAttempt {
  return {
    generation: row.generation,
    number: row.number,
    startedAtMs: row.started_at,
    durationMs: row.duration_ms,
    outcome: outcomeName(row.outcome),
    statusCode: row.status_code,
    burnt: row.burnt === 1,
    error: row.error,
    responseBody: row.response_body,
    signed: row.signed === 1,
  };
}

export interface AttemptKey {
  readonly position: JobPosition;
  readonly generation: number;
}

export interface AttemptWrites {
  /** False: it is recorded already. */
  insert(key: AttemptKey, attempt: Attempt): boolean;
  /** Keeps the newest rows of those that burnt nothing. */
  trimUnburnt(position: JobPosition): void;
}

export function createAttemptWrites(database: SqliteDatabase): AttemptWrites {
  const insert = database.statement<
    never,
    [
      ...[position: number, generation: number, number: number, startedAt: number, durationMs: number],
      ...[outcome: number, statusCode: number | null, burnt: number, signed: number],
      ...[error: string | null, responseBody: string | null],
    ]
  >(`
    INSERT INTO attempts (job_position, generation, number, started_at, duration_ms, outcome, status_code, burnt,
      signed, error, response_body)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT DO NOTHING`);
  const trim = database.statement<never, [number, number]>(`
    DELETE FROM attempts WHERE job_position = (?1 + 0) AND burnt = 0 AND (generation, number) <= (
      SELECT generation, number FROM attempts WHERE job_position = (?1 + 0) AND burnt = 0
      ORDER BY generation DESC, number DESC LIMIT 1 OFFSET (?2 + 0))`);
  return {
    insert: (key, attempt) =>
      insert.run(
        key.position,
        key.generation,
        attempt.number,
        attempt.startedAtMs,
        Math.round(attempt.durationMs),
        outcomeCode(attempt.outcome),
        attempt.statusCode,
        attempt.burnt ? 1 : 0,
        attempt.signed ? 1 : 0,
        attempt.error,
        attempt.responseBody,
      ) === 1,
    trimUnburnt: (position) => {
      trim.run(position, jobLimits.unburntAttemptRows);
    },
  };
}
