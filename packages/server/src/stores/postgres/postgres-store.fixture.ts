import { FakeClock } from "@flowcatalyst/foundation";
import type { PostgresDatabase, PostgresSession } from "../../postgres/postgres-database.ts";
import { adHoc } from "../../postgres/statement.ts";
import { openTestPostgres } from "../../postgres/test-database.fixture.ts";
import { sampleTimeMs } from "../../ports/sample-entities.fixture.ts";
import { storeMigrations } from "./migrations.ts";

/** A database of its own with the store's tables, and a clock that a test moves. */
export interface TestStoreDatabase {
  readonly url: string;
  readonly database: PostgresDatabase;
  readonly clock: FakeClock;
  /** A further connection pool: another process, as far as the server can tell. */
  open(maxConnections?: number): PostgresDatabase;
  /** Time passes: for whoever has `clock`, and for the database (see `letDatabaseTimePass`). */
  advance(ms: number): Promise<void>;
  close(): Promise<void>;
}

export async function openTestStore(): Promise<TestStoreDatabase> {
  const postgres = await openTestPostgres([storeMigrations]);
  const clock = new FakeClock(sampleTimeMs);
  return {
    ...postgres,
    clock,
    advance: async (ms) => {
      await letDatabaseTimePass(postgres.database, ms);
      await clock.advance(ms);
    },
  };
}

/**
 * The database's clock cannot be moved, so what runs out by it is moved the other way: the same, seen from the rows.
 * The real milliseconds of the test pass besides.
 */
export async function letDatabaseTimePass(session: PostgresSession, ms: number): Promise<void> {
  for (const table of ["leases", "node_numbers", "idempotency_keys"]) {
    await session.run(adHoc(`UPDATE ${table} SET expires_at_ms = expires_at_ms - $1::bigint`), [ms]);
  }
}
