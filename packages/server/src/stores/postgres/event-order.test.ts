import { afterEach, beforeEach, expect, test } from "bun:test";
import { createTsidGenerator, deferred, FakeClock, isCodedError } from "@flowcatalyst/foundation";
import type { NewEvent } from "../../domain/event.ts";
import type { EventId, EventPosition } from "../../domain/ids.ts";
import type { AppendedEvent, EventAppender } from "../../ports/event-log.ts";
import { clientA, createSamples, sampleTimeMs } from "../../ports/sample-entities.fixture.ts";
import { adHoc, toJsonRows } from "../../postgres/statement.ts";
import { describeWithPostgres } from "../../postgres/test-database.fixture.ts";
import { insertEvents } from "./event-appender.ts";
import { createEventLog, type PostgresEventLog } from "./event-log.ts";
import { toNewRow } from "./event-row.ts";
import { openTestStore, type TestStoreDatabase } from "./postgres-store.fixture.ts";

const hourMs = 3_600_000;
const dedupWindowMs = 168 * hourMs;
const everything = { maxEvents: 100_000, maxBytes: 1_000_000_000, withData: false };
const start = 0 as EventPosition;

/** Several instances append to one log. */
describeWithPostgres("the order of the event log", () => {
  let store: TestStoreDatabase;
  let one: PostgresEventLog;
  let other: PostgresEventLog;
  beforeEach(async () => {
    store = await openTestStore();
    one = logOfAnotherProcess();
    other = logOfAnotherProcess();
  });
  afterEach(() => store.close());

  const logOfAnotherProcess = (clock = new FakeClock(sampleTimeMs)): PostgresEventLog =>
    createEventLog({ database: store.open(), clock }, { dedupWindowMs });

  const readAll = async () =>
    (await one.feed.readAfter(start, everything)).map((event) => `${event.position} ${event.id}`);

  /** Until a statement of somebody waits for the lock of somebody else. */
  const somebodyWaits = async (): Promise<void> => {
    const waiting = adHoc<{ n: number }>(`
      SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`);
    let found = 0;
    while (found === 0) found = (await store.database.one(waiting, []))?.n ?? 0;
  };

  for (const deduplicationId of [null, "key"]) {
    for (const outcome of ["commits", "is rolled back"]) {
      const what = deduplicationId === null ? "an event" : "an event with a key";
      test(`${what} waits for one before it that is not committed, which then ${outcome}`, async () => {
        const samples = createSamples();
        const [first, second] = [samples.event(), samples.event({ deduplicationId })];
        const mayEnd = deferred<void>();
        const inserted = deferred<number>();
        const slow = store.open(1).transaction(async (session) => {
          const row = await session.one(insertEvents, [toJsonRows([toNewRow(first, 7)]), 1]);
          inserted.resolve(row?.newest ?? 0);
          await mayEnd.promise;
          if (outcome !== "commits") throw new Error("rolled back");
        });
        const ended = slow.catch((error: unknown) => error);
        expect(await inserted.promise).toBe(1);
        let answered = false;
        const appending = other.appender.append([second]).then(([appended]) => {
          answered = true;
          return appended;
        });
        await somebodyWaits();
        expect(answered).toBe(false);
        expect(await readAll()).toEqual([]);
        expect(Number(await one.feed.newest())).toBe(0);
        mayEnd.resolve();
        await ended;
        const position = outcome === "commits" ? 2 : 1;
        expect(Number((await appending)?.event.position)).toBe(position);
        expect(await readAll()).toEqual([...(position === 2 ? [`1 ${first.id}`] : []), `${position} ${second.id}`]);
      });
    }
  }

  test("a reader passes nothing that is committed later, while many instances append", async () => {
    const samples = createSamples();
    const logs = [one, other, logOfAnotherProcess(), logOfAnotherProcess()];
    let appending = true;
    const seen: EventId[] = [];
    const read = async (): Promise<void> => {
      let after = start;
      for (let last = false; !last;) {
        last = !appending;
        const batch = await one.feed.readAfter(after, everything);
        seen.push(...batch.map((event) => event.id));
        after = batch.at(-1)?.position ?? after;
      }
    };
    const append = async (log: PostgresEventLog, name: string): Promise<void> => {
      for (let round = 0; round < 40; round++) {
        const deduplicationId = round % 3 === 0 ? `${name} ${round}` : null;
        await log.appender.append([samples.event(), samples.event({ deduplicationId })]);
      }
    };
    const reading = read();
    await Promise.all(logs.map((log, n) => append(log, `log ${n}`)));
    appending = false;
    await reading;
    const all = await one.feed.readAfter(start, everything);
    expect(all).toHaveLength(logs.length * 80);
    expect(seen).toEqual(all.map((event) => event.id));
    expect(all.map((event) => Number(event.position))).toEqual(all.map((_, index) => index + 1));
  });

  for (const behindMs of [hourMs, -hourMs]) {
    test(`order is that of commits, with clocks ${behindMs / hourMs} h apart`, async () => {
      const samples = createSamples();
      const writers = [sampleTimeMs, sampleTimeMs - behindMs].map((nowMs, node) => {
        const clock = new FakeClock(nowMs);
        const ids = createTsidGenerator({ clock, node });
        const log = logOfAnotherProcess(clock);
        return async (): Promise<EventId> => {
          const id = `evt_${ids.next()}` as EventId;
          await log.appender.append([samples.event({ id, timeMs: clock.now(), createdAtMs: clock.now() })]);
          return id;
        };
      });
      const answered: EventId[] = [];
      for (let round = 0; round < 5; round++) for (const write of writers) answered.push(await write());
      const read = await one.feed.readAfter(start, everything);
      expect(read.map((event) => event.id)).toEqual(answered);
      expect(answered.toSorted()).not.toEqual(answered);
    });
  }

  test("50 equal requests at once on two instances make one event", async () => {
    const samples = createSamples();
    const calls = Array.from({ length: 50 }, (_, n) => {
      const keys = n % 2 === 0 ? ["same", "too"] : ["too", "same"];
      const batch = keys.map((deduplicationId) => samples.event({ deduplicationId, clientId: clientA }));
      return (n % 2 === 0 ? one : other).appender.append(batch);
    });
    const answers = (await Promise.all(calls)).flat();
    expect(answers.filter((answer) => answer.kind === "created")).toHaveLength(2);
    const byKey = (key: string) => answers.filter(({ event }) => event.deduplicationId === key);
    for (const key of ["same", "too"]) {
      expect(new Set(byKey(key).map(({ event }) => event.id)).size).toBe(1);
      expect(byKey(key)).toHaveLength(50);
    }
    expect(Number(await one.feed.newest())).toBe(2);
  });

  test("the same, when the window of the entry is over", async () => {
    const samples = createSamples();
    await one.appender.append([samples.event({ deduplicationId: "d", createdAtMs: sampleTimeMs - dedupWindowMs })]);
    const calls = Array.from({ length: 10 }, (_, n) =>
      (n % 2 === 0 ? one : other).appender.append([samples.event({ deduplicationId: "d" })]),
    );
    const answers = (await Promise.all(calls)).flat();
    expect(answers.filter((answer) => answer.kind === "created")).toHaveLength(1);
    expect(Number(await one.feed.newest())).toBe(2);
  });

  test("whatever was answered is there once, though connections are cut all the time", async () => {
    const samples = createSamples();
    let appending = true;
    let cuts = 0;
    // A server that is cut off faster than it can be connected to would never answer.
    let anAnswer = deferred<void>();
    const cut = async (): Promise<void> => {
      const kill = adHoc<{ n: number }>(`
        SELECT count(pg_terminate_backend(pid)) AS n FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%event%'`);
      while (appending) {
        cuts += (await store.database.one(kill, []))?.n ?? 0;
        await anAnswer.promise;
      }
    };
    const answered: AppendedEvent[] = [];
    const append = async (appender: EventAppender, name: string | null): Promise<void> => {
      for (let round = 0; round < 25; round++) {
        const keys = [0, 1].map((n) => (name === null ? null : `${name} ${round} ${n}`));
        const batch = () => keys.map((deduplicationId) => samples.event({ deduplicationId }));
        answered.push(...(await untilAppended(appender, batch)));
        anAnswer.resolve();
        anAnswer = deferred();
      }
    };
    const cutting = cut();
    await Promise.all(
      [one, other].flatMap(({ appender }, n) => [append(appender, `log ${n}`), append(appender, null)]),
    );
    appending = false;
    anAnswer.resolve();
    await cutting;
    expect(cuts).toBeGreaterThan(0);
    const read = await logOfAnotherProcess().feed.readAfter(start, everything);
    expect(read.map((event) => Number(event.position))).toEqual(read.map((_, index) => index + 1));
    const stored = new Set(read.map((event) => `${event.position} ${event.id}`));
    expect(answered.filter(({ event }) => !stored.has(`${event.position} ${event.id}`))).toEqual([]);
    const keyed = answered.filter(({ event }) => event.deduplicationId !== null);
    const held = adHoc<{ n: number }>("SELECT count(*) AS n FROM events WHERE deduplication_id IS NOT NULL");
    expect((await store.database.one(held, []))?.n).toBe(keyed.length);
  }, 30_000);
});

/** As a client does that repeats its request until it is answered: each try makes new events of it. */
async function untilAppended(
  appender: EventAppender,
  batch: () => readonly NewEvent[],
): Promise<readonly AppendedEvent[]> {
  for (;;) {
    try {
      return await appender.append(batch());
    } catch (error) {
      if (!isCodedError(error, "STORE_UNAVAILABLE")) throw error;
    }
  }
}
