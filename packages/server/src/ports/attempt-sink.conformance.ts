import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { JobId } from "../domain/ids.ts";
import { anchorScope } from "../domain/scope.ts";
import {
  idsOf,
  JobScenario,
  profileFor,
  sampleAttempt,
  subscriptionB,
  type JobStoreSetup,
} from "./job-scenario.fixture.ts";

const hourMs = 3_600_000;

export function describeAttemptSinkConformance(name: string, setup: JobStoreSetup): void {
  describe(`${name}: attempt sink`, () => {
    let scenario: JobScenario;
    beforeEach(async () => {
      scenario = await JobScenario.start(setup);
    });
    afterEach(() => scenario.store.close());

    const published = async (count: number, profile = profileFor(subscriptionB)): Promise<readonly JobId[]> => {
      const ids = await scenario.publish(...Array.from({ length: count }, () => ({ group: "g", profile })));
      await scenario.queue();
      return ids;
    };
    const transient = { result: { kind: "transient", error: "HTTP 500" } } as const;
    const attemptsOf = async (id: JobId) =>
      (await scenario.store.jobs.attempts(id, { limit: 100, cursor: null }, anchorScope)).items;

    test("answers by position and applies each report", async () => {
      const ids = await published(3);
      const reports = await Promise.all([
        scenario.newReport(ids[0]!, { result: { kind: "delivered" }, attempt: { outcome: "DELIVERED" } }),
        scenario.newReport("job_unknown" as JobId, { result: { kind: "delivered" } }),
        scenario.newReport(ids[1]!, transient),
      ]);
      expect(await scenario.store.attemptSink.record(reports)).toEqual([
        { kind: "settled", status: "COMPLETED", holdsGroup: false },
        { kind: "ignored", reason: "UNKNOWN_JOB" },
        { kind: "wait", delayMs: 1_000, attemptCount: 1 },
      ]);
      expect(await scenario.statuses(ids)).toEqual(["COMPLETED", "QUEUED", "QUEUED"]);
      expect(await scenario.store.attemptSink.record([])).toEqual([]);
    });

    test("sets a report aside that cannot be written, and takes the others", async () => {
      const ids = await published(2);
      const broken = { ...sampleAttempt(scenario.store.now(), 1), startedAtMs: Number.NaN };
      const reports = await Promise.all([
        scenario.newReport(ids[0]!, { result: { kind: "delivered" }, attempt: { outcome: "DELIVERED" } }),
        scenario.newReport(ids[1]!, { result: { kind: "delivered" }, attempt: broken }),
      ]);
      expect(await scenario.store.attemptSink.record(reports)).toEqual([
        { kind: "settled", status: "COMPLETED", holdsGroup: false },
        { kind: "ignored", reason: "UNKNOWN_JOB" },
      ]);
      expect(await scenario.statuses(ids)).toEqual(["COMPLETED", "QUEUED"]);
    });

    test("keeps the attempt as it was", async () => {
      const [id] = await published(1);
      const attempt = {
        ...sampleAttempt(scenario.store.now(), 1),
        outcome: "TIMEOUT",
        statusCode: null,
        error: "no answer",
        responseBody: "…",
        signed: false,
      } as const;
      await scenario.report(id!, { ...transient, attempt });
      expect(await attemptsOf(id!)).toEqual([{ ...attempt, generation: 1 }]);
    });

    test("a result for a job that was published and never marked applies", async () => {
      const ids = await scenario.publish({ group: "g" }, { group: "g" });
      await scenario.claim();
      await scenario.store.restart();
      await scenario.deliver(ids[0]!);
      expect(await scenario.report(ids[1]!, transient)).toMatchObject({ kind: "wait" });
      expect(await scenario.statuses(ids)).toEqual(["COMPLETED", "QUEUED"]);
      // With a router now, so it is not published once more.
      expect((await scenario.claim()).runs).toEqual([]);
      expect((await scenario.job(ids[1]!)).expiresAtMs).toBe(scenario.store.now() + hourMs);
    });

    test("the same report twice counts once and gets the same answer", async () => {
      const [id] = await published(1);
      const report = await scenario.newReport(id!, transient);
      const first = await scenario.store.attemptSink.record([report]);
      expect(await scenario.store.attemptSink.record([report])).toEqual(first);
      expect(await scenario.store.attemptSink.record([report, report])).toEqual([...first, ...first]);
      expect(await scenario.job(id!)).toMatchObject({ attemptCount: 1, generationAttempts: 1 });
      expect(await attemptsOf(id!)).toHaveLength(1);
    });

    test("the same report twice in one call counts once", async () => {
      const [id] = await published(1);
      const report = await scenario.newReport(id!, transient);
      const [first, second] = await scenario.store.attemptSink.record([report, report]);
      expect(second!).toEqual(first!);
      expect(await scenario.job(id!)).toMatchObject({ attemptCount: 1, generationAttempts: 1 });
      expect(await attemptsOf(id!)).toHaveLength(1);
    });

    test("retries come from the stored count: wait, park, FAILED", async () => {
      const [id] = await published(
        1,
        profileFor(subscriptionB, { retry: { delaysMs: [1_000, 60_000], maxRetries: 2 } }),
      );
      expect(await scenario.report(id!, transient)).toMatchObject({ kind: "wait", attemptCount: 1 });
      await scenario.store.restart();
      const parked = await scenario.report(id!, transient);
      if (parked.kind !== "parked") throw new Error(parked.kind);
      const waitMs = parked.untilMs - scenario.store.now();
      expect(waitMs).toBeGreaterThanOrEqual(60_000);
      expect(waitMs).toBeLessThanOrEqual(72_000);
      expect(await scenario.job(id!)).toMatchObject({ status: "PENDING", generation: 2, attemptCount: 2 });
      expect((await scenario.claim()).nextDueAtMs).toBe(parked.untilMs);
      await scenario.store.advance(waitMs);
      await scenario.queue();
      expect(await scenario.report(id!, transient)).toEqual({ kind: "settled", status: "FAILED", holdsGroup: false });
      expect(await scenario.job(id!)).toMatchObject({ status: "FAILED", attemptCount: 3, lastError: "HTTP 500" });
      expect((await attemptsOf(id!)).map(({ generation, number }) => [generation, number])).toEqual([
        [2, 1],
        [1, 2],
        [1, 1],
      ]);
    });

    test("a parked job takes the untouched rest of its run back, and nothing is burnt", async () => {
      const ids = await published(4);
      await scenario.deliver(ids[0]!);
      const untilMs = scenario.store.now() + hourMs / 2;
      expect(await scenario.report(ids[1]!, { result: { kind: "held", untilMs, error: "HTTP 429" } })).toEqual({
        kind: "parked",
        untilMs,
      });
      expect(await scenario.statuses(ids)).toEqual(["COMPLETED", "PENDING", "PENDING", "PENDING"]);
      expect(await scenario.job(ids[3]!)).toMatchObject({ generation: 2, attemptCount: 0 });
      expect((await scenario.claim()).runs).toEqual([]);
      const held = await scenario.store.jobs.heldGroups({ limit: 10, cursor: null }, anchorScope);
      expect(held.items).toMatchObject([{ reason: "WAITING_RETRY", untilMs, waiting: 3, headJobId: ids[1] }]);
      await scenario.store.advance(hourMs / 2);
      expect(idsOf(await scenario.queue())).toEqual([ids.slice(1)]);
    });

    test("a parked job takes back what a message that was never marked carries behind it", async () => {
      const ids = await scenario.publish({ group: "g" }, { group: "g", dueInMs: -5 }, { group: "g" });
      const { runs } = await scenario.claim();
      // The process died after publishing: the message is with a router, and every job is PENDING.
      await scenario.report(ids[0]!, { result: { kind: "held", untilMs: scenario.store.now() + 5_000, error: null } });
      const parked = { kind: "held", untilMs: scenario.store.now() + hourMs / 2, error: null } as const;
      expect(await scenario.report(ids[0]!, { result: parked })).toMatchObject({ kind: "parked" });
      // Received again, it must not carry the second past the first.
      const references = runs[0]!.jobs.map((job) => ({ kind: "reference", ...job }) as const);
      expect(await scenario.store.deliveryReader.read(references)).toEqual(new Map());
      await scenario.mark(runs);
      expect(await scenario.statuses(ids)).toEqual(["PENDING", "PENDING", "PENDING"]);
      expect(await scenario.job(ids[1]!)).toMatchObject({ attemptCount: 0, dueAtMs: scenario.store.now() - 5 });
      await scenario.store.advance(hourMs / 2);
      expect(idsOf((await scenario.claim()).runs)).toEqual([ids]);
    });

    test("late results of an older generation change nothing, but delivered does", async () => {
      const ids = await published(2);
      await scenario.report(ids[0]!, { result: { kind: "released", dueAtMs: 0 }, attempt: null });
      await scenario.queue();
      expect(await scenario.report(ids[0]!, { ...transient, generation: 1 })).toEqual({
        kind: "ignored",
        reason: "STALE",
      });
      expect(await scenario.job(ids[0]!)).toMatchObject({ status: "QUEUED", generation: 2, attemptCount: 0 });
      const delivered = await scenario.report(ids[1]!, { result: { kind: "delivered" }, generation: 1 });
      expect(delivered).toMatchObject({ kind: "settled", status: "COMPLETED" });
      // Both attempts were made and are shown.
      expect(await attemptsOf(ids[0]!)).toHaveLength(1);
    });

    test("a final state never changes, and the attempt is kept", async () => {
      const ids = await published(2);
      await scenario.store.jobCommands.cancel(ids[0]!, scenario.store.now(), anchorScope);
      expect(await scenario.deliver(ids[0]!)).toEqual({ kind: "ignored", reason: "FINAL" });
      expect(await scenario.job(ids[0]!)).toMatchObject({ status: "CANCELLED" });
      expect(await attemptsOf(ids[0]!)).toHaveLength(1);
    });

    test("with BLOCK_ON_ERROR a failure holds the group, and its rest goes back", async () => {
      const ids = await published(3, profileFor(subscriptionB, { mode: "BLOCK_ON_ERROR" }));
      await scenario.deliver(ids[0]!);
      expect(await scenario.fail(ids[1]!)).toEqual({ kind: "settled", status: "FAILED", holdsGroup: true });
      expect(await scenario.statuses(ids)).toEqual(["COMPLETED", "FAILED", "PENDING"]);
      expect((await scenario.claim()).runs).toEqual([]);
      await scenario.publish({ group: "g", profile: profileFor(subscriptionB, { mode: "BLOCK_ON_ERROR" }) });
      expect((await scenario.claim()).runs).toEqual([]);
    });

    test("with NEXT_ON_ERROR the run goes on after a failure", async () => {
      const ids = await published(2);
      expect(await scenario.fail(ids[0]!)).toMatchObject({ kind: "settled", holdsGroup: false });
      expect(await scenario.statuses(ids)).toEqual(["FAILED", "QUEUED"]);
    });

    test("a target that is gone pauses its subscription", async () => {
      const subscription = scenario.samples.subscription();
      await scenario.store.subscriptions.create(subscription);
      const profile = profileFor(subscription.id);
      const ids = await published(2, profile);
      const before = await scenario.store.control.read(null, 0, new AbortController().signal);
      await scenario.report(ids[0]!, {
        result: { kind: "permanent", error: "HTTP 410", pauseSubscription: "TARGET_GONE" },
      });
      const paused = await scenario.store.subscriptions.byId(subscription.id, anchorScope);
      expect(paused).toMatchObject({ status: "PAUSED", pauseReason: "TARGET_GONE", version: subscription.version + 1 });
      const after = await scenario.store.control.read(before.revision, 0, new AbortController().signal);
      expect([...after.pausedSubscriptions]).toEqual([subscription.id]);
      await scenario.report(ids[1]!, { result: { kind: "released", dueAtMs: 0 }, attempt: null });
      expect((await scenario.claim()).runs).toEqual([]);
      const held = await scenario.store.jobs.heldGroups({ limit: 10, cursor: null }, anchorScope);
      expect(held.items).toMatchObject([{ key: subscription.id, reason: "SUBSCRIPTION_PAUSED", waiting: 1 }]);
    });

    test("of attempts that burn nothing the last twenty are kept, and all are counted", async () => {
      const [id] = await published(1);
      await scenario.report(id!, transient);
      for (let attempt = 0; attempt < 25; attempt++) {
        const untilMs = scenario.store.now() + 5_000;
        const verdict = await scenario.report(id!, {
          result: { kind: "held", untilMs, error: null },
          attempt: { outcome: "NOT_YET", burnt: false },
        });
        expect(verdict).toEqual({ kind: "wait", delayMs: 5_000, attemptCount: 1 });
      }
      const kept = await attemptsOf(id!);
      expect(kept.filter((attempt) => !attempt.burnt).map((attempt) => attempt.number)).toEqual(
        Array.from({ length: 20 }, (_, n) => 26 - n),
      );
      expect(kept.filter((attempt) => attempt.burnt)).toHaveLength(1);
      expect(await scenario.job(id!)).toMatchObject({ attemptCount: 1, generationAttempts: 26 });
    });

    test("attempts are paged, newest first", async () => {
      const [id] = await published(1, profileFor(subscriptionB, { retry: { delaysMs: [1], maxRetries: 20 } }));
      for (let attempt = 0; attempt < 7; attempt++) await scenario.report(id!, transient);
      const numbers: number[] = [];
      let cursor: string | null = null;
      do {
        const page: Awaited<ReturnType<typeof scenario.store.jobs.attempts>> = await scenario.store.jobs.attempts(
          id!,
          { limit: 3, cursor },
          anchorScope,
        );
        numbers.push(...page.items.map((attempt) => attempt.number));
        cursor = page.nextCursor;
      } while (cursor !== null);
      expect(numbers).toEqual([7, 6, 5, 4, 3, 2, 1]);
    });

    test("no wait passes the expiry", async () => {
      const [id] = await published(
        1,
        profileFor(subscriptionB, { maxAgeSeconds: 30, retry: { delaysMs: [20_000], maxRetries: 5 } }),
      );
      await scenario.store.advance(25_000);
      const verdict = await scenario.report(id!, transient);
      expect(verdict).toEqual({ kind: "wait", delayMs: 5_000, attemptCount: 1 });
      await scenario.store.advance(5_000);
      expect(await scenario.report(id!, transient)).toMatchObject({ kind: "settled", status: "EXPIRED" });
    });
  });
}
