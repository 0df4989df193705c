import { type PgTransaction, pgDriver } from "@flowcatalyst/sdk/outbox";
import { type DriverWorld, driverSuite, withoutUrl } from "./driver-suite.fixture.ts";
import { openPostgres } from "./postgres-world.fixture.ts";

async function open(): Promise<DriverWorld<PgTransaction>> {
  const place = await openPostgres();
  const idle = await place.pool.connect();
  return {
    ...place,
    transact: async (work) => {
      const client = await place.pool.connect();
      try {
        await client.query("BEGIN");
        await work(client);
        await client.query("COMMIT");
      } catch (error) {
        await client.query("ROLLBACK");
        throw error;
      } finally {
        client.release();
      }
    },
    mistakes: [
      { name: "a pool", tx: place.pool },
      { name: "a client without BEGIN", tx: idle },
    ],
    close: async () => {
      idle.release();
      await place.close();
    },
  };
}

driverSuite({ name: "pg", driver: pgDriver(), skip: withoutUrl("FC_TEST_POSTGRES_URL"), open });
