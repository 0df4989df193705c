import { afterEach, beforeEach, expect, test } from "bun:test";
import { FakeClock, silentLogger, systemClock } from "@flowcatalyst/foundation";
import type { MessageId, PoolCode } from "../../domain/ids.ts";
import type { StandaloneMessage } from "../../domain/message.ts";
import type { ReceivedMessage } from "../../ports/queue.ts";
import { createPostgresDatabase, postgresLimits, type PostgresDatabase } from "../../postgres/postgres-database.ts";
import { describeWithPostgres, openTestPostgres, type TestPostgres } from "../../postgres/test-database.fixture.ts";
import { openCuttableLine } from "./cuttable-line.fixture.ts";
import { clockTime, createPostgresQueue, queueMigrations, type PostgresQueue } from "./index.ts";

const lane = "DEFAULT-POOL" as PoolCode;
const signal = new AbortController().signal;
const payload = "x".repeat(1_000_000);

/** Together more than all buffers between the server and a process hold, and less than one receive takes. */
const messages = Array.from({ length: 16 }, (_, n): StandaloneMessage => {
  return {
    kind: "standalone",
    id: `m${n}` as MessageId,
    lane,
    groupKey: null,
    deduplicationId: null,
    highPriority: false,
    target: "https://example.test/",
    payload,
    contentType: "text/plain",
    headers: {},
    secretRef: null,
    traceparent: null,
  };
});

describeWithPostgres("a consumer that is stopped while it is being answered", () => {
  let postgres: TestPostgres;
  beforeEach(async () => {
    postgres = await openTestPostgres([queueMigrations]);
  });
  afterEach(() => postgres.close());

  function open(database: PostgresDatabase): PostgresQueue {
    const clock = new FakeClock();
    return createPostgresQueue({ database, clock, logger: silentLogger(), time: clockTime(clock) });
  }

  const receive = (queue: PostgresQueue): Promise<readonly ReceivedMessage[]> =>
    queue.receive({ lane, max: messages.length, waitMs: 0 }, signal);

  test("holds its lane for some seconds, and not for as long as it is stopped", async () => {
    const line = await openCuttableLine(postgres.url);
    const profile = { profile: "hot", maxConnections: 2 } as const;
    const deps = { clock: systemClock(), logger: silentLogger() };
    const behindLine = createPostgresDatabase(deps, { url: line.url, ...profile });
    const stopped = open(behindLine);
    const other = open(postgres.open(2));
    await other.publish(messages);
    expect(await stopped.readyLanes()).toEqual([lane]);

    line.stallAfter(1_000_000);
    const unread = receive(stopped).catch(() => []);
    await line.stalled;
    const startedMs = performance.now();
    const batch = await receive(other);
    expect(batch.map(({ message }) => message.id)).toEqual(messages.map(({ id }) => id));
    expect(performance.now() - startedMs).toBeLessThan(postgresLimits.statementTimeoutMs);

    await line.close();
    expect(await unread).toEqual([]);
    await stopped.close();
    await other.close();
    await behindLine.close();
  }, 40_000);
});
