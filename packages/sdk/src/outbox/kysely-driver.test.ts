import { kyselyDriver, type KyselyTransaction } from "@flowcatalyst/sdk/outbox";
import { Kysely, PostgresDialect } from "kysely";
import pg from "pg";
import { type DriverWorld, driverSuite, withoutUrl } from "./driver-suite.fixture.ts";
import { openPostgres } from "./postgres-world.fixture.ts";

/** The application's own tables; the outbox is not among them. */
interface Tables {
  readonly orders: { readonly id: string };
}

async function open(): Promise<DriverWorld<KyselyTransaction>> {
  const place = await openPostgres();
  const db = new Kysely<Tables>({
    dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: place.url }) }),
  });
  return {
    ...place,
    transact: async (work) => {
      await db.transaction().execute(async (trx) => {
        await work(trx);
      });
    },
    mistakes: [{ name: "the database itself", tx: db }],
    close: async () => {
      await db.destroy();
      await place.close();
    },
  };
}

driverSuite({ name: "kysely", driver: kyselyDriver(), skip: withoutUrl("FC_TEST_POSTGRES_URL"), open });
