// A type of bun:*, by which the run under Node knows to leave this file out.
import type {} from "bun:test";
import { type PostgresTransaction, postgresDriver } from "@flowcatalyst/sdk/outbox";
import { SQL } from "bun";
import { type DriverWorld, driverSuite, withoutUrl } from "./driver-suite.fixture.ts";
import { openPostgres } from "./postgres-world.fixture.ts";

async function open(): Promise<DriverWorld<PostgresTransaction>> {
  const place = await openPostgres();
  const sql = new SQL(place.url, { max: 2 });
  return {
    ...place,
    transact: async (work) => {
      await sql.begin(async (tx) => {
        await work(tx);
      });
    },
    mistakes: [{ name: "the pool", tx: sql }],
    close: async () => {
      await sql.end();
      await place.close();
    },
  };
}

driverSuite({ name: "Bun.sql", driver: postgresDriver(), skip: withoutUrl("FC_TEST_POSTGRES_URL"), open });
