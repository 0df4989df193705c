import { afterEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { TransportResult } from "../ports/transport.ts";
import { answer, pool, setupRouter, type TestRouter, type TestRouterOptions } from "./router.fixture.ts";

let open: TestRouter[] = [];

async function setup(options: TestRouterOptions = {}): Promise<TestRouter> {
  const bundle = setupRouter(options);
  open.push(bundle);
  await bundle.start();
  return bundle;
}

async function disposeAll(): Promise<void> {
  for (const bundle of open) await bundle.dispose();
  open = [];
}

afterEach(disposeAll);

async function expectEmpty({ router, queue }: TestRouter): Promise<void> {
  expect(router.monitoring.inFlight().total).toBe(0);
  for (const { queueDepth, bufferBytes } of router.monitoring.pools())
    expect([queueDepth, bufferBytes]).toEqual([0, 0]);
  expect(await queue.metrics()).toMatchObject({ visible: 0, inFlight: 0, delayed: 0 });
}

const hookOf = (name: string): string => `https://${name}.example/hook`;
const originOf = (name: string): string => `https://${name}.example`;
const never = (): Promise<TransportResult> => new Promise(() => undefined);

describe("slots", () => {
  test("never more calls at once than the pool's concurrency, and the buffer has its limit", async () => {
    const t = await setup({ pools: [pool("main", { concurrency: 3 })] });
    t.targets.behaviour = never;
    await t.publishSingles(Array.from({ length: 200 }, () => t.book.add()));
    await t.elapse(3_000);
    const state = t.router.monitoring.pools().find(({ code }) => code === "main");
    // 20 for each slot, and 50 at least.
    expect(state).toMatchObject({ activeWorkers: 3, queueDepth: 57, bufferMaxJobs: 60 });
    expect(t.targets.calls).toHaveLength(3);
  });

  test("a full pool's lane waits while others go on", async () => {
    const t = await setup({ pools: [pool("stuck", { concurrency: 1 }), pool("main")] });
    t.targets.behaviour = ({ origin }) => (origin === originOf("slow") ? never() : answer(200));
    const slow = Array.from({ length: 120 }, () => t.book.add({ target: hookOf("slow") }));
    await t.publishSingles(slow, "stuck");
    const quick = t.book.add({ target: hookOf("quick") });
    await t.publishSingles([quick], "main");
    await t.elapse(10);
    expect(t.targets.ids(originOf("quick"))).toEqual([quick]);
  });

  test("concurrency changes in place, both ways", async () => {
    const t = await setup({ pools: [pool("main", { concurrency: 2 })] });
    const gates: ((result: TransportResult) => void)[] = [];
    t.targets.behaviour = () => new Promise((resolve) => gates.push(resolve));
    await t.publishSingles(Array.from({ length: 20 }, () => t.book.add()));
    await t.elapse(10);
    expect(gates).toHaveLength(2);
    t.settings.change({ pools: [pool("main", { concurrency: 5 })] });
    await t.elapse(10);
    expect(gates).toHaveLength(5);
    t.settings.change({ pools: [pool("main", { concurrency: 1 })] });
    await t.elapse(10);
    for (const gate of gates.splice(0, 4)) gate(answer(200));
    await t.elapse(10);
    expect(gates).toHaveLength(1);
  });

  test("an unknown lane goes through the default pool, with a warning; a removed pool drains", async () => {
    const t = await setup();
    const job = t.book.add();
    await t.publishSingles([job], "nobody-knows");
    await t.elapse(1_000);
    expect(t.targets.ids()).toEqual([job]);
    expect(t.warnings.list()[0]).toMatchObject({ category: "ROUTING", source: "nobody-knows" });

    const hung = Promise.withResolvers<TransportResult>();
    t.targets.behaviour = () => hung.promise;
    const late = t.book.add();
    await t.publishSingles([late]);
    await t.elapse(10);
    t.settings.change({ pools: [] });
    await t.elapse(10);
    expect(t.router.monitoring.pools().find(({ code }) => code === "main")?.status).toBe("DRAINING");
    hung.resolve(answer(200));
    await t.elapse(30_000);
    expect(t.router.monitoring.pools().map(({ code }) => code)).toEqual(["DEFAULT-POOL"]);
  });

  test("more concurrency than the process may have is refused at the start, and cut later", async () => {
    const tooMany = setupRouter({ pools: [pool("main", { concurrency: 90 })], config: { maxInFlight: 100 } });
    expect(await tooMany.start().catch((error: unknown) => error)).toMatchObject({ code: "CONFIG_INVALID" });
    const t = await setup({ config: { maxInFlight: 100 } });
    t.settings.change({ pools: [pool("main", { concurrency: 90 })] });
    await t.elapse(10);
    const total = t.router.monitoring.pools().reduce((sum, { concurrency }) => sum + concurrency, 0);
    expect(total).toBe(100);
    expect(t.warnings.list()[0]?.category).toBe("POOL_CAPACITY");
  });

  test("the default pool is as wide as the process was told, until the settings have a pool of its code", async () => {
    const t = await setup({ pools: [], config: { defaultPoolConcurrency: 7 } });
    const concurrency = (): number | undefined => t.router.monitoring.pools()[0]?.concurrency;
    expect(concurrency()).toBe(7);
    t.settings.change({ pools: [pool("default", { concurrency: 3 })] });
    await t.elapse(10);
    expect(concurrency()).toBe(3);
    t.settings.change({ pools: [] });
    await t.elapse(10);
    expect(concurrency()).toBe(7);
  });

  test("a suspended pool sends nothing and gives back what it had", async () => {
    const t = await setup({ pools: [pool("main", { concurrency: 1 })] });
    const hung = Promise.withResolvers<TransportResult>();
    t.targets.behaviour = () => hung.promise;
    const [first, second] = [t.book.add(), t.book.add()];
    await t.publishSingles([first, second]);
    await t.elapse(10);
    t.settings.change({ pools: [pool("main", { concurrency: 1, status: "SUSPENDED" })] });
    await t.elapse(10);
    hung.resolve(answer(200));
    await t.elapse(10);
    expect(t.targets.ids()).toEqual([first]);
    expect(t.book.state(second)).toMatchObject({ status: "PENDING", attemptCount: 0 });
  });
});

describe("rate limit", () => {
  test("over any window no more calls than the bucket allows, and none is lost or burnt", async () => {
    const shapes = fc.record({
      perMinute: fc.integer({ min: 30, max: 6_000 }),
      burst: fc.integer({ min: 1, max: 20 }),
      jobs: fc.integer({ min: 1, max: 60 }),
    });
    await fc.assert(
      fc.asyncProperty(shapes, async ({ perMinute, burst, jobs }) => {
        const t = await setup({ pools: [pool("main", { rateLimitPerMinute: perMinute, burst })] });
        const startsMs: number[] = [];
        t.targets.behaviour = () => {
          startsMs.push(t.clock.monotonicMs());
          return answer(200);
        };
        const ids = Array.from({ length: jobs }, () => t.book.add());
        await t.publishSingles(ids);
        await t.elapse(Math.ceil((jobs / perMinute) * 60_000) + 1_000);
        expect(startsMs).toHaveLength(jobs);
        expect(ids.every((id) => t.book.state(id).attemptCount === 1)).toBe(true);
        startsMs.forEach((startMs, first) => {
          for (let last = first; last < startsMs.length; last++) {
            const windowMs = (startsMs[last] ?? 0) - startMs;
            // One more for the rounding of timers to whole milliseconds.
            expect(last - first + 1).toBeLessThanOrEqual(burst + (windowMs * perMinute) / 60_000 + 1);
          }
        });
        await disposeAll();
      }),
      { numRuns: 15 },
    );
  });

  test("a wait for the rate is counted, and costs one timer however much waits", async () => {
    const t = await setup({ pools: [pool("main", { rateLimitPerMinute: 60, burst: 1 })] });
    const before = t.clock.timerCount;
    await t.publishSingles(Array.from({ length: 50 }, () => t.book.add()));
    await t.elapse(0);
    expect(t.clock.timerCount).toBeLessThanOrEqual(before + 2);
    expect(t.router.monitoring.pools().find(({ code }) => code === "main")?.rateLimitWaits).toBe(1);
  });
});

describe("fairness between targets", () => {
  test("from cold, one that never answers gets at most half of the slots; the others go on at once", async () => {
    const t = await setup();
    t.targets.behaviour = ({ origin }) => (origin === originOf("hung") ? never() : answer(200));
    for (let round = 0; round < 40; round++) {
      const jobs = [
        t.book.add({ target: hookOf("hung") }),
        t.book.add({ target: hookOf("hung") }),
        t.book.add({ target: hookOf("well") }),
      ];
      await t.publishSingles(jobs);
      await t.elapse(100);
    }
    expect(t.targets.peak.get(originOf("hung"))).toBeLessThanOrEqual(5);
    expect(t.targets.calls.filter(({ origin }) => origin === originOf("well"))).toHaveLength(40);
  });

  test("one that hangs after it did well gets no further than half either", async () => {
    const t = await setup();
    let hangs = false;
    t.targets.behaviour = ({ origin }) => (hangs && origin === originOf("moody") ? never() : answer(200));
    const round = async (): Promise<void> => {
      await t.publishSingles([t.book.add({ target: hookOf("moody") }), t.book.add({ target: hookOf("well") })]);
      await t.elapse(50);
    };
    for (let count = 0; count < 20; count++) await round();
    hangs = true;
    for (let count = 0; count < 60; count++) await round();
    expect(t.targets.active.get(originOf("moody"))).toBeLessThanOrEqual(5);
    expect(t.targets.calls.filter(({ origin }) => origin === originOf("well"))).toHaveLength(80);
  });

  test("a healthy target climbs to all the slots although others use the pool", async () => {
    const t = await setup();
    t.targets.behaviour = async () => {
      await t.clock.sleep(100);
      return answer(200);
    };
    const jobs = Array.from({ length: 100 }, () => t.book.add({ target: hookOf("busy") }));
    await t.publishSingles([t.book.add({ target: hookOf("other") }), ...jobs]);
    await t.elapse(1_000);
    expect(t.targets.peak.get(originOf("busy"))).toBe(10);
  });

  test("alone in a pool a target may use all slots from the start", async () => {
    const t = await setup();
    t.targets.behaviour = never;
    await t.publishSingles(Array.from({ length: 30 }, () => t.book.add()));
    await t.elapse(10);
    expect(t.targets.calls).toHaveLength(10);
  });

  test("targets take turns whatever their backlogs", async () => {
    const t = await setup({ pools: [pool("main", { concurrency: 2 })] });
    t.targets.behaviour = async () => {
      await t.clock.sleep(10);
      return answer(200);
    };
    const many = Array.from({ length: 35 }, () => t.book.add({ target: hookOf("many") }));
    const few = Array.from({ length: 5 }, () => t.book.add({ target: hookOf("few") }));
    await t.publishSingles([...many, ...few]);
    await t.elapse(100);
    expect(t.targets.ids(originOf("few"))).toHaveLength(5);
  });

  test("what a suspect target holds beyond a quarter of the buffer is given back for 5 s", async () => {
    const t = await setup({ pools: [pool("main", { concurrency: 2 })] });
    t.targets.behaviour = ({ origin }) => (origin === originOf("hung") ? never() : answer(200));
    await t.publishSingles([t.book.add({ target: hookOf("well") }), t.book.add({ target: hookOf("hung") })]);
    await t.elapse(3_000);
    const flood = Array.from({ length: 40 }, () => t.book.add({ target: hookOf("hung") }));
    await t.publishSingles(flood);
    await t.elapse(10);
    const given = flood.filter((id) => t.book.state(id).status === "PENDING");
    // The buffer holds 50; a quarter is 12, of which one is being called.
    expect(given).toHaveLength(40 - 11);
    expect(t.book.state(given[0]!)).toMatchObject({ attemptCount: 0, generation: 2 });
    expect(t.book.state(given[0]!).dueAtMs - t.clock.now()).toBeGreaterThan(4_900);
  });

  test("a flood that fills the buffer from cold makes room for others after 5 s", async () => {
    const t = await setup({ pools: [pool("main", { concurrency: 2 })] });
    t.targets.behaviour = ({ origin }) => (origin === originOf("hung") ? never() : answer(200));
    await t.publishSingles([t.book.add({ target: hookOf("well") })]);
    await t.publishSingles(Array.from({ length: 60 }, () => t.book.add({ target: hookOf("hung") })));
    await t.elapse(10);
    const healthy = t.book.add({ target: hookOf("well") });
    await t.publishSingles([healthy]);
    await t.elapse(1_000);
    expect(t.book.state(healthy).status).toBe("QUEUED");
    await t.elapse(7_000);
    expect(t.book.state(healthy).status).toBe("COMPLETED");
  });
});

describe("circuit breaker and holds", () => {
  test("opens at half of ten calls, parks what waits long, probes one at a time, closes after three", async () => {
    const t = await setup({ pools: [pool("main", { concurrency: 1 })] });
    let isWell = false;
    t.targets.behaviour = () => answer(isWell ? 200 : 500);
    const jobs = Array.from({ length: 10 }, () => t.book.add());
    await t.publishSingles(jobs);
    await t.elapse(10);
    const breaker = () => t.router.monitoring.circuitBreakers()[0];
    expect(breaker()).toMatchObject({ name: originOf("a"), state: "OPEN", calls: 10, failures: 10 });
    // Retries are due after 1 s, but the breaker stays open for 5 s; then one probe, which fails: 10 s, 20 s.
    await t.elapse(4_900);
    expect(t.targets.calls).toHaveLength(10);
    await t.elapse(200);
    expect(t.targets.calls).toHaveLength(11);
    await t.elapse(10_000);
    expect(t.targets.calls).toHaveLength(12);
    expect(breaker()?.state).toBe("OPEN");
    // Longer than the router waits: parked, and nothing burnt by waiting.
    expect(jobs.filter((id) => t.book.state(id).status === "PENDING").length).toBeGreaterThanOrEqual(8);
    expect(t.book.reports.filter(({ attempt }) => attempt === null).every(({ result }) => result.kind === "held")).toBe(
      true,
    );
    isWell = true;
    await t.elapse(20_000);
    for (const id of jobs) if (t.book.state(id).status === "PENDING") t.book.queueAgain(id);
    await t.publishSingles(jobs.filter((id) => t.book.state(id).status === "QUEUED"));
    await t.elapse(5_000);
    expect(breaker()?.state).toBe("CLOSED");
    expect(jobs.every((id) => t.book.state(id).status === "COMPLETED")).toBe(true);
  });

  test("a reset by an operator lets deliveries go on at once", async () => {
    const t = await setup({ pools: [pool("main", { concurrency: 1 })] });
    t.targets.behaviour = ({ number }) => answer(number <= 10 ? 500 : 200);
    await t.publishSingles(Array.from({ length: 10 }, () => t.book.add()));
    await t.elapse(2_000);
    expect(t.targets.calls).toHaveLength(10);
    expect(t.router.monitoring.resetBreaker(originOf("a"))?.state).toBe("CLOSED");
    await t.elapse(10);
    expect(t.targets.calls.length).toBeGreaterThan(10);
    expect(t.router.monitoring.resetBreaker("https://nobody.example")).toBeNull();
  });

  test("429 holds the whole target, burns nothing, and leaves other targets alone", async () => {
    const t = await setup({ pools: [pool("main", { concurrency: 1 })] });
    t.targets.behaviour = ({ origin, number }) =>
      origin === originOf("a") && number === 1 ? answer(429, "", "4") : answer(200);
    const [first, second] = [t.book.add(), t.book.add()];
    await t.publishSingles([first, second]);
    const other = t.book.add({ target: hookOf("b") });
    await t.publishSingles([other]);
    await t.elapse(3_900);
    expect(t.targets.ids()).toEqual([first, other]);
    await t.elapse(200);
    expect(new Set(t.targets.ids())).toEqual(new Set([first, second, other]));
    expect(t.book.state(first)).toMatchObject({ status: "COMPLETED", attemptCount: 1 });
  });

  test("a hold of more than ten seconds parks instead", async () => {
    const t = await setup({ pools: [pool("main", { concurrency: 1 })] });
    t.targets.behaviour = () => answer(503, "", "60");
    const jobs = [t.book.add(), t.book.add(), t.book.add()];
    await t.publishSingles(jobs.slice(0, 2));
    // Monotonic time has fractions; what is stored has none.
    await t.elapse(99.4);
    await t.publishSingles(jobs.slice(2));
    await t.elapse(0.6);
    expect(t.targets.calls).toHaveLength(1);
    for (const id of jobs) {
      expect(t.book.state(id)).toMatchObject({ status: "PENDING", attemptCount: 0 });
      expect(t.book.state(id).dueAtMs - t.clock.now()).toBeGreaterThan(59_000);
    }
    const uncalled = t.book.reports.filter(({ attempt }) => attempt === null).map(({ result }) => result);
    expect(uncalled).toHaveLength(2);
    expect(uncalled.every((result) => result.kind === "held" && Number.isInteger(result.untilMs))).toBe(true);
  });
});

test("order: whatever targets answer and whenever the sink fails, first arrivals are never inverted", async () => {
  const outcomes = fc.array(fc.constantFrom(200, 200, 200, 500, 400, 429, 503), { minLength: 1, maxLength: 60 });
  const groups = fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 24 });
  const outages = fc.array(fc.nat({ max: 30 }), { maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(outcomes, groups, outages, async (...given) => {
      const [answers, groupOfJob, downInRounds] = given;
      const t = await setup({ pools: [pool("main", { concurrency: 3 })] });
      t.targets.behaviour = async ({ number }) => {
        await t.clock.sleep((number * 7) % 5);
        return answer(answers[number % answers.length] ?? 200, "", "1");
      };
      const byGroup = new Map<number, ReturnType<typeof t.book.add>[]>();
      for (const group of groupOfJob) {
        const id = t.book.add({ group: `g${group}`, target: hookOf(`t${group % 2}`) });
        byGroup.set(group, [...(byGroup.get(group) ?? []), id]);
      }
      for (const ids of byGroup.values()) await t.publishRun(ids);
      // The scheduler's part: a parked run is published again, in order, when its head is due.
      for (let round = 0; round < 80; round++) {
        t.book.isDown = downInRounds.includes(round);
        await t.elapse(2_000);
        for (const ids of byGroup.values()) {
          const left = ids.filter((id) => ["PENDING", "QUEUED"].includes(t.book.state(id).status));
          if (left.length === 0 || left.some((id) => t.book.state(id).status === "QUEUED")) continue;
          if (left.some((id) => t.book.state(id).dueAtMs > t.clock.now())) continue;
          for (const id of left) t.book.queueAgain(id);
          await t.publishRun(left);
        }
      }
      for (const ids of byGroup.values()) {
        const firsts = [...new Set(t.targets.ids())].filter((id) => (ids as string[]).includes(id));
        expect(firsts).toEqual(ids.filter((id) => firsts.includes(id)));
      }
      const final = [...t.book.jobs.values()].every(({ state }) => ["COMPLETED", "FAILED"].includes(state.status));
      const wells = answers.filter((status) => status === 200).length;
      if (wells * 2 > answers.length) expect(final).toBe(true);
      if (final) await expectEmpty(t);
      await disposeAll();
    }),
    { numRuns: 20 },
  );
});
