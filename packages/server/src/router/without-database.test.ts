import { afterEach, describe, expect, test } from "bun:test";
import { silentLogger } from "@flowcatalyst/foundation";
import type { JobId, MessageId, PoolCode, SubscriptionId } from "../domain/ids.ts";
import type { ReceivedMessage } from "../ports/queue.ts";
import { unsettledOf } from "../ports/queue.ts";
import { DeadLetterOffice } from "./dead-letter-office.ts";
import { answer, setupRouter, type TestRouter, type TestRouterOptions } from "./router.fixture.ts";

const never = new AbortController().signal;
let open: TestRouter[] = [];

function setup(options: TestRouterOptions = {}): TestRouter {
  const bundle = setupRouter({ carriesDeliveries: true, ...options });
  open.push(bundle);
  return bundle;
}

afterEach(async () => {
  for (const bundle of open) await bundle.dispose();
  open = [];
});

const unsettled = async ({ queue }: TestRouter) => unsettledOf(await queue.metrics());

/** Somebody else has the message, does what it does, and dies before it is acked. */
async function receivedBySomebodyElse(t: TestRouter): Promise<ReceivedMessage> {
  const [message] = await t.queue.receive({ lane: "main" as PoolCode, max: 1, waitMs: 0 }, never);
  if (message === undefined) throw new Error("there is no message");
  return message;
}

function addRun(t: TestRouter, count: number): JobId[] {
  return Array.from({ length: count }, () => t.book.add({ group: "g" }));
}

const delivered = (jobId: JobId, generation = 1) =>
  ({ jobId, generation, attempt: null, result: { kind: "delivered" } }) as const;

describe("a message of deliveries", () => {
  test("that is young and comes for the first time is believed", async () => {
    const t = setup();
    await t.start();
    const jobs = addRun(t, 3);
    await t.publishRun(jobs);
    await t.elapse(10);
    expect(t.targets.ids()).toEqual(jobs);
    expect(t.book.checked).toEqual([]);
    expect(await unsettled(t)).toBe(0);
  });

  test("that comes again is asked about: what was recorded is not called again", async () => {
    const t = setup();
    const jobs = addRun(t, 3);
    await t.publishRun(jobs);
    const { receipt } = await receivedBySomebodyElse(t);
    await t.book.record([delivered(jobs[0]!)]);
    await t.queue.nack([receipt], 0);
    await t.start();
    await t.elapse(10);
    expect(t.book.checked).toEqual(jobs);
    expect(t.targets.ids()).toEqual(jobs.slice(1));
    expect(await unsettled(t)).toBe(0);
  });

  test("that is old is asked about: nothing of a run is called that was parked since", async () => {
    const t = setup();
    const jobs = addRun(t, 3);
    await t.publishRun(jobs);
    const dueAtMs = t.clock.now() + 3_600_000;
    await t.book.record([{ jobId: jobs[0]!, generation: 1, attempt: null, result: { kind: "released", dueAtMs } }]);
    await t.clock.advance(31_000);
    await t.start();
    await t.elapse(10);
    expect(t.book.checked).toEqual(jobs);
    expect(t.targets.calls).toHaveLength(0);
    expect(await unsettled(t)).toBe(0);
  });

  test("from a clock that is far ahead is asked about", async () => {
    const t = setup();
    const jobs = addRun(t, 1);
    await t.publishRun(jobs);
    t.clock.jumpWallClock(-60_000);
    await t.start();
    await t.elapse(10);
    expect(t.book.checked).toEqual(jobs);
    expect(t.targets.ids()).toEqual(jobs);
  });

  test("that is replayed from the dead letters is asked about, however young", async () => {
    const t = setup();
    const jobs = addRun(t, 3);
    await t.publishRun(jobs);
    const { receipt } = await receivedBySomebodyElse(t);
    await t.queue.deadLetter(receipt, "received too often");
    await t.book.record([delivered(jobs[0]!), delivered(jobs[1]!)]);
    const queues = () => [t.queue];
    const office = new DeadLetterOffice({ queues, clock: t.clock, logger: silentLogger() });
    const page = { limit: 10, cursor: null, queue: null, filter: { poolCode: null, reason: null } };
    expect(await office.settlePage("replay", { ...page, dryRun: false })).toMatchObject({ count: 1 });
    await t.start();
    await t.elapse(10);
    expect(t.book.checked).toEqual(jobs);
    expect(t.targets.ids()).toEqual(jobs.slice(2));
    expect(await unsettled(t)).toBe(0);
  });

  test("goes on counting attempts where another router has stopped", async () => {
    const t = setup();
    t.targets.behaviour = () => answer(500);
    const [job] = addRun(t, 1);
    await t.publishRun([job!]);
    const { receipt } = await receivedBySomebodyElse(t);
    const attempt = {
      number: 1,
      startedAtMs: t.clock.now(),
      durationMs: 1,
      outcome: "SERVER_ERROR",
      statusCode: 500,
      burnt: true,
      error: "500",
      responseBody: null,
      signed: false,
    } as const;
    await t.book.record([{ jobId: job!, generation: 1, attempt, result: { kind: "transient", error: "500" } }]);
    await t.queue.nack([receipt], 0);
    await t.start();
    await t.elapse(10);
    expect(t.targets.calls[0]?.request.headers["x-flowcatalyst-attempt"]).toBe("2");
    expect(t.book.reports.at(-1)?.attempt?.number).toBe(2);
    expect(t.book.state(job!).attemptCount).toBe(2);
  });

  test("is given back while nobody can be asked, and delivered afterwards", async () => {
    const t = setup();
    const jobs = addRun(t, 2);
    await t.publishRun(jobs);
    const { receipt } = await receivedBySomebodyElse(t);
    await t.queue.nack([receipt], 0);
    t.book.isDown = true;
    await t.start();
    await t.elapse(5_000);
    expect(t.targets.calls).toHaveLength(0);
    expect(t.router.monitoring.consumers()[0]?.error).not.toBeNull();
    t.book.isDown = false;
    await t.elapse(10_000);
    expect(t.targets.ids()).toEqual(jobs);
    expect(await unsettled(t)).toBe(0);
  });

  test("of a recovered job comes late: its target sees the group in order, and each job at least once", async () => {
    const t = setup();
    const jobs = addRun(t, 3);
    await t.publishRun(jobs);
    // The store thinks it lost, and publishes the run anew; both are received, the old one last and believed.
    for (const job of jobs) t.book.cancelAndRetry(job);
    await t.publishRun(jobs);
    await t.start();
    await t.elapse(2_000);
    const firstArrivals = [...new Set(t.targets.ids())];
    expect(firstArrivals).toEqual(jobs);
    expect(jobs.map((job) => t.book.state(job).status)).toEqual(["COMPLETED", "COMPLETED", "COMPLETED"]);
    expect(await unsettled(t)).toBe(0);
  });
});

