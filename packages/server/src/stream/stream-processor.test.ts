import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { CodedError } from "@flowcatalyst/foundation";
import fc from "fast-check";
import { matchesPattern, parsePattern } from "../domain/event-type-pattern.ts";
import type { Subscription } from "../domain/subscription.ts";
import type { FanOut, JobAppender } from "../ports/job-appender.ts";
import type { FeedLimits } from "../ports/event-log.ts";
import { openStreamBench, type StreamBench } from "./stream.fixture.ts";
import { streamDefaults, type StreamProcessor } from "./stream-processor.ts";

let bench: StreamBench;
beforeEach(() => {
  bench = openStreamBench();
});
afterEach(() => bench.close());

async function drain(processor: StreamProcessor): Promise<void> {
  for (;;) {
    const result = await processor.pass();
    if (result.kind === "idle" || result.kind === "standby") return;
  }
}

function madeJobs(): string[] {
  return bench.storedJobs().map((job) => `${job.eventPosition} ${job.profileKey}`);
}

describe("a pass", () => {
  test("makes one job for each subscription that wants the event, in order", async () => {
    const one = await bench.subscribe();
    const two = await bench.subscribe({ eventTypes: [{ pattern: "order.paid", filter: null }], delaySeconds: 60 });
    await bench.publish(
      { type: "order.created" },
      { type: "order.paid", createdAtMs: 1_000 },
      { type: "user.created" },
    );
    const processor = bench.processor();
    expect(await processor.pass()).toEqual({ kind: "advanced", events: 3, jobs: 3, poison: 0, more: false });
    expect(await processor.pass()).toEqual({ kind: "idle" });
    expect(madeJobs()).toEqual([`1 ${one.id}@1`, `2 ${one.id}@1`, `2 ${two.id}@1`]);
    expect(bench.storedJobs()[2]?.dueAtMs).toBe(61_000);
  });

  test("ends at its number of events and says that there is more", async () => {
    await bench.subscribe();
    await bench.publish(...Array.from({ length: 5 }, () => ({})));
    const processor = bench.processor({ batchSize: 2 });
    expect(await processor.pass()).toMatchObject({ events: 2, more: true });
    expect(await processor.pass()).toMatchObject({ events: 2, more: true });
    expect(await processor.pass()).toMatchObject({ events: 1, more: false });
  });

  test("a paused subscription goes on collecting jobs, an archived one does not", async () => {
    const paused = await bench.subscribe({ status: "PAUSED" });
    const archived = await bench.subscribe({ status: "ARCHIVED" });
    await bench.publish({});
    await drain(bench.processor());
    expect(madeJobs()).toEqual([`1 ${paused.id}@1`]);
    expect(archived.status).toBe("ARCHIVED");
  });

  test("changes of subscriptions apply to the events after them", async () => {
    const processor = bench.processor();
    const one = await bench.subscribe();
    await bench.publish({});
    await drain(processor);
    const two = await bench.subscribe();
    const changed = await bench.change(one, { targetUrl: "https://example.com/other" });
    await bench.publish({});
    await drain(processor);
    await bench.change(changed, { status: "ARCHIVED" });
    await bench.publish({});
    await drain(processor);
    expect(madeJobs()).toEqual([`1 ${one.id}@1`, `2 ${one.id}@2`, `2 ${two.id}@1`, `3 ${two.id}@1`]);
  });

  test("poison is set aside, with its reason, in the same transaction", async () => {
    const picky = await bench.subscribe({ filter: "data.n > 0" });
    await bench.publish({ data: '{"n":1}' }, { data: "{broken" }, { data: '{"n":2}' });
    expect(await bench.processor().pass()).toMatchObject({ events: 3, jobs: 2, poison: 1 });
    expect(madeJobs()).toEqual([`1 ${picky.id}@1`, `3 ${picky.id}@1`]);
    expect(bench.poison()).toEqual([{ position: 2, reason: expect.stringContaining("JSON") }]);
  });

  test("a filter that faults is counted and shown, and the event goes to the others", async () => {
    const picky = await bench.subscribe({ filter: "data.missing > 0" });
    const plain = await bench.subscribe();
    await bench.publish({}, {});
    const processor = bench.processor({}, { metrics: bench.metrics });
    await drain(processor);
    expect(madeJobs()).toEqual([`1 ${plain.id}@1`, `2 ${plain.id}@1`]);
    expect(processor.filterFaults().get(picky.id)).toMatchObject({ count: 2, lastReason: "No such key: missing" });
    const scrape = await bench.metrics.render();
    expect(scrape).toContain("fc_stream_filter_faults_total 2");
    expect(scrape).toContain("fc_stream_events_processed_total 2");
    expect(scrape).toContain("fc_stream_dispatch_jobs_created_total 2");
    expect(scrape).toContain("fc_stream_poison_events_total 0");
    expect(scrape).toContain("fc_stream_lag_seconds 0");
  });
});

