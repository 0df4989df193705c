import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { copyFileSync, existsSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { describeEventLogConformance, type EventLogFixture } from "../../ports/event-log.conformance.ts";
import type { EventPosition } from "../../domain/ids.ts";
import { clientA, clientB, createSamples } from "../../ports/sample-entities.fixture.ts";
import { openDatabase, type SqliteDatabase } from "./database.ts";
import { createEventLog, readDataBetween, readEventById, readHeadsAfter, type SqliteEventLog } from "./event-log.ts";
import { expireDeduplication } from "./event-deduplication.ts";
import { openTestDatabase, type TestDatabase } from "./sqlite-store.fixture.ts";
import { createWakeSignal } from "./wake-signal.ts";

const dedupWindowMs = 168 * 3_600_000;
const everything = { maxEvents: 10_000, maxBytes: 1_000_000_000, withData: true };
const start = 0 as EventPosition;

function createLog(store: Pick<TestDatabase, "database" | "clock">): SqliteEventLog {
  return createEventLog({ ...store, appended: createWakeSignal() }, { dedupWindowMs });
}

async function setup(): Promise<EventLogFixture> {
  const store = openTestDatabase();
  const log = createLog(store);
  return { ...log, advance: (ms) => store.clock.advance(ms), close: store.close };
}

describeEventLogConformance("sqlite", setup);

describe("sqlite event log", () => {
  let store: TestDatabase;
  let log: SqliteEventLog;
  beforeEach(() => {
    store = openTestDatabase();
    log = createLog(store);
  });
  afterEach(() => store.close());

  const copyAfterPowerCut = (to: string, keepLogBytes: number): SqliteDatabase => {
    const path = join(store.directory, to);
    copyFileSync(store.path, path);
    copyFileSync(`${store.path}-wal`, `${path}-wal`);
    truncateSync(`${path}-wal`, keepLogBytes);
    return openDatabase({ path }, { clock: store.clock, pid: process.pid });
  };

  test("whatever was answered is there after the log is cut behind its last durable commit", async () => {
    const samples = createSamples();
    const answered: string[] = [];
    let durableBytes = 0;
    for (let round = 0; round < 20; round++) {
      const batch = [samples.event(), samples.event({ deduplicationId: `d${round}` })];
      await log.appender.append(batch);
      answered.push(...batch.map((event) => event.id));
      durableBytes = Bun.file(`${store.path}-wal`).size;
      // Work derived from it commits without being flushed; a power cut may take it away.
      store.database.transaction(() => store.database.exec(`INSERT INTO marks VALUES ('derived-${round}', 1)`));
    }
    const copy = copyAfterPowerCut("cut.db", durableBytes);
    const reopened = createLog({ database: copy, clock: store.clock });
    const read = await reopened.feed.readAfter(start, everything);
    expect(read.map((event) => String(event.id))).toEqual(answered);
    const [next] = await reopened.appender.append([samples.event()]);
    expect(Number(next!.event.position)).toBe(answered.length + 1);
    copy.close();
  });

  test("a log cut anywhere keeps a prefix of the commits and all that was answered before it", async () => {
    const samples = createSamples();
    const durable: { bytes: number; position: number }[] = [];
    for (let round = 0; round < 10; round++) {
      const appended = await log.appender.append([samples.event(), samples.event()]);
      durable.push({ bytes: Bun.file(`${store.path}-wal`).size, position: Number(appended[1]!.event.position) });
    }
    const size = durable.at(-1)!.bytes;
    for (let cut = 0; cut <= size; cut += 4_000) {
      const copy = copyAfterPowerCut(`cut-${cut}.db`, cut);
      const answeredBefore = durable.filter((one) => one.bytes <= cut).at(-1)?.position ?? 0;
      const kept = copy.statement<{ n: number; newest: number | null }>(
        "SELECT count(*) AS n, max(position) AS newest FROM events",
      );
      const { n, newest } = kept.get()!;
      expect(n).toBe(newest ?? 0);
      expect(n).toBeGreaterThanOrEqual(answeredBefore);
      copy.close();
    }
  });

  test("positions go on after retention has dropped every event", async () => {
    const samples = createSamples();
    await log.appender.append([samples.event(), samples.event()]);
    store.database.transaction(() => store.database.exec("DELETE FROM events"));
    const reopened = createLog(store);
    expect(Number(await reopened.feed.newest())).toBe(2);
    const [next] = await reopened.appender.append([samples.event()]);
    expect(Number(next!.event.position)).toBe(3);
  });

  test("the repeat of an event that retention has dropped is a new event, once", async () => {
    const samples = createSamples();
    await log.appender.append([samples.event({ deduplicationId: "d" })]);
    store.database.transaction(() => store.database.exec("DELETE FROM events"));
    const again = [samples.event({ deduplicationId: "d" }), samples.event({ deduplicationId: "d" })];
    const appended = await log.appender.append(again);
    expect(appended.map((one) => one.kind)).toEqual(["created", "duplicate"]);
  });

  test("a failing commit accepts nothing, and the next one succeeds with the same positions", async () => {
    const samples = createSamples();
    store.database.exec("PRAGMA max_page_count=80");
    const data = JSON.stringify("x".repeat(200_000));
    const large = Array.from({ length: 5 }, () => samples.event({ data }));
    const failure = await log.appender.append(large).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "STORE_FULL" });
    expect(Number(await log.feed.newest())).toBe(0);
    store.database.exec("PRAGMA max_page_count=1000000");
    const [created] = await log.appender.append([samples.event()]);
    expect(Number(created!.event.position)).toBe(1);
  });

  test("closing commits what was queued, and refuses what comes later", async () => {
    const samples = createSamples();
    const queued = log.appender.append([samples.event()]);
    log.appender.close();
    expect(await queued).toHaveLength(1);
    const late = await log.appender.append([samples.event()]).catch((error: unknown) => error);
    expect(late).toMatchObject({ code: "SHUTTING_DOWN" });
  });

  test("deduplication agrees with a naive log, however calls are cut and mixed", async () => {
    const key = fc.record({
      client: fc.constantFrom(null, clientA, clientB),
      dedup: fc.constantFrom(null, "a", "b", "c"),
    });
    const calls = fc.array(fc.array(key, { minLength: 1, maxLength: 6 }), { maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(fc.array(calls, { maxLength: 4 }), async (turns) => {
        const fresh = openTestDatabase();
        const samples = createSamples();
        const appender = createLog(fresh).appender;
        const first = new Map<string, string>();
        for (const turn of turns) {
          const batches = turn.map((batch) =>
            batch.map((one) => samples.event({ clientId: one.client, deduplicationId: one.dedup })),
          );
          const answers = await Promise.all(batches.map((batch) => appender.append(batch)));
          const expected = batches.map((batch) =>
            batch.map((event) => {
              const name = event.deduplicationId === null ? event.id : `${event.clientId} ${event.deduplicationId}`;
              const known = first.get(name);
              if (known === undefined) first.set(name, event.id);
              return known === undefined ? `created ${event.id}` : `duplicate ${known}`;
            }),
          );
          expect(answers.map((batch) => batch.map((one) => `${one.kind} ${one.event.id}`))).toEqual(expected);
        }
        expect(Number(appender.newest())).toBe(first.size);
        await fresh.close();
      }),
      { numRuns: 50 },
    );
  });

  test("deduplication expires by walking the log in small steps", async () => {
    const samples = createSamples();
    const old = Array.from({ length: 7 }, (_, n) => samples.event({ deduplicationId: `old${n}`, createdAtMs: 1_000 }));
    const ahead = samples.event({ deduplicationId: "ahead", createdAtMs: 99_000 });
    const fresh = samples.event({ deduplicationId: "fresh", createdAtMs: 9_000 });
    await log.appender.append([ahead, ...old, fresh]);
    const request = { createdBeforeMs: 5_000, nowMs: 10_000, maxRows: 3 };
    const expire = (): number => store.database.transaction(() => expireDeduplication(store.database, request));
    expect([expire(), expire(), expire(), expire()]).toEqual([3, 3, 2, 0]);
    const left = store.database.statement<{ dedup_id: string }>("SELECT dedup_id FROM event_dedup").all();
    expect(left).toEqual([{ dedup_id: "ahead" }, { dedup_id: "fresh" }]);
  });

  test("hot queries use the index they should, and nothing is sorted", () => {
    const plan = (sql: string): string =>
      store.database
        .statement<{ detail: string }>(`EXPLAIN QUERY PLAN ${sql}`)
        .all()
        .map((row) => row.detail)
        .join("; ");
    expect(plan(readHeadsAfter)).toBe("SEARCH events USING INTEGER PRIMARY KEY (rowid>?)");
    expect(plan(readDataBetween)).toBe("SEARCH events USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)");
    expect(plan(readEventById)).toBe("SEARCH events USING INDEX events_by_id (id=?)");
    expect(plan("SELECT position FROM event_dedup WHERE client_id = '' AND dedup_id = 'x'")).toBe(
      "SEARCH event_dedup USING PRIMARY KEY (client_id=? AND dedup_id=?)",
    );
  });

  test("nothing but the database itself is left behind by a clean close", async () => {
    await log.appender.append([createSamples().event()]);
    store.database.close();
    expect(existsSync(`${store.path}-wal`)).toBe(false);
  });
});
