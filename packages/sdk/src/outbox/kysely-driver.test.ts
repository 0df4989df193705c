import { kyselyDriver, type KyselyTransaction } from "@flowcatalyst/sdk/outbox";
import { Kysely, MysqlDialect, PostgresDialect } from "kysely";
import { createPool } from "mysql2";
import pg from "pg";
import { type DriverWorld, driverSuite, withoutUrl } from "./driver-suite.fixture.ts";
import { openMysql } from "./mysql-world.fixture.ts";
import { openPostgres } from "./postgres-world.fixture.ts";

/** The application's own tables; the outbox is not among them. */
interface Tables {
  readonly orders: { readonly id: string };
}

function worldOf(
  place: Pick<DriverWorld<KyselyTransaction>, "table" | "rows" | "close">,
  db: Kysely<Tables>,
): DriverWorld<KyselyTransaction> {
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

driverSuite({
  name: "kysely on PostgreSQL",
  driver: kyselyDriver(),
  skip: withoutUrl("FC_TEST_POSTGRES_URL"),
  open: async () => {
    const place = await openPostgres();
    const pool = new pg.Pool({ connectionString: place.url });
    return worldOf(place, new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) }));
  },
});

driverSuite({
  name: "kysely on MySQL",
  driver: kyselyDriver(),
  skip: withoutUrl("FC_TEST_MARIADB_URL"),
  open: async () => {
    const place = await openMysql();
    const pool = createPool({ uri: process.env["FC_TEST_MARIADB_URL"] ?? "" });
    return worldOf(place, new Kysely<Tables>({ dialect: new MysqlDialect({ pool }) }));
  },
});
