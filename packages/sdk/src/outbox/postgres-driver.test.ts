import { type PostgresTransaction, postgresDriver } from "@flowcatalyst/sdk/outbox";
import postgres from "postgres";
import { type DriverWorld, driverSuite, withoutUrl } from "./driver-suite.fixture.ts";
import { openPostgres } from "./postgres-world.fixture.ts";

async function open(): Promise<DriverWorld<PostgresTransaction>> {
  const place = await openPostgres();
  const sql = postgres(place.url, { max: 2 });
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

driverSuite({ name: "postgres", driver: postgresDriver(), skip: withoutUrl("FC_TEST_POSTGRES_URL"), open });
