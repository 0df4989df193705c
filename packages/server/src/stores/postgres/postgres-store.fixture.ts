import { FakeClock, silentLogger, systemClock } from "@flowcatalyst/foundation";
import {
  createPostgresDatabase,
  type PostgresDatabase,
  type PostgresSession,
} from "../../postgres/postgres-database.ts";
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
  /** The same database, of the profile `search`. */
  readonly search: PostgresDatabase;
  /** Time passes: for whoever has `clock`, and for the database. */
  advance(ms: number): Promise<void>;
  close(): Promise<void>;
}

export async function openTestStore(): Promise<TestStoreDatabase> {
  const postgres = await openTestPostgres([storeMigrations]);
  const clock = new FakeClock(sampleTimeMs);
  const search = createPostgresDatabase(
    { clock: systemClock(), logger: silentLogger() },
    { url: postgres.url, profile: "search", maxConnections: 2 },
  );
  let databaseMs = sampleTimeMs;
  await setDatabaseClock(postgres.database, databaseMs);
  return {
    ...postgres,
    search,
    clock,
    advance: async (ms) => {
      databaseMs += ms;
      await setDatabaseClock(postgres.database, databaseMs);
      await clock.advance(ms);
    },
    close: async () => {
      await search.close();
      await postgres.close();
    },
  };
}

/** From now on it is `nowMs` by the database's clock, for all of its sessions, until it is set again. */
export async function setDatabaseClock(session: PostgresSession, nowMs: number): Promise<void> {
  await session.run(
    adHoc(`CREATE OR REPLACE FUNCTION flowcatalyst_now_ms() RETURNS bigint LANGUAGE sql VOLATILE
      AS 'SELECT ${Math.floor(nowMs)}::bigint'`),
    [],
  );
}
