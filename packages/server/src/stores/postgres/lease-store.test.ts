import { afterEach, expect, test } from "bun:test";
import { describeWithPostgres } from "../../postgres/test-database.fixture.ts";
import type { PostgresDatabase, PostgresSession } from "../../postgres/postgres-database.ts";
import { adHoc } from "../../postgres/statement.ts";
import { describeLeaseConformance } from "../../ports/lease.conformance.ts";
import type { LeaseEpoch, LeaseStore } from "../../ports/lease.ts";
import { createLeaseStore, fence, holdsLease } from "./lease-store.ts";
import { createNodeNumbers } from "./node-numbers.ts";
import { openTestStore, type TestStoreDatabase } from "./postgres-store.fixture.ts";

const ttlMs = 10_000;

/** Resolves once a session of the database waits for a lock. */
async function whenSomebodyWaits(database: PostgresDatabase): Promise<void> {
  const waiting = adHoc<{ waits: boolean }, []>(`
    SELECT count(*) > 0 AS waits FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'`);
  while ((await database.one(waiting, []))?.waits !== true);
}

/** A transaction that stays open until it is let go. */
function openTransaction(database: PostgresDatabase, begin: (session: PostgresSession) => Promise<void>) {
  const begun = Promise.withResolvers<void>();
  const letGo = Promise.withResolvers<void>();
  const ended = database.transaction(async (session) => {
    await begin(session);
    begun.resolve();
    await letGo.promise;
  });
  return { begun: begun.promise, letGo: letGo.resolve, ended };
}

