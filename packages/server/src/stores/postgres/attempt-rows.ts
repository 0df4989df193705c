import type { Attempt } from "../../domain/attempt.ts";
import { jobLimits } from "../../domain/dispatch-job.ts";
import type { JobId } from "../../domain/ids.ts";
import type { PostgresSession } from "../../postgres/postgres-database.ts";
import { statement, toJsonRows } from "../../postgres/statement.ts";
import type { StoredAttempt } from "../../ports/job-store.ts";
import { outcomeCode, outcomeName } from "../attempt-outcomes.ts";

export interface AttemptRow {
  readonly generation: number;
  readonly number: number;
  readonly started_at: number;
  readonly duration_ms: number;
  readonly outcome: number;
  readonly status_code: number | null;
  readonly burnt: boolean;
  readonly signed: boolean;
  readonly error: string | null;
  readonly response_body: string | null;
}

/** Newest first, before a cursor of (generation, number). */
export const readAttempts = statement<
  AttemptRow,
  [jobId: string, beforeGeneration: number, beforeNumber: number, limit: number]
>(`
  SELECT generation, number, started_at, duration_ms, outcome, status_code, burnt, signed, error, response_body
  FROM attempts WHERE job_id = $1 AND (generation, number) < ($2, $3)
  ORDER BY generation DESC, number DESC LIMIT $4`);

export function toStoredAttempt(row: AttemptRow): StoredAttempt {
  return {
    generation: row.generation,
    number: row.number,
    startedAtMs: row.started_at,
    durationMs: row.duration_ms,
    outcome: outcomeName(row.outcome),
    statusCode: row.status_code,
    burnt: row.burnt,
    error: row.error,
    responseBody: row.response_body,
    signed: row.signed,
  };
}

export interface NewAttempt {
  readonly jobId: JobId;
  readonly generation: number;
  readonly attempt: Attempt;
}

/** An attempt as a row of JSON; short names, because every delivery has one. */
export function toAttemptJson({ jobId, generation, attempt }: NewAttempt): object {
  return {
    i: jobId,
    g: generation,
    n: attempt.number,
    t: attempt.startedAtMs,
    d: Math.round(attempt.durationMs),
    o: outcomeCode(attempt.outcome),
    c: attempt.statusCode,
    b: attempt.burnt,
    s: attempt.signed,
    e: attempt.error,
    r: attempt.responseBody,
  };
}

/** What `toAttemptJson` made, as a relation `r` of columns named like those of `attempts`. */
export const attemptRecords = `(
    SELECT i AS job_id, g AS generation, n AS number, t AS started_at, d AS duration_ms, o AS outcome,
      c AS status_code, b AS burnt, s AS signed, e AS error, r AS response_body
    FROM json_to_recordset($1::json) AS r (i text, g integer, n integer, t bigint, d integer, o smallint, c integer,
      b boolean, s boolean, e text, r text)
  ) AS r`;

export const attemptColumns = `job_id, generation, number, started_at, duration_ms, outcome, status_code, burnt, signed,
  error, response_body`;

export const insertAttempts = statement<{ job_id: JobId; generation: number; number: number }, [attempts: string]>(`
  INSERT INTO attempts (${attemptColumns})
  SELECT ${attemptColumns} FROM ${attemptRecords} ORDER BY job_id, generation, number
  ON CONFLICT DO NOTHING
  RETURNING job_id, generation, number`);

const trimUnburnt = statement<never, [jobIds: string, kept: number]>(`
  DELETE FROM attempts a USING (
    SELECT r.id, last.generation, last.number
    FROM json_array_elements_text($1::json) AS r (id)
    CROSS JOIN LATERAL (
      SELECT generation, number FROM attempts WHERE job_id = r.id AND NOT burnt
      ORDER BY generation DESC, number DESC OFFSET $2 LIMIT 1
    ) AS last
  ) AS old
  WHERE a.job_id = old.id AND NOT a.burnt AND (a.generation, a.number) <= (old.generation, old.number)`);

/** Inserts on conflict do nothing; answers which were new, as `attemptKey`. */
export async function addAttempts(session: PostgresSession, attempts: readonly NewAttempt[]): Promise<Set<string>> {
  if (attempts.length === 0) return new Set();
  const rows = await session.query(insertAttempts, [toJsonRows(attempts.map(toAttemptJson))]);
  return new Set(rows.map((row) => attemptKey(row.job_id, row.generation, row.number)));
}

export function attemptKey(jobId: JobId, generation: number, number: number): string {
  return `${jobId}.${generation}.${number}`;
}

/** Keeps the newest rows of those that burnt nothing. */
export async function trimUnburntAttempts(session: PostgresSession, jobIds: readonly JobId[]): Promise<void> {
  if (jobIds.length === 0) return;
  await session.run(trimUnburnt, [JSON.stringify(jobIds), jobLimits.unburntAttemptRows]);
}
