import pg from "pg";
import { type DriverWorld, randomName, type StoredRow } from "./driver-suite.fixture.ts";
import { postgresTable } from "./outbox-tables.fixture.ts";

/** A schema with an outbox table, for all libraries that talk to PostgreSQL. */
export interface PostgresPlace extends Pick<DriverWorld<never>, "table" | "rows" | "close"> {
  readonly url: string;
  readonly pool: pg.Pool;
}

export async function openPostgres(): Promise<PostgresPlace> {
  const url = process.env["FC_TEST_POSTGRES_URL"] ?? "";
  const pool = new pg.Pool({ connectionString: url, max: 4 });
  const schema = randomName();
  const table = `${schema}.outbox_messages`;
  await pool.query(`CREATE SCHEMA ${schema}`);
  for (const statement of postgresTable(table)) await pool.query(statement);
  return {
    url,
    pool,
    table,
    rows: async () => (await pool.query<StoredRow>(`SELECT * FROM ${table} ORDER BY created_at, id`)).rows,
    close: async () => {
      await pool.query(`DROP SCHEMA ${schema} CASCADE`);
      await pool.end();
    },
  };
}
