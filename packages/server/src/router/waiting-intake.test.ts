import { afterEach, describe, expect, test } from "bun:test";
import type { DispatchPool } from "../domain/dispatch-pool.ts";
import type { PoolCode } from "../domain/ids.ts";
import type { Standby } from "../ports/standby-lease.ts";
import { pipelineLimits } from "./pipeline.ts";
import { unknownPoolLimits } from "./pool-registry.ts";
import { answer, pool, setupRouter, type TestRouter } from "./router.fixture.ts";
import { ScriptedQueue, type ScriptedQueueOptions } from "./scripted-queue.fixture.ts";
import { waitingIntakeLimits } from "./waiting-intake.ts";

interface Bundle extends TestRouter {
  readonly broker: ScriptedQueue;
}

let open: TestRouter[] = [];

async function setup(
  options: ScriptedQueueOptions = {},
  pools: readonly DispatchPool[] = [pool("main")],
  standby?: Standby,
): Promise<Bundle> {
  let broker: ScriptedQueue | null = null;
  const t = setupRouter({
    withoutPlatform: true,
    pools,
    queues: (clock) => [(broker = new ScriptedQueue(clock, options))],
    ...(standby === undefined ? {} : { standby: () => standby }),
  });
  open.push(t);
  await t.start();
  if (broker === null) throw new Error("no queue was made");
  return { ...t, broker };
}

afterEach(async () => {
  for (const bundle of open) await bundle.dispose();
  open = [];
});

const withLanes = { capabilities: { lanes: "all", maxDelayMs: 43_200_000 } } as const;
const lane = (code: string): PoolCode => code as PoolCode;
const ids = (t: TestRouter) => t.targets.ids().toSorted();

describe("a queue that may be waited on", () => {
  test("has a question open for each pool, the default one and each lane it names, and no more", async () => {
    const t = await setup(withLanes, [pool("main"), pool("other")]);
    t.broker.named = ["unknown"];
    await t.elapse(1_000);
    expect(Object.fromEntries(t.broker.open)).toEqual({ main: 1, other: 1, "DEFAULT-POOL": 1, unknown: 1 });
    const before = t.broker.counts.receives;
    await t.elapse(60_000);
    // Each is asked again when its 20 s are over, and not before.
    expect(t.broker.counts.receives - before).toBeLessThanOrEqual(4 * 3 + 1);
  });

  test("brings a message the moment it is there", async () => {
    const t = await setup(withLanes);
    await t.elapse(5_000);
    const beganMs = t.clock.monotonicMs();
    t.broker.publishStandalone({ id: "m1" });
    await t.elapse(0);
    expect(ids(t)).toEqual(["m1"]);
    expect(t.clock.monotonicMs()).toBe(beganMs);
    expect(t.broker.size).toBe(0);
  });

  test("has as many questions open for a lane as it allows; answers are placed in the order they came", async () => {
    const t = await setup({ ...withLanes, parallelReceives: 3 });
    await t.elapse(10);
    expect(t.broker.open.get("main")).toBe(3);
    for (let at = 0; at < 60; at++) t.broker.publishStandalone({ id: `m${at}`, groupKey: "g" as never });
    await t.elapse(1_000);
    expect(t.targets.ids()).toEqual(Array.from({ length: 60 }, (_, at) => `m${at}`));
  });

  test("messages of a pool nobody knows go to the default one, with a warning; an empty lane does not", async () => {
    const t = await setup(withLanes);
    t.broker.named = ["unknown"];
    await t.elapse(3_000);
    expect(t.warnings.list()).toEqual([]);
    t.broker.publishStandalone({ id: "m1", lane: lane("unknown") });
    await t.elapse(10);
    expect(ids(t)).toEqual(["m1"]);
    expect(t.warnings.list()).toMatchObject([{ category: "ROUTING", source: "unknown" }]);
  });

  test("forgets a lane that has no pool and was not named or used for ten minutes", async () => {
    const t = await setup(withLanes);
    t.broker.named = ["unknown"];
    await t.elapse(2_000);
    t.broker.named = [];
    await t.elapse(waitingIntakeLimits.laneIdleMs - 5_000);
    expect(t.broker.open.get("unknown")).toBe(1);
    await t.elapse(10_000);
    expect(t.broker.open.has("unknown")).toBe(false);
    expect(t.broker.open.get("main")).toBe(1);
    t.broker.publishStandalone({ id: "m1", lane: lane("unknown") });
    await t.elapse(2_000);
    expect(ids(t)).toEqual(["m1"]);
  });

  test("of which some lanes are listed: those, and the default one, which is everybody else's", async () => {
    const t = await setup({ capabilities: { lanes: "listed" }, listed: ["slow"] }, [
      pool("main"),
      pool("slow"),
      pool("other"),
    ]);
    t.broker.named = ["slow"];
    await t.elapse(1_000);
    expect([...t.broker.open.keys()].toSorted()).toEqual(["DEFAULT-POOL", "slow"]);
    for (const code of ["main", "slow", "other"]) t.broker.publishStandalone({ id: code, lane: lane(code) });
    await t.elapse(10);
    expect(ids(t)).toEqual(["main", "other", "slow"]);
    expect(t.warnings.list()).toEqual([]);
  });
});

