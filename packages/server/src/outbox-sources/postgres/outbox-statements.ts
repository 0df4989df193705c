import { statement, type Statement } from "../../postgres/statement.ts";
import { statusConditions, type SqlForm } from "../outbox-form.ts";
import type { PostgresNames } from "./postgres-ddl.ts";

/** What is asked of a table besides claims, as SQL for its form and names. */
export interface OutboxStatements {
  readonly done: Statement<never, readonly [ids: readonly string[]]>;
  /** Of these ids, what `done` would still have to change. */
  readonly notDone: Statement<{ readonly id: string }, readonly [ids: readonly string[]]>;
  /** Rows of `{id, status, error, retries}`. */
  readonly others: Statement<never, readonly [rows: string]>;
  readonly release: Statement<never, readonly [ids: readonly string[]]>;
  /** Of these ids, what `others` and `release` would still have to change. */
  readonly stillInProgress: Statement<{ readonly id: string }, readonly [ids: readonly string[]]>;
  readonly recover: Statement<never, readonly [inProgressForMs: number]>;
  /** Pending rows that an application wrote without a time, which have no place in the order, get one. */
  readonly giveTimes: Statement<never, readonly []>;
  readonly deleteFinished: Statement<never, readonly [settledForMs: number, limit: number]>;
  readonly counts: Statement<CountsRow, readonly [exhaustedFrom: number, limit: number]>;
  readonly acquire: Statement<{ readonly epoch: number }, readonly [holder: string, ttlMs: number]>;
  readonly giveBack: Statement<never, readonly [holder: string]>;
  readonly control: Statement<ControlRow, readonly []>;
  readonly setPause: Statement<never, readonly [reason: string | null]>;
  /** By the table's name as SQL has it. */
  readonly columns: Statement<{ readonly column: string }, readonly [table: string]>;
}

export interface CountsRow {
  readonly pending: number;
  readonly in_progress: number;
  readonly waiting: number;
  readonly exhausted: number;
  readonly refused: number;
  readonly oldest_age_ms: number | null;
}

export interface ControlRow {
  readonly paused_reason: string | null;
  readonly holder: string | null;
  /** Milliseconds since 1970. */
  readonly lease_until: number | null;
}

const ms = (parameter: string): string => `${parameter}::bigint * interval '1 millisecond'`;

export function outboxStatements(form: SqlForm, names: PostgresNames): OutboxStatements {
  const { quoted: table, control } = names;
  const notFinal = `${form.pending}, ${form.waiting}, ${form.inProgress}`;
  const published = form.form === "router" ? ", published_at = clock_timestamp()" : "";
  /** No statement waits for a lock of the application: one row that it keeps would hold up the results of all. */
  const free = (which: string): string =>
    `WITH free AS MATERIALIZED (SELECT id FROM ${table} WHERE ${which} FOR NO KEY UPDATE SKIP LOCKED)`;
  return {
    done: statement(`
      ${free(`id = ANY ($1::text[]) AND status IN (${notFinal})`)}
      UPDATE ${table} t SET status = ${form.success}, updated_at = clock_timestamp(), ${form.error} = NULL${published}
      FROM free WHERE t.id = free.id`),
    notDone: statement(`SELECT id FROM ${table} WHERE id = ANY ($1::text[]) AND status IN (${notFinal})`),
    others: statement(`
      ${free(`id IN (SELECT id FROM json_to_recordset($1::json) AS r (id text)) AND status = ${form.inProgress}`)}
      UPDATE ${table} t SET status = r.status, updated_at = clock_timestamp(), ${form.error} = r.error,
        retry_count = least(t.retry_count + r.retries, ${maxRetryCount})
      FROM json_to_recordset($1::json) AS r (
        id text, status ${form.form === "platform" ? "smallint" : "text"}, error text, retries integer
      ), free
      WHERE t.id = r.id AND t.id = free.id`),
    release: statement(`
      ${free(`id = ANY ($1::text[]) AND status = ${form.inProgress}`)}
      UPDATE ${table} t SET status = ${form.pending}, updated_at = clock_timestamp() FROM free WHERE t.id = free.id`),
    stillInProgress: statement(`SELECT id FROM ${table} WHERE id = ANY ($1::text[]) AND status = ${form.inProgress}`),
    recover: statement(`
      ${free(`status = ${form.inProgress} AND ($1::bigint = 0 OR updated_at <= now() - ${ms("$1")})`)}
      UPDATE ${table} t SET status = ${form.pending}, updated_at = clock_timestamp() FROM free WHERE t.id = free.id`),
    giveTimes: statement(`
      ${free(`status = ${form.pending} AND created_at IS NULL`)}
      UPDATE ${table} t SET created_at = clock_timestamp() FROM free WHERE t.id = free.id`),
    deleteFinished: statement(`
      WITH old AS MATERIALIZED (
        SELECT id FROM ${table} WHERE status = ${form.success} AND updated_at <= now() - ${ms("$1")}
        ORDER BY updated_at LIMIT $2::bigint FOR UPDATE SKIP LOCKED
      )
      DELETE FROM ${table} t USING old WHERE t.id = old.id`),
    counts: countsOf(form, table),
    ...controlStatements(control),
    columns: statement(`
      SELECT attname::text AS column FROM pg_attribute
      WHERE attrelid = to_regclass($1::text) AND attnum > 0 AND NOT attisdropped`),
  };
}

