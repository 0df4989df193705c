import { afterEach, beforeEach, expect, test } from "bun:test";
import { CodedError, seededRandom, silentLogger, type FakeClock } from "@flowcatalyst/foundation";
import type { JobId, MessageId } from "../domain/ids.ts";
import { createStandbyKeeper } from "../leases/standby-keeper.ts";
import { createStoreStandbyLease } from "../leases/store-standby-lease.ts";
import type { Standby, StandbyLease } from "../ports/standby-lease.ts";
import { createLeaseStore } from "../stores/sqlite/lease-store.ts";
import { openTestDatabase, type TestDatabase } from "../stores/sqlite/sqlite-store.fixture.ts";
import { answer, setupRouter, type TestRouter } from "./router.fixture.ts";

const ttlMs = 30_000;
const name = "fc:router:leader";

/** A router with the real keeper of a lease that the test can give to somebody else, or cut off. */
let t: TestRouter;
/** Gives it to somebody else before the router asks. */
let isTaken: boolean;
let store: TestDatabase;
let lease: StandbyLease;
let isCut: boolean;
const stopping: AbortController[] = [];
const keepers: Promise<void>[] = [];

function standbyOn(clock: FakeClock): Standby {
  // Its expiry goes by the router's own clock, so that one clock moves all.
  lease = createStoreStandbyLease({ leases: createLeaseStore({ database: store.database, clock }) }, { name });
  if (isTaken) keepers.push(lease.acquire("somebody#1", ttlMs).then(() => undefined));
  const cuttable = <T>(question: () => Promise<T>): Promise<T> =>
    isCut ? Promise.reject(new CodedError("STORE_UNAVAILABLE", { message: "ECONNREFUSED" })) : question();
  const disturbed: StandbyLease = {
    acquire: (claim, ms) => cuttable(() => lease.acquire(claim, ms)),
    renew: (claim, ms) => cuttable(() => lease.renew(claim, ms)),
    release: (claim) => cuttable(() => lease.release(claim)),
  };
  const deps = { lease: disturbed, clock, random: seededRandom(1), logger: silentLogger() };
  const keeper = createStandbyKeeper(deps, { instanceId: "here", ttlMs, refreshMs: 10_000 });
  const stop = new AbortController();
  stopping.push(stop);
  keepers.push(keeper.run(stop.signal));
  return keeper;
}

beforeEach(() => {
  store = openTestDatabase();
  isCut = false;
  isTaken = false;
});

async function start(): Promise<void> {
  t = setupRouter({ standby: standbyOn });
  await t.start();
}

afterEach(async () => {
  for (const stop of stopping.splice(0)) stop.abort();
  await Promise.all([...keepers.splice(0), t.dispose()]);
  await store.close();
});

const isStandbyActive = (): boolean => t.router.monitoring.standby().active;
const metric = async (): Promise<string | undefined> =>
  /^fc_router_standby_active (\d)$/m.exec(await t.metrics.render())?.[1];
const statuses = (jobs: readonly JobId[]) => jobs.map((job) => t.book.state(job).status);

test("the active one works, and says that it is active", async () => {
  await start();
  await t.elapse(10);
  expect(t.router.monitoring.standby()).toMatchObject({ enabled: true, active: true, instanceId: "here", error: null });
  expect(await metric()).toBe("1");
  const job = t.book.add();
  await t.publishSingles([job]);
  await t.elapse(10);
  expect(t.targets.ids()).toEqual([job]);
});

test("one that waits receives nothing, is healthy, and works as soon as it is active", async () => {
  isTaken = true;
  await start();
  const job = t.book.add();
  await t.publishSingles([job]);
  await t.elapse(20_000);
  expect(t.targets.calls).toHaveLength(0);
  expect(await t.queue.metrics()).toMatchObject({ visible: 1, inFlight: 0 });
  expect(t.router.monitoring.health().status).toBe("UP");
  expect(isStandbyActive()).toBe(false);
  expect(await metric()).toBe("0");
  await t.elapse(15_000);
  expect(isStandbyActive()).toBe(true);
  expect(t.targets.ids()).toEqual([job]);
});

