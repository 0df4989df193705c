import { afterEach, expect, test } from "bun:test";
import type { MessageId } from "../domain/ids.ts";
import type { TransportResult } from "../ports/transport.ts";
import { answer, pool, setupRouter, type TestRouter } from "./router.fixture.ts";

const KIBIBYTE = 1_024;
let open: TestRouter[] = [];

async function setup(): Promise<TestRouter> {
  const bundle = setupRouter({ withoutPlatform: true, pools: [pool("main", { concurrency: 64 })] });
  open.push(bundle);
  await bundle.start();
  return bundle;
}

afterEach(async () => {
  for (const bundle of open) await bundle.dispose();
  open = [];
});

test("a pipeline full of payloads is left alone until there is room, then all goes on", async () => {
  const t = await setup();
  const gates: ((result: TransportResult) => void)[] = [];
  t.targets.behaviour = () => new Promise((resolve) => gates.push(resolve));
  const payload = "x".repeat(200 * KIBIBYTE);
  const count = 400;
  for (let at = 0; at < count; at++) await t.publishStandalone({ id: `m${at}` as MessageId, payload });
  await t.elapse(100);
  const { bufferBytes } = t.router.monitoring.pools().find(({ code }) => code === "main")!;
  expect(bufferBytes).toBeLessThanOrEqual(64 * KIBIBYTE * KIBIBYTE);
  expect(bufferBytes).toBeGreaterThan(60 * KIBIBYTE * KIBIBYTE);
  const received = (): number => t.router.monitoring.consumers()[0]?.received ?? 0;
  const before = received();
  await t.elapse(20_000);
  // Nothing has left, so there is no reason to ask the queue for more, over and over.
  expect(received()).toBe(before);
  t.targets.behaviour = () => answer(200);
  for (const gate of gates) gate(answer(200));
  await t.elapse(100);
  expect(new Set(t.targets.ids()).size).toBe(count);
  expect(await t.queue.metrics()).toMatchObject({ visible: 0, inFlight: 0, delayed: 0 });
});
