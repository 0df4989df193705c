import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { type ClientId, type EventId, type JobId, jobGenerationKey, type PoolCode } from "../domain/ids.ts";
import { anchorScope, type Scope } from "../domain/scope.ts";
import { describeReplayStoreConformance } from "./replay-store.conformance.ts";
import {
  idsOf,
  JobScenario,
  profileFor,
  subscriptionA,
  subscriptionB,
  type JobStoreSetup,
} from "./job-scenario.fixture.ts";
import { clientA, clientB } from "./sample-entities.fixture.ts";

const scopeA: Scope = { kind: "client", clientId: clientA };
const scopeB: Scope = { kind: "client", clientId: clientB };
const firstPage = { limit: 100, cursor: null } as const;
const hourMs = 3_600_000;

export function describeJobStoreConformance(name: string, setup: JobStoreSetup): void {
  describeReader(name, setup);
  describeCommands(name, setup);
  describeReplayStoreConformance(name, setup);
}

function describeReader(name: string, setup: JobStoreSetup): void {
  describe(`${name}: job reader`, () => {
    let scenario: JobScenario;
    beforeEach(async () => {
      scenario = await JobScenario.start(setup);
    });
    afterEach(() => scenario.store.close());

    test("reads within the scope: own jobs and those of the platform", async () => {
      const [own, other, platform] = await scenario.publish({ clientId: clientA }, { clientId: clientB }, {});
      const readable = async (id: JobId) => (await scenario.store.jobs.byId(id, scopeA)) !== null;
      expect(await readable(own!)).toBe(true);
      expect(await readable(platform!)).toBe(true);
      expect(await readable(other!)).toBe(false);
      expect(await scenario.store.jobs.byId("job_none" as JobId, anchorScope)).toBeNull();
      await scenario.queue();
      await scenario.deliver(other!);
      expect((await scenario.store.jobs.attempts(other!, firstPage, scopeA)).items).toEqual([]);
    });

    test("jobs of an event, oldest first, tasks that name it too, in pages", async () => {
      await scenario.publish(...Array.from({ length: 20 }, () => ({})));
      const [event] = await scenario.store.events.append([scenario.samples.event()]);
      const jobs = Array.from({ length: 5 }, () => scenario.jobOf(event!.event, {}));
      await scenario.append(jobs);
      const task = scenario.newTask({ eventId: event!.event.id });
      await scenario.store.jobCommands.createTasks([scenario.newTask(), task]);
      await scenario.publish(...Array.from({ length: 20 }, () => ({})));
      const found: JobId[] = [];
      let cursor: string | null = null;
      do {
        const page: Awaited<ReturnType<typeof scenario.store.jobs.byEvent>> = await scenario.store.jobs.byEvent(
          event!.event.id,
          { limit: 2, cursor },
          anchorScope,
        );
        expect(page.items.length).toBeLessThanOrEqual(2);
        found.push(...page.items.map((job) => job.id));
        cursor = page.nextCursor;
      } while (cursor !== null);
      expect(found).toEqual([...jobs.map((job) => job.id), task.id]);
      expect((await scenario.store.jobs.byEvent("evt_none" as EventId, firstPage, anchorScope)).items).toEqual([]);
    });

    test("jobs of an event within the scope", async () => {
      const [event] = await scenario.store.events.append([scenario.samples.event({ clientId: clientA })]);
      await scenario.append([scenario.jobOf(event!.event, {})]);
      expect((await scenario.store.jobs.byEvent(event!.event.id, firstPage, scopeA)).items).toHaveLength(1);
      expect((await scenario.store.jobs.byEvent(event!.event.id, firstPage, scopeB)).items).toHaveLength(0);
    });

    test("counts a subscription's jobs by status", async () => {
      const ids = await scenario.publish({}, {}, {}, {}, { dueInMs: hourMs }, { profile: profileFor(subscriptionB) });
      await scenario.queue();
      await scenario.deliver(ids[0]!);
      await scenario.fail(ids[1]!);
      await scenario.store.jobCommands.cancel(ids[2]!, scenario.store.now(), anchorScope);
      expect(await scenario.store.jobs.stats(subscriptionA)).toEqual({
        PENDING: 1,
        QUEUED: 1,
        COMPLETED: 1,
        FAILED: 1,
        CANCELLED: 1,
        EXPIRED: 0,
      });
    });

    test("shows what is held, why, since when and until when", async () => {
      const block = profileFor(subscriptionB, { mode: "BLOCK_ON_ERROR" });
      const ids = await scenario.publish(
        { group: "b", profile: block, clientId: clientA },
        { group: "b", profile: block, clientId: clientA },
        { group: "s", profile: profileFor(subscriptionB), dueInMs: hourMs, clientId: clientB },
        { group: "w", profile: profileFor(subscriptionB) },
        {},
      );
      await scenario.queue();
      await scenario.fail(ids[0]!);
      const untilMs = scenario.store.now() + hourMs;
      await scenario.report(ids[3]!, { result: { kind: "held", untilMs, error: null } });
      const sinceMs = scenario.store.now();
      await scenario.store.jobCommands.holdSubscription(subscriptionA, true, sinceMs);
      await scenario.store.advance(5);
      const held = (await scenario.store.jobs.heldGroups(firstPage, anchorScope)).items;
      expect(held.map(({ key, reason, waiting, headStatus }) => [key, reason, waiting, headStatus])).toEqual([
        [subscriptionA, "SUBSCRIPTION_PAUSED", 0, null],
        [`${subscriptionB}:b`, "GROUP_BLOCKED", 1, "FAILED"],
        [`${subscriptionB}:s`, "SCHEDULED", 1, "PENDING"],
        [`${subscriptionB}:w`, "WAITING_RETRY", 1, "PENDING"],
      ]);
      expect(held.map((group) => group.sinceMs)).toEqual([sinceMs, sinceMs, sinceMs, sinceMs]);
      expect(held.map((group) => group.untilMs)).toEqual([null, null, untilMs, untilMs]);
      expect(held.map((group) => group.headJobId)).toEqual([null, ids[0]!, ids[2]!, ids[3]!]);
      const seenByA = (await scenario.store.jobs.heldGroups(firstPage, scopeA)).items;
      expect(seenByA.map((group) => group.key)).not.toContain(`${subscriptionB}:s`);
      const pages: string[] = [];
      let cursor: string | null = null;
      do {
        const page: Awaited<ReturnType<typeof scenario.store.jobs.heldGroups>> = await scenario.store.jobs.heldGroups(
          { limit: 1, cursor },
          anchorScope,
        );
        pages.push(...page.items.map((group) => group.key));
        cursor = page.nextCursor;
      } while (cursor !== null);
      expect(pages).toEqual(held.map((group) => group.key));
    });

    test("of tasks that a suspended pool holds a tenant sees its own and those of the platform", async () => {
      const tasks = [clientA, clientB, null].map((clientId) => scenario.newTask({ clientId }));
      await scenario.store.jobCommands.createTasks(tasks);
      await scenario.store.jobCommands.holdPool("POOL-A" as PoolCode, true, scenario.store.now());
      const keysFor = async (scope: Scope) =>
        (await scenario.store.jobs.heldGroups(firstPage, scope)).items.map((group) => group.key);
      expect(await keysFor(anchorScope)).toHaveLength(3);
      const seenByA = await keysFor(scopeA);
      expect(seenByA).toHaveLength(2);
      expect(seenByA.join(" ")).toContain(clientA);
      expect(seenByA.join(" ")).not.toContain(clientB);
    });

    test("an archived subscription is not shown as held", async () => {
      const archived = scenario.samples.subscription({ status: "ARCHIVED" });
      await scenario.store.subscriptions.create(archived);
      await scenario.store.jobCommands.holdSubscription(archived.id, true, scenario.store.now());
      expect((await scenario.store.jobs.heldGroups(firstPage, anchorScope)).items).toEqual([]);
      expect((await scenario.store.jobClaims.counts()).heldGroups).toBe(0);
    });
  });
}

