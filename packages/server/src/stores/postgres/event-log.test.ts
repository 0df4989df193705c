import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { createTsidGenerator, FakeClock } from "@flowcatalyst/foundation";
import type { NewEvent } from "../../domain/event.ts";
import type { EventId } from "../../domain/ids.ts";
import { describeEventLogConformance, type EventLogFixture } from "../../ports/event-log.conformance.ts";
import { clientA, clientB, createSamples, sampleTimeMs } from "../../ports/sample-entities.fixture.ts";
import { planOf } from "../../postgres/query-plan.fixture.ts";
import { adHoc } from "../../postgres/statement.ts";
import { describeWithPostgres } from "../../postgres/test-database.fixture.ts";
import { insertEvents } from "./event-appender.ts";
import { claimKeys, expireDeduplication, expireKeys, readTaken } from "./event-deduplication.ts";
import { createEventLog, readEventById, readEventsAfter, readHeadsAfter, type PostgresEventLog } from "./event-log.ts";
import { ensurePartitions } from "./history-partitions.ts";
import { openTestStore, type TestStoreDatabase } from "./postgres-store.fixture.ts";

const hourMs = 3_600_000;
const dedupWindowMs = 168 * hourMs;

describeWithPostgres("postgres event log", () => {
  describeEventLogConformance("postgres", async (): Promise<EventLogFixture> => {
    const store = await openTestStore();
    const log = createEventLog(store, { dedupWindowMs });
    return { ...log, advance: store.advance, close: store.close };
  });

  describe("by itself", () => {
    let store: TestStoreDatabase;
    let log: PostgresEventLog;
    beforeEach(async () => {
      store = await openTestStore();
      log = createEventLog(store, { dedupWindowMs });
    });
    afterEach(() => store.close());

    test("positions go on after retention has dropped every event", async () => {
      const samples = createSamples();
      await log.appender.append([samples.event(), samples.event()]);
      await store.database.run(adHoc("DELETE FROM events"), []);
      const reopened = createLogOfAnotherProcess(store);
      expect(Number(await reopened.feed.newest())).toBe(2);
      const [next] = await reopened.appender.append([samples.event()]);
      expect(Number(next!.event.position)).toBe(3);
    });

    test("the repeat of an event that retention has dropped is a new event, once", async () => {
      const samples = createSamples();
      await log.appender.append([samples.event({ deduplicationId: "d" }), samples.event({ deduplicationId: "e" })]);
      await store.database.run(adHoc("DELETE FROM events WHERE position = 1"), []);
      const again = ["d", "e", "d"].map((deduplicationId) => samples.event({ deduplicationId }));
      const appended = await log.appender.append(again);
      expect(appended.map((one) => one.kind)).toEqual(["created", "duplicate", "duplicate"]);
      expect(appended[2]!.event.id).toBe(again[0]!.id);
      const [later] = await log.appender.append([samples.event({ deduplicationId: "d" })]);
      expect(later).toMatchObject({ kind: "duplicate", event: { id: again[0]!.id } });
    });

    test("keys that are stored as one are one, also in one call", async () => {
      const samples = createSamples();
      const keys = ["a\0", "a\ufffd", "a\ud800"];
      const events = keys.map((deduplicationId) => samples.event({ deduplicationId }));
      const appended = await log.appender.append(events);
      expect(appended.map((one) => one.kind)).toEqual(["created", "duplicate", "duplicate"]);
      const [later] = await log.appender.append([samples.event({ deduplicationId: "a\0" })]);
      expect(later).toMatchObject({ kind: "duplicate", event: { id: events[0]!.id } });
    });

    test("a repeat is found in whichever partition its event lies", async () => {
      await ensurePartitions(store.database, sampleTimeMs);
      const samples = createSamples();
      const days = [0, 31, 62, 400].map((day) => sampleTimeMs + day * 24 * hourMs);
      const events = days.map((timeMs, n) => samples.event({ id: idAt(timeMs, n), deduplicationId: `d${n}` }));
      await log.appender.append(events);
      const repeats = await log.appender.append(
        events.map(({ deduplicationId }) => samples.event({ deduplicationId, id: idAt(sampleTimeMs, 9) })),
      );
      expect(repeats.map((one) => `${one.kind} ${one.event.id}`)).toEqual(
        events.map((event) => `duplicate ${event.id}`),
      );
    });

    test("closing commits what was queued, and refuses what comes later", async () => {
      const samples = createSamples();
      const queued = log.appender.append([samples.event()]);
      await log.appender.close();
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
      const samples = createSamples();
      let run = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(calls, { maxLength: 4 }), async (turns) => {
          run++;
          const first = new Map<string, string>();
          for (const turn of turns) {
            const batches = turn.map((batch) =>
              batch.map(({ client, dedup }) =>
                samples.event({ clientId: client, deduplicationId: dedup === null ? null : `${run} ${dedup}` }),
              ),
            );
            const answers = await Promise.all(batches.map((batch) => log.appender.append(batch)));
            const expected = batches.map((batch) => batch.map((event) => naiveAnswer(event, first)));
            expect(answers.map((batch) => batch.map((one) => `${one.kind} ${one.event.id}`))).toEqual(expected);
          }
        }),
        { numRuns: 50 },
      );
    }, 30_000);

    test("deduplication expires in small steps, and by age", async () => {
      const samples = createSamples();
      const ages = [1_000, 1_001, 1_002, 1_003, 1_004, 5_000, 9_000];
      await log.appender.append(
        ages.map((createdAtMs) => samples.event({ deduplicationId: `at ${createdAtMs}`, createdAtMs })),
      );
      const expire = () => expireDeduplication(store.database, { createdBeforeMs: 5_000, maxRows: 3 });
      expect([await expire(), await expire(), await expire()]).toEqual([3, 2, 0]);
      const left = await store.database.query(
        adHoc<{ dedup_id: string }>("SELECT dedup_id FROM event_dedup ORDER BY created_at_ms"),
        [],
      );
      expect(left.map((row) => row.dedup_id)).toEqual(["at 5000", "at 9000"]);
    });

    test("no hot statement reads more than it gives, however much history there is", async () => {
      await ensurePartitions(store.database, sampleTimeMs);
      const samples = createSamples();
      for (let batch = 0; batch < 20; batch++) {
        const timeMs = sampleTimeMs + batch * 5 * 24 * hourMs;
        const generator = createTsidGenerator({ clock: { now: () => timeMs }, node: 1 });
        const event = (_: unknown, n: number): NewEvent =>
          samples.event({ id: `evt_${generator.next()}` as EventId, deduplicationId: `${batch} ${n}` });
        await log.appender.append(Array.from({ length: 500 }, event));
      }
      const { database } = store;
      const heads = await planOf(database, readHeadsAfter, [9_000, 100]);
      expect(heads.text).toMatch(/^Limit\n {2}Merge Append/);
      const [id, event_id] = [idAt(sampleTimeMs, 3), idAt(sampleTimeMs + 1, 3)];
      const claims = JSON.stringify([
        { client_id: "", dedup_id: "1 1", event_id, created_at_ms: 1 },
        { client_id: "", dedup_id: "new", event_id, created_at_ms: 1 },
      ]);
      const plans = {
        heads,
        events: await planOf(database, readEventsAfter, [9_000, 100, 1_000_000]),
        byId: await planOf(database, readEventById, [id]),
        insert: await planOf(database, insertEvents, [JSON.stringify([rowWithId(id)]), 1]),
        claim: await planOf(database, claimKeys, [claims, 0]),
        taken: await planOf(database, readTaken, [claims]),
        expire: await planOf(database, expireKeys, [sampleTimeMs + 1_000, 100]),
      };
      for (const [name, plan] of Object.entries(plans)) {
        expect(`${name}: ${plan.text}`).not.toMatch(/Seq Scan|Bitmap|Hash|Sort/);
        // Each partition that has more to give is asked for one row ahead.
        expect(plan.rowsRead).toBeLessThanOrEqual(210);
      }
    }, 30_000);
  });
});

/** What a log that looks at one event after the other would answer. */
function naiveAnswer(event: NewEvent, first: Map<string, string>): string {
  const name = event.deduplicationId === null ? event.id : `${event.clientId} ${event.deduplicationId}`;
  const known = first.get(name);
  if (known === undefined) first.set(name, event.id);
  return known === undefined ? `created ${event.id}` : `duplicate ${known}`;
}

function createLogOfAnotherProcess(store: TestStoreDatabase): PostgresEventLog {
  return createEventLog({ database: store.open(), clock: new FakeClock(sampleTimeMs) }, { dedupWindowMs });
}

function idAt(timeMs: number, node: number): EventId {
  return `evt_${createTsidGenerator({ clock: { now: () => timeMs }, node }).next()}` as EventId;
}

function rowWithId(id: EventId): object {
  return {
    id,
    type: "t",
    source: "s",
    time_ms: 1,
    data_content_type: "c",
    data_kind: "json",
    data_bytes: 0,
    created_at_ms: 1,
  };
}