test("in doubt it stops at once: calls under way end and are recorded, the rest is given back", async () => {
  const hung = Promise.withResolvers<ReturnType<typeof answer>>();
  await start();
  t.targets.behaviour = () => hung.promise;
  const [first, second] = [t.book.add({ group: "g" }), t.book.add({ group: "g" })];
  await t.publishRun([first, second]);
  await t.publishStandalone({ id: "m1" as MessageId, groupKey: null, target: "https://b.example/" });
  await t.publishStandalone({ id: "m2" as MessageId, groupKey: "q" as never, target: "https://b.example/" });
  await t.publishStandalone({ id: "m3" as MessageId, groupKey: "q" as never, target: "https://b.example/" });
  await t.elapse(10);
  const underWay = t.targets.ids();
  expect(underWay.toSorted()).toEqual([first, "m1", "m2"].toSorted());
  isCut = true;
  await t.elapse(ttlMs);
  expect(isStandbyActive()).toBe(false);
  const late = t.book.add();
  await t.publishSingles([late]);
  await t.elapse(1_000);
  expect(t.targets.ids()).toEqual(underWay);
  hung.resolve(answer(200));
  await t.elapse(5_000);
  expect(t.targets.ids()).toEqual(underWay);
  expect(statuses([first, second, late])).toEqual(["COMPLETED", "PENDING", "QUEUED"]);
  // The two that were answered are acked; the other stand-alone one, and the late job, wait for somebody else.
  expect(await t.queue.metrics()).toMatchObject({ visible: 2, inFlight: 0, delayed: 0, dead: 0 });
  expect(t.router.monitoring.inFlight().total).toBe(0);
  const warned = t.router.monitoring.warnings().filter(({ category }) => category === "STANDBY");
  expect(warned.map(({ severity }) => severity).toSorted()).toEqual(["ERROR", "WARN"]);
});

test("active again it goes on where it stopped", async () => {
  await start();
  await t.elapse(10);
  isCut = true;
  await t.elapse(ttlMs);
  const job = t.book.add();
  await t.publishSingles([job]);
  await t.publishStandalone({ id: "m1" as MessageId });
  await t.elapse(10_000);
  expect(t.targets.calls).toHaveLength(0);
  isCut = false;
  await t.elapse(ttlMs);
  expect(t.targets.ids().toSorted()).toEqual([job, "m1"].toSorted());
  expect(await metric()).toBe("1");
});

test("a retry that was waited for here is given back too", async () => {
  await start();
  t.targets.behaviour = () => answer(500);
  const job = t.book.add({ group: "g" });
  await t.publishRun([job]);
  await t.elapse(10);
  expect(t.targets.calls).toHaveLength(1);
  // Without any timer having run: the machine was suspended.
  t.clock.jumpWallClock(ttlMs);
  await t.elapse(5_000);
  expect(t.targets.calls).toHaveLength(1);
});

test("what is received while the lease is lost goes back untouched", async () => {
  await start();
  await t.elapse(10);
  isCut = true;
  const job = t.book.add();
  const { receive } = t.queue;
  t.queue.receive = async (...asked) => {
    const batch = await receive.apply(t.queue, asked);
    // The process was stopped between the question and what it does with the answer.
    if (batch.length > 0) t.clock.jumpWallClock(ttlMs);
    return batch;
  };
  await t.publishSingles([job]);
  await t.elapse(1_000);
  expect(t.targets.calls).toHaveLength(0);
  expect(await t.queue.metrics()).toMatchObject({ visible: 1, inFlight: 0 });
});

test("a stop gives everything back whoever is active", async () => {
  await start();
  const job = t.book.add();
  await t.publishSingles([job]);
  await t.elapse(10);
  await Promise.all([t.stop(), t.elapse(1_000)]);
  expect(t.router.monitoring.inFlight().total).toBe(0);
  expect(statuses([job])).toEqual(["COMPLETED"]);
});