function describeCommands(name: string, setup: JobStoreSetup): void {
  describe(`${name}: job commands`, () => {
    let scenario: JobScenario;
    beforeEach(async () => {
      scenario = await JobScenario.start(setup);
    });
    afterEach(() => scenario.store.close());
    const now = () => scenario.store.now();
    const cancel = (id: JobId, scope: Scope = anchorScope) => scenario.store.jobCommands.cancel(id, now(), scope);
    const retry = (id: JobId, replay = false) =>
      scenario.store.jobCommands.retry(id, { replay, nowMs: now() }, anchorScope);
    const block = profileFor(subscriptionB, { mode: "BLOCK_ON_ERROR" });
    const blocked = async (): Promise<readonly JobId[]> => {
      const ids = await scenario.publish(
        { group: "g", profile: block },
        { group: "g", profile: block },
        { group: "g", profile: block },
      );
      await scenario.queue();
      await scenario.fail(ids[0]!);
      return ids;
    };
    const key = `${subscriptionB}:g`;

    test("tasks whose client, group or key a text cannot hold everywhere are made, and fail no others", async () => {
      const odd = { clientId: "c\0" as ClientId, messageGroup: "g\0", idempotencyKey: "k\0" };
      const tasks = [scenario.newTask(), scenario.newTask(odd), scenario.newTask({ ...odd, idempotencyKey: null })];
      const made = await scenario.store.jobCommands.createTasks(tasks);
      expect(made.map(({ kind, job }) => [kind, job.id])).toEqual(tasks.map((task) => ["created", task.id]));
      const [again] = await scenario.store.jobCommands.createTasks([scenario.newTask(odd)]);
      expect([again?.kind, again?.job.id]).toEqual(["repeated", tasks[1]!.id]);
    });

    test("tasks are made with their payload, and run in the order of their group", async () => {
      const tasks = [
        scenario.newTask({ messageGroup: "g", metadata: { a: "1" }, clientId: clientA }),
        scenario.newTask({ messageGroup: "g", clientId: clientA }),
        scenario.newTask(),
      ];
      const made = await scenario.store.jobCommands.createTasks(tasks);
      expect(made.map(({ kind, job }) => [kind, job.id])).toEqual(tasks.map((task) => ["created", task.id]));
      expect(made[0]!.job).toMatchObject({
        kind: "TASK",
        status: "PENDING",
        metadata: { a: "1" },
        code: "send-mail",
        groupKey: `${clientA}:task:g`,
        payloadBytes: Buffer.byteLength(tasks[0]!.payload),
      });
      expect(await scenario.store.jobs.payload(tasks[0]!.id, scopeA)).toEqual({
        payload: tasks[0]!.payload,
        contentType: "application/json",
      });
      expect(await scenario.store.jobs.payload(tasks[0]!.id, scopeB)).toBeNull();
      const runs = idsOf((await scenario.claim()).runs);
      expect(runs).toContainEqual([tasks[0]!.id, tasks[1]!.id]);
      expect(runs).toContainEqual([tasks[2]!.id]);
    });

    test("a known idempotency key gives the first job again, per client, after a restart too", async () => {
      const first = scenario.newTask({ idempotencyKey: "k", clientId: clientA });
      const same = scenario.newTask({ idempotencyKey: "k", clientId: clientA });
      const other = scenario.newTask({ idempotencyKey: "k", clientId: clientB });
      const platform = scenario.newTask({ idempotencyKey: "k" });
      const made = await scenario.store.jobCommands.createTasks([first, same, other, platform]);
      expect(made.map(({ kind, job }) => [kind, job.id])).toEqual([
        ["created", first.id],
        ["repeated", first.id],
        ["created", other.id],
        ["created", platform.id],
      ]);
      await scenario.store.restart();
      const again = await scenario.store.jobCommands.createTasks([same]);
      expect(again).toMatchObject([{ kind: "repeated", job: { id: first.id, idempotencyKey: "k" } }]);
    });

    test("a scheduled task waits for its time", async () => {
      await scenario.store.jobCommands.createTasks([scenario.newTask({ dueAtMs: now() + 500 })]);
      expect(await scenario.claim()).toMatchObject({ runs: [], nextDueAtMs: now() + 500 });
      await scenario.store.advance(500);
      expect((await scenario.claim()).runs).toHaveLength(1);
    });

    test("cancels PENDING, QUEUED and FAILED, and nothing else", async () => {
      const ids = await scenario.publish({ dueInMs: hourMs }, {}, {}, {});
      await scenario.queue();
      await scenario.fail(ids[2]!);
      await scenario.deliver(ids[3]!);
      for (const id of ids.slice(0, 3)) {
        expect(await cancel(id)).toMatchObject({ kind: "done", job: { id, status: "CANCELLED" } });
      }
      expect(await cancel(ids[3]!)).toEqual({ kind: "conflict", status: "COMPLETED" });
      expect(await cancel(ids[0]!)).toEqual({ kind: "conflict", status: "CANCELLED" });
      expect(await cancel("job_none" as JobId)).toEqual({ kind: "notFound" });
    });

    test("a tenant changes its own jobs only", async () => {
      const [own, other, platform] = await scenario.publish({ clientId: clientA }, { clientId: clientB }, {});
      expect((await cancel(own!, scopeA)).kind).toBe("done");
      expect((await cancel(other!, scopeA)).kind).toBe("notFound");
      expect((await cancel(platform!, scopeA)).kind).toBe("notFound");
    });

    test("routers are told of QUEUED jobs that were cancelled", async () => {
      const ids = await scenario.publish({}, { dueInMs: hourMs });
      await scenario.queue();
      const { revision } = await scenario.store.control.read(null, 0, new AbortController().signal);
      const change = scenario.store.control.read(revision, 60_000, new AbortController().signal);
      await cancel(ids[0]!);
      await cancel(ids[1]!);
      expect([...(await change).cancelledJobs]).toEqual([`${ids[0]}.1`]);
    });

    test("a cancelled job that is retried is another one to routers", async () => {
      const [id] = await scenario.publish({});
      await scenario.queue();
      await cancel(id!);
      await retry(id!);
      const { cancelledJobs } = await scenario.store.control.read(null, 0, new AbortController().signal);
      expect(cancelledJobs.has(jobGenerationKey(id!, 1))).toBe(true);
      expect(cancelledJobs.has(jobGenerationKey(id!, (await scenario.job(id!)).generation))).toBe(false);
    });

    test("a cancelled head lets the next of its group go", async () => {
      const ids = await scenario.publish({ group: "g", dueInMs: hourMs }, { group: "g" });
      expect((await scenario.claim()).runs).toEqual([]);
      await cancel(ids[0]!);
      expect(idsOf((await scenario.claim()).runs)).toEqual([[ids[1]!]]);
    });

    test("a retry gives a fresh budget and expiry, keeps old attempts, and takes its place in the group", async () => {
      const ids = await scenario.publish({ group: "g" }, { group: "g" });
      await scenario.queue();
      await scenario.fail(ids[0]!);
      await scenario.deliver(ids[1]!);
      const later = await scenario.publish({ group: "g" });
      const done = await retry(ids[0]!);
      expect(done).toMatchObject({
        kind: "done",
        job: { status: "PENDING", generation: 2, attemptCount: 0, expiresAtMs: null, lastError: null, replayCount: 0 },
      });
      expect(idsOf((await scenario.claim()).runs)).toEqual([[ids[0]!, later[0]!]]);
      expect((await scenario.store.jobs.attempts(ids[0]!, firstPage, anchorScope)).items).toHaveLength(1);
      expect(await retry(ids[0]!)).toEqual({ kind: "conflict", status: "PENDING" });
    });

    test("a replay is counted, of a delivered job too", async () => {
      const [id] = await scenario.publish({});
      await scenario.queue();
      await scenario.deliver(id!);
      expect(await retry(id!, true)).toMatchObject({ kind: "done", job: { status: "PENDING", replayCount: 1 } });
    });

    test("a job is retried after its idle group was dropped", async () => {
      const ids = await scenario.publish({ group: "old" }, { group: "newer" });
      await scenario.queue();
      await scenario.fail(ids[0]!);
      await scenario.deliver(ids[1]!);
      await scenario.store.advance(hourMs);
      const before = scenario.store.now();
      expect(await scenario.store.housekeeping.dropIdleGroups(before, 10, scenario.epoch)).toBeGreaterThan(0);
      await retry(ids[0]!);
      expect((await scenario.claim()).runs).toMatchObject([
        { groupKey: `${subscriptionA}:old`, jobs: [{ jobId: ids[0] }] },
      ]);
    });

    test("a blocked group is skipped over", async () => {
      const ids = await blocked();
      const held = await scenario.store.jobCommands.unblock(key, "skip", now(), anchorScope);
      expect(held).toMatchObject({ key, reason: "GROUP_BLOCKED", headJobId: ids[0], waiting: 2 });
      expect(await scenario.statuses(ids)).toEqual(["CANCELLED", "PENDING", "PENDING"]);
      expect(idsOf((await scenario.claim()).runs)).toEqual([[ids[1]!, ids[2]!]]);
      expect(await scenario.store.jobCommands.unblock(key, "skip", now(), anchorScope)).toBeNull();
    });

    test("a blocked group is retried from its head", async () => {
      const ids = await blocked();
      await scenario.store.jobCommands.unblock(key, "retry", now(), anchorScope);
      expect(idsOf((await scenario.claim()).runs)).toEqual([ids]);
    });

    test("retrying or cancelling the job that blocks is the same", async () => {
      const ids = await blocked();
      await retry(ids[0]!);
      expect(idsOf(await scenario.queue())).toEqual([ids]);
      await scenario.fail(ids[0]!);
      expect((await scenario.claim()).runs).toEqual([]);
      await cancel(ids[0]!);
      expect(idsOf(await scenario.queue())).toEqual([[ids[1]!, ids[2]!]]);
    });

    test("somebody who may not change the job can't unblock its group", async () => {
      await blocked();
      expect(await scenario.store.jobCommands.unblock(key, "skip", now(), scopeA)).toBeNull();
      expect(await scenario.store.jobCommands.unblock("no such group", "skip", now(), anchorScope)).toBeNull();
    });

    test("time a group was blocked does not count towards the expiry", async () => {
      const ids = await blocked();
      const expiresAtMs = (await scenario.job(ids[1]!)).expiresAtMs!;
      await scenario.store.advance(10 * hourMs);
      await scenario.store.jobCommands.unblock(key, "skip", now(), anchorScope);
      expect((await scenario.job(ids[1]!)).expiresAtMs).toBe(expiresAtMs + 10 * hourMs);
      expect(await scenario.claim()).toMatchObject({ expired: 0, runs: [{ jobs: [{}, {}] }] });
    });

    test("archiving cancels what is PENDING, in bounded steps, and leaves the rest", async () => {
      const ids = await scenario.publish({ group: "g" }, {}, {});
      await scenario.queue();
      const pending = await scenario.publish({ group: "g" }, {}, { group: "h" }, { dueInMs: hourMs }, { group: "i" });
      const other = await scenario.publish({ profile: profileFor(subscriptionB) });
      const steps: number[] = [];
      let cancelled: number;
      do {
        cancelled = await scenario.store.jobCommands.cancelPendingOf(subscriptionA, 2, now());
        steps.push(cancelled);
      } while (cancelled > 0);
      expect(steps).toEqual([2, 2, 1, 0]);
      expect(new Set(await scenario.statuses(pending))).toEqual(new Set(["CANCELLED"]));
      expect(new Set(await scenario.statuses(ids))).toEqual(new Set(["QUEUED"]));
      expect(await scenario.statuses(other)).toEqual(["PENDING"]);
    });

    test("a hold that a crash kept from being set or lifted is put right at the next start", async () => {
      const { subscriptions, pools, jobCommands } = scenario.store;
      const resumed = scenario.samples.subscription();
      const paused = scenario.samples.subscription({ status: "PAUSED" });
      for (const subscription of [resumed, paused]) await subscriptions.create(subscription);
      const suspended = scenario.samples.pool({ status: "SUSPENDED" });
      await pools.create(suspended);
      const ids = await scenario.publish(
        { profile: profileFor(resumed.id) },
        { profile: profileFor(paused.id) },
        { profile: profileFor(subscriptionB, { poolCode: suspended.code }) },
      );
      await jobCommands.holdSubscription(resumed.id, true, now());
      await scenario.store.restart();
      expect(idsOf((await scenario.claim()).runs)).toEqual([[ids[0]!]]);
    });

    test("a suspended pool holds the subscriptions that use it, those that come to it later too", async () => {
      const elsewhere = profileFor(subscriptionA, { poolCode: "POOL-B" as PoolCode });
      await scenario.store.jobCommands.holdPool("POOL-A" as PoolCode, true, now());
      await scenario.publish({}, { profile: profileFor(subscriptionB, { poolCode: "POOL-B" as PoolCode }) });
      expect(idsOf((await scenario.claim()).runs).flat()).toHaveLength(1);
      // The subscription moves to another pool and is held no longer.
      await scenario.publish({ profile: elsewhere });
      expect(idsOf((await scenario.claim()).runs).flat()).toHaveLength(3);
    });
  });
}
