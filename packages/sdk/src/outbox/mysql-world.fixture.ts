import mysql, { type RowDataPacket } from "mysql2/promise";
import { type DriverWorld, randomName, type StoredRow } from "./driver-suite.fixture.ts";
import { mysqlTable } from "./outbox-tables.fixture.ts";

/** A database with an outbox table, for all libraries that talk to MySQL and MariaDB. */
export interface MysqlPlace extends Pick<DriverWorld<never>, "table" | "rows" | "close"> {
  readonly pool: mysql.Pool;
}

export async function openMysql(): Promise<MysqlPlace> {
  const pool = mysql.createPool({ uri: process.env["FC_TEST_MARIADB_URL"] ?? "", connectionLimit: 4 });
  const database = randomName();
  const table = `${database}.outbox_messages`;
  await pool.query(`CREATE DATABASE ${database}`);
  for (const statement of mysqlTable(table)) await pool.query(statement);
  return {
    pool,
    table,
    rows: async () => {
      const [rows] = await pool.query<(RowDataPacket & StoredRow)[]>(`SELECT * FROM ${table} ORDER BY created_at, id`);
      return rows;
    },
    close: async () => {
      await pool.query(`DROP DATABASE ${database}`);
      await pool.end();
    },
  };
}
