/**
 * What the queue on PostgreSQL does alone: publish, receive and ack, with nothing done in between. Prints the rate over
 * time beside dead rows and sizes, and at the end the row writes per message by the server's own statistics. Makes a
 * database of its own on the given server and drops it.
 *
 *   FC_TEST_POSTGRES_URL=postgres://… bun test/bench/micro/postgres-queue.ts [options]
 *     --messages N     1,000,000
 *     --form KIND      runs (groups with at most one message outstanding, as the scheduler publishes) | ungrouped |
 *                      standalone (groups with many messages outstanding)
 *     --batch N        250
 *     --backlog N      messages unsettled at most: 2,000
 *     --consumers N    1; each with connections of its own
 *     --snapshot       an idle transaction keeps vacuum from removing anything
 */
import { parseArgs } from "node:util";
import { silentLogger, systemClock } from "@flowcatalyst/foundation";
import type { GroupKey, JobId, MessageId, PoolCode } from "../../../packages/server/src/domain/ids.ts";
import type { QueueMessage } from "../../../packages/server/src/domain/message.ts";
import { adHoc } from "../../../packages/server/src/postgres/statement.ts";
import { openTestPostgres, type TestPostgres } from "../../../packages/server/src/postgres/test-database.fixture.ts";
import { createPostgresQueue, queueMigrations } from "../../../packages/server/src/queues/postgres/index.ts";

const { values } = parseArgs({
  options: {
    messages: { type: "string", default: "1000000" },
    form: { type: "string", default: "runs" },
    batch: { type: "string", default: "250" },
    backlog: { type: "string", default: "2000" },
    consumers: { type: "string", default: "1" },
    snapshot: { type: "boolean", default: false },
  },
});
const total = Number(values.messages);
const batchSize = Number(values.batch);
const backlog = Number(values.backlog);
const consumers = Number(values.consumers);
const lane = "BENCH" as PoolCode;
const reportEvery = Math.ceil(total / 20);
const standaloneGroups = 100;

function message(n: number): QueueMessage {
  const id = `m${n}` as MessageId;
  if (values.form === "standalone") {
    return {
      kind: "standalone",
      id,
      lane,
      groupKey: `g${n % standaloneGroups}` as GroupKey,
      deduplicationId: null,
      highPriority: false,
      target: "http://127.0.0.1:9999/hook",
      payload: `{"n":${n},"pad":"${"x".repeat(200)}"}`,
      contentType: "application/json",
      headers: {},
      secretRef: null,
      traceparent: null,
    };
  }
  // As many groups as may be outstanding, each used again when its last message is long settled.
  const groupKey = values.form === "runs" ? (`sub_0123456789ABC:g${n % (backlog * 2)}` as GroupKey) : null;
  const jobs = [{ kind: "reference" as const, jobId: `job_${n}` as JobId, generation: 1, bytes: 500 }];
  return { kind: "platform", id, lane, groupKey, jobs, traceparent: null };
}

const writes = adHoc<{ relname: string; ins: number; upd: number; del: number; dead: number; size: number }, []>(`
  SELECT relname, n_tup_ins AS ins, n_tup_upd AS upd, n_tup_del AS del, n_dead_tup AS dead,
    pg_total_relation_size(relid) AS size
  FROM pg_stat_user_tables WHERE relname LIKE 'queue%' ORDER BY relname`);
const mebibyte = 1_048_576;

async function report(postgres: TestPostgres, done: number, perSecond: number): Promise<void> {
  const rows = await postgres.database.query(writes, []);
  const row = rows.find(({ relname }) => relname === "queue_messages");
  const size = ((row?.size ?? 0) / mebibyte).toFixed(1);
  process.stdout.write(
    `${String(done).padStart(9)} messages  ${String(Math.round(perSecond)).padStart(7)}/s  ` +
      `${String(row?.dead ?? 0).padStart(8)} dead  ${size.padStart(7)} MiB with indexes\n`,
  );
}

async function main(): Promise<void> {
  const postgres = await openTestPostgres([queueMigrations]);
  const deps = { clock: systemClock(), logger: silentLogger() };
  const publisher = createPostgresQueue({ ...deps, database: postgres.open(2) });
  const queues = Array.from({ length: consumers }, () => createPostgresQueue({ ...deps, database: postgres.open(3) }));
  const signal = new AbortController().signal;
  let published = 0;
  let settled = 0;
  let seenMs = performance.now();
  const startMs = seenMs;
  const room = Promise.withResolvers<void>();
  let wakePublisher = room.resolve;
  let hasRoom: Promise<void> = room.promise;

  const publish = async (): Promise<void> => {
    while (published < total) {
      if (published - settled > backlog - batchSize) {
        await hasRoom;
        const next = Promise.withResolvers<void>();
        wakePublisher = next.resolve;
        hasRoom = next.promise;
        continue;
      }
      const count = Math.min(batchSize, total - published);
      const results = await publisher.publish(Array.from({ length: count }, (_, i) => message(published + i)));
      if (results.some(({ kind }) => kind !== "published")) throw new Error("not published");
      published += count;
    }
  };
  const consume = async (queue: (typeof queues)[number]): Promise<void> => {
    while (settled < total) {
      const batch = await queue.receive({ lane, max: batchSize, waitMs: 20 }, signal);
      if (batch.length === 0) continue;
      const results = await queue.ack(batch.map(({ receipt }) => receipt));
      const done = results.filter((result) => result === "done").length;
      const before = Math.floor(settled / reportEvery);
      settled += done;
      wakePublisher();
      if (Math.floor(settled / reportEvery) === before) continue;
      const nowMs = performance.now();
      await report(postgres, settled, reportEvery / ((nowMs - seenMs) / 1_000));
      seenMs = nowMs;
    }
  };

  const holder = postgres.open(1);
  const release = Promise.withResolvers<void>();
  const holding = values.snapshot
    ? holder.transaction(async (session) => {
        await session.run(adHoc("SET LOCAL idle_in_transaction_session_timeout = 0"), []);
        await session.run(adHoc("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"), []);
        await session.query(adHoc("SELECT count(*) FROM queue_messages"), []);
        await release.promise;
      })
    : Promise.resolve();
  await Promise.all([publish(), ...queues.map((queue) => consume(queue))]);
  const seconds = (performance.now() - startMs) / 1_000;
  release.resolve();
  await holding.catch(() => undefined);
  process.stdout.write(`${Math.round(total / seconds)} messages/s over all\n`);
  // Sessions report their statistics when they have been idle for a second.
  await deps.clock.sleep(1_500);
  let all = 0;
  for (const { relname, ins, upd, del, size } of await postgres.database.query(writes, [])) {
    all += ins + upd + del;
    const counts = [ins, upd, del].map((count) => (count / total).toFixed(3)).join(" + ");
    process.stdout.write(`${relname.padEnd(20)} ${counts} a message  ${(size / mebibyte).toFixed(1)} MiB\n`);
  }
  process.stdout.write(`${(all / total).toFixed(2)} row writes a message\n`);
  for (const queue of [publisher, ...queues]) await queue.close();
  await postgres.close();
}

await main();
