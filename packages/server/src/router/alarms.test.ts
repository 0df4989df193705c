import { afterEach, expect, test } from "bun:test";
import { answer, pool, setupRouter, type TestRouter, type TestRouterOptions } from "./router.fixture.ts";

let open: TestRouter[] = [];

async function setup(options: TestRouterOptions = {}): Promise<TestRouter> {
  const bundle = setupRouter(options);
  open.push(bundle);
  await bundle.start();
  return bundle;
}

afterEach(async () => {
  for (const bundle of open) await bundle.dispose();
  open = [];
});

test("a rate limit that is raised is in force at once, whatever was waited for", async () => {
  const slow = { concurrency: 1, rateLimitPerMinute: 1, burst: 1 };
  const t = await setup({ pools: [pool("main", slow)] });
  await t.publishSingles([t.book.add(), t.book.add(), t.book.add()]);
  await t.elapse(1_000);
  expect(t.targets.calls).toHaveLength(1);
  t.settings.change({ pools: [pool("main", { ...slow, rateLimitPerMinute: 600 })] });
  await t.elapse(300);
  expect(t.targets.calls).toHaveLength(3);
});

test("a target that was let go by an operator is probed in time when it fails again", async () => {
  const t = await setup({ pools: [pool("main", { concurrency: 1 })] });
  t.targets.behaviour = () => answer(429, "", "3600");
  await t.publishSingles([t.book.add(), t.book.add()]);
  await t.elapse(10);
  expect(t.targets.calls).toHaveLength(1);
  t.router.monitoring.resetBreaker("https://a.example");
  t.targets.behaviour = () => answer(500);
  await t.publishSingles(Array.from({ length: 12 }, () => t.book.add({ mode: "IMMEDIATE" })));
  await t.elapse(100);
  expect(t.router.monitoring.circuitBreakers()[0]?.state).toBe("OPEN");
  const before = t.targets.calls.length;
  // Retry waits of 1 s are over long before; only the breaker's alarm is left to go off.
  t.targets.behaviour = () => answer(200);
  await t.elapse(6_000);
  expect(t.targets.calls.length).toBeGreaterThan(before);
});
