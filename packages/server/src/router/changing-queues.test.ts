import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createMetrics, seededRandom, silentLogger, systemClock, type Clock } from "@flowcatalyst/foundation";
import type { GroupKey, MessageId, PoolCode } from "../domain/ids.ts";
import type { StandaloneMessage } from "../domain/message.ts";
import { openSqliteQueue, type SqliteQueue } from "../queues/sqlite/index.ts";
import { answer, pool, Settings, setupRouter, standaloneDefaults, Targets, type TestRouter } from "./router.fixture.ts";
import type { TransportResult } from "../ports/transport.ts";
import { createRouter, routerDefaults } from "./router.ts";
import { ScriptedQueue } from "./scripted-queue.fixture.ts";
import { Warnings } from "./warnings.ts";

let open: TestRouter[] = [];
let closing: (() => void)[] = [];

afterEach(async () => {
  for (const bundle of open) await bundle.dispose();
  for (const close of closing) close();
  open = [];
  closing = [];
});

async function setup(): Promise<TestRouter> {
  const t = setupRouter({ withoutPlatform: true, queues: () => [], pools: [pool("main"), pool("other")] });
  open.push(t);
  await t.start();
  return t;
}

function sqliteQueue(clock: Clock, config: { readonly path: string; readonly name: string }): SqliteQueue {
  const { queue, close } = openSqliteQueue({ clock }, config);
  closing.push(close);
  return queue;
}

function standalone(id: string, rest: Partial<StandaloneMessage> = {}): StandaloneMessage {
  return { ...standaloneDefaults, ...rest, id: id as MessageId };
}

describe("queues that come and go", () => {
  test("a router without queues is ready, and receives from one as soon as it is added", async () => {
    const t = await setup();
    await t.elapse(100);
    expect(t.router.monitoring.health().status).toBe("UP");
    expect(await t.router.monitoring.queues()).toEqual([]);
    const queue = sqliteQueue(t.clock, { path: ":memory:", name: "q1" });
    await queue.publish([standalone("m1")]);
    t.router.addQueue(queue);
    await t.elapse(100);
    expect(t.targets.ids()).toEqual(["m1"]);
    expect(t.router.monitoring.consumers()).toMatchObject([{ name: "q1", received: 1 }]);
  });

  test("a name is given once, also while its queue leaves, and is free again afterwards", async () => {
    const t = await setup();
    const hung = Promise.withResolvers<TransportResult>();
    t.targets.behaviour = () => hung.promise;
    const queue = sqliteQueue(t.clock, { path: ":memory:", name: "q1" });
    t.router.addQueue(queue);
    expect(() => t.router.addQueue(queue)).toThrow("two queues are named q1");
    await queue.publish([standalone("m1")]);
    await t.elapse(10);
    const removed = t.router.removeQueue("q1");
    expect(t.router.removeQueue("q1")).toBe(removed);
    await t.elapse(10);
    expect(() => t.router.addQueue(queue)).toThrow("is still being removed");
    expect(t.router.monitoring.consumers()).toMatchObject([{ name: "q1", status: "STOPPED" }]);
    hung.resolve(answer(200));
    await t.elapse(10);
    await removed;
    expect(t.router.monitoring.consumers()).toEqual([]);
    await queue.publish([standalone("m2")]);
    t.router.addQueue(queue);
    await t.elapse(10);
    expect(t.targets.ids()).toEqual(["m1", "m2"]);
    await t.router.removeQueue("nobody");
  });

  test("one that leaves: calls under way end and are acked, the rest goes back in order; others go on", async () => {
    const t = await setup();
    t.settings.change({ pools: [pool("main", { concurrency: 2 }), pool("other")] });
    const hung = Promise.withResolvers<TransportResult>();
    t.targets.behaviour = ({ id }) => (id === "a0" ? hung.promise : answer(200));
    const [first, second] = ["q1", "q2"].map((name) => sqliteQueue(t.clock, { path: ":memory:", name }));
    if (first === undefined || second === undefined) throw new Error("two queues were made");
    t.router.addQueue(first);
    t.router.addQueue(second);
    await first.publish([0, 1, 2, 3].map((at) => standalone(`a${at}`, { groupKey: "g" as GroupKey })));
    await t.elapse(10);
    const removed = t.router.removeQueue("q1");
    await second.publish([standalone("b1", { groupKey: "g" as GroupKey })]);
    await first.publish([standalone("late")]);
    await t.elapse(5_000);
    expect(t.targets.ids()).toEqual(["a0", "b1"]);
    hung.resolve(answer(200));
    await t.elapse(100);
    await removed;
    expect(await first.metrics()).toMatchObject({ visible: 4, inFlight: 0, delayed: 0, dead: 0 });
    expect(t.targets.ids()).toEqual(["a0", "b1"]);
    t.router.addQueue(first);
    await t.elapse(1_000);
    expect(t.targets.calls).toHaveLength(6);
    expect(t.targets.ids().filter((id) => id.startsWith("a"))).toEqual(["a0", "a1", "a2", "a3"]);
  });

  test("a broker that leaves gives back what waits and what has no room here", async () => {
    const t = await setup();
    t.settings.change({ pools: [pool("main", { concurrency: 1 })] });
    t.targets.behaviour = ({ number }) => answer(number === 1 ? 503 : 200, "", "600");
    const broker = new ScriptedQueue(t.clock);
    t.router.addQueue(broker);
    await t.elapse(10);
    for (let at = 0; at < 90; at++) broker.publishStandalone({ id: `m${at}` });
    await t.elapse(1_000);
    expect(broker.inFlight).toBe(60);
    const removed = t.router.removeQueue("broker");
    await t.elapse(10);
    await removed;
    expect(broker).toMatchObject({ inFlight: 0, size: 90 });
    expect(broker.open.size).toBe(0);
    const { receives } = broker.counts;
    await t.elapse(60_000);
    expect(broker.counts.receives).toBe(receives);
  });

  test("one whose call does not end is let go after the time for calls; its message is not acked", async () => {
    const t = await setup();
    t.targets.behaviour = () => new Promise(() => undefined);
    const queue = sqliteQueue(t.clock, { path: ":memory:", name: "q1" });
    await queue.publish([standalone("m1", { groupKey: "g" as GroupKey })]);
    t.router.addQueue(queue);
    await t.elapse(10);
    const removed = t.router.removeQueue("q1");
    await t.elapse(36_000);
    await removed;
    // Kept until then, and no longer.
    expect(await queue.metrics()).toMatchObject({ inFlight: 1 });
    await t.elapse(61_000);
    expect(await queue.metrics()).toMatchObject({ visible: 1, inFlight: 0 });
    // Added again its message is taken for what it is: the one whose call is under way.
    t.router.addQueue(queue);
    await t.elapse(10);
    expect(t.targets.calls).toHaveLength(1);
  });

  test("a removal while the router stops, and one after, end", async () => {
    const t = await setup();
    const hung = Promise.withResolvers<TransportResult>();
    t.targets.behaviour = () => hung.promise;
    const queue = sqliteQueue(t.clock, { path: ":memory:", name: "q1" });
    t.router.addQueue(queue);
    t.router.addQueue(sqliteQueue(t.clock, { path: ":memory:", name: "q2" }));
    await queue.publish([standalone("m1"), standalone("m2")]);
    await t.elapse(10);
    const stopped = t.stop();
    await t.elapse(10);
    const removed = t.router.removeQueue("q1");
    await t.elapse(10);
    hung.resolve(answer(200));
    await t.elapse(10);
    await Promise.all([removed, stopped, t.router.removeQueue("q2")]);
    expect(await queue.metrics()).toMatchObject({ visible: 0, inFlight: 0 });
  });

  test("each is extended by its own visibility", async () => {
    const t = await setup();
    t.targets.behaviour = () => new Promise(() => undefined);
    const short = new ScriptedQueue(t.clock, { name: "short", visibilityMs: 6_000 });
    const long = new ScriptedQueue(t.clock, { name: "long", visibilityMs: 600_000 });
    for (const queue of [short, long]) {
      t.router.addQueue(queue);
      queue.publishStandalone({ id: queue.name });
    }
    await t.elapse(28_000);
    expect(short.counts.received).toBe(1);
    expect(short.counts.extensions).toBeGreaterThanOrEqual(9);
    expect(long.counts).toMatchObject({ received: 1, extensions: 0 });
  });
});

