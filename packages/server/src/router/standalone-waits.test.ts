import { afterEach, describe, expect, test } from "bun:test";
import type { GroupKey, PoolCode } from "../domain/ids.ts";
import { answer, pool, setupRouter, type TestRouter } from "./router.fixture.ts";
import { ScriptedQueue, type ScriptedQueueOptions } from "./scripted-queue.fixture.ts";
import { waitLimits } from "./settlement.ts";

/** Where stand-alone messages wait on queues that cannot delay, or keep no groups; see docs/decisions/0025. */

interface Bundle extends TestRouter {
  readonly broker: ScriptedQueue;
}

const twelveHoursMs = 43_200_000;
const cannotDelay = {} as const;
const keepsNoGroups = { capabilities: { lanes: "all", maxDelayMs: twelveHoursMs } } as const;
const group = "orders" as GroupKey;

let open: TestRouter[] = [];

async function setup(options: ScriptedQueueOptions, pools = [pool("main")]): Promise<Bundle> {
  let broker: ScriptedQueue | null = null;
  const t = setupRouter({
    withoutPlatform: true,
    pools,
    queues: (clock) => [(broker = new ScriptedQueue(clock, options))],
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

function failing(t: TestRouter, times: number): number[] {
  const triesMs: number[] = [];
  const beganMs = t.clock.monotonicMs();
  t.targets.behaviour = () => {
    triesMs.push(t.clock.monotonicMs() - beganMs);
    return answer(triesMs.length <= times ? 425 : 200);
  };
  return triesMs;
}

function waitsOf(triesMs: readonly number[]): number[] {
  return triesMs.map((tryMs, at) => tryMs - (triesMs[at - 1] ?? 0));
}

function expectWaits(triesMs: readonly number[], leastMs: readonly number[]): void {
  expect(triesMs).toHaveLength(leastMs.length);
  waitsOf(triesMs).forEach((waitMs, at) => {
    expect(waitMs).toBeGreaterThanOrEqual(leastMs[at] ?? 0);
    expect(waitMs).toBeLessThanOrEqual((leastMs[at] ?? 0) * 1.2 + 2_000);
  });
}

const policyMs = [0, 1_000, 2_000, 60_000, 300_000, 900_000, 3_600_000];

describe("on a queue that cannot delay", () => {
  test("waits here between its tries, is kept all the time, and is set aside after the seventh", async () => {
    const t = await setup(cannotDelay);
    const triesMs = failing(t, 10);
    t.broker.publishStandalone({ id: "m1" });
    await t.elapse(3 * 3_600_000);
    expectWaits(triesMs, policyMs);
    expect(t.broker.counts).toMatchObject({ nacks: 0, received: 1 });
    expect(t.broker.dead).toMatchObject([{ id: "m1" }]);
    expect(t.targets.calls.map(({ request }) => request.headers["x-flowcatalyst-attempt"])).toEqual(
      triesMs.map((_, at) => String(at + 1)),
    );
  });

  test("that takes what is held too long back: it goes on waiting when it comes again", async () => {
    const t = await setup({ extendsForMs: 540_000 });
    const triesMs = failing(t, 6);
    t.broker.publishStandalone({ id: "m1" });
    await t.elapse(3 * 3_600_000);
    expectWaits(triesMs, policyMs);
    expect(t.broker.size).toBe(0);
    // About an hour and a half in parts of nine to ten minutes.
    expect(t.broker.counts.received).toBeLessThan(15);
    expect(t.broker.counts.nacks).toBe(0);
  });

  test("later ones of its group stay behind it, others go on", async () => {
    const t = await setup(cannotDelay);
    t.targets.behaviour = ({ id, number }) => answer(id === "g1" && number < 5 ? 500 : 200);
    t.broker.publishStandalone({ id: "g1", groupKey: group });
    t.broker.publishStandalone({ id: "g2", groupKey: group });
    await t.elapse(100);
    t.broker.publishStandalone({ id: "g3", groupKey: group });
    t.broker.publishStandalone({ id: "single", target: "https://b.example/" });
    await t.elapse(200_000);
    const order = t.targets.ids().filter((id) => id.startsWith("g"));
    expect([...new Set(order)]).toEqual(["g1", "g2", "g3"]);
    expect(order.lastIndexOf("g1")).toBeLessThan(order.indexOf("g2"));
    expect(t.targets.ids()[1]).toBe("single");
    expect(t.broker.size).toBe(0);
  });

  test('a Retry-After and a "not yet" are waited for here', async () => {
    const t = await setup(cannotDelay);
    const triesMs: number[] = [];
    t.targets.behaviour = ({ number }) => {
      triesMs.push(t.clock.monotonicMs());
      if (number === 1) return answer(429, "", "120");
      return number === 2 ? answer(200, '{"ack":false,"delaySeconds":300}') : answer(200);
    };
    t.broker.publishStandalone({ id: "m1" });
    await t.elapse(600_000);
    expectWaits(triesMs, [0, 120_000, 300_000]);
    expect(t.broker).toMatchObject({ size: 0, counts: { nacks: 0, received: 1 } });
  });

  test("what an open circuit breaker holds waits here; nobody spins", async () => {
    const t = await setup(cannotDelay, [pool("main", { concurrency: 10 })]);
    let isWell = false;
    t.targets.behaviour = () => answer(isWell ? 200 : 500);
    for (let at = 0; at < 20; at++) t.broker.publishStandalone({ id: `m${at}` });
    await t.elapse(120_000);
    const calls = t.targets.calls.length;
    expect(calls).toBeLessThan(60);
    expect(t.broker.counts.nacks).toBe(0);
    isWell = true;
    await t.elapse(1_200_000);
    expect(t.broker.size).toBe(0);
    expect(t.broker.dead).toEqual([]);
  });

  test("an unknown secret is waited for here", async () => {
    const t = await setup(cannotDelay);
    t.broker.publishStandalone({ id: "m1", secretRef: "later" });
    await t.elapse(100_000);
    expect(t.broker.counts).toMatchObject({ nacks: 0, received: 1 });
    t.settings.secretsByRef.set("later", ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]);
    await t.elapse(31_000);
    expect(t.targets.ids()).toEqual(["m1"]);
  });

  test("what waits goes back at a stop", async () => {
    const t = await setup(cannotDelay);
    failing(t, 10);
    t.broker.publishStandalone({ id: "m1", groupKey: group });
    t.broker.publishStandalone({ id: "m2", groupKey: group });
    await t.elapse(100);
    expect(t.broker.inFlight).toBe(2);
    await Promise.all([t.stop(), t.elapse(1_000)]);
    expect(t.broker).toMatchObject({ inFlight: 0, size: 2 });
  });
});

describe("on a queue that keeps no groups", () => {
  test("one that belongs to a group waits here, and those behind it do not overtake", async () => {
    const t = await setup(keepsNoGroups);
    t.targets.behaviour = ({ id, number }) => answer(id === "g1" && number < 5 ? 425 : 200);
    t.broker.publishStandalone({ id: "g1", groupKey: group });
    await t.elapse(100);
    for (const id of ["g2", "g3", "g4"]) t.broker.publishStandalone({ id, groupKey: group });
    await t.elapse(400_000);
    const order = t.targets.ids();
    expect(order.slice(-4)).toEqual(["g1", "g2", "g3", "g4"]);
    expect(new Set(order.slice(0, -4))).toEqual(new Set(["g1"]));
    expect(t.broker.counts.nacks).toBe(0);
  });

  test("one without a group waits on the queue", async () => {
    const t = await setup(keepsNoGroups);
    const triesMs = failing(t, 3);
    t.broker.publishStandalone({ id: "m1" });
    await t.elapse(80_000);
    expectWaits(triesMs, policyMs.slice(0, 4));
    expect(t.broker.counts).toMatchObject({ nacks: 3, received: 4 });
  });

  test("a wait of more than six minutes is spent on the queue, by the whole line", async () => {
    const t = await setup(keepsNoGroups);
    const delaySeconds = waitLimits.groupRestMaxMs / 1_000 + 1;
    t.targets.behaviour = ({ number }) =>
      number === 1 ? answer(200, `{"ack":false,"delaySeconds":${delaySeconds}}`) : answer(200);
    t.broker.publishStandalone({ id: "g1", groupKey: group });
    t.broker.publishStandalone({ id: "g2", groupKey: group });
    await t.elapse(1_000);
    expect(t.broker).toMatchObject({ inFlight: 0, counts: { nacks: 2 } });
    await t.elapse(waitLimits.groupRestMaxMs + 2_000);
    expect(t.targets.ids()).toEqual(["g1", "g1", "g2"]);
  });

  test("that it was given back untouched burns none of its tries", async () => {
    const shared = { capabilities: { lanes: "none", maxDelayMs: twelveHoursMs } } as const;
    const t = await setup(shared, [pool("main", { concurrency: 1 })]);
    const hung = Promise.withResolvers<ReturnType<typeof answer>>();
    const tries = new Map<string, number>();
    t.targets.behaviour = ({ id }) => {
      tries.set(id, (tries.get(id) ?? 0) + 1);
      return tries.size === 1 ? hung.promise : answer(425);
    };
    for (let at = 0; at < 60; at++) t.broker.publishStandalone({ id: `m${at}` });
    await t.elapse(120_000);
    expect(t.broker.counts.nacks).toBeGreaterThan(200);
    hung.resolve(answer(200));
    await t.elapse(4 * 3_600_000);
    expect(t.broker.dead).toHaveLength(59);
    expect([...tries.values()].slice(1).every((times) => times === policyMs.length)).toBe(true);
  });

  test("that delays in short steps: one that comes back early goes on waiting", async () => {
    const t = await setup({ capabilities: { lanes: "all", maxDelayMs: 20_000 } });
    const triesMs = failing(t, 4);
    t.broker.publishStandalone({ id: "m1" });
    await t.elapse(420_000);
    expectWaits(triesMs, policyMs.slice(0, 5));
    // 1 + 1 + 3 to 4 + 15 to 19.
    expect(t.broker.counts.nacks).toBeLessThan(30);
    expect(t.broker.size).toBe(0);
  });

  test("waiting groups fill no more than a quarter of the pool; what goes beyond waits on the queue", async () => {
    const t = await setup(keepsNoGroups, [pool("main", { concurrency: 10 })]);
    t.targets.behaviour = ({ origin }) =>
      origin === "https://bad.example" ? answer(200, '{"ack":false,"delaySeconds":200}') : answer(200);
    for (let at = 0; at < 150; at++) {
      t.broker.publishStandalone({ id: `g${at}`, groupKey: `g${at}` as GroupKey, target: "https://bad.example/" });
    }
    await t.elapse(20_000);
    expect(t.router.monitoring.pools()[0]?.code).toBe("DEFAULT-POOL" as PoolCode);
    expect(t.router.monitoring.inFlight().total).toBe(50);
    for (let at = 0; at < 100; at++) t.broker.publishStandalone({ id: `o${at}`, target: "https://ok.example/" });
    await t.elapse(1_000);
    expect(t.targets.ids("https://ok.example")).toHaveLength(100);
  });

  test("nor do the later ones of a group that waits", async () => {
    const t = await setup(keepsNoGroups, [pool("main", { concurrency: 10 })]);
    t.targets.behaviour = ({ number }) =>
      number === 1 ? answer(200, '{"ack":false,"delaySeconds":100}') : answer(200);
    for (let at = 0; at < 150; at++) t.broker.publishStandalone({ id: `g${at}`, groupKey: group });
    await t.elapse(20_000);
    expect(t.router.monitoring.inFlight().total).toBe(50);
    expect(t.targets.calls).toHaveLength(1);
    await t.elapse(200_000);
    expect(t.broker.size).toBe(0);
    expect(t.targets.ids().slice(0, 51)).toEqual(["g0", ...Array.from({ length: 50 }, (_, at) => `g${at}`)]);
    expect(new Set(t.targets.ids()).size).toBe(150);
  });
});