describeWithPostgres("postgres leases", () => {
  describeLeaseConformance("postgres", async () => {
    const store = await openTestStore();
    return {
      leases: createLeaseStore(store),
      nodeNumbers: createNodeNumbers(store),
      monotonicMs: () => store.clock.monotonicMs(),
      advance: store.advance,
      close: store.close,
    };
  });

  let store: TestStoreDatabase;
  const setup = async (): Promise<{ database: PostgresDatabase; other: PostgresDatabase; leases: LeaseStore }> => {
    store = await openTestStore();
    return { database: store.database, other: store.open(), leases: createLeaseStore(store) };
  };
  afterEach(() => store?.close());
  const fenced = (database: PostgresDatabase, epoch: LeaseEpoch): Promise<unknown> =>
    database
      .transaction((session) => fence(session, epoch))
      .then(
        () => "written",
        (error: unknown) => error,
      );

  test("an epoch fences: it holds until somebody else has taken the lease", async () => {
    const { database, leases } = await setup();
    const first = (await leases.acquire("stream", "one", ttlMs))!;
    expect(await fenced(database, first.epoch)).toBe("written");
    await store.advance(ttlMs);
    await leases.release("stream", "one");
    expect(await fenced(database, first.epoch)).toBe("written");
    const second = (await leases.acquire("stream", "two", ttlMs))!;
    expect(await fenced(database, first.epoch)).toMatchObject({ code: "LEASE_LOST" });
    expect(await database.transaction((session) => holdsLease(session, first.epoch))).toBe(false);
    expect(await fenced(database, second.epoch)).toBe("written");
  });

  test("a takeover waits for a fenced transaction in flight, and whoever fences after it is refused", async () => {
    const { database, other, leases } = await setup();
    const first = (await leases.acquire("stream", "one", ttlMs))!;
    const inFlight = openTransaction(database, (session) => fence(session, first.epoch));
    await inFlight.begun;
    await store.advance(ttlMs);
    let taken = false;
    const takeover = createLeaseStore({ ...store, database: other })
      .acquire("stream", "two", ttlMs)
      .finally(() => (taken = true));
    await whenSomebodyWaits(database);
    expect(taken).toBe(false);
    inFlight.letGo();
    await inFlight.ended;
    expect((await takeover)!.epoch).toBeGreaterThan(first.epoch);
    expect(await fenced(database, first.epoch)).toMatchObject({ code: "LEASE_LOST" });
  });

  test("a fence that meets a takeover under way waits for it, and is refused", async () => {
    const { database, other, leases } = await setup();
    const first = (await leases.acquire("stream", "one", ttlMs))!;
    await store.advance(ttlMs);
    const takeover = openTransaction(other, async (session) => {
      await createLeaseStore({ ...store, database: { ...other, one: session.one } }).acquire("stream", "two", ttlMs);
    });
    await takeover.begun;
    const late = fenced(database, first.epoch);
    await whenSomebodyWaits(database);
    takeover.letGo();
    expect(await late).toMatchObject({ code: "LEASE_LOST" });
    await takeover.ended;
  });

  test("renewing, giving back and asking in vain wait for no transaction in flight", async () => {
    const { database, other, leases } = await setup();
    const first = (await leases.acquire("stream", "one", ttlMs))!;
    const inFlight = openTransaction(database, (session) => fence(session, first.epoch));
    await inFlight.begun;
    const elsewhere = createLeaseStore({ ...store, database: other });
    expect((await elsewhere.acquire("stream", "one", ttlMs))?.epoch).toBe(first.epoch);
    expect(await elsewhere.acquire("stream", "two", ttlMs)).toBeNull();
    await elsewhere.release("stream", "one");
    inFlight.letGo();
    await inFlight.ended;
  });

  test("a holder that is stopped inside a fenced transaction loses it, and its write never happens", async () => {
    const { database, other, leases } = await setup();
    const first = (await leases.acquire("stream", "one", ttlMs))!;
    const stopped = openTransaction(database, async (session) => {
      await session.run(adHoc("SET LOCAL idle_in_transaction_session_timeout = '50ms'"), []);
      await fence(session, first.epoch);
      await session.run(adHoc("UPDATE revisions SET revision = 99"), []);
    });
    await stopped.begun;
    await store.advance(ttlMs);
    const second = await createLeaseStore({ ...store, database: other }).acquire("stream", "two", ttlMs);
    expect(second?.epoch).toBeGreaterThan(first.epoch);
    stopped.letGo();
    const fault = await stopped.ended.catch((error: unknown) => error);
    expect(fault).toMatchObject({ code: "STORE_UNAVAILABLE" });
    expect(await other.query(adHoc("SELECT 1 FROM revisions WHERE revision = 99"), [])).toEqual([]);
  });

  test("of many instances that come when it has run out, one gets it, with an epoch above all before", async () => {
    const { database, other, leases } = await setup();
    let newest = (await leases.acquire("stream", "first", ttlMs))!.epoch;
    for (let round = 0; round < 10; round++) {
      await store.advance(ttlMs);
      const taken = await Promise.all(
        Array.from({ length: 8 }, (_, n) =>
          createLeaseStore({ ...store, database: n % 2 === 0 ? database : other }) //
            .acquire("stream", `${round} ${n}`, ttlMs),
        ),
      );
      const epochs = taken.flatMap((held) => (held === null ? [] : [held.epoch]));
      expect(epochs).toHaveLength(1);
      expect(epochs[0]).toBeGreaterThan(newest);
      newest = epochs[0]!;
    }
  });

  test("a node number that was given back is used again last of all", async () => {
    const { database } = await setup();
    const numbers = createNodeNumbers({ database });
    expect([await numbers.lease("a", ttlMs), await numbers.lease("b", ttlMs)]).toEqual([0, 1]);
    await numbers.release("a");
    expect(await numbers.lease("c", ttlMs)).toBe(2);
    await database.run(
      adHoc("INSERT INTO node_numbers SELECT n, 'x' || n, $1::bigint FROM generate_series(3, 1023) AS n"),
      [store.clock.now() + ttlMs],
    );
    expect(await numbers.lease("d", ttlMs)).toBe(0);
  });
});