describe("lanes of pools that do not exist", () => {
  const { maxUnknownLanes, turnMs } = waitingIntakeLimits;
  const strange = (count: number) => Array.from({ length: count }, (_, at) => `strange${at}`);
  const total = 8 * maxUnknownLanes;

  test("are received from in turn, few at a time, with few warnings; lanes of pools have their places", async () => {
    const t = await setup(withLanes);
    for (const code of strange(total)) t.broker.publishStandalone({ id: code, lane: lane(code) });
    let mostOpen = 0;
    for (let seconds = 0; seconds < 20; seconds++) {
      await t.elapse(1_000);
      mostOpen = Math.max(mostOpen, t.broker.open.size);
      expect(t.router.monitoring.health().status).not.toBe("DOWN");
    }
    expect(mostOpen).toBeLessThanOrEqual(maxUnknownLanes + 2);
    expect(t.targets.ids()).toHaveLength(total);
    expect(t.broker.size).toBe(0);
    const { toldPerMinute } = unknownPoolLimits;
    const warned = t.warnings.list().filter(({ category }) => category === "ROUTING");
    expect(warned).toHaveLength(toldPerMinute + 2);
    const counting = warned.find(({ message }) => message.includes(`more than ${toldPerMinute} pools a minute`));
    expect(counting?.count).toBe(total - toldPerMinute);
    expect(warned.find(({ source }) => source === "broker")).toMatchObject({ severity: "WARN", count: 1 });
  });

  test("that are named and have nothing give their places to the next ones, and to nobody's cost", async () => {
    const t = await setup(withLanes);
    t.broker.named = strange(total);
    await t.elapse(30_000);
    t.broker.publishStandalone({ id: "strange", lane: lane(`strange${total - 1}`) });
    await t.elapse(((total / maxUnknownLanes) * 2 + 2) * turnMs);
    expect(ids(t)).toEqual(["strange"]);
    t.settings.change({ pools: [pool("main"), pool("late")] });
    await t.elapse(1_500);
    expect([t.broker.open.get("late"), t.broker.open.get("main")]).toEqual([1, 1]);
    t.broker.publishStandalone({ id: "late", lane: lane("late") });
    await t.elapse(0);
    expect(ids(t)).toEqual(["late", "strange"]);
    await t.elapse(60_000);
    expect(t.broker.open.size).toBeLessThanOrEqual(maxUnknownLanes + 3);
    const tooMany = t.warnings.list().filter(({ source }) => source === "broker");
    expect(tooMany).toMatchObject([{ category: "ROUTING", count: 2 }]);
  });

  test("that fail are no fault of the consumer", async () => {
    const t = await setup(withLanes);
    t.broker.failing.add("strange0");
    t.broker.named = ["strange0"];
    await t.elapse(5_000);
    expect(t.router.monitoring.consumers()).toMatchObject([{ status: "RUNNING", error: null }]);
    expect(t.warnings.list()).toMatchObject([{ category: "QUEUE" }]);
  });
});

