import { CodedError } from "@flowcatalyst/foundation";
import type { OutboxForm } from "../../domain/outbox-row.ts";
import type { OutboxSourceConfig } from "../outbox-source-config.ts";
import { tableForms, type TableForm } from "../table-form.ts";
import { textIn, type MysqlDatabase } from "./mysql-database.ts";

/** The two tables in MySQL and MariaDB: their names, what makes them, and whether they are there. */
export interface MysqlTable {
  readonly form: TableForm;
  /** As statements name them. */
  readonly rows: string;
  readonly control: string;
  /** As the catalogue names them; schema null: the connection's own. */
  readonly schema: string | null;
  readonly rowsName: string;
  readonly controlName: string;
}

export function mysqlTable({ table, form }: OutboxSourceConfig): MysqlTable {
  const [last = "", schema = null] = table.split(".").toReversed();
  const quoted = (name: string): string => (schema === null ? `\`${name}\`` : `\`${schema}\`.\`${name}\``);
  const controlName = `${last}_control`;
  return {
    form: tableForms[form],
    rows: quoted(last),
    control: quoted(controlName),
    schema,
    rowsName: last,
    controlName,
  };
}

const now = "DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6))";

/** Times are those of the server in UTC, whatever the session of the application says. */
const columns: Readonly<Record<OutboxForm, Readonly<Record<string, string>>>> = {
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

/** By what is looked at in order; by group, whether it is held; by what waits, so that exhausted rows cost nothing. */
function indexesOf({ form, rowsName }: MysqlTable): readonly Index[] {
  return [
    { name: `${rowsName}_look`, columns: `(status, created_at, id, ${form.group})` },
    { name: `${rowsName}_group`, columns: `(${form.group}, status, created_at, id)` },
    { name: `${rowsName}_retry`, columns: "(status, retry_count, updated_at)" },
  ];
}

export function mysqlDdl(table: MysqlTable): readonly string[] {
  const lines = [
    ...Object.entries(columns[table.form.form]).map(([name, type]) => `${name} ${type}`),
    "PRIMARY KEY (id)",
    ...indexesOf(table).map((index) => `INDEX ${index.name} ${index.columns}`),
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

/** Runs the statements, and adds to a table that was there what it lacks: a column of the older form, an index. */
export async function makeMysqlTables(database: MysqlDatabase, table: MysqlTable): Promise<void> {
  for (const statement of mysqlDdl(table)) await database.run(statement);
  const known = await columnsOf(database, table, table.rowsName);
  const wanted = columns[table.form.form];
  for (const [name, type] of Object.entries(wanted)) {
    if (!known.has(name)) await database.run(`ALTER TABLE ${table.rows} ADD COLUMN ${name} ${type}`);
  }
  const there = await database.rows(
    `SELECT DISTINCT INDEX_NAME AS name FROM information_schema.STATISTICS
     WHERE TABLE_SCHEMA = COALESCE(?, DATABASE()) AND TABLE_NAME = ?`,
    [table.schema, table.rowsName],
  );
  const indexes = new Set(there.map((row) => textIn(row, "name")));
  for (const { name, columns: of } of indexesOf(table)) {
    if (!indexes.has(name)) await database.run(`CREATE INDEX ${name} ON ${table.rows} ${of}`);
  }
}

/** Throws CONFIG_INVALID, saying what to run. */
export async function verifyMysqlTables(database: MysqlDatabase, table: MysqlTable): Promise<void> {
  const known = await columnsOf(database, table, table.rowsName);
  const missing = Object.keys(columns[table.form.form]).filter((name) => !known.has(name));
  const noControl = (await columnsOf(database, table, table.controlName)).size === 0;
  const reason =
    known.size === 0
      ? `There is no table ${table.rowsName}`
      : missing.length > 0
        ? `The table ${table.rowsName} has no column ${missing.join(", ")}`
        : noControl
          ? `There is no table ${table.controlName}`
          : null;
  if (reason === null) return;
  throw new CodedError("CONFIG_INVALID", { message: `${reason}: run \`flowcatalyst outbox init\`.` });
}

async function columnsOf(database: MysqlDatabase, { schema }: MysqlTable, name: string): Promise<ReadonlySet<string>> {
  const rows = await database.rows(
    `SELECT COLUMN_NAME AS name FROM information_schema.COLUMNS
     WHERE TABLE_SCHEMA = COALESCE(?, DATABASE()) AND TABLE_NAME = ?`,
    [schema, name],
  );
  return new Set(rows.map((row) => textIn(row, "name").toLowerCase()));
}
