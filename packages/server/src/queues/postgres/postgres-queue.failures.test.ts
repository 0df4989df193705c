import { afterEach, beforeEach, expect, test } from "bun:test";
import { CodedError, FakeClock, isCodedError, silentLogger, systemClock } from "@flowcatalyst/foundation";
import type { GroupKey, JobId, MessageId, PoolCode } from "../../domain/ids.ts";
import type { PlatformMessage, StandaloneMessage } from "../../domain/message.ts";
import type { ReceivedMessage } from "../../ports/queue.ts";
import { createPostgresDatabase, type PostgresDatabase } from "../../postgres/postgres-database.ts";
import { adHoc } from "../../postgres/statement.ts";
import { describeWithPostgres, openTestPostgres, type TestPostgres } from "../../postgres/test-database.fixture.ts";
import { openCuttableLine } from "./cuttable-line.fixture.ts";
import { clockTime, createPostgresQueue, postgresQueueLimits, queueMigrations, type PostgresQueue } from "./index.ts";

const lane = "DEFAULT-POOL" as PoolCode;
const signal = new AbortController().signal;
const pidsThatWait = adHoc<{ pid: number }, []>(`
  SELECT pid FROM pg_stat_activity
  WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%queue_lanes%'`);
const terminate = adHoc<never, [number]>("SELECT pg_terminate_backend($1)");

function message(id: string, group: string | null = null): PlatformMessage {
  const jobs = [{ kind: "reference" as const, jobId: `job_${id}` as JobId, generation: 1, bytes: 10 }];
  return { kind: "platform", id: id as MessageId, lane, groupKey: group as GroupKey | null, jobs, traceparent: null };
}

function large(id: string, payloadChars: number): StandaloneMessage {
  return {
    kind: "standalone",
    id: id as MessageId,
    lane,
    groupKey: null,
    deduplicationId: null,
    highPriority: false,
    target: "https://example.test/",
    payload: "x".repeat(payloadChars),
    contentType: "text/plain",
    headers: {},
    secretRef: null,
    traceparent: null,
  };
}

const idsOf = (batch: readonly ReceivedMessage[]): string[] => batch.map((each) => each.message.id);
const receiptsOf = (batch: readonly ReceivedMessage[]) => batch.map(({ receipt }) => receipt);

const codeOf = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => "none",
    (error: unknown) => (isCodedError(error) ? error.code : String(error)),
  );