describe("a full pool", () => {
  test("keeps only its own lane from being asked, and what was on its way waits here, in order", async () => {
    const pools = [pool("main", { concurrency: 1 }), pool("other")];
    const t = await setup({ ...withLanes, parallelReceives: 4 }, pools);
    const hung = Promise.withResolvers<ReturnType<typeof answer>>();
    t.targets.behaviour = ({ origin }) => (origin === "https://slow.example" ? hung.promise : answer(200));
    await t.elapse(10);
    for (let at = 0; at < 200; at++) {
      t.broker.publishStandalone({ id: `s${at}`, groupKey: "g" as never, target: "https://slow.example/" });
    }
    await t.elapse(30_000);
    const { receives } = t.broker.counts;
    for (let at = 0; at < 50; at++) t.broker.publishStandalone({ id: `o${at}`, lane: lane("other") });
    await t.elapse(1_000);
    expect(t.targets.calls).toHaveLength(51);
    expect(t.broker.open.has("main")).toBe(false);
    expect(t.broker.inFlight).toBeLessThanOrEqual(50 + 4 * 10);
    await t.elapse(60_000);
    expect(t.broker.counts.receives - receives).toBeLessThan(100);
    expect(t.broker.counts.nacks).toBe(0);
    hung.resolve(answer(200));
    await t.elapse(10_000);
    expect(t.targets.ids("https://slow.example")).toEqual(Array.from({ length: 200 }, (_, at) => `s${at}`));
    expect(t.broker.size).toBe(0);
  });

  test("of a shared lane, on a queue that delays: given back for 5 s, others pass", async () => {
    const shared = { capabilities: { lanes: "none", maxDelayMs: 43_200_000 } } as const;
    const t = await setup(shared, [pool("main", { concurrency: 1 }), pool("other")]);
    const hung = Promise.withResolvers<ReturnType<typeof answer>>();
    t.targets.behaviour = ({ origin }) => (origin === "https://slow.example" ? hung.promise : answer(200));
    for (let at = 0; at < 100; at++) t.broker.publishStandalone({ id: `s${at}`, target: "https://slow.example/" });
    for (let at = 0; at < 50; at++) t.broker.publishStandalone({ id: `o${at}`, lane: lane("other") });
    await t.elapse(1_000);
    expect(t.targets.calls).toHaveLength(51);
    await t.elapse(20_000);
    // 50 that found no room, every 5 s.
    expect(t.broker.counts.nacks).toBeLessThanOrEqual(50 * 5);
    expect(t.broker.counts.receives).toBeLessThanOrEqual(100);
    const warned = t.warnings.list().filter(({ category }) => category === "POOL_CAPACITY");
    expect(warned).toMatchObject([{ source: "main", message: "the pool is full; messages wait on the queue" }]);
    hung.resolve(answer(200));
    await t.elapse(30_000);
    expect(t.broker.size).toBe(0);
    expect(new Set(t.targets.ids()).size).toBe(150);
  });

  test("of a shared lane, on a queue that cannot delay: waits here, and says who waits behind", async () => {
    const t = await setup({}, [pool("main", { concurrency: 1 }), pool("other")]);
    const hung = Promise.withResolvers<ReturnType<typeof answer>>();
    t.targets.behaviour = ({ origin }) => (origin === "https://slow.example" ? hung.promise : answer(200));
    for (let at = 0; at < 100; at++) t.broker.publishStandalone({ id: `s${at}`, target: "https://slow.example/" });
    t.broker.publishStandalone({ id: "behind", lane: lane("other") });
    await t.elapse(300_000);
    expect(t.targets.calls).toHaveLength(1);
    expect(t.broker.counts).toMatchObject({ nacks: 0, receives: 6, received: 60 });
    const warned = t.warnings.list().find(({ category }) => category === "POOL_CAPACITY");
    expect(warned?.source).toBe("main");
    expect(warned?.message).toContain("nothing is received from broker until there is room");
    // Held all the time, and nobody else had any of it.
    expect(t.broker.inFlight).toBe(60);
    hung.resolve(answer(200));
    await t.elapse(10_000);
    expect(t.broker.size).toBe(0);
    expect(new Set(t.targets.ids()).size).toBe(101);
    expect(t.targets.calls).toHaveLength(101);
  });

  test("what waits here goes back at a stop", async () => {
    const t = await setup({}, [pool("main", { concurrency: 1 })]);
    t.targets.behaviour = () => new Promise(() => undefined);
    for (let at = 0; at < 100; at++) t.broker.publishStandalone({ id: `s${at}` });
    await t.elapse(1_000);
    expect(t.broker.inFlight).toBe(60);
    await Promise.all([t.stop(), t.elapse(40_000)]);
    expect(t.broker).toMatchObject({ inFlight: 0, size: 100 });
  });
});