describe("reading data", () => {
  const readsOf = (processorDeps: StreamBench["deps"], reads: FeedLimits[]) => ({
    ...processorDeps.feed,
    readAfter: (...[after, limits]: Parameters<typeof processorDeps.feed.readAfter>) => {
      reads.push(limits);
      return processorDeps.feed.readAfter(after, limits);
    },
  });

  test("only when a filter that could apply looks at it", async () => {
    await bench.subscribe({ eventTypes: [{ pattern: "user.*", filter: "data.n > 0" }] });
    await bench.subscribe({ filter: "event.source == '/shop'" });
    const reads: FeedLimits[] = [];
    const processor = bench.processor({}, { feed: readsOf(bench.deps, reads) });
    await bench.publish({ type: "order.created" });
    await drain(processor);
    expect(reads.some(({ withData }) => withData)).toBe(false);
    await bench.publish({ type: "user.created", data: '{"n":1}' });
    await drain(processor);
    expect(reads.some(({ withData }) => withData)).toBe(true);
    expect(madeJobs()).toHaveLength(2);
  });
});

describe("leases", () => {
  test("one is active; another takes over when the lease has run out, and the first one is refused", async () => {
    await bench.subscribe();
    await bench.publish({});
    let stuck: FanOut | null = null;
    const jobs: JobAppender = {
      ...bench.appender,
      append: async (made) => {
        stuck ??= made;
        throw new CodedError("STORE_UNAVAILABLE");
      },
    };
    const first = bench.processor({ holder: "a" }, { jobs });
    const second = bench.processor({ holder: "b" });
    expect(await first.pass().catch((error: unknown) => error)).toBeInstanceOf(CodedError);
    expect(await second.pass()).toEqual({ kind: "standby" });
    await bench.clock.advance(streamDefaults.leaseTtlMs);
    expect(await second.pass()).toMatchObject({ kind: "advanced", jobs: 1 });
    expect(await bench.appender.append(stuck!)).toBe(false);
    expect(madeJobs()).toHaveLength(1);
  });

  test("a processor that lost its lease without noticing is refused, then stands by", async () => {
    await bench.subscribe();
    const first = bench.processor({ holder: "a" });
    await drain(first);
    await bench.deps.leases.release("stream", "a");
    const second = bench.processor({ holder: "b" });
    await bench.publish({});
    await second.pass();
    await bench.publish({});
    expect(await first.pass()).toEqual({ kind: "refused" });
    expect(await first.pass()).toEqual({ kind: "standby" });
    expect(madeJobs()).toHaveLength(1);
  });
});

describe("an event with more subscriptions than a pass has jobs", () => {
  test("goes on after a restart with the set it matched, although that has changed", async () => {
    const all: Subscription[] = [];
    for (let n = 0; n < 6; n++) all.push(await bench.subscribe());
    await bench.publish({}, {});
    expect(await bench.processor({ maxJobs: 4 }).pass()).toMatchObject({ events: 0, jobs: 4, more: true });
    await bench.change(all[5]!, { targetUrl: "https://example.com/other" });
    await bench.subscribe();
    await drain(bench.processor({ maxJobs: 4 }));
    const first = madeJobs().filter((job) => job.startsWith("1 "));
    const second = madeJobs().filter((job) => job.startsWith("2 "));
    expect(first).toEqual(all.map(({ id }) => `1 ${id}@1`));
    expect(second).toHaveLength(7);
    expect(second).toContain(`2 ${all[5]!.id}@2`);
  });
});

