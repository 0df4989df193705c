import { afterEach, expect, test } from "bun:test";
import type { MessageId, PoolCode } from "../domain/ids.ts";
import { answer, pool, setupRouter, type TestRouter } from "./router.fixture.ts";

let open: TestRouter[] = [];

async function setup(): Promise<TestRouter> {
  // Extends later than the queue (60 s) waits, so that a message can be taken away.
  const bundle = setupRouter({ withoutPlatform: true, believedVisibilityMs: 240_000 });
  open.push(bundle);
  await bundle.start();
  return bundle;
}

afterEach(async () => {
  for (const bundle of open) await bundle.dispose();
  open = [];
});

test("a stand-alone message that was lost and comes back while its call is under way is not called again", async () => {
  const t = await setup();
  const hung = Promise.withResolvers<ReturnType<typeof answer>>();
  t.targets.behaviour = () => hung.promise;
  await t.publishStandalone({ id: "m1" as MessageId });
  await t.elapse(10);
  t.settings.change({ pools: [pool("main", { status: "SUSPENDED" })] });
  await t.elapse(61_000);
  const lane = "main" as PoolCode;
  const [taken] = await t.queue.receive({ lane, max: 1, waitMs: 0 }, new AbortController().signal);
  expect(taken?.message.id).toBe("m1" as MessageId);
  // The sweep finds that the receipt is dead, and keeps only the call.
  await t.elapse(30_000);
  expect(t.router.monitoring.checkInFlight(["m1"])).toEqual({ m1: true });
  await t.queue.nack([taken!.receipt], 0);
  t.settings.change({ pools: [pool("main")] });
  await t.elapse(5_000);
  hung.resolve(answer(200));
  await t.elapse(1_000);
  expect(t.targets.ids()).toEqual(["m1"]);
  expect(t.router.monitoring.inFlight().total).toBe(0);
  expect(await t.queue.metrics()).toMatchObject({ visible: 0, inFlight: 0, delayed: 0, dead: 0 });
});

test("a clock set back does not hold up a stand-alone message that waits for its next try", async () => {
  const t = await setup();
  t.targets.behaviour = ({ number }) => answer(number === 1 ? 500 : 200);
  await t.publishStandalone({ id: "m1" as MessageId });
  await t.elapse(10);
  expect(t.targets.calls).toHaveLength(1);
  t.clock.jumpWallClock(-3_600_000);
  await t.elapse(5_000);
  expect(t.targets.calls).toHaveLength(2);
});
