import { afterEach, describe, expect, test } from "bun:test";
import type { JobId, PoolCode } from "../domain/ids.ts";
import { answer, pool, setupRouter, type TestRouter, type TestRouterOptions } from "./router.fixture.ts";
import { unsettledOf } from "../ports/queue.ts";

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

const statuses = ({ book }: TestRouter, ids: readonly JobId[]) => ids.map((id) => book.state(id).status);
const unsettled = async ({ queue }: TestRouter) => unsettledOf(await queue.metrics());

describe("a run", () => {
  test("is delivered in order, recorded, and then acked", async () => {
    const t = await setup();
    const jobs = [1, 2, 3].map(() => t.book.add({ group: "g" }));
    await t.publishRun(jobs);
    await t.elapse(10);
    expect(t.targets.ids()).toEqual(jobs);
    expect(statuses(t, jobs)).toEqual(["COMPLETED", "COMPLETED", "COMPLETED"]);
    expect(t.book.reports.map((report) => report.attempt?.number)).toEqual([1, 1, 1]);
    expect(await unsettled(t)).toBe(0);
  });

  test("starts the next at a 2xx without waiting for the record, and acks nothing before it", async () => {
    const t = await setup();
    t.book.isDown = true;
    const jobs = [1, 2].map(() => t.book.add({ group: "g" }));
    await t.publishRun(jobs);
    await t.elapse(10);
    expect(t.targets.ids()).toEqual(jobs);
    expect(await unsettled(t)).toBe(1);
    t.book.isDown = false;
    await t.elapse(10_000);
    expect(await unsettled(t)).toBe(0);
  });

  test("waits in the router for a short retry, the group held and the slot free", async () => {
    const t = await setup();
    t.targets.behaviour = ({ number }) => answer(number === 1 ? 500 : 200);
    const [first, second] = [t.book.add({ group: "g" }), t.book.add({ group: "g" })];
    await t.publishRun([first, second]);
    await t.elapse(999);
    expect(t.targets.ids()).toEqual([first]);
    expect(t.router.monitoring.pools().find(({ code }) => code === "main")?.activeWorkers).toBe(0);
    const other = t.book.add({ group: "h" });
    await t.publishRun([other]);
    await t.elapse(0);
    expect(t.targets.ids()).toEqual([first, other]);
    await t.elapse(10);
    expect(t.targets.ids()).toEqual([first, other, first, second]);
    const attempts = t.targets.calls.map(({ request }) => request.headers["x-flowcatalyst-attempt"]);
    expect(attempts).toEqual(["1", "1", "2", "1"]);
    expect(await unsettled(t)).toBe(0);
  });

  test("that was blocked by a result is not called on, though the answer to that result was lost", async () => {
    const t = await setup();
    t.targets.behaviour = () => answer(400);
    const jobs = [1, 2].map(() => t.book.add({ group: "g", mode: "BLOCK_ON_ERROR" }));
    t.book.losesAnswer = true;
    await t.publishRun(jobs);
    await t.elapse(5_000);
    expect(t.targets.ids()).toEqual([jobs[0]!]);
    expect(t.book.state(jobs[1]!)).toMatchObject({ status: "PENDING", generation: 2 });
    expect(await unsettled(t)).toBe(0);
  });

  test("is given up when its head is parked: the rest is not called", async () => {
    const t = await setup();
    t.targets.behaviour = () => answer(500);
    const jobs = [1, 2, 3].map(() => t.book.add({ group: "g" }));
    await t.publishRun(jobs);
    await t.elapse(5_000);
    // Two short retries, then one of a minute, which is the store's to wait for.
    expect(t.targets.ids()).toEqual([jobs[0]!, jobs[0]!, jobs[0]!]);
    expect(statuses(t, jobs)).toEqual(["PENDING", "PENDING", "PENDING"]);
    expect(t.book.state(jobs[0]!)).toMatchObject({ generation: 2, attemptCount: 3 });
    expect(await unsettled(t)).toBe(0);
  });

  test("with NEXT_ON_ERROR goes on after a final failure, but only once that is recorded", async () => {
    const t = await setup();
    t.targets.behaviour = ({ number }) => answer(number === 1 ? 400 : 200);
    t.book.isDown = true;
    const jobs = [1, 2].map(() => t.book.add({ group: "g" }));
    await t.publishRun(jobs);
    await t.elapse(100);
    expect(t.targets.ids()).toEqual([jobs[0]!]);
    t.book.isDown = false;
    await t.elapse(10_000);
    expect(t.targets.ids()).toEqual(jobs);
    expect(statuses(t, jobs)).toEqual(["FAILED", "COMPLETED"]);
  });

  test("with BLOCK_ON_ERROR stops there", async () => {
    const t = await setup();
    t.targets.behaviour = () => answer(400);
    const jobs = [1, 2].map(() => t.book.add({ group: "g", mode: "BLOCK_ON_ERROR" }));
    await t.publishRun(jobs);
    await t.elapse(100);
    expect(t.targets.ids()).toEqual([jobs[0]!]);
    expect(statuses(t, jobs)).toEqual(["FAILED", "PENDING"]);
    expect(await unsettled(t)).toBe(0);
  });

  test("with nothing left to deliver is acked without a call", async () => {
    const t = await setup();
    const job = t.book.add({ group: "g" });
    t.book.jobs.get(job)!.state = { ...t.book.state(job), status: "CANCELLED" };
    await t.publishRun([job]);
    await t.elapse(10);
    expect(t.targets.calls).toEqual([]);
    expect(await unsettled(t)).toBe(0);
  });
});

