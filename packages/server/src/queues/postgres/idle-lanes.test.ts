import { afterEach, beforeEach, expect, test } from "bun:test";
import { FakeClock, silentLogger } from "@flowcatalyst/foundation";
import type { JobId, MessageId, PoolCode } from "../../domain/ids.ts";
import type { PlatformMessage } from "../../domain/message.ts";
import { adHoc } from "../../postgres/statement.ts";
import { describeWithPostgres, openTestPostgres, type TestPostgres } from "../../postgres/test-database.fixture.ts";
import { clockTime, createPostgresQueue, postgresQueueLimits, queueMigrations, type PostgresQueue } from "./index.ts";

const signal = new AbortController().signal;
const lanesThere = adHoc<{ lane: string }, []>("SELECT lane FROM queue_lanes ORDER BY lane");
let published = 0;

function messageIn(lane: string): PlatformMessage {
  const id = String(++published);
  const jobs = [{ kind: "reference" as const, jobId: `job_${id}` as JobId, generation: 1, bytes: 10 }];
  return { kind: "platform", id: id as MessageId, lane: lane as PoolCode, groupKey: null, jobs, traceparent: null };
}

describeWithPostgres("lanes of the queue on PostgreSQL", () => {
  let postgres: TestPostgres;
  let clock: FakeClock;
  let queue: PostgresQueue;

  beforeEach(async () => {
    postgres = await openTestPostgres([queueMigrations]);
    clock = new FakeClock();
    const deps = { database: postgres.database, clock, logger: silentLogger(), time: clockTime(clock) };
    queue = createPostgresQueue(deps, { name: "test", visibilityMs: 60_000 });
  });
  afterEach(async () => {
    await queue.close();
    await postgres.close();
  });

  const lanes = async (): Promise<readonly string[]> =>
    (await postgres.database.query(lanesThere, [])).map(({ lane }) => lane);
  const receive = (lane: string) => queue.receive({ lane: lane as PoolCode, max: 10, waitMs: 0 }, signal);
  const settle = async (lane: string): Promise<number> => {
    const batch = await receive(lane);
    await queue.ack(batch.map(({ receipt }) => receipt));
    return batch.length;
  };

  test("one that nobody published to for an hour goes, and is made again when somebody does", async () => {
    await queue.publish([messageIn("IDLE"), messageIn("BUSY"), messageIn("FULL")]);
    expect(await settle("IDLE")).toBe(1);
    expect(await settle("BUSY")).toBe(1);
    await clock.advance(postgresQueueLimits.laneIdleMs);
    await queue.publish([messageIn("BUSY")]);
    await clock.advance(postgresQueueLimits.idleLanesEveryMs + 1);
    expect(await settle("BUSY")).toBe(1);
    // What is in a lane that nobody published to is as old as it may be.
    expect(await lanes()).toEqual(["BUSY", "FULL"]);
    expect(await settle("FULL")).toBe(1);
    await queue.publish([messageIn("IDLE"), messageIn("IDLE")]);
    expect(await lanes()).toEqual(["BUSY", "FULL", "IDLE"]);
    expect(await settle("IDLE")).toBe(2);
    expect(await settle("IDLE")).toBe(0);
  });
});
