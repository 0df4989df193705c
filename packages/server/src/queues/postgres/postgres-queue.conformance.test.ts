import { FakeClock, silentLogger, systemClock } from "@flowcatalyst/foundation";
import type { JobId, MessageId, PoolCode } from "../../domain/ids.ts";
import { describeQueueConformance, type QueueBench } from "../../ports/queue.conformance.ts";
import { createPostgresDatabase, type PostgresDatabase } from "../../postgres/postgres-database.ts";
import { adHoc } from "../../postgres/statement.ts";
import { describeWithPostgres, openTestPostgres } from "../../postgres/test-database.fixture.ts";
import { clockTime, createPostgresQueue, postgresQueueDefaults, queueMigrations, type PostgresQueue } from "./index.ts";
import { postgresQueueCapabilities } from "./postgres-queue-config.ts";

const capabilities = postgresQueueCapabilities(postgresQueueDefaults);

const spoilLast = adHoc<never, [string]>(
  "UPDATE queue_messages SET body = $1 WHERE seq = (SELECT max(seq) FROM queue_messages)",
);

/** A message whose body is then overwritten: how a text comes to be unreadable in a database of one's own. */
async function putSpoiled(
  queue: PostgresQueue,
  database: PostgresDatabase,
  raw: { lane: PoolCode; body: string },
): Promise<void> {
  const id = crypto.randomUUID() as MessageId;
  const jobs = [{ kind: "reference" as const, jobId: "job_1" as JobId, generation: 1, bytes: 0 }];
  await queue.publish([{ kind: "platform", id, lane: raw.lane, groupKey: null, jobs, traceparent: null }]);
  await database.run(spoilLast, [raw.body]);
}

async function setup(): Promise<QueueBench> {
  const postgres = await openTestPostgres([queueMigrations]);
  const clock = new FakeClock();
  const open = (database: PostgresDatabase): PostgresQueue =>
    createPostgresQueue({ database, clock, logger: silentLogger(), time: clockTime(clock) });
  // Each consumer has connections of its own, which a crash takes with it.
  const connect = (): PostgresDatabase => {
    const deps = { clock: systemClock(), logger: silentLogger() };
    return createPostgresDatabase(deps, { url: postgres.url, profile: "hot", maxConnections: 4 });
  };
  let database = connect();
  let queue = open(database);
  return {
    queue,
    visibilityMs: postgresQueueDefaults.visibilityMs,
    promptMs: 0,
    passTime: (ms) => clock.advance(ms),
    async crash() {
      // Its connections go first, so that it cannot say goodbye.
      await database.close();
      await queue.close();
      database = connect();
      queue = open(database);
      return queue;
    },
    putRaw: (lane, body) => putSpoiled(queue, postgres.database, { lane, body }),
    async close() {
      await queue.close();
      await database.close();
      await postgres.close();
    },
  };
}

describeWithPostgres("the queue on PostgreSQL", () => {
  describeQueueConformance({ name: "postgres", capabilities }, setup);
});
