import { afterEach, describe, expect, test } from "bun:test";
import type { GroupKey, MessageId } from "../domain/ids.ts";
import { answer, pool, setupRouter, testSecret, type TestRouter } from "./router.fixture.ts";

let open: TestRouter[] = [];

async function setup(): Promise<TestRouter> {
  const bundle = setupRouter({ withoutPlatform: true });
  open.push(bundle);
  await bundle.start();
  return bundle;
}

afterEach(async () => {
  for (const bundle of open) await bundle.dispose();
  open = [];
});

const id = (text: string): MessageId => text as MessageId;

describe("stand-alone messages", () => {
  test("are delivered as they are, and acked", async () => {
    const t = await setup();
    const headers = { "x-own": "1" };
    await t.publishStandalone({ id: id("m1"), payload: "hello", contentType: "text/plain", headers });
    await t.elapse(10);
    const { request } = t.targets.calls[0]!;
    expect(request.body).toBe("hello");
    expect(request.headers).toMatchObject({ "content-type": "text/plain", "webhook-id": "m1", "x-own": "1" });
    expect(request.headers["webhook-signature"]).toBeUndefined();
    expect(await t.queue.metrics()).toMatchObject({ visible: 0, inFlight: 0, dead: 0 });
  });

  test("are signed with the secret they name; an unknown one keeps them waiting", async () => {
    const t = await setup();
    await t.publishStandalone({ id: id("m1"), secretRef: "known" });
    await t.publishStandalone({ id: id("m2"), secretRef: "later" });
    await t.elapse(10);
    expect(t.targets.ids()).toEqual(["m1"]);
    t.settings.secretsByRef.set("later", [testSecret]);
    await t.elapse(31_000);
    expect(t.targets.ids()).toEqual(["m1", "m2"]);
    expect(t.targets.calls[1]?.request.headers["webhook-signature"]).toStartWith("v1,");
  });

  test("are signed with a rotated secret as soon as the router is told of a change", async () => {
    const t = await setup();
    await t.publishStandalone({ id: id("m1"), secretRef: "known" });
    await t.elapse(10);
    t.settings.secretsByRef.set("known", ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", testSecret]);
    t.settings.change({});
    await t.elapse(10);
    await t.publishStandalone({ id: id("m2"), secretRef: "known" });
    await t.elapse(10);
    const signatures = t.targets.calls.map(({ request }) => request.headers["webhook-signature"]?.split(" ").length);
    expect(signatures).toEqual([1, 2]);
  });

  test("that fail for good go to the dead letters with the reason", async () => {
    const t = await setup();
    t.targets.behaviour = () => answer(404);
    await t.publishStandalone({ id: id("m1") });
    await t.elapse(10);
    expect(await t.queue.metrics()).toMatchObject({ visible: 0, inFlight: 0, dead: 1 });
    const { letters } = await t.queue.listDeadLetters({ limit: 10, after: null });
    expect(letters[0]).toMatchObject({ id: "m1", reason: "the target answered 404" });
  });

  test("that fail are tried seven times with growing waits on the queue, then set aside", async () => {
    const t = await setup();
    const triesMs: number[] = [];
    const beganMs = t.clock.now();
    t.targets.behaviour = () => {
      triesMs.push(t.clock.now() - beganMs);
      return answer(425);
    };
    await t.publishStandalone({ id: id("m1") });
    await t.elapse(3 * 3_600_000);
    expect(triesMs).toHaveLength(7);
    const waitsMs = triesMs.map((tryMs, at) => tryMs - (triesMs[at - 1] ?? 0));
    [0, 1_000, 2_000, 60_000, 300_000, 900_000, 3_600_000].forEach((leastMs, at) => {
      expect(waitsMs[at]).toBeGreaterThanOrEqual(leastMs);
      expect(waitsMs[at]).toBeLessThanOrEqual(leastMs * 1.2 + 2_000);
    });
    expect(await t.queue.metrics()).toMatchObject({ dead: 1, delayed: 0 });
  });

  test("of a group keep their order through a failure", async () => {
    const t = await setup();
    t.targets.behaviour = ({ number }) => answer(number === 2 ? 500 : 200);
    const groupKey = "orders" as GroupKey;
    for (const name of ["m1", "m2", "m3"]) await t.publishStandalone({ id: id(name), groupKey });
    await t.elapse(5_000);
    expect(t.targets.ids()).toEqual(["m1", "m2", "m2", "m3"]);
  });

  test("of a group go on after one that was set aside", async () => {
    const t = await setup();
    t.targets.behaviour = ({ number }) => answer(number === 1 ? 400 : 200);
    const groupKey = "orders" as GroupKey;
    for (const name of ["m1", "m2"]) await t.publishStandalone({ id: id(name), groupKey });
    await t.elapse(1_000);
    expect(t.targets.ids()).toEqual(["m1", "m2"]);
  });

  test("of high priority go before other groups, never inside their own", async () => {
    const t = await setup();
    t.settings.change({ pools: [pool("main", { concurrency: 1 })] });
    await t.elapse(0);
    const first = Promise.withResolvers<ReturnType<typeof answer>>();
    t.targets.behaviour = ({ number }) => (number === 1 ? first.promise : answer(200));
    const groupKey = "orders" as GroupKey;
    await t.publishStandalone({ id: id("busy") });
    await t.publishStandalone({ id: id("plain") });
    await t.publishStandalone({ id: id("g1"), groupKey });
    await t.publishStandalone({ id: id("g2"), groupKey, highPriority: true });
    await t.publishStandalone({ id: id("urgent"), highPriority: true });
    await t.elapse(100);
    first.resolve(answer(200));
    await t.elapse(1_000);
    const order = t.targets.ids();
    expect(order.indexOf("urgent")).toBe(1);
    expect(order.indexOf("g1")).toBeLessThan(order.indexOf("g2"));
  });

  test("go back to the queue at a stop", async () => {
    const t = await setup();
    t.targets.behaviour = () => answer(200, '{"ack":false,"delaySeconds":60}');
    await t.publishStandalone({ id: id("m1") });
    await t.elapse(10);
    expect(await t.queue.metrics()).toMatchObject({ delayed: 1 });
    const stopped = t.stop();
    await t.elapse(10);
    await stopped;
    expect(await t.queue.metrics()).toMatchObject({ inFlight: 0 });
  });

  test("jobs of a platform are set aside by a router that has none", async () => {
    const t = await setup();
    await t.publishSingles([t.book.add()]);
    await t.elapse(10);
    expect(t.targets.calls).toEqual([]);
    expect(await t.queue.metrics()).toMatchObject({ dead: 1 });
  });
});
