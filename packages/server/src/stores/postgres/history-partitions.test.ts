import { afterEach, beforeEach, expect, test } from "bun:test";
import { createTsidGenerator } from "@flowcatalyst/foundation";
import type { EventId, EventPosition } from "../../domain/ids.ts";
import { anchorScope } from "../../domain/scope.ts";
import { createSamples } from "../../ports/sample-entities.fixture.ts";
import type { PostgresDatabase } from "../../postgres/postgres-database.ts";
import { adHoc } from "../../postgres/statement.ts";
import { describeWithPostgres, openTestPostgres, type TestPostgres } from "../../postgres/test-database.fixture.ts";
import { createEventLog, type PostgresEventLog } from "./event-log.ts";
import { defaultPartitionName, ensurePartitions, historyTables, listPartitions } from "./history-partitions.ts";
import { storeMigrations } from "./migrations.ts";

const decemberMs = Date.UTC(2026, 11, 5, 12);
const tables = ["attempts", "events", "job_tasks", "jobs"];
const months = ["2026_12", "2027_01", "2027_02", "2027_03"];
const everything = { maxEvents: 1_000, maxBytes: 1_000_000, withData: true };

function eventIdAt(timeMs: number, node = 1): EventId {
  return `evt_${createTsidGenerator({ clock: { now: () => timeMs }, node }).next()}` as EventId;
}

describeWithPostgres("history partitions", () => {
  let postgres: TestPostgres;
  let database: PostgresDatabase;
  let log: PostgresEventLog;
  beforeEach(async () => {
    postgres = await openTestPostgres([storeMigrations]);
    ({ database } = postgres);
    log = createEventLog({ database, clock: { now: () => decemberMs } }, { dedupWindowMs: 1_000 });
  });
  afterEach(() => postgres.close());

  const append = (ids: readonly EventId[]) => log.appender.append(ids.map((id) => createSamples().event({ id })));
  const placeOf = async (id: EventId): Promise<string | undefined> => {
    const row = await database.one(
      adHoc<{ place: string }, [string]>("SELECT tableoid::regclass::text AS place FROM events WHERE id = $1"),
      [id],
    );
    return row?.place;
  };

  test("this month and three more are made for each table, once", async () => {
    const made = await ensurePartitions(database, decemberMs);
    expect(made.toSorted()).toEqual(tables.flatMap((table) => months.map((month) => `${table}_${month}`)));
    expect(await ensurePartitions(database, decemberMs)).toEqual([]);
    expect(await ensurePartitions(database, Date.UTC(2027, 0, 1))).toHaveLength(tables.length);
    const listed = await listPartitions(database);
    expect(listed.filter(({ table }) => table === "events").map(({ name }) => name)).toEqual(
      [...months, "2027_04"].map((month) => `events_${month}`),
    );
  });

  test("of processes that make them at once one does", async () => {
    const all = await Promise.all([1, 2, 3].map(() => ensurePartitions(postgres.open(2), decemberMs)));
    expect(all.flat()).toHaveLength(tables.length * months.length);
  });

  test("the last id of a month and the first of the next lie on either side of the boundary", async () => {
    await ensurePartitions(database, decemberMs);
    const januaryMs = Date.UTC(2027, 0, 1);
    const last = eventIdAt(januaryMs - 1, 1023);
    const first = eventIdAt(januaryMs, 0);
    await append([first, last]);
    expect(await placeOf(last)).toBe("events_2026_12");
    expect(await placeOf(first)).toBe("events_2027_01");
    const read = await log.feed.readAfter(0 as EventPosition, everything);
    expect(read.map((event) => event.id)).toEqual([first, last]);
    for (const id of [first, last]) expect((await log.reader.byId(id, anchorScope))?.id).toBe(id);
  });

  test("ids of clocks that are years off are kept, and found", async () => {
    await ensurePartitions(database, decemberMs);
    const odd = [eventIdAt(Date.UTC(2020, 0, 1)), eventIdAt(Date.UTC(2099, 5, 1))];
    await append(odd);
    for (const id of odd) {
      expect(await placeOf(id)).toBe(defaultPartitionName("events"));
      expect((await log.reader.byId(id, anchorScope))?.id).toBe(id);
    }
  });

  test("rows that came before their partition move into it, and only those", async () => {
    const mine = [eventIdAt(Date.UTC(2026, 11, 1)), eventIdAt(Date.UTC(2027, 1, 1) - 1)];
    const other = eventIdAt(Date.UTC(2026, 10, 30, 23, 59, 59, 999));
    await append([...mine, other]);
    await ensurePartitions(database, decemberMs);
    expect(await Promise.all([...mine, other].map(placeOf))).toEqual([
      "events_2026_12",
      "events_2027_01",
      defaultPartitionName("events"),
    ]);
    const read = await log.feed.readAfter(0 as EventPosition, everything);
    expect(read.map((event) => event.id)).toEqual([...mine, other]);
  });

  test("appending goes on while partitions are made, and no event is lost", async () => {
    const ids = Array.from({ length: 60 }, (_, n) => eventIdAt(decemberMs + n * 86_400_000));
    const appending = Promise.all(
      ids.map(async (id, n) => {
        const other = createEventLog(
          { database: postgres.open(1), clock: { now: () => decemberMs } },
          { dedupWindowMs: 1 },
        );
        if (n % 2 === 0) await append([id]);
        else await other.appender.append([createSamples().event({ id })]);
      }),
    );
    await Promise.all([appending, ensurePartitions(database, decemberMs)]);
    const read = await log.feed.readAfter(0 as EventPosition, everything);
    expect(read.map((event) => String(event.id)).toSorted()).toEqual(ids.toSorted());
    const left = adHoc<{ n: number }>(`SELECT count(*) AS n FROM ${defaultPartitionName("events")}`);
    expect((await database.one(left, []))?.n).toBe(0);
  });

  test("when a table is in use for long, it is given up soon and made later", async () => {
    const held = await database.transaction(async (session) => {
      await session.run(adHoc(`LOCK TABLE ${defaultPartitionName("events")} IN ACCESS SHARE MODE`), []);
      return ensurePartitions(postgres.open(1), decemberMs).catch((error: unknown) => error);
    });
    expect(held).toMatchObject({ code: "STORE_UNAVAILABLE" });
    expect(await ensurePartitions(database, decemberMs)).not.toEqual([]);
  });

  test("each table is there, partitioned by the column it names", async () => {
    const keys = await database.query(
      adHoc<{ table: string; key: string }>(`
        SELECT partrelid::regclass::text AS table, attname AS key FROM pg_partitioned_table
        JOIN pg_attribute ON attrelid = partrelid AND attnum = partattrs[0] ORDER BY 1`),
      [],
    );
    const named = historyTables.map(({ table, key }) => ({ table, key }));
    expect(keys).toEqual(named.toSorted((a, b) => (a.table < b.table ? -1 : 1)));
  });
});
