import { sqliteDriver, type SqliteTransaction } from "@flowcatalyst/sdk/outbox";
import Database from "libsql";
import { type DriverWorld, driverSuite, type StoredRow } from "./driver-suite.fixture.ts";
import { sqliteTable } from "./outbox-tables.fixture.ts";

/** `libsql` has the interface of `better-sqlite3`, and comes ready built. */
async function open(): Promise<DriverWorld<SqliteTransaction>> {
  const db = new Database(":memory:");
  const table = "outbox_messages";
  for (const statement of sqliteTable(table)) db.exec(statement);
  return {
    table,
    transact: async (work) => {
      db.exec("BEGIN IMMEDIATE");
      try {
        await work(db);
        db.exec("COMMIT");
      } catch (error) {
        db.exec("ROLLBACK");
        throw error;
      }
    },
    mistakes: [{ name: "a database without a transaction", tx: db }],
    rows: async () => db.prepare(`SELECT * FROM ${table} ORDER BY created_at, id`).all() as StoredRow[],
    close: async () => {
      db.close();
    },
  };
}

driverSuite({ name: "better-sqlite3's interface (libsql)", driver: sqliteDriver(), skip: false, open });