/** The largest SMALLINT. */
const maxRetryCount = 32_767;

function countsOf(form: SqlForm, table: string): OutboxStatements["counts"] {
  const count = (states: string, rest = ""): string =>
    `(SELECT count(*) FROM (SELECT 1 FROM ${table} WHERE status IN (${states})${rest} LIMIT $2::bigint) c)`;
  const refused = statusConditions(form, [2, 5])
    .map((condition) => `SELECT 1 FROM ${table} WHERE ${condition}`)
    .join(" UNION ALL ");
  const isTime = "created_at > '-infinity' AND created_at < 'infinity'";
  const oldest = [form.pending, form.inProgress, ...form.waiting.split(", ")]
    .map(
      (status) => `(SELECT created_at FROM ${table} WHERE status = ${status} AND ${isTime}
        ORDER BY created_at, id LIMIT 1)`,
    )
    .join(" UNION ALL ");
  return statement(`
    SELECT ${count(form.pending)} AS pending, ${count(form.inProgress)} AS in_progress,
      ${count(form.waiting, " AND retry_count < $1::bigint")} AS waiting,
      ${count(form.waiting, " AND retry_count >= $1::bigint")} AS exhausted,
      (SELECT count(*) FROM (${refused} LIMIT $2::bigint) c) AS refused,
      (SELECT floor(extract(epoch FROM clock_timestamp() - min(least(created_at, clock_timestamp()))) * 1000)::bigint
        FROM (${oldest}) o)
        AS oldest_age_ms`);
}

type ControlStatements = Pick<OutboxStatements, "acquire" | "giveBack" | "control" | "setPause">;

function controlStatements(control: string): ControlStatements {
  return {
    acquire: statement(`
      UPDATE ${control} SET epoch = CASE WHEN holder = $1::text THEN epoch ELSE epoch + 1 END, holder = $1::text,
        lease_until = clock_timestamp() + ${ms("$2")}
      WHERE only_row = 1 AND (holder IS NULL OR holder = $1::text OR lease_until <= clock_timestamp())
      RETURNING epoch`),
    giveBack: statement(`
      UPDATE ${control} SET holder = NULL, lease_until = NULL WHERE only_row = 1 AND holder = $1::text`),
    control: statement(`
      SELECT paused_reason, holder, floor(extract(epoch FROM lease_until) * 1000)::bigint AS lease_until
      FROM ${control} WHERE only_row = 1`),
    setPause: statement(`UPDATE ${control} SET paused_reason = $1::text WHERE only_row = 1`),
  };
}