describe("without a call", () => {
  test("expired jobs are reported, cancelled ones passed over, paused ones given back", async () => {
    const t = await setup();
    const expired = t.book.add({ expiresInMs: 0 });
    const cancelled = t.book.add();
    const paused = t.book.add({ subscriptionId: "sub_paused" });
    t.settings.change({
      cancelledJobs: new Set([`${cancelled}.1`]),
      pausedSubscriptions: new Set(["sub_paused" as never]),
    });
    await t.elapse(0);
    await t.publishSingles([expired, cancelled, paused]);
    await t.elapse(10);
    expect(t.targets.calls).toEqual([]);
    expect(t.book.state(expired).status).toBe("EXPIRED");
    expect(t.book.state(paused)).toMatchObject({ status: "PENDING", generation: 2, attemptCount: 0 });
    // Not at once: a store that does not know of the pause would publish it again without end.
    expect(t.book.state(paused).dueAtMs).toBeGreaterThan(t.clock.now() + 500);
    expect(await unsettled(t)).toBe(0);
  });

  test("a job that was cancelled and is retried is called", async () => {
    const t = await setup();
    const job = t.book.add();
    t.settings.change({ cancelledJobs: new Set([`${job}.1`]) });
    t.book.cancelAndRetry(job);
    await t.publishSingles([job]);
    await t.elapse(10);
    expect(t.targets.ids()).toEqual([job]);
    expect(t.book.state(job)).toMatchObject({ status: "COMPLETED", generation: 2 });
  });

  test("an unknown secret holds the job, with a warning, and nothing is sent unsigned", async () => {
    const t = await setup();
    const [unknown, known] = [t.book.add({ secretRef: "nobody" }), t.book.add({ secretRef: "known" })];
    await t.publishSingles([unknown, known]);
    await t.elapse(10);
    expect(t.targets.ids()).toEqual([known]);
    expect(t.targets.calls[0]?.request.headers["webhook-signature"]).toStartWith("v1,");
    expect(t.book.state(unknown)).toMatchObject({ status: "PENDING", attemptCount: 0 });
    expect(t.warnings.list().map(({ category }) => category)).toContain("SECRET");
  });

  test("a forbidden address fails for good, with a security warning", async () => {
    const t = await setup();
    t.targets.resolution = () => ({ kind: "forbidden", address: "10.0.0.1", range: "private" });
    const job = t.book.add();
    await t.publishSingles([job]);
    await t.elapse(10);
    expect(t.targets.calls).toEqual([]);
    expect(t.book.state(job).status).toBe("FAILED");
    expect(t.warnings.list().map(({ category }) => category)).toContain("SECURITY");
  });

  test("a host that does not resolve is tried again", async () => {
    const t = await setup();
    t.targets.resolution = () => ({ kind: "unresolved", detail: "no such host" });
    const job = t.book.add();
    await t.publishSingles([job]);
    await t.elapse(10);
    t.targets.resolution = () => ({ kind: "allowed", address: "192.0.2.1" });
    await t.elapse(1_000);
    expect(t.book.reports.map((report) => report.attempt?.outcome)).toEqual(["DNS_FAILED", "DELIVERED"]);
  });
});

