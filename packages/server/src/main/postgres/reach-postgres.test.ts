import { afterEach, beforeEach, expect, test } from "bun:test";
import { FakeClock, silentLogger, systemClock } from "@flowcatalyst/foundation";
import { createPostgresDatabase, type PostgresDatabase } from "../../postgres/postgres-database.ts";
import { describeWithPostgres, openTestPostgres, type TestPostgres } from "../../postgres/test-database.fixture.ts";
import { postgresStartLimits, reachPostgres } from "./reach-postgres.ts";

const logger = silentLogger();

function databaseAt(url: string): PostgresDatabase {
  return createPostgresDatabase({ clock: systemClock(), logger }, { url, profile: "hot", maxConnections: 1 });
}

test("a server that does not answer is tried again for a while, then told with its place and the reason", async () => {
  const database = databaseAt("postgres://somebody:a-secret@127.0.0.1:1/none");
  const clock = new FakeClock();
  let ended = false;
  const reaching = reachPostgres(database, "FC_DATABASE_URL", { clock, logger }).catch((error: unknown) => error);
  void reaching.then(() => (ended = true));
  const { reachWithinMs, retryMs } = postgresStartLimits;
  for (let waitedMs = 0; !ended && waitedMs <= reachWithinMs + retryMs; waitedMs += retryMs) {
    await Promise.race([reaching, clock.whenTimers(1)]);
    await clock.advance(retryMs);
  }
  const error = await reaching;
  expect(error).toMatchObject({ code: "DATABASE_UNREACHABLE" });
  expect(String(error)).toContain("postgres://127.0.0.1:1/none");
  expect(String(error)).toContain("ECONNREFUSED");
  expect(String(error)).not.toContain("a-secret");
  await database.close();
});

describeWithPostgres("a database when a process starts", () => {
  let postgres: TestPostgres;
  beforeEach(async () => {
    postgres = await openTestPostgres([]);
  });
  afterEach(() => postgres.close());

  test("is taken when it answers", async () => {
    await reachPostgres(postgres.database, "FC_DATABASE_URL", { clock: systemClock(), logger });
  });

  test("that does not exist is a fault of the setting, at once", async () => {
    const url = new URL(postgres.url);
    url.pathname = "/no_such_database";
    const database = databaseAt(url.href);
    const error = await reachPostgres(database, "FC_QUEUE_URL", { clock: systemClock(), logger }).catch(
      (fault: unknown) => fault,
    );
    expect(error).toMatchObject({ code: "CONFIG_INVALID" });
    expect(String(error)).toContain("FC_QUEUE_URL");
    expect(String(error)).toContain('database "no_such_database" does not exist');
    await database.close();
  });
});
