import type { OutboxForm } from "../../domain/outbox-row.ts";
import { outboxTableOf, sqlForm } from "../outbox-form.ts";

/**
 * The statements that make the tables on PostgreSQL 14 or later. Each can be run again: what is there stays.
 *
 * `created_at` is the time of the insertion, not of the transaction's start (`clock_timestamp()`, not `now()`), so rows
 * of writers that the application serialises by a lock stand in the order in which they got it. The trigger wakes the
 * processor once per statement, with the commit; without it the processor polls.
 *
 * Indexes: by state, for looks at what is pending and for operators; by group and state, which keeps order; by retry,
 * for what is due; by time of what is finished, for its deletion.
 */
export function postgresOutboxDdl(form: OutboxForm, table: string): readonly string[] {
  const sql = sqlForm(form);
  const names = postgresNames(table);
  const { name, quoted } = names;
  const on = (suffix: string, rest: string): string =>
    `CREATE INDEX IF NOT EXISTS "${name}_${suffix}" ON ${quoted} ${rest}`;
  return [
    form === "platform" ? platformTable(quoted) : routerTable(quoted),
    ...(form === "router" ? [routerAdditions(quoted)] : []),
    on("by_status", "(status, created_at, id)"),
    on(
      "by_group",
      `(${sql.group}, status, created_at, id) WHERE status <> ${sql.success} AND ${sql.group} IS NOT NULL`,
    ),
    on("by_retry", `(retry_count, updated_at) WHERE status IN (${sql.waiting})`),
    on("by_end", `(updated_at) WHERE status = ${sql.success}`),
    `CREATE TABLE IF NOT EXISTS ${names.control} (
  only_row smallint PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
  epoch bigint NOT NULL DEFAULT 0,
  holder text,
  lease_until timestamptz,
  paused_reason text
)`,
    `INSERT INTO ${names.control} (only_row) VALUES (1) ON CONFLICT DO NOTHING`,
    `CREATE OR REPLACE FUNCTION ${names.wakeFunction}() RETURNS trigger LANGUAGE plpgsql AS $wake$
BEGIN
  PERFORM pg_notify('${names.channel}', '');
  RETURN NULL;
END
$wake$`,
    `CREATE OR REPLACE TRIGGER "${name}_wake" AFTER INSERT ON ${quoted}
FOR EACH STATEMENT EXECUTE FUNCTION ${names.wakeFunction}()`,
  ];
}

export interface PostgresNames {
  readonly name: string;
  /** The table, its control table, and the function of its trigger, quoted and with their schema. */
  readonly quoted: string;
  readonly control: string;
  readonly wakeFunction: string;
  readonly channel: string;
}

export function postgresNames(table: string): PostgresNames {
  const { schema, name } = outboxTableOf(table);
  const within = (what: string): string => (schema === null ? `"${what}"` : `"${schema}"."${what}"`);
  return {
    name,
    quoted: within(name),
    control: within(`${name}_control`),
    wakeFunction: within(`${name}_wake`),
    channel: `${name}_wake`,
  };
}

function platformTable(quoted: string): string {
  return `CREATE TABLE IF NOT EXISTS ${quoted} (
  id varchar(26) COLLATE "C" PRIMARY KEY,
  type varchar(20) NOT NULL,
  message_group varchar(255) COLLATE "C",
  payload text NOT NULL,
  status smallint NOT NULL DEFAULT 0,
  retry_count smallint NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  error_message text,
  client_id varchar(26),
  payload_size integer,
  headers json
) WITH (${storage})`;
}

function routerTable(quoted: string): string {
  return `CREATE TABLE IF NOT EXISTS ${quoted} (
  id varchar(36) COLLATE "C" PRIMARY KEY,
  message_group_id varchar(255) COLLATE "C",
  deduplication_id varchar(255),
  pool_code varchar(100),
  target text NOT NULL,
  payload text NOT NULL,
  headers json,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  published_at timestamptz,
  status varchar(20) NOT NULL DEFAULT 'PENDING',
  retry_count integer NOT NULL DEFAULT 0,
  last_error text,
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (${storage})`;
}

/** `now()` is one value for all rows there are, so the table is not written anew. */
function routerAdditions(quoted: string): string {
  return `ALTER TABLE ${quoted} ADD COLUMN IF NOT EXISTS updated_at timestamptz NOT NULL DEFAULT now()`;
}

/** Every row is written three times and deleted: what is dead must be cleared early. */
const storage = "autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0";