describe("memory that is full", () => {
  const payload = "x".repeat(1_048_576);
  const lanes = Array.from({ length: 30 }, (_, at) => `lane${at}`);

  async function filled(capabilities: ScriptedQueueOptions["capabilities"]): Promise<Bundle> {
    const t = await setup(
      { capabilities: { maxBatch: 10, ...capabilities } },
      lanes.map((code) => pool(code)),
    );
    await t.elapse(10);
    const hung = Promise.withResolvers<ReturnType<typeof answer>>();
    t.targets.behaviour = () => hung.promise;
    for (const code of lanes) {
      for (let at = 0; at < 10; at++) t.broker.publishStandalone({ id: `${code}.${at}`, lane: lane(code), payload });
    }
    await t.elapse(30_000);
    hung.resolve(answer(200));
    return t;
  }

  test("what open questions brought beyond it goes back, and comes when there is room", async () => {
    const t = await filled(withLanes.capabilities);
    expect(t.broker.inFlight).toBeLessThanOrEqual(pipelineLimits.maxBytes / payload.length + 1);
    expect(t.broker.counts.nacks).toBeGreaterThan(0);
    await t.elapse(30_000);
    expect(new Set(ids(t)).size).toBe(300);
    expect(t.broker.size).toBe(0);
  });

  test("where it cannot go back it waits here, and finds its place although it alone fills the memory", async () => {
    const t = await filled({ ...withLanes.capabilities, maxDelayMs: 0 });
    expect(t.broker.counts.nacks).toBe(0);
    await t.elapse(30_000);
    expect(new Set(ids(t)).size).toBe(300);
    expect(t.broker.size).toBe(0);
  });
});

describe("a target that is not well", () => {
  test("holds a quarter of the buffer, on a queue that cannot delay too, and nobody spins", async () => {
    const t = await setup({}, [pool("main", { concurrency: 10 })]);
    t.targets.behaviour = ({ origin }) =>
      origin === "https://slow.example" ? new Promise(() => undefined) : answer(200);
    t.broker.publishStandalone({ id: "ok", target: "https://ok.example/" });
    for (let at = 0; at < 10; at++) t.broker.publishStandalone({ id: `a${at}`, target: "https://slow.example/" });
    await t.elapse(3_000);
    for (let at = 0; at < 300; at++) t.broker.publishStandalone({ id: `s${at}`, target: "https://slow.example/" });
    await t.elapse(10_000);
    expect(t.router.monitoring.inFlight().total).toBe(50);
    expect(t.broker.counts.nacks).toBe(0);
    expect(t.broker.counts.receives).toBeLessThan(12);
    const warned = t.warnings.list().find(({ category }) => category === "POOL_CAPACITY");
    expect(warned?.message).toContain("the target https://slow.example fills its part of the pool");
  });

  test("on a queue that delays: the excess goes back, and healthy targets go on", async () => {
    const shared = { capabilities: { lanes: "none", maxDelayMs: 43_200_000 } } as const;
    const t = await setup(shared, [pool("main", { concurrency: 10 })]);
    t.targets.behaviour = ({ origin }) =>
      origin === "https://slow.example" ? new Promise(() => undefined) : answer(200);
    t.broker.publishStandalone({ id: "ok", target: "https://ok.example/" });
    for (let at = 0; at < 300; at++) t.broker.publishStandalone({ id: `s${at}`, target: "https://slow.example/" });
    await t.elapse(20_000);
    for (let at = 0; at < 100; at++) t.broker.publishStandalone({ id: `h${at}`, target: "https://ok.example/" });
    await t.elapse(10_000);
    expect(t.targets.ids("https://ok.example")).toHaveLength(101);
    expect(t.broker.counts.nacks).toBeLessThan(300 * 7);
  });
});

