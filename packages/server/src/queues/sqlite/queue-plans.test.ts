import { expect, test } from "bun:test";
import { systemClock } from "@flowcatalyst/foundation";
import type { GroupKey, JobId, MessageId, PoolCode } from "../../domain/ids.ts";
import type { PlatformMessage } from "../../domain/message.ts";
import { openQueueFile, type QueueFile } from "./queue-file.ts";
import { queueSql } from "./queue-rows.ts";
import { SqliteQueue } from "./sqlite-queue.ts";
import { sqliteQueueDefaults } from "./sqlite-queue-config.ts";

/** Cost must not depend on what is held: by plan, and by trying with a million rows in the way. */

const lane = "DEFAULT-POOL" as PoolCode;

function setup() {
  const connection = openQueueFile(":memory:");
  const queue = new SqliteQueue({ connection, clock: systemClock() }, sqliteQueueDefaults);
  return { connection, queue, signal: new AbortController().signal };
}

function planOf(connection: QueueFile, sql: string): string {
  const rows = connection.statement<{ detail: string }>(`EXPLAIN QUERY PLAN ${sql}`).all();
  return rows.map(({ detail }) => detail).join("\n");
}

/** What each statement may step through: an index and the columns it is entered by. */
const expectedPlans: Readonly<Partial<Record<keyof typeof queueSql, RegExp>>> = {
  ready: /^SEARCH queue_messages USING INDEX queue_ready \(lane=\?\)$/,
  followers: /^SEARCH queue_messages USING INDEX queue_group \(group_key=\? AND rowid>\?\)$/,
  due: /^SEARCH queue_messages USING INDEX queue_due \(state=\? AND due_at_ms<\?\)$/,
  nextDue: /^SEARCH queue_messages USING COVERING INDEX queue_due \(state=\?.*\)$/,
  inGroup: /^SEARCH queue_messages USING COVERING INDEX queue_group \(group_key=\?\)$/,
  readyLanes: /SEARCH queue_messages USING COVERING INDEX queue_ready \(lane>\?\)/,
  bySeq: /^SEARCH queue_messages USING INTEGER PRIMARY KEY \(rowid=\?\)$/,
  take: /^SEARCH queue_messages USING INTEGER PRIMARY KEY \(rowid=\?\)$/,
  settle: /^SEARCH queue_messages USING INTEGER PRIMARY KEY \(rowid=\?\)$/,
  extend: /^SEARCH queue_messages USING INTEGER PRIMARY KEY \(rowid=\?\)$/,
  delay: /^SEARCH queue_messages USING INTEGER PRIMARY KEY \(rowid=\?\)$/,
};

test("no hot statement steps over rows that it does not want", () => {
  const { connection } = setup();
  for (const [name, sql] of Object.entries(queueSql)) {
    const plan = planOf(connection, sql);
    const expected = expectedPlans[name as keyof typeof queueSql];
    if (expected !== undefined) expect(plan).toMatch(expected);
    expect(plan).not.toContain("TEMP B-TREE FOR ORDER BY");
    // The only scans left read the first row of a table or index in its own order, or a table with one row.
    const scans = plan.split("\n").filter((line) => /^SCAN (queue_messages|queue_bodies|queue_dedup)/.test(line));
    const mayScan = ["oldest", "readyLanes", "ready"];
    if (!mayScan.includes(name)) expect(scans.map((scan) => `${name}: ${scan}`)).toEqual([]);
  }
});

test("what promotes, rests and urges a row finds its group by index", () => {
  const { connection } = setup();
  for (const sql of [queueSql.promote, queueSql.rest, queueSql.urge]) {
    const lines = planOf(connection, sql).split("\n");
    for (const line of lines.filter((text) => text.includes("queue_messages") || text.includes("earlier"))) {
      expect(line).toMatch(/SEARCH/);
    }
  }
  expect(planOf(connection, queueSql.promote)).toContain("queue_high");
  expect(planOf(connection, queueSql.rest)).toContain("queue_group (group_key=? AND rowid<?)");
});

const HELD_ROWS = 1_000_000;
const GROUPS = 100_000;
const IN_FLIGHT_ROWS = 10_000;

/** The first row of each group is delayed, the rest blocked behind it: none of it can be received. */
function fillWithHeldRows(connection: QueueFile): void {
  connection.exec(`
    WITH RECURSIVE rows (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM rows WHERE n < ${HELD_ROWS})
    INSERT INTO queue_messages
    SELECT n, 'DEFAULT-POOL', 'group-' || (n % ${GROUPS}), 0, 0, CASE WHEN n > ${GROUPS} THEN 1 ELSE 2 END, 1,
      CASE WHEN n > ${GROUPS} THEN NULL ELSE 9000000000000 + n END, 0, 0, 1,
      '[1,"m","DEFAULT-POOL",null,null,[["j",1,1]]]'
    FROM rows`);
  connection.exec(`
    UPDATE queue_state SET next_seq = ${HELD_ROWS + 1}, total = ${HELD_ROWS}, blocked = ${HELD_ROWS - GROUPS},
      delayed = ${GROUPS}`);
}

function message(id: string, group: string | null): PlatformMessage {
  const jobs = [{ kind: "reference" as const, jobId: `job_${id}` as JobId, generation: 1, bytes: 10 }];
  return { kind: "platform", id: id as MessageId, lane, groupKey: group as GroupKey | null, jobs, traceparent: null };
}

/** Far above what it takes (some 100 ms), far below what stepping over the held rows would (a minute). */
const CYCLES_MAX_MS = 3_000;

test("with 1,000,000 held rows of 100,000 groups in the way, work is found at once", async () => {
  const { connection, queue: first, signal } = setup();
  first.close();
  fillWithHeldRows(connection);
  const queue = new SqliteQueue({ connection, clock: systemClock() }, sqliteQueueDefaults);
  for (let held = 0; held < IN_FLIGHT_ROWS; held += 1_000) {
    await queue.publish(Array.from({ length: 1_000 }, (_, i) => message(`held-${held + i}`, null)));
    await queue.receive({ lane, max: 1_000, waitMs: 0 }, signal);
  }
  const startedMs = performance.now();
  for (let cycle = 0; cycle < 50; cycle++) {
    const ids = Array.from({ length: 100 }, (_, i) => `${cycle}-${i}`);
    await queue.publish(ids.map((id, i) => message(id, i % 2 === 0 ? null : `new-${id}`)));
    expect(await queue.readyLanes()).toEqual([lane]);
    const received = await queue.receive({ lane, max: 100, waitMs: 0 }, signal);
    expect(received.map((each) => each.message.id as string).toSorted()).toEqual(ids.toSorted());
    await queue.ack(received.map((each) => each.receipt));
    await queue.metrics();
  }
  expect(performance.now() - startedMs).toBeLessThan(CYCLES_MAX_MS);
  expect(await queue.metrics()).toMatchObject({ inFlight: IN_FLIGHT_ROWS, delayed: GROUPS });
  queue.close();
  connection.close();
}, 60_000);