describe("duplicates", () => {
  test("a message that comes back while it is held is not called again; its new receipt is acked", async () => {
    const t = await setup({ believedVisibilityMs: 600_000 });
    const hung = Promise.withResolvers<ReturnType<typeof answer>>();
    t.targets.behaviour = () => hung.promise;
    const job = t.book.add();
    await t.publishSingles([job]);
    // The queue's visibility (60 s) ends before this router thinks it does.
    await t.elapse(61_000);
    expect(t.targets.ids()).toEqual([job]);
    hung.resolve(answer(200));
    await t.elapse(1_000);
    expect(t.targets.ids()).toEqual([job]);
    expect(await unsettled(t)).toBe(0);
  });

  test("a job published twice is called once", async () => {
    const t = await setup();
    const hung = Promise.withResolvers<ReturnType<typeof answer>>();
    t.targets.behaviour = () => hung.promise;
    const job = t.book.add();
    await t.publishSingles([job, job]);
    await t.elapse(10);
    hung.resolve(answer(200));
    await t.elapse(10);
    expect(t.targets.ids()).toEqual([job]);
    expect(await unsettled(t)).toBe(0);
  });
});

describe("when the sink is down", () => {
  test("nothing is acked, no call starts after 2 s, and all goes on when it is back", async () => {
    const t = await setup();
    t.book.isDown = true;
    const early = t.book.add();
    await t.publishSingles([early]);
    await t.elapse(1_500);
    const within = t.book.add();
    await t.publishSingles([within]);
    await t.elapse(1_000);
    const late = t.book.add();
    await t.publishSingles([late]);
    await t.elapse(30_000);
    expect(t.targets.ids()).toEqual([early, within]);
    expect(await unsettled(t)).toBe(3);
    t.book.isDown = false;
    await t.elapse(10_000);
    expect(t.targets.ids()).toEqual([early, within, late]);
    expect(await unsettled(t)).toBe(0);
    expect(t.warnings.list().some(({ category, severity }) => category === "SINK" && severity === "CRITICAL")).toBe(
      true,
    );
  });
});

describe("keeping messages", () => {
  test("what takes longer than the visibility is not delivered twice", async () => {
    const t = await setup();
    const hung = Promise.withResolvers<ReturnType<typeof answer>>();
    t.targets.behaviour = () => hung.promise;
    const job = t.book.add();
    await t.publishSingles([job]);
    await t.elapse(300_000);
    expect(t.router.monitoring.consumers()[0]?.received).toBe(1);
    hung.resolve(answer(200));
    await t.elapse(10);
    expect(t.book.state(job).status).toBe("COMPLETED");
    expect(await unsettled(t)).toBe(0);
  });
});

