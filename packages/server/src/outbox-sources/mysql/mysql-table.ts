import { tablesMissing } from "../outbox-form.ts";
import { textIn, type MysqlDatabase } from "./mysql-database.ts";
import { mysqlColumns, mysqlIndexes, mysqlOutboxDdl, type MysqlTable } from "./mysql-ddl.ts";

/** Whether the tables are there, and making them. */

/** Runs the statements, and adds to a table that was there what it lacks: a column of the older form, an index. */
export async function makeMysqlTables(database: MysqlDatabase, table: MysqlTable): Promise<void> {
  for (const statement of mysqlOutboxDdl(table.form.form, table.name)) await database.run(statement);
  const known = await columnsOf(database, table, table.rowsName);
  const wanted = mysqlColumns[table.form.form];
  for (const [name, type] of Object.entries(wanted)) {
    if (!known.has(name)) await database.run(`ALTER TABLE ${table.rows} ADD COLUMN ${name} ${type}`);
  }
  const indexes = await indexesOf(database, table);
  for (const { name, columns: of } of mysqlIndexes(table)) {
    if (!indexes.has(name)) await database.run(`CREATE INDEX ${name} ON ${table.rows} ${of}`);
  }
}

/** Throws CONFIG_INVALID, saying what to run. */
export async function verifyMysqlTables(database: MysqlDatabase, table: MysqlTable): Promise<void> {
  const known = await columnsOf(database, table, table.rowsName);
  if (known.size === 0) throw tablesMissing(table.rowsName, []);
  const missing = Object.keys(mysqlColumns[table.form.form]).filter((name) => !known.has(name));
  if (missing.length > 0) throw tablesMissing(table.rowsName, missing);
  const indexes = await indexesOf(database, table);
  const unknown = mysqlIndexes(table).filter(({ name }) => !indexes.has(name));
  if (unknown.length > 0) {
    throw tablesMissing(
      table.rowsName,
      unknown.map(({ name }) => `the index ${name}`),
    );
  }
  const control = await columnsOf(database, table, table.controlName);
  if (control.size === 0) throw tablesMissing(table.controlName, []);
}

async function columnsOf(database: MysqlDatabase, { schema }: MysqlTable, name: string): Promise<ReadonlySet<string>> {
  const rows = await database.rows(
    `SELECT COLUMN_NAME AS name FROM information_schema.COLUMNS
     WHERE TABLE_SCHEMA = COALESCE(?, DATABASE()) AND TABLE_NAME = ?`,
    [schema, name],
  );
  return new Set(rows.map((row) => textIn(row, "name").toLowerCase()));
}

async function indexesOf(database: MysqlDatabase, { schema, rowsName }: MysqlTable): Promise<ReadonlySet<string>> {
  const rows = await database.rows(
    `SELECT DISTINCT INDEX_NAME AS name FROM information_schema.STATISTICS
     WHERE TABLE_SCHEMA = COALESCE(?, DATABASE()) AND TABLE_NAME = ?`,
    [schema, rowsName],
  );
  return new Set(rows.map((row) => textIn(row, "name")));
}
