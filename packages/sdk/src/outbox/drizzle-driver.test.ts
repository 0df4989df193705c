import { drizzleDriver, type DrizzleTransaction } from "@flowcatalyst/sdk/outbox";
import { type SQL, sql } from "drizzle-orm";
import { drizzle as drizzleMysql } from "drizzle-orm/mysql2";
import { drizzle } from "drizzle-orm/node-postgres";
import { type DriverWorld, driverSuite, withoutUrl } from "./driver-suite.fixture.ts";
import { openMysql } from "./mysql-world.fixture.ts";
import { openPostgres } from "./postgres-world.fixture.ts";

async function open(): Promise<DriverWorld<DrizzleTransaction<SQL>>> {
  const place = await openPostgres();
  const db = drizzle(place.pool);
  return {
    ...place,
    transact: async (work) => {
      await db.transaction(async (tx) => {
        await work(tx);
      });
    },
    mistakes: [{ name: "the database itself", tx: db as unknown as DrizzleTransaction<SQL> }],
  };
}

driverSuite({
  name: "drizzle-orm on PostgreSQL",
  driver: drizzleDriver(sql),
  skip: withoutUrl("FC_TEST_POSTGRES_URL"),
  open,
});

async function openOnMysql(): Promise<DriverWorld<DrizzleTransaction<SQL>>> {
  const place = await openMysql();
  const db = drizzleMysql(place.pool);
  return {
    ...place,
    transact: async (work) => {
      await db.transaction(async (tx) => {
        await work(tx);
      });
    },
    mistakes: [{ name: "the database itself", tx: db as unknown as DrizzleTransaction<SQL> }],
  };
}

driverSuite({
  name: "drizzle-orm on MySQL",
  driver: drizzleDriver(sql),
  skip: withoutUrl("FC_TEST_MARIADB_URL"),
  open: openOnMysql,
});
