import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { isCodedError } from "@flowcatalyst/foundation";
import type { JobId, PoolCode, SubscriptionId } from "../domain/ids.ts";
import { anchorScope } from "../domain/scope.ts";
import type { LeaseEpoch } from "./lease.ts";
import {
  idsOf,
  JobScenario,
  profileFor,
  subscriptionA,
  subscriptionB,
  type JobStoreSetup,
} from "./job-scenario.fixture.ts";

const hourMs = 3_600_000;

export function describeJobClaimsConformance(name: string, setup: JobStoreSetup): void {
  describe(`${name}: job claims`, () => {
    let scenario: JobScenario;
    beforeEach(async () => {
      scenario = await JobScenario.start(setup);
    });
    afterEach(() => scenario.store.close());
    const generationOf = async (id: JobId) => (await scenario.job(id)).generation;

    test("a group's due jobs make one run, named after its ends", async () => {
      const ids = await scenario.publish({ group: "g" }, { group: "g" }, { group: "g" });
      const { runs, more } = await scenario.claim();
      expect(idsOf(runs)).toEqual([ids]);
      expect(runs[0]).toMatchObject({
        messageId: `${ids[0]}:1:3:${ids[2]}:1`,
        lane: "POOL-A",
        groupKey: `${subscriptionA}:g`,
      });
      expect(more).toBe(false);
    });

    test("jobs that are not ordered make a run each, IMMEDIATE ones with a group too", async () => {
      const profile = profileFor(subscriptionB, { mode: "IMMEDIATE" });
      const ids = await scenario.publish({}, {}, { group: "g", profile }, { group: "g", profile });
      const { runs } = await scenario.claim();
      expect(idsOf(runs).flat().toSorted()).toEqual(ids.toSorted());
      expect(runs.every((run) => run.jobs.length === 1 && run.groupKey === null)).toBe(true);
      expect(runs.map((run) => String(run.messageId)).toSorted()).toEqual(ids.map((id) => `${id}:1`).toSorted());
    });

    test("of a group one run is outstanding, and the next comes when its jobs are final", async () => {
      const ids = await scenario.publish({ group: "g" }, { group: "g" });
      await scenario.queue();
      const later = await scenario.publish({ group: "g" });
      expect((await scenario.claim()).runs).toEqual([]);
      await scenario.deliver(ids[0]!);
      expect((await scenario.claim()).runs).toEqual([]);
      await scenario.fail(ids[1]!);
      expect(idsOf((await scenario.claim()).runs)).toEqual([later]);
    });

    test("what was claimed and not marked is due again under the same message id", async () => {
      await scenario.publish({ group: "g" }, { group: "g" }, {});
      const first = await scenario.claim();
      const second = await scenario.claim();
      expect(second.runs.map((run) => run.messageId).toSorted()).toEqual(
        first.runs.map((run) => run.messageId).toSorted(),
      );
      await scenario.store.restart();
      const third = await scenario.claim();
      expect(third.runs.map((run) => run.messageId).toSorted()).toEqual(
        first.runs.map((run) => run.messageId).toSorted(),
      );
    });

    test("marks runs of an earlier claim too", async () => {
      const ids = await scenario.publish({ group: "g" }, { group: "g" }, {});
      const { runs } = await scenario.claim();
      await scenario.store.restart();
      await scenario.mark(runs);
      expect(await scenario.statuses(ids)).toEqual(["QUEUED", "QUEUED", "QUEUED"]);
      expect((await scenario.claim()).runs).toEqual([]);
    });

    test("marks only what is still PENDING in that generation", async () => {
      const ids = await scenario.publish({ group: "g" }, { group: "g" }, { group: "g" });
      const { runs } = await scenario.claim();
      await scenario.store.jobCommands.cancel(ids[1]!, scenario.store.now(), anchorScope);
      await scenario.store.jobCommands.cancel(ids[2]!, scenario.store.now(), anchorScope);
      await scenario.store.jobCommands.retry(ids[2]!, { replay: false, nowMs: scenario.store.now() }, anchorScope);
      await scenario.mark(runs);
      expect(await scenario.statuses(ids)).toEqual(["QUEUED", "CANCELLED", "PENDING"]);
      await scenario.deliver(ids[0]!);
      expect(idsOf((await scenario.claim()).runs)).toEqual([[ids[2]!]]);
    });

    test("a run has at most 32 jobs and 256 KiB, but a large job goes alone", async () => {
      const ids = await scenario.publish(...Array.from({ length: 40 }, () => ({ group: "g", bytes: 10 })));
      expect(idsOf((await scenario.claim()).runs)).toEqual([ids.slice(0, 32)]);
      const large = await scenario.publish(
        { group: "h", bytes: 262_145 },
        { group: "h", bytes: 200_000 },
        { group: "h", bytes: 62_144 },
        { group: "h", bytes: 1 },
      );
      await scenario.queue();
      expect(await scenario.statuses(large)).toEqual(["QUEUED", "PENDING", "PENDING", "PENDING"]);
      await scenario.deliver(large[0]!);
      expect(idsOf(await scenario.queue())).toContainEqual([large[1]!, large[2]!]);
    });

    test("a pass has at most so many jobs and bytes, and says that there is more", async () => {
      const ids = await scenario.publish(...Array.from({ length: 10 }, (_, n) => ({ group: `g${n}`, bytes: 100 })));
      const few = await scenario.claim({ maxJobs: 4 });
      expect(few.runs).toHaveLength(4);
      expect(few.more).toBe(true);
      const small = await scenario.claim({ maxBytes: 250 });
      expect(small.runs).toHaveLength(3);
      expect(small.more).toBe(true);
      const seen = new Set<JobId>();
      for (let pass = 0; pass < 10 && seen.size < ids.length; pass++) {
        for (const id of idsOf(await scenario.queue({ maxJobs: 3 })).flat()) seen.add(id);
      }
      expect(seen.size).toBe(ids.length);
      expect((await scenario.claim()).more).toBe(false);
    });

    test("goes round the subscriptions: a large backlog does not keep a small one waiting", async () => {
      await scenario.publish(...Array.from({ length: 300 }, () => ({})));
      const small = await scenario.publish({ profile: profileFor(subscriptionB) });
      const runs = await scenario.queue({ maxJobs: 100 });
      expect(idsOf(runs).flat()).toContain(small[0]!);
      expect(runs).toHaveLength(100);
    });

    test("goes round them from pass to pass too, when one pass is too short for all", async () => {
      const profiles = [1, 2, 3, 4].map((n) => profileFor(`sub_000000000000${n}` as SubscriptionId));
      const grouped = profiles.map((profile) => ({ profile, group: "g" }));
      for (let n = 0; n < 96; n++) await scenario.publish(...profiles.map((profile) => ({ profile })), ...grouped);
      const served: (string | null)[] = [];
      for (let pass = 0; pass < 8; pass++) {
        await scenario.store.advance(1);
        const ids = idsOf(await scenario.queue({ maxJobs: 32 })).flat();
        expect(ids).toHaveLength(32);
        served.push((await scenario.job(ids[0]!)).subscriptionId);
      }
      expect(new Set(served.slice(0, 4)).size).toBe(4);
      expect(new Set(served.slice(4)).size).toBe(4);
    });

    test("a lane nobody takes from does not use up every pass", async () => {
      await scenario.publish(...Array.from({ length: 64 }, () => ({})));
      await scenario.store.advance(5);
      const other = await scenario.publish({ profile: profileFor(subscriptionB) });
      // Refused by the queue: claimed and never marked.
      const seen: JobId[] = [];
      for (let pass = 0; pass < 2; pass++) {
        seen.push(...idsOf((await scenario.claim({ maxJobs: 32 })).runs).flat());
        await scenario.store.advance(5);
      }
      expect(seen).toContain(other[0]!);
    });

    test("a subscription has at most its window outstanding", async () => {
      const ids = await scenario.publish(...Array.from({ length: 8 }, () => ({})));
      const other = await scenario.publish({ profile: profileFor(subscriptionB) });
      const first = await scenario.queue({ publishWindow: 5 });
      expect(idsOf(first).flat()).toContain(other[0]!);
      expect(first).toHaveLength(6);
      expect((await scenario.claim({ publishWindow: 5 })).runs).toEqual([]);
      const queued = idsOf(first)
        .flat()
        .filter((id) => ids.includes(id));
      await scenario.deliver(queued[0]!);
      await scenario.deliver(queued[1]!);
      expect(await scenario.queue({ publishWindow: 5 })).toHaveLength(2);
    });

    test("a job that is not due holds those behind it in its group, and nobody else", async () => {
      const waiting = await scenario.publish({ group: "g", dueInMs: hourMs }, { group: "g" });
      const free = await scenario.publish({ dueInMs: 2 * hourMs }, {}, { group: "h" });
      const claim = await scenario.claim();
      expect(idsOf(claim.runs).flat().toSorted()).toEqual([free[1]!, free[2]!].toSorted());
      await scenario.mark(claim.runs);
      const idle = await scenario.claim();
      expect(idle.runs).toEqual([]);
      expect(idle.nextDueAtMs).toBe(scenario.store.now() + hourMs);
      await scenario.store.advance(hourMs);
      expect(idsOf((await scenario.claim()).runs)).toEqual([waiting]);
    });

    test("a run stays within one lane", async () => {
      const moved = profileFor(subscriptionA, { poolCode: "POOL-B" as PoolCode });
      const ids = await scenario.publish({ group: "g" }, { group: "g", profile: moved });
      const runs = await scenario.queue();
      expect(idsOf(runs)).toEqual([[ids[0]!]]);
      await scenario.deliver(ids[0]!);
      expect((await scenario.claim()).runs).toMatchObject([{ lane: "POOL-B" }]);
    });

    test("held subscriptions and pools give nothing, and go on when they are released", async () => {
      const { jobCommands, now } = scenario.store;
      const ids = await scenario.publish({ group: "g" }, {});
      await jobCommands.holdSubscription(subscriptionA, true, now());
      await jobCommands.holdPool("POOL-A" as PoolCode, true, now());
      expect((await scenario.claim()).runs).toEqual([]);
      await jobCommands.holdSubscription(subscriptionA, false, now());
      expect((await scenario.claim()).runs).toEqual([]);
      let woken = 0;
      scenario.store.jobClaims.onReady(() => woken++);
      await jobCommands.holdPool("POOL-A" as PoolCode, false, now());
      expect(woken).toBeGreaterThan(0);
      expect(
        idsOf((await scenario.claim()).runs)
          .flat()
          .toSorted(),
      ).toEqual(ids.toSorted());
    });

    test("a job is EXPIRED when it is found too old, and holds its group with BLOCK_ON_ERROR", async () => {
      const block = profileFor(subscriptionB, { mode: "BLOCK_ON_ERROR" });
      const specs = [{ group: "g" }, { group: "g" }, { group: "b", profile: block }, { group: "b", profile: block }];
      const ids = await scenario.publish(...specs);
      await scenario.queue();
      // Back to PENDING, with an expiry that counts from the first publication.
      for (const id of [ids[0]!, ids[2]!]) {
        await scenario.report(id, { result: { kind: "released", dueAtMs: 0 }, attempt: null });
      }
      await scenario.store.advance(hourMs + 1);
      const claim = await scenario.claim();
      expect(claim.expired).toBe(3);
      expect(claim.runs).toEqual([]);
      expect(await scenario.statuses(ids)).toEqual(["EXPIRED", "EXPIRED", "EXPIRED", "PENDING"]);
      const held = await scenario.store.jobs.heldGroups({ limit: 10, cursor: null }, anchorScope);
      expect(held.items).toMatchObject([{ key: `${subscriptionB}:b`, reason: "GROUP_BLOCKED", headStatus: "EXPIRED" }]);
    });

    test("a pass expires no more jobs than it may give", async () => {
      const specs = Array.from({ length: 10 }, (_, n) => ({ group: n < 5 ? null : `g${n % 2}` }));
      const ids = await scenario.publish(...specs);
      await scenario.queue();
      for (const id of ids) await scenario.report(id, { result: { kind: "released", dueAtMs: 0 }, attempt: null });
      await scenario.store.advance(hourMs + 1);
      const expired: number[] = [];
      let more = true;
      while (more) {
        const claim = await scenario.claim({ maxJobs: 4 });
        expired.push(claim.expired);
        more = claim.more;
      }
      expect(Math.max(...expired)).toBeLessThanOrEqual(4);
      expect(expired.reduce((sum, one) => sum + one, 0)).toBe(10);
    });

    test("time spent held does not count towards the expiry", async () => {
      const { jobCommands, now } = scenario.store;
      const [id] = await scenario.publish({ group: "g" });
      await scenario.queue();
      const expiresAtMs = (await scenario.job(id!)).expiresAtMs!;
      expect(expiresAtMs).toBe(now() + hourMs);
      await scenario.store.advance(hourMs / 2);
      await jobCommands.holdSubscription(subscriptionA, true, now());
      await scenario.report(id!, { result: { kind: "released", dueAtMs: 0 }, attempt: null });
      await scenario.store.advance(hourMs / 2);
      // Two reasons at once count once.
      await jobCommands.holdPool("POOL-A" as PoolCode, true, now());
      await scenario.store.advance(hourMs / 2);
      await jobCommands.holdSubscription(subscriptionA, false, now());
      await scenario.store.advance(hourMs);
      expect((await scenario.job(id!)).expiresAtMs).toBe(expiresAtMs + 2 * hourMs);
      await jobCommands.holdPool("POOL-A" as PoolCode, false, now());
      expect((await scenario.job(id!)).expiresAtMs).toBe(expiresAtMs + 2 * hourMs);
      await scenario.store.advance(hourMs / 2 - 1);
      expect((await scenario.queue()).length).toBe(1);
      await scenario.report(id!, { result: { kind: "released", dueAtMs: 0 }, attempt: null });
      await scenario.store.advance(1);
      expect((await scenario.claim()).expired).toBe(1);
    });

    test("what the queue will never take has FAILED", async () => {
      const ids = await scenario.publish({ group: "g" }, { group: "h" });
      const { runs } = await scenario.claim();
      const bad = runs.find((run) => run.jobs[0]?.jobId === ids[0])!;
      await scenario.store.jobClaims.markUnpublishable(
        [{ run: bad, code: "MESSAGE_TOO_LARGE" }],
        scenario.store.now(),
        scenario.epoch,
      );
      expect(await scenario.job(ids[0]!)).toMatchObject({ status: "FAILED", lastError: "MESSAGE_TOO_LARGE" });
      expect(idsOf((await scenario.claim()).runs)).toEqual([[ids[1]!]]);
    });

    test("lost jobs go back, in order, with a new generation; younger ones stay", async () => {
      const lost = await scenario.publish({ group: "g" }, { group: "g" }, {});
      await scenario.queue();
      await scenario.store.advance(1_000);
      const kept = await scenario.publish({ group: "h" }, {});
      await scenario.queue();
      const request = { queuedBeforeMs: scenario.store.now() - 500, maxJobs: 100, nowMs: scenario.store.now() };
      expect(await scenario.store.jobClaims.recoverLost(request, scenario.epoch)).toBe(3);
      expect(await scenario.store.jobClaims.recoverLost(request, scenario.epoch)).toBe(0);
      expect(await scenario.statuses([...lost, ...kept])).toEqual([
        "PENDING",
        "PENDING",
        "PENDING",
        "QUEUED",
        "QUEUED",
      ]);
      expect(await Promise.all(lost.map(generationOf))).toEqual([2, 2, 2]);
      const runs = idsOf((await scenario.claim()).runs);
      expect(runs).toContainEqual([lost[0]!, lost[1]!]);
      expect(runs.flat()).not.toContain(kept[0]!);
    });

    test("a clock that was set back does not make newly marked jobs look lost", async () => {
      const earlier = await scenario.publish({ group: "g" }, {});
      await scenario.queue();
      const { runs } = await scenario.publish({ group: "h" }, {}).then(() => scenario.claim());
      const queuedAtMs = scenario.store.now();
      await scenario.store.jobClaims.markQueued(runs, queuedAtMs - 60_000, scenario.epoch);
      // The oldest message was published when the clock was ahead; those of the newer jobs lie behind it.
      const request = { queuedBeforeMs: queuedAtMs - 2_000, maxJobs: 100, nowMs: queuedAtMs - 50_000 };
      expect(await scenario.store.jobClaims.recoverLost(request, scenario.epoch)).toBe(0);
      await scenario.store.restart();
      const later = await scenario.publish({}, { group: "i" });
      const claim = await scenario.claim();
      await scenario.store.jobClaims.markQueued(claim.runs, queuedAtMs - 40_000, scenario.epoch);
      expect(await scenario.store.jobClaims.recoverLost(request, scenario.epoch)).toBe(0);
      expect(await scenario.statuses([...earlier, ...later])).toEqual(["QUEUED", "QUEUED", "QUEUED", "QUEUED"]);
    });

    test("a clock that was set back keeps no group waiting that was due", async () => {
      const { now, restart } = scenario.store;
      const due = await scenario.publish({ group: "g" }, { group: "g" });
      const busy = await scenario.publish({ group: "h" });
      await scenario.publish({ group: "later", dueInMs: hourMs / 2 });
      const { runs } = await scenario.claim();
      await scenario.mark(runs.filter((run) => run.jobs[0]?.jobId === busy[0]));
      const next = await scenario.publish({ group: "h" });
      const earlier = { nowMs: now() - hourMs };
      expect(idsOf((await scenario.claim(earlier)).runs)).toEqual([due]);
      await restart();
      expect(idsOf((await scenario.claim(earlier)).runs)).toEqual([due]);
      await scenario.deliver(busy[0]!);
      const again = idsOf((await scenario.claim({ nowMs: earlier.nowMs + 1 })).runs);
      expect(again).toContainEqual(due);
      await restart();
      expect(idsOf((await scenario.claim(earlier)).runs)).toContainEqual(next);
    });

    test("recovers a few at a time", async () => {
      await scenario.publish(...Array.from({ length: 7 }, () => ({})));
      await scenario.queue();
      await scenario.store.advance(1_000);
      const request = { queuedBeforeMs: scenario.store.now(), maxJobs: 3, nowMs: scenario.store.now() };
      const counts: number[] = [];
      for (let call = 0; call < 4; call++) {
        counts.push(await scenario.store.jobClaims.recoverLost(request, scenario.epoch));
      }
      expect(counts).toEqual([3, 3, 1, 0]);
    });

    test("tasks of one group in several lanes go one after another, and are counted", async () => {
      const { store } = scenario;
      const lanes = ["POOL-A", "POOL-B", "POOL-A"].map((code) => profileFor(null, { poolCode: code as PoolCode }));
      const made = await store.jobCommands.createTasks(
        lanes.map((profile) => scenario.newTask({ profile, messageGroup: "g" })),
      );
      const ids = made.map(({ job }) => job.id);
      for (const id of ids) {
        expect(idsOf(await scenario.queue())).toEqual([[id]]);
        await scenario.deliver(id);
      }
      expect(await store.jobClaims.counts()).toEqual({ pending: 0, heldGroups: 0 });
      await store.jobCommands.retry(ids[1]!, { replay: false, nowMs: store.now() }, anchorScope);
      expect((await store.jobClaims.counts()).pending).toBe(1);
    });

    test("composes what is still to be delivered", async () => {
      const ids = await scenario.publish({ group: "g", data: `{"a":1}` }, { group: "g" });
      const { runs } = await scenario.claim();
      await scenario.store.jobCommands.cancel(ids[1]!, scenario.store.now(), anchorScope);
      const deliveries = await scenario.store.jobClaims.compose(runs);
      expect([...deliveries.keys()]).toEqual([ids[0]!]);
      expect(deliveries.get(ids[0]!)).toMatchObject({ payload: `{"a":1}`, target: "https://example.com/hook" });
    });

    test("counts what is pending and what is held", async () => {
      await scenario.publish({ group: "g" }, { group: "g" }, {}, { group: "h", dueInMs: hourMs });
      await scenario.store.jobCommands.holdSubscription(subscriptionB, true, scenario.store.now());
      expect(await scenario.store.jobClaims.counts()).toEqual({ pending: 4, heldGroups: 2 });
      await scenario.queue();
      expect(await scenario.store.jobClaims.counts()).toEqual({ pending: 1, heldGroups: 2 });
    });

    test("an instance whose lease went to another is refused and changes nothing", async () => {
      const ids = await scenario.publish({ group: "g" });
      const { runs } = await scenario.claim();
      const epoch = (scenario.epoch + 1) as LeaseEpoch;
      const limits = { nowMs: scenario.store.now(), maxJobs: 1, maxBytes: 1, publishWindow: 1 };
      const refused = async (work: Promise<unknown>) =>
        isCodedError(await work.catch((error: unknown) => error), "LEASE_LOST");
      expect(await refused(scenario.store.jobClaims.claim(limits, epoch))).toBe(true);
      expect(await refused(scenario.store.jobClaims.markQueued(runs, scenario.store.now(), epoch))).toBe(true);
      expect(await scenario.statuses(ids)).toEqual(["PENDING"]);
    });
  });
}