describeWithPostgres("the queue on PostgreSQL when something fails", () => {
  let postgres: TestPostgres;
  let clock: FakeClock;
  let queues: PostgresQueue[];

  beforeEach(async () => {
    postgres = await openTestPostgres([queueMigrations]);
    clock = new FakeClock();
    queues = [];
  });
  afterEach(async () => {
    for (const queue of queues) await queue.close();
    await postgres.close();
  });

  function open(database: PostgresDatabase = postgres.open(3)): PostgresQueue {
    const queue = createPostgresQueue({ database, clock, logger: silentLogger(), time: clockTime(clock) });
    queues.push(queue);
    return queue;
  }

  const receive = (queue: PostgresQueue, max = 10): Promise<readonly ReceivedMessage[]> =>
    queue.receive({ lane, max, waitMs: 0 }, signal);

  test("what a silent consumer held comes back when its lease ends, long before its visibility", async () => {
    const [silent, other] = [open(), open()];
    await silent.publish([message("a"), message("b", "g"), message("c")]);
    const held = await receive(silent);
    await silent.extend(receiptsOf(held.slice(0, 1)), 60_000);
    expect(await receive(other)).toEqual([]);
    // Stopped, as by SIGSTOP: its connections stay, and nobody renews.
    await postgres.database.run(adHoc("UPDATE queue_consumers SET lease_until_ms = 0"), []);
    await clock.advance(postgresQueueLimits.sweepEveryMs);
    expect(idsOf(await receive(other)).toSorted()).toEqual(["a", "b", "c"]);
    expect(await silent.ack(receiptsOf(held))).toEqual(["dead", "dead", "dead"]);
    expect(await silent.extend(receiptsOf(held), 1_000)).toEqual(["dead", "dead", "dead"]);
    // It learns of it, and goes on under another name.
    const doubted = Promise.withResolvers<void>();
    silent.onDoubt(doubted.resolve);
    await clock.advance(postgresQueueLimits.leaseRenewEveryMs * 2);
    await doubted.promise;
    await silent.publish([message("d")]);
    expect(idsOf(await receive(silent))).toEqual(["d"]);
  });

  test("a living consumer keeps what it holds for longer than a lease", async () => {
    const [living, other] = [open(), open()];
    await living.publish([message("a")]);
    const held = await receive(living);
    for (let waitedMs = 0; waitedMs < postgresQueueLimits.leaseMs * 3; waitedMs += 1_000) {
      await clock.advance(1_000);
      await living.readyLanes();
      expect(await receive(other)).toEqual([]);
    }
    expect(await living.ack(receiptsOf(held))).toEqual(["done"]);
  });

  test("a consumer that says goodbye leaves what it held to the others at once", async () => {
    const [leaving, other] = [open(), open()];
    await leaving.publish([message("a")]);
    await receive(leaving);
    await leaving.close();
    await clock.advance(postgresQueueLimits.sweepEveryMs);
    expect(idsOf(await receive(other))).toEqual(["a"]);
  });

  test("a connection that is cut in the middle of a receive loses nothing", async () => {
    const queue = open();
    await queue.publish([message("a"), message("b")]);
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    const locked = Promise.withResolvers<void>();
    const holding = postgres.open(1).transaction(async (session) => {
      await session.query(adHoc("SELECT cursor FROM queue_lanes FOR UPDATE"), []);
      locked.resolve();
      await released;
    });
    await locked.promise;
    const received = codeOf(receive(queue));
    let waiting: readonly { pid: number }[] = [];
    while (waiting.length === 0) waiting = await postgres.database.query(pidsThatWait, []);
    for (const { pid } of waiting) await postgres.database.query(terminate, [pid]);
    expect(await received).toBe("STORE_UNAVAILABLE");
    release();
    await holding;
    expect(idsOf(await receive(queue))).toEqual(["a", "b"]);
  });

  test("a receive that happened, and whose answer was lost, is taken back at once", async () => {
    const database = postgres.open(3);
    let isLosing = false;
    const losing: PostgresDatabase = {
      ...database,
      query: async (statement, values) => {
        const rows = await database.query(statement, values);
        if (isLosing && statement.text.includes("RETURNING m.seq, m.rank")) isLosing = false;
        else if (isLosing && statement.text.includes("INSERT INTO queue_claims")) isLosing = false;
        else return rows;
        throw new CodedError("STORE_UNAVAILABLE");
      },
    };
    const queue = open(losing);
    await queue.publish([message("a", "g"), message("b")]);
    isLosing = true;
    expect(await codeOf(receive(queue))).toBe("STORE_UNAVAILABLE");
    const again = await receive(queue);
    expect(idsOf(again)).toEqual(["a", "b"]);
    await queue.nack(receiptsOf(again), 0);
    isLosing = true;
    expect(await codeOf(receive(queue))).toBe("STORE_UNAVAILABLE");
    const third = await receive(queue);
    expect(idsOf(third)).toEqual(["a", "b"]);
    expect(await queue.ack(receiptsOf(third))).toEqual(["done", "done"]);
  });

  test("without the database nothing is taken, and everything goes on when it is back", async () => {
    const line = await openCuttableLine(postgres.url);
    const deps = { clock: systemClock(), logger: silentLogger() };
    const database = createPostgresDatabase(deps, { url: line.url, profile: "hot", maxConnections: 3 });
    const queue = open(database);
    await queue.publish([message("a")]);
    const held = await receive(queue);
    line.cut();
    expect((await queue.publish([message("b")])).map(({ kind }) => kind)).toEqual(["refused"]);
    expect(await codeOf(receive(queue))).toBe("STORE_UNAVAILABLE");
    expect(await codeOf(queue.ack(receiptsOf(held)))).toBe("STORE_UNAVAILABLE");
    line.mend();
    expect((await queue.publish([message("b"), message("a")])).map(({ kind }) => kind)).toEqual([
      "published",
      "duplicate",
    ]);
    expect(idsOf(await receive(queue))).toEqual(["b"]);
    expect(await queue.ack(receiptsOf(held))).toEqual(["done"]);
    await database.close();
    await line.close();
  }, 20_000);

  test("a publisher knows what another one has published lately", async () => {
    const [one, other] = [open(), open()];
    await one.publish([message("a")]);
    expect(await other.publish([message("a"), message("b")])).toEqual([{ kind: "duplicate" }, { kind: "published" }]);
    expect(await one.publish([message("b")])).toEqual([{ kind: "duplicate" }]);
    const equal = await Promise.all(
      Array.from({ length: 20 }, (_, i) => (i % 2 ? one : other).publish([message("c")])),
    );
    expect(equal.flat().filter(({ kind }) => kind === "published")).toHaveLength(1);
  });

  test("bodies of a quarter of a mebibyte come in parts that fit", async () => {
    const queue = open();
    const count = 100;
    const bodyChars = 262_144;
    await queue.publish(Array.from({ length: count }, (_, i) => large(`m${i}`, bodyChars)));
    const seen: string[] = [];
    while (seen.length < count) {
      const batch = await receive(queue, 1_000);
      const bytes = batch.length * bodyChars;
      expect(bytes).toBeGreaterThan(0);
      expect(bytes).toBeLessThan(postgresQueueLimits.receiveMaxBytes * 2);
      seen.push(...idsOf(batch));
      await queue.nack(receiptsOf(batch.slice(0, 1)), 0);
      const [back] = await receive(queue, 1);
      await queue.ack([...receiptsOf(batch.slice(1)), back!.receipt]);
    }
    expect(new Set(seen).size).toBe(count);
  });

  test("groups by the hundred thousand", async () => {
    const queue = open();
    const groups = 100_000;
    const step = 1_000;
    for (let from = 0; from < groups; from += step) {
      await queue.publish(Array.from({ length: step }, (_, i) => message(`m${from + i}`, `g${from + i}`)));
    }
    let received = 0;
    for (let batch = await receive(queue, step); batch.length > 0; batch = await receive(queue, step)) {
      received += batch.length;
      await queue.ack(receiptsOf(batch));
    }
    expect(received).toBe(groups);
  }, 60_000);
});
