import { Database } from "bun:sqlite";
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { createOutbox, drizzleSqliteDriver, sqliteDriver, type SqliteTransaction } from "@flowcatalyst/sdk/outbox";
import { sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/bun-sqlite";
import { type DriverWorld, driverSuite, type StoredRow } from "./driver-suite.fixture.ts";
import { sqliteTable } from "./outbox-tables.fixture.ts";

const table = "outbox_messages";

function openDatabase(): Database {
  const db = new Database(":memory:", { strict: true });
  for (const statement of sqliteTable(table)) db.run(statement);
  return db;
}

function rowsOf(db: Database): readonly StoredRow[] {
  return db.query<StoredRow, []>(`SELECT * FROM ${table} ORDER BY created_at, id`).all();
}

async function open(): Promise<DriverWorld<SqliteTransaction>> {
  const db = openDatabase();
  return {
    table,
    transact: async (work) => {
      db.run("BEGIN IMMEDIATE");
      try {
        await work(db);
        db.run("COMMIT");
      } catch (error) {
        db.run("ROLLBACK");
        throw error;
      }
    },
    mistakes: [{ name: "a database without a transaction", tx: db }],
    rows: async () => rowsOf(db),
    close: async () => db.close(),
  };
}

driverSuite({ name: "bun:sqlite", driver: sqliteDriver(), skip: false, open });

async function openNodeDatabase(): Promise<DriverWorld<SqliteTransaction>> {
  const db = new DatabaseSync(":memory:");
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
    rows: async () => {
      const rows = db.prepare(`SELECT * FROM ${table} ORDER BY created_at, id`).all();
      return rows as unknown as readonly StoredRow[];
    },
    close: async () => db.close(),
  };
}

// Under Bun, because the oldest Node that the SDK runs on has no node:sqlite.
driverSuite({ name: "node:sqlite", driver: sqliteDriver(), skip: false, open: openNodeDatabase });

test("a transaction of bun:sqlite commits or rolls back its entries", () => {
  const db = openDatabase();
  const outbox = createOutbox(sqliteDriver(), { source: "shop" });
  const pay = db.transaction((fails: boolean) => {
    outbox.enqueue(db, { type: "order.paid" });
    if (fails) throw new Error("no");
  });
  pay(false);
  assert.throws(() => pay(true));
  assert.equal(rowsOf(db).length, 1);
  db.close();
});

test("a transaction of drizzle-orm on SQLite commits or rolls back its entries", () => {
  const db = openDatabase();
  const orm = drizzle(db);
  const outbox = createOutbox(drizzleSqliteDriver(sql), { source: "shop" });
  const pay = (fails: boolean): void =>
    orm.transaction((tx) => {
      outbox.enqueue(tx, [{ type: "order.paid", data: { text: "it's ?" } }, { type: "order.sent" }]);
      if (fails) tx.rollback();
    });
  pay(false);
  assert.throws(() => pay(true));
  const rows = rowsOf(db);
  assert.equal(rows.length, 2);
  assert.deepEqual(JSON.parse(rows[0]?.payload ?? "").data, { text: "it's ?" });
  db.close();
});
