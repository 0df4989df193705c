import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { CodedError, FakeClock, seededRandom, silentLogger } from "@flowcatalyst/foundation";
import { describeStandbyLeaseConformance } from "../ports/standby-lease.conformance.ts";
import type { StandbyLease } from "../ports/standby-lease.ts";
import { createLeaseStore } from "../stores/sqlite/lease-store.ts";
import { openTestDatabase, type TestDatabase } from "../stores/sqlite/sqlite-store.fixture.ts";
import { createStandbyKeeper, type StandbyKeeper } from "./standby-keeper.ts";
import { createStoreStandbyLease } from "./store-standby-lease.ts";

const name = "fc:router:leader";
const ttlMs = 30_000;
const refreshMs = 10_000;

describeStandbyLeaseConformance("store", async () => {
  const store = openTestDatabase();
  const leases = createLeaseStore(store);
  return {
    lease: createStoreStandbyLease({ leases }, { name }),
    elsewhere: createStoreStandbyLease({ leases }, { name }),
    ttlMs,
    pass: (ms) => store.clock.advance(ms),
    close: store.close,
  };
});

/** A process that competes, on the way to whose lease something can happen. */
interface Process {
  readonly keeper: StandbyKeeper;
  readonly told: boolean[];
  /** What becomes of its questions. */
  way: "open" | "cut" | "silent" | "answer is lost";
  stop(): Promise<void>;
}

let store: TestDatabase;
let processes: Process[];
beforeEach(() => {
  store = openTestDatabase();
  processes = [];
});
afterEach(async () => {
  for (const process of processes) await process.stop();
  await store.close();
});

function start(instanceId: string, clock: FakeClock = store.clock): Process {
  const lease = createStoreStandbyLease({ leases: createLeaseStore(store) }, { name });
  const stopping = new AbortController();
  const told: boolean[] = [];
  const process: Process = {
    told,
    way: "open",
    get keeper() {
      return keeper;
    },
    stop: async () => {
      stopping.abort();
      // A question that nobody answers is waited for until its time is over.
      await Promise.all([running, clock.advance(10_000)]);
    },
  };
  const passed = async <T>(question: () => Promise<T>): Promise<T> => {
    if (process.way === "cut") throw new CodedError("STORE_UNAVAILABLE", { message: "ECONNREFUSED" });
    if (process.way === "silent") return new Promise<T>(() => undefined);
    const answer = await question();
    return process.way === "answer is lost" ? new Promise<T>(() => undefined) : answer;
  };
  const disturbed: StandbyLease = {
    acquire: (claim, ms) => passed(() => lease.acquire(claim, ms)),
    renew: (claim, ms) => passed(() => lease.renew(claim, ms)),
    release: (claim) => passed(() => lease.release(claim)),
  };
  const random = seededRandom(processes.length + 1);
  const deps = { lease: disturbed, clock, random, logger: silentLogger() };
  const keeper = createStandbyKeeper(deps, { instanceId, ttlMs, refreshMs });
  keeper.onChange(() => told.push(keeper.isActive()));
  const running = keeper.run(stopping.signal);
  processes.push(process);
  return process;
}

const pass = (ms: number): Promise<void> => store.clock.advance(ms);

describe("of two processes", () => {
  test("one is active, and stays it", async () => {
    const [one, two] = [start("one"), start("two")];
    for (let elapsedMs = 0; elapsedMs < 120_000; elapsedMs += 1_000) {
      await pass(1_000);
      expect([one.keeper.isActive(), two.keeper.isActive()]).toEqual([true, false]);
    }
    expect(one.keeper.state()).toMatchObject({ enabled: true, active: true, instanceId: "one", holder: "one" });
    expect(one.keeper.state().leaseUntil).not.toBeNull();
    expect(two.keeper.state()).toMatchObject({ active: false, instanceId: "two", leaseUntil: null, error: null });
    expect([one.told, two.told]).toEqual([[true], []]);
  });

  test("the other takes over at once after an orderly stop", async () => {
    const [one, two] = [start("one"), start("two")];
    await pass(1_000);
    await one.stop();
    expect(one.keeper.isActive()).toBe(false);
    await pass(refreshMs / 5);
    expect(two.keeper.isActive()).toBe(true);
  });

  for (const way of ["cut", "silent", "answer is lost"] as const) {
    test(`the one whose questions are ${way} stops before the other starts`, async () => {
      const [one, two] = [start("one"), start("two")];
      await pass(1_000);
      one.way = way;
      let oneEndedAtMs = 0;
      let twoBeganAtMs = 0;
      for (let elapsedMs = 0; elapsedMs < 200_000; elapsedMs += 100) {
        await pass(100);
        expect(one.keeper.isActive() && two.keeper.isActive()).toBe(false);
        if (oneEndedAtMs === 0 && !one.keeper.isActive()) oneEndedAtMs = store.clock.monotonicMs();
        if (twoBeganAtMs === 0 && two.keeper.isActive()) twoBeganAtMs = store.clock.monotonicMs();
        if (elapsedMs === 120_000) one.way = "open";
      }
      expect(oneEndedAtMs).toBeGreaterThan(0);
      if (way === "answer is lost") {
        // It goes on prolonging what it does not know that it has, and so nobody is active meanwhile.
        expect(twoBeganAtMs).toBe(0);
        expect(one.keeper.isActive()).toBe(true);
        return;
      }
      expect(twoBeganAtMs - oneEndedAtMs).toBeGreaterThan(ttlMs * 0.1 - 200);
      expect(twoBeganAtMs - oneEndedAtMs).toBeLessThan(refreshMs);
      expect(one.told).toContain(false);
    });
  }
});

describe("whoever is active", () => {
  test("goes on while the lease cannot be asked for, until its trust is over, and says why", async () => {
    const one = start("one");
    await pass(1_000);
    one.way = "cut";
    await pass(ttlMs * 0.9 - refreshMs);
    expect(one.keeper.isActive()).toBe(true);
    await pass(refreshMs);
    expect(one.keeper.isActive()).toBe(false);
    expect(one.keeper.state()).toMatchObject({ active: false, holder: null, error: "ECONNREFUSED" });
    one.way = "open";
    await pass(ttlMs);
    expect(one.keeper.isActive()).toBe(true);
    expect(one.keeper.state().error).toBeNull();
  });

  test("is passive at its first look after a suspension that only the wall clock has seen", async () => {
    const one = start("one");
    await pass(1_000);
    store.clock.jumpWallClock(ttlMs);
    expect(one.keeper.isActive()).toBe(false);
    expect(one.told).toEqual([true]);
    await pass(2 * ttlMs);
    expect(one.keeper.isActive()).toBe(true);
    expect(one.told.filter((isActive) => !isActive)).toHaveLength(1);
  });

  test("is not fooled by a wall clock that was set back", async () => {
    const one = start("one");
    await pass(1_000);
    store.clock.jumpWallClock(-3_600_000);
    one.way = "cut";
    await pass(ttlMs);
    expect(one.keeper.isActive()).toBe(false);
  });

  test("was not, if the answer took longer than the lease lasts", async () => {
    // Its own clock passes the time; the store's stands still, as if the question had been quick to arrive.
    const clock = new FakeClock(store.clock.now());
    const one = start("one", clock);
    one.way = "answer is lost";
    await clock.advance(ttlMs);
    expect(one.told).not.toContain(true);
    expect(one.keeper.isActive()).toBe(false);
  });
});

test("two processes of one name are two", async () => {
  const [one, two] = [start("same"), start("same")];
  await pass(60_000);
  expect([one.keeper.isActive(), two.keeper.isActive()]).toEqual([true, false]);
});