test("references are set aside with the setting that is missing, instead of being taken for stale", async () => {
  const t = setup();
  const job = t.book.add();
  const message = { kind: "platform", id: "m1", lane: "main", groupKey: null, traceparent: null } as const;
  await t.queue.publish([{ ...message, jobs: [t.book.referenceTo(job)] } as never]);
  await t.start();
  await t.elapse(10);
  const { letters } = await t.queue.listDeadLetters({ limit: 10, after: null });
  expect(letters.map(({ reason }) => reason)).toEqual([expect.stringContaining("FC_DATABASE_URL")]);
});

describe("settings that nobody answers for", () => {
  test("are acted on for a minute; then no job starts until there is an answer", async () => {
    const t = setup();
    await t.start();
    await t.elapse(10);
    t.settings.isHanging = true;
    await t.elapse(40_000);
    const [early, late] = [t.book.add(), t.book.add()];
    await t.publishSingles([early]);
    await t.elapse(10);
    expect(t.targets.ids()).toEqual([early]);
    await t.elapse(40_000);
    await t.publishSingles([late]);
    await t.elapse(30_000);
    expect(t.targets.ids()).toEqual([early]);
    expect(t.router.monitoring.health().status).toBe("DOWN");
    expect(t.router.monitoring.warnings()).toContainEqual(
      expect.objectContaining({ category: "CONTROL", severity: "CRITICAL" }),
    );
    t.settings.isHanging = false;
    await t.elapse(45_000);
    expect(t.targets.ids()).toEqual([early, late]);
    expect(t.router.monitoring.health().status).toBe("UP");
  });

  test("hold what is in the pipeline too, and a pause that was missed is obeyed before it starts", async () => {
    const t = setup({ believedVisibilityMs: 600_000 });
    const hung = Promise.withResolvers<ReturnType<typeof answer>>();
    t.targets.behaviour = () => hung.promise;
    await t.start();
    const jobs = addRun(t, 2);
    await t.publishRun(jobs);
    await t.elapse(10);
    t.settings.isHanging = true;
    await t.elapse(95_000);
    t.settings.change({ pausedSubscriptions: new Set(["sub_1" as SubscriptionId]) });
    hung.resolve(answer(200));
    await t.elapse(1_000);
    expect(t.targets.ids()).toEqual([jobs[0]!]);
    t.settings.isHanging = false;
    await t.elapse(45_000);
    expect(t.targets.ids()).toEqual([jobs[0]!]);
    expect(t.book.state(jobs[1]!).status).toBe("PENDING");
  });

  test("do not hold a slot for ever: a secret is waited for five seconds", async () => {
    const t = setup();
    await t.start();
    await t.elapse(10);
    t.settings.isHanging = true;
    const job = t.book.add({ secretRef: "known" });
    await t.publishSingles([job]);
    await t.elapse(5_100);
    expect(t.targets.calls).toHaveLength(0);
    expect(t.router.monitoring.pools().find(({ code }) => code === "main")?.activeWorkers).toBe(0);
    expect(t.book.reports.at(-1)?.result.kind).toBe("held");
  });
});

test("messages that only name jobs are set aside, and a warning says which setting does not fit", async () => {
  const t = setup();
  await t.start();
  const [job] = addRun(t, 1);
  const head = { kind: "platform", lane: "main" as PoolCode, groupKey: null, traceparent: null } as const;
  const jobs = [t.book.referenceTo(job!)];
  await t.queue.publish([1, 2].map((n) => ({ ...head, id: `named_${n}` as MessageId, jobs })));
  await t.elapse(10);
  expect(t.targets.calls).toHaveLength(0);
  expect(await t.queue.metrics()).toMatchObject({ visible: 0, inFlight: 0, dead: 2 });
  expect(t.warnings.list()).toMatchObject([
    { category: "CONFIGURATION", severity: "ERROR", count: 2, message: expect.stringContaining("FC_DATABASE_URL") },
  ]);
});
