import type { OutboxForm } from "../../domain/outbox-row.ts";
import { outboxTableOf } from "../outbox-form.ts";
import { tableForms, type TableForm } from "../table-form.ts";

/**
 * The two tables in MySQL 8 and MariaDB 10.6 or later: their names, and the statements that make them. Each can be run
 * again: what is there stays.
 */
export interface MysqlTable {
  readonly form: TableForm;
  /** As the operator named it. */
  readonly name: string;
  /** As statements name them. */
  readonly rows: string;
  readonly control: string;
  /** As the catalogue names them; schema null: the connection's own. */
  readonly schema: string | null;
  readonly rowsName: string;
  readonly controlName: string;
  /**
   * By what is looked at in order; by group, whether it is held; by what waits, so that exhausted rows cost nothing.
   */
  readonly indexes: Readonly<Record<"look" | "group" | "retry", string>>;
}

export function mysqlTable(form: OutboxForm, table: string): MysqlTable {
  const { schema, name } = outboxTableOf(table);
  const quoted = (what: string): string => (schema === null ? `\`${what}\`` : `\`${schema}\`.\`${what}\``);
  const controlName = `${name}_control`;
  return {
    form: tableForms[form],
    name: table,
    rows: quoted(name),
    control: quoted(controlName),
    schema,
    rowsName: name,
    controlName,
    indexes: { look: `${name}_look`, group: `${name}_group`, retry: `${name}_retry` },
  };
}

const now = "DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6))";

/** Times are those of the server in UTC, whatever the session of the application says. */
export const mysqlColumns: Readonly<Record<OutboxForm, Readonly<Record<string, string>>>> = {
  platform: {
    id: "VARCHAR(26) NOT NULL",
    type: "VARCHAR(20) NOT NULL",
    message_group: "VARCHAR(255) NULL",
    payload: "LONGTEXT NOT NULL",
    status: "SMALLINT NOT NULL DEFAULT 0",
    retry_count: "SMALLINT NOT NULL DEFAULT 0",
    created_at: now,
    updated_at: now,
    error_message: "TEXT NULL",
    client_id: "VARCHAR(26) NULL",
    payload_size: "INTEGER NULL",
    headers: "JSON NULL",
  },
  router: {
    id: "VARCHAR(26) NOT NULL",
    message_group_id: "VARCHAR(255) NULL",
    deduplication_id: "VARCHAR(255) NULL",
    pool_code: "VARCHAR(255) NULL",
    target: "VARCHAR(2048) NOT NULL",
    payload: "LONGTEXT NOT NULL",
    headers: "JSON NULL",
    created_at: now,
    published_at: "DATETIME(6) NULL",
    status: "VARCHAR(20) NOT NULL DEFAULT 'PENDING'",
    retry_count: "SMALLINT NOT NULL DEFAULT 0",
    last_error: "TEXT NULL",
    updated_at: now,
  },
};

interface Index {
  readonly name: string;
  readonly columns: string;
}

export function mysqlIndexes({ form, indexes }: MysqlTable): readonly Index[] {
  return [
    { name: indexes.look, columns: `(status, created_at, id, ${form.group})` },
    { name: indexes.group, columns: `(${form.group}, status, created_at, id)` },
    { name: indexes.retry, columns: "(status, retry_count, updated_at)" },
  ];
}

export function mysqlOutboxDdl(form: OutboxForm, name: string): readonly string[] {
  const table = mysqlTable(form, name);
  const lines = [
    ...Object.entries(mysqlColumns[table.form.form]).map(([name, type]) => `${name} ${type}`),
    "PRIMARY KEY (id)",
    ...mysqlIndexes(table).map((index) => `INDEX ${index.name} ${index.columns}`),
  ];
  // Groups and ids are compared byte by byte.
  const storage = "ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin";
  return [
    `CREATE TABLE IF NOT EXISTS ${table.rows} (\n  ${lines.join(",\n  ")}\n) ${storage}`,
    `CREATE TABLE IF NOT EXISTS ${table.control} (
  id SMALLINT NOT NULL PRIMARY KEY,
  epoch BIGINT NOT NULL DEFAULT 0,
  holder VARCHAR(255) NULL,
  lease_until DATETIME(6) NULL,
  paused_reason TEXT NULL
) ${storage}`,
    `INSERT IGNORE INTO ${table.control} (id) VALUES (1)`,
  ];
}