describe("leave to receive", () => {
  test("lost: questions are taken back, what comes all the same goes back; had again it goes on", async () => {
    let isActive = true;
    let changed = (): void => undefined;
    const standby: Standby = {
      isActive: () => isActive,
      onChange: (told) => {
        changed = told;
        return () => undefined;
      },
      state: () => ({ enabled: true, active: isActive, instanceId: "here", ...restOfState }),
    };
    const t = await setup(withLanes, [pool("main")], standby);
    await t.elapse(1_000);
    expect(t.broker.open.get("main")).toBe(1);
    isActive = false;
    // Before anybody looks.
    t.broker.publishStandalone({ id: "m1" });
    changed();
    await t.elapse(2_000);
    expect(t.broker.open.size).toBe(0);
    expect(t.targets.calls).toHaveLength(0);
    expect(t.broker.inFlight).toBe(0);
    const { receives } = t.broker.counts;
    await t.elapse(60_000);
    expect(t.broker.counts.receives).toBe(receives);
    expect(t.router.monitoring.consumers()).toMatchObject([{ status: "PAUSED" }]);
    isActive = true;
    changed();
    await t.elapse(10);
    expect(ids(t)).toEqual(["m1"]);
  });

  test("lost while messages come: that they went back at once is no attempt", async () => {
    let [isActive, changed] = [true, (): void => undefined];
    const t = await setup(withLanes, [pool("main")], {
      isActive: () => isActive,
      onChange: (told) => {
        changed = told;
        return () => undefined;
      },
      state: () => ({ enabled: true, active: isActive, instanceId: "here", ...restOfState }),
    });
    t.targets.behaviour = ({ number }) => answer(number < 7 ? 500 : 200);
    await t.elapse(1_000);
    isActive = false;
    t.broker.publishStandalone({ id: "m1" });
    await t.elapse(10);
    expect(t.broker.counts.nacks).toBeGreaterThan(0);
    isActive = true;
    changed();
    await t.elapse(3 * 3_600_000);
    const attempts = t.targets.calls.map(({ request }) => request.headers["x-flowcatalyst-attempt"]);
    expect(attempts).toEqual(["1", "2", "3", "4", "5", "6", "7"]);
    expect(t.broker).toMatchObject({ size: 0, dead: [] });
  });

  test("a suspended pool: its lane is not asked, and is as soon as it is active again", async () => {
    const t = await setup(withLanes, [pool("main"), pool("other")]);
    await t.elapse(10);
    t.settings.change({ pools: [pool("main", { status: "SUSPENDED" }), pool("other")] });
    await t.elapse(2_000);
    expect(t.broker.open.has("main")).toBe(false);
    t.broker.publishStandalone({ id: "m1" });
    await t.elapse(60_000);
    expect(t.broker.counts.received).toBe(0);
    t.settings.change({ pools: [pool("main"), pool("other")] });
    await t.elapse(1_500);
    expect(ids(t)).toEqual(["m1"]);
  });

  test("a suspended pool behind a shared lane of a queue that cannot delay: what came waits here", async () => {
    const t = await setup({}, [pool("main", { status: "SUSPENDED" })]);
    for (let at = 0; at < 20; at++) t.broker.publishStandalone({ id: `m${at}` });
    await t.elapse(300_000);
    expect(t.broker.counts.nacks).toBe(0);
    expect(t.targets.calls).toHaveLength(0);
    t.settings.change({ pools: [pool("main")] });
    await t.elapse(31_000);
    expect(t.targets.calls).toHaveLength(20);
    expect(t.broker.size).toBe(0);
  });
});