test("queues and pools changed under load on real files: nothing is lost, no group is out of order", async () => {
  const clock = systemClock();
  const directory = mkdtempSync(join(tmpdir(), "fc-queues-"));
  const targets = new Targets();
  const settings = new Settings(clock, [pool("main"), pool("other")]);
  const router = createRouter(
    {
      queues: [],
      deliveries: null,
      sink: null,
      control: settings,
      transport: targets,
      guard: targets,
      clock,
      random: seededRandom(1),
      logger: silentLogger(),
      metrics: createMetrics(),
      warnings: new Warnings(clock, silentLogger()),
    },
    { ...routerDefaults, userAgent: "FlowCatalyst/test" },
  );
  const queues = ["q0", "q1", "q2"].map((name) => sqliteQueue(clock, { path: join(directory, `${name}.db`), name }));
  closing.push(() => rmSync(directory, { recursive: true, force: true }));
  const perQueue = 1_500;
  const groups = 20;
  const delivered = new Map<string, number[]>();
  const all = Promise.withResolvers<void>();
  let count = 0;
  targets.behaviour = async ({ request, number }) => {
    await clock.sleep(number % 3);
    if (number % 253 === 0) return answer(425);
    const { group, at } = JSON.parse(String(request.body)) as { group: string; at: number };
    const before = delivered.get(group) ?? [];
    delivered.set(group, before);
    if (!before.includes(at)) count++;
    before.push(at);
    if (count === perQueue * queues.length) all.resolve();
    return answer(200);
  };
  const stop = new AbortController();
  const running = router.run(stop.signal);
  await router.ready();
  for (const queue of queues) router.addQueue(queue);
  for (const [which, queue] of queues.entries()) {
    const batch = Array.from({ length: perQueue }, (_, at) => {
      const group = `${which}.${at % groups}`;
      const lane = ((at % groups) % 2 === 0 ? "main" : "other") as PoolCode;
      return standalone(`${which}-${at}`, {
        lane,
        groupKey: group as GroupKey,
        payload: JSON.stringify({ group, at }),
      });
    });
    await queue.publish(batch);
  }
  let changes = 0;
  const changing = (async () => {
    while (changes < 60) {
      const queue = queues[changes++ % queues.length];
      if (queue === undefined) break;
      await router.removeQueue(queue.name);
      settings.change({
        pools: changes % 2 === 0 ? [pool("main", { concurrency: 3 })] : [pool("main"), pool("other")],
      });
      router.addQueue(queue);
      await clock.sleep(changes % 10);
    }
  })();
  await Promise.all([all.promise, changing]);
  stop.abort();
  await running;
  expect(delivered.size).toBe(groups * queues.length);
  for (const ats of delivered.values()) {
    const firsts = [...new Set(ats)];
    expect(firsts).toEqual(firsts.toSorted((a, b) => a - b));
  }
  for (const queue of queues) {
    expect(await queue.metrics()).toMatchObject({ visible: 0, inFlight: 0, delayed: 0, dead: 0 });
  }
}, 60_000);
