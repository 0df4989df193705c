import type { OutboxForm } from "../../domain/outbox-row.ts";
import { outboxTableOf, sqlForm } from "../outbox-form.ts";

/**
 * The statements that make the tables on SQLite 3.38 or later. Each can be run again: what is there stays.
 *
 * Times are texts of one length, in UTC with milliseconds, so that they compare as texts. Rows of one millisecond stand
 * in the order of their ids, which rise within a process that makes them by the SDK.
 */
export function sqliteOutboxDdl(form: OutboxForm, table: string): readonly string[] {
  const { name } = outboxTableOf(table);
  const sql = sqlForm(form);
  const on = (suffix: string, rest: string): string =>
    `CREATE INDEX IF NOT EXISTS "${name}_${suffix}" ON "${name}" ${rest}`;
  return [
    form === "platform" ? platformTable(name) : routerTable(name),
    on("by_status", "(status, created_at, id)"),
    on(
      "by_group",
      `(${sql.group}, status, created_at, id) WHERE status <> ${sql.success} AND ${sql.group} IS NOT NULL`,
    ),
    on("by_retry", `(retry_count, updated_at) WHERE status IN (${sql.waiting})`),
    on("by_end", `(updated_at) WHERE status = ${sql.success}`),
    `CREATE TABLE IF NOT EXISTS "${name}_control" (
  only_row INTEGER PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
  epoch INTEGER NOT NULL DEFAULT 0,
  holder TEXT,
  lease_until TEXT,
  paused_reason TEXT
)`,
    `INSERT INTO "${name}_control" (only_row) VALUES (1) ON CONFLICT DO NOTHING`,
  ];
}

/** What the older table lacks, for one that an application made: SQLite has no ADD COLUMN IF NOT EXISTS. */
export function sqliteUpdatedAt(table: string): string {
  const { name } = outboxTableOf(table);
  return `ALTER TABLE "${name}" ADD COLUMN updated_at TEXT NOT NULL DEFAULT '1970-01-01T00:00:00.000Z'`;
}

const now = "(strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))";

function platformTable(name: string): string {
  return `CREATE TABLE IF NOT EXISTS "${name}" (
  id VARCHAR(26) NOT NULL PRIMARY KEY,
  type VARCHAR(20) NOT NULL,
  message_group VARCHAR(255),
  payload TEXT NOT NULL,
  status SMALLINT NOT NULL DEFAULT 0,
  retry_count SMALLINT NOT NULL DEFAULT 0,
  created_at TEXT NOT NULL DEFAULT ${now},
  updated_at TEXT NOT NULL DEFAULT ${now},
  error_message TEXT,
  client_id VARCHAR(26),
  payload_size INTEGER,
  headers TEXT
)`;
}

function routerTable(name: string): string {
  return `CREATE TABLE IF NOT EXISTS "${name}" (
  id VARCHAR(36) NOT NULL PRIMARY KEY,
  message_group_id VARCHAR(255),
  deduplication_id VARCHAR(255),
  pool_code VARCHAR(100),
  target TEXT NOT NULL,
  payload TEXT NOT NULL,
  headers TEXT,
  created_at TEXT NOT NULL DEFAULT ${now},
  published_at TEXT,
  status VARCHAR(20) NOT NULL DEFAULT 'PENDING',
  retry_count INTEGER NOT NULL DEFAULT 0,
  last_error TEXT,
  updated_at TEXT NOT NULL DEFAULT ${now}
)`;
}