describe("failures", () => {
  test("of one lane show as the consumer's error, and cost other lanes nothing", async () => {
    const t = await setup(withLanes, [pool("main"), pool("other")]);
    t.broker.failing.add("main");
    t.broker.publishStandalone({ id: "m1" });
    t.broker.publishStandalone({ id: "o1", lane: lane("other") });
    await t.elapse(1_000);
    expect(ids(t)).toEqual(["o1"]);
    expect(t.router.monitoring.consumers()).toMatchObject([{ status: "FAILED" }]);
    expect(t.router.monitoring.health().status).toBe("DOWN");
    const { receives } = t.broker.counts;
    await t.elapse(60_000);
    expect(t.broker.counts.receives - receives).toBeLessThan(40);
    t.broker.failing.clear();
    await t.elapse(6_000);
    expect(ids(t)).toEqual(["m1", "o1"]);
    expect(t.router.monitoring.consumers()).toMatchObject([{ status: "RUNNING", error: null }]);
  });

  test("of the list of lanes leave those that are known", async () => {
    const t = await setup(withLanes);
    await t.elapse(10);
    t.broker.failing.add("readyLanes");
    await t.elapse(5_000);
    expect(t.router.monitoring.consumers()).toMatchObject([{ status: "FAILED" }]);
    t.broker.publishStandalone({ id: "m1" });
    await t.elapse(10);
    expect(ids(t)).toEqual(["m1"]);
    t.broker.failing.clear();
    await t.elapse(6_000);
    expect(t.router.monitoring.consumers()).toMatchObject([{ status: "RUNNING", error: null }]);
  });

  test("a queue that answers at once and brings nothing is not asked all the time", async () => {
    const t = await setup(withLanes);
    t.broker.receive = async () => {
      t.broker.counts.receives++;
      return [];
    };
    await t.elapse(30_000);
    expect(t.broker.counts.receives).toBeLessThanOrEqual(2 * 330);
  });
});

describe("ids that senders use twice", () => {
  test("are two messages where the queue knows them apart", async () => {
    const t = await setup({ ...withLanes, hasBrokerIds: true });
    t.broker.publishStandalone({ id: "same", payload: "1" });
    t.broker.publishStandalone({ id: "same", payload: "2" });
    await t.elapse(1_000);
    expect(t.targets.calls.map(({ request }) => request.body)).toEqual(["1", "2"]);
    expect(t.broker.size).toBe(0);
    expect(t.router.monitoring.checkInFlight(["same"])).toEqual({ same: false });
  });

  test("a copy of one that is held is not called again, and its new receipt is acked", async () => {
    const t = await setup({ ...withLanes, hasBrokerIds: true, visibilityMs: 60_000, extendsForMs: 70_000 });
    const hung = Promise.withResolvers<ReturnType<typeof answer>>();
    t.targets.behaviour = () => hung.promise;
    t.broker.publishStandalone({ id: "m1" });
    await t.elapse(120_000);
    hung.resolve(answer(200));
    await t.elapse(1_000);
    expect(t.targets.ids()).toEqual(["m1"]);
    expect(t.broker.size).toBe(0);
  });

  test("are two messages all the same where it does not, if they differ", async () => {
    const t = await setup(withLanes);
    t.broker.publishStandalone({ id: "same", payload: "1" });
    t.broker.publishStandalone({ id: "same", payload: "2" });
    await t.elapse(1_000);
    expect(t.broker.size).toBe(0);
    expect(t.targets.calls.map(({ request }) => request.body)).toEqual(["1", "2"]);
  });
});

const restOfState = { holder: null, since: null, leaseUntil: null, error: null } as const;