describe("run", () => {
  test("is woken by events, catches up, and gives the lease back when told to stop", async () => {
    await bench.subscribe();
    const stop = new AbortController();
    const processor = bench.processor();
    const running = processor.run(stop.signal);
    await bench.publish({}, {});
    await processor.whenCaughtUp();
    expect(madeJobs()).toHaveLength(2);
    await bench.publish({});
    await processor.whenCaughtUp();
    expect(madeJobs()).toHaveLength(3);
    stop.abort();
    await running;
    expect(await bench.processor({ holder: "successor" }).pass()).toEqual({ kind: "idle" });
  });

  test("goes on when the store comes back", async () => {
    await bench.subscribe();
    let down = true;
    const jobs: JobAppender = {
      ...bench.appender,
      append: (made) => (down ? Promise.reject(new CodedError("STORE_FULL")) : bench.appender.append(made)),
    };
    const stop = new AbortController();
    const processor = bench.processor({}, { jobs, metrics: bench.metrics });
    const lagSeconds = async (): Promise<number> =>
      Number(/^fc_stream_lag_seconds (\S+)$/m.exec(await bench.metrics.render())?.[1]);
    const running = processor.run(stop.signal);
    await bench.publish({});
    await bench.clock.advance(20_000);
    expect(madeJobs()).toHaveLength(0);
    expect(await lagSeconds()).toBeGreaterThan(15);
    down = false;
    await bench.clock.advance(5_000);
    await processor.whenCaughtUp();
    expect(madeJobs()).toHaveLength(1);
    expect(await lagSeconds()).toBe(0);
    stop.abort();
    await running;
  });

  test("starts and stops a hundred times", async () => {
    await bench.subscribe();
    for (let round = 0; round < 100; round++) {
      const stop = new AbortController();
      const running = bench.processor({ holder: `process-${round}` }).run(stop.signal);
      await bench.publish({});
      stop.abort();
      await running;
    }
    await drain(bench.processor());
    expect(madeJobs()).toHaveLength(100);
  });
});

describe("guarantee: a stage restarted at any moment makes the same jobs as one never stopped", () => {
  const types = ["a", "a.b", "a.c", "b"] as const;
  const step = fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({
        do: fc.constant("publish" as const),
        types: fc.array(fc.constantFrom(...types), { minLength: 1, maxLength: 6 }),
      }),
    },
    { weight: 4, arbitrary: fc.record({ do: fc.constant("pass" as const), who: fc.constantFrom("p", "q") }) },
    // The process dies before the commit, or after it and before it hears of it.
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constantFrom("dieBefore" as const, "dieAfter" as const),
        who: fc.constantFrom("p", "q"),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("leaseRunsOut" as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const), who: fc.constantFrom("p", "q") }) },
  );
  const patterns = fc.array(fc.constantFrom("a", "a.*", "a.b", "**"), { minLength: 1, maxLength: 8 });

  test("over random crashes, lost answers, takeovers and restarts", async () => {
    await fc.assert(
      fc.asyncProperty(patterns, fc.array(step, { maxLength: 40 }), async (wanted, steps) => {
        const store = openStreamBench();
        try {
          await expectSameJobs(store, wanted, steps);
        } finally {
          await store.close();
        }
      }),
      { numRuns: 150 },
    );
  }, 60_000);
});

type Step =
  | { readonly do: "publish"; readonly types: readonly string[] }
  | { readonly do: "pass" | "dieBefore" | "dieAfter" | "restart"; readonly who: string }
  | { readonly do: "leaseRunsOut" };

async function expectSameJobs(store: StreamBench, patterns: readonly string[], steps: readonly Step[]): Promise<void> {
  const subscriptions: Subscription[] = [];
  for (const pattern of patterns)
    subscriptions.push(await store.subscribe({ eventTypes: [{ pattern, filter: null }] }));
  const published: string[] = [];
  let death: "none" | "before" | "after" = "none";
  const jobs: JobAppender = {
    ...store.appender,
    append: async (made) => {
      if (death === "before") throw new Error("died before the commit");
      const taken = await store.appender.append(made);
      if (death === "after") throw new Error("died after the commit");
      return taken;
    },
  };
  let lives = 0;
  const start = (who: string): StreamProcessor =>
    store.processor({ holder: `${who}${++lives}`, batchSize: 5, maxJobs: 4 }, { jobs });
  const processors = new Map(["p", "q"].map((who) => [who, start(who)]));
  for (const step of steps) {
    if (step.do === "publish") {
      published.push(...step.types);
      await store.publish(...step.types.map((type) => ({ type })));
    } else if (step.do === "leaseRunsOut") {
      await store.clock.advance(streamDefaults.leaseTtlMs);
    } else {
      death = step.do === "dieBefore" ? "before" : step.do === "dieAfter" ? "after" : "none";
      if (step.do !== "restart")
        await processors
          .get(step.who)!
          .pass()
          .catch(() => undefined);
      if (step.do !== "pass") processors.set(step.who, start(step.who));
      death = "none";
    }
  }
  await store.clock.advance(streamDefaults.leaseTtlMs);
  await drain(start("last"));
  const expected = published.flatMap((type, n) =>
    subscriptions
      .filter(({ eventTypes }) => {
        const parsed = parsePattern(eventTypes[0]!.pattern);
        return parsed.kind === "valid" && matchesPattern(parsed.pattern, type);
      })
      .map(({ id }) => `${n + 1} ${id}@1`),
  );
  expect(store.storedJobs().map((job) => `${job.eventPosition} ${job.profileKey}`)).toEqual(expected);
}