describe("a message that somebody else has", () => {
  test("is dropped but for the call under way, which is recorded; nothing is acked", async () => {
    const t = await setup({ believedVisibilityMs: 240_000 });
    const hung = Promise.withResolvers<ReturnType<typeof answer>>();
    t.targets.behaviour = () => hung.promise;
    const [first, second] = [t.book.add({ group: "g" }), t.book.add({ group: "g" })];
    await t.publishRun([first, second]);
    await t.elapse(10);
    // This router believes in 240 s, the queue in 60; a full pool keeps it from receiving the copy itself.
    t.settings.change({ pools: [pool("main", { status: "SUSPENDED" })] });
    await t.elapse(61_000);
    const [copy] = await t.queue.receive({ lane: "main" as PoolCode, max: 1, waitMs: 0 }, AbortSignal.timeout(1_000));
    expect(copy?.receiveCount).toBe(2);
    t.settings.change({ pools: [pool("main")] });
    for (let count = 0; count < 4; count++) {
      await t.queue.extend([copy!.receipt], 60_000);
      await t.elapse(40_000);
    }
    hung.resolve(answer(200));
    await t.elapse(10);
    expect(t.targets.ids()).toEqual([first]);
    expect(statuses(t, [first, second])).toEqual(["COMPLETED", "QUEUED"]);
    expect(await t.queue.ack([copy!.receipt])).toEqual(["done"]);
  });
});

describe("stop", () => {
  test("lets calls under way finish, gives the rest back, and leaves nothing on the queue", async () => {
    const t = await setup();
    const hung = Promise.withResolvers<ReturnType<typeof answer>>();
    t.targets.behaviour = () => hung.promise;
    const jobs = [1, 2, 3].map(() => t.book.add({ group: "g" }));
    await t.publishRun(jobs);
    await t.elapse(10);
    const stopped = t.stop();
    await t.elapse(5_000);
    hung.resolve(answer(200));
    await t.elapse(1_000);
    await stopped;
    expect(t.targets.ids()).toEqual([jobs[0]!]);
    expect(statuses(t, jobs)).toEqual(["COMPLETED", "PENDING", "PENDING"]);
    expect(await unsettled(t)).toBe(0);
  });

  test("cuts off what hangs after 30 s, and the job is owed still", async () => {
    const t = await setup();
    t.targets.behaviour = () => new Promise(() => undefined);
    const job = t.book.add();
    await t.publishSingles([job]);
    await t.elapse(10);
    const stopped = t.stop();
    await t.elapse(31_000);
    await stopped;
    expect(t.book.state(job)).toMatchObject({ status: "PENDING", attemptCount: 0 });
    expect(await unsettled(t)).toBe(0);
  });

  test("ends although the sink is down; what is unrecorded comes back", async () => {
    const t = await setup();
    t.book.isDown = true;
    const job = t.book.add();
    await t.publishSingles([job]);
    await t.elapse(10);
    const stopped = t.stop();
    await t.elapse(36_000);
    await stopped;
    expect(await unsettled(t)).toBe(1);
  });

  test("of retry waits releases them at once", async () => {
    const t = await setup();
    t.targets.behaviour = () => answer(500);
    const job = t.book.add({ group: "g" });
    await t.publishRun([job]);
    await t.elapse(10);
    const stopped = t.stop();
    await t.elapse(100);
    await stopped;
    expect(t.book.state(job)).toMatchObject({ status: "PENDING", generation: 2, attemptCount: 1 });
  });
});

describe("start and stop, over and over", () => {
  test("lose nothing, deliver nothing twice in a row, and leave no timer", async () => {
    const t = setupRouter();
    const { clock, book } = t;
    open.push(t);
    const jobs = Array.from({ length: 60 }, (_, at) => book.add({ group: `g${at % 7}` }));
    await t.publishSingles(jobs.slice(0, 7));
    const idleTimers = clock.timerCount;
    for (let round = 0; round < 12; round++) {
      const abort = new AbortController();
      const router = t.another();
      const running = router.run(abort.signal);
      await t.elapse(round % 3);
      abort.abort();
      await t.elapse(10);
      await running;
      // The scheduler's part: what was given back, or comes next in its group, is published again.
      for (let group = 0; group < 7; group++) {
        const next = jobs.find((id, at) => at % 7 === group && book.state(id).status !== "COMPLETED");
        if (next === undefined) continue;
        book.queueAgain(next);
        await t.publishRun([next]);
      }
    }
    expect(clock.timerCount).toBeLessThanOrEqual(idleTimers + 1);
    expect(book.state(jobs[0]!).status).toBe("COMPLETED");
    const calls = t.targets.ids();
    expect(new Set(calls).size).toBe(calls.length);
  });
});
