import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { isCodedError } from "@flowcatalyst/foundation";
import type { ReplayId } from "../domain/ids.ts";
import { anchorScope } from "../domain/scope.ts";
import type { LeaseEpoch } from "./lease.ts";
import { idsOf, JobScenario, profileFor, subscriptionB, type JobStoreSetup } from "./job-scenario.fixture.ts";

const hourMs = 3_600_000;
/** After this a profile nobody refers to counts as unused: a store may note uses no more than daily. */
const unusedMs = 72 * hourMs;

export function describeHousekeepingConformance(name: string, setup: JobStoreSetup): void {
  describe(`${name}: housekeeping`, () => {
    let scenario: JobScenario;
    beforeEach(async () => {
      scenario = await JobScenario.start(setup);
    });
    afterEach(() => scenario.store.close());
    const now = () => scenario.store.now();
    const drop = (beforeMs: number, maxRows = 3) =>
      scenario.store.housekeeping.dropHistory(beforeMs, maxRows, scenario.epoch);
    const untilZero = async (step: () => Promise<number>): Promise<readonly number[]> => {
      const steps: number[] = [];
      let removed: number;
      do {
        removed = await step();
        steps.push(removed);
      } while (removed > 0);
      return steps;
    };

    test("history goes in bounded steps: final jobs, then their events; open jobs and theirs stay", async () => {
      const ids = await scenario.publish(...Array.from({ length: 8 }, () => ({})), { dueInMs: 10 * hourMs });
      await scenario.queue();
      const jobs = await Promise.all(ids.map((id) => scenario.job(id)));
      for (const id of ids.slice(1, 8)) await scenario.deliver(id);
      await scenario.store.advance(hourMs);
      const recent = await scenario.publish({});
      const steps = await untilZero(() => drop(now()));
      expect(Math.max(...steps)).toBeLessThanOrEqual(3);
      expect(steps.reduce((sum, step) => sum + step, 0)).toBe(14);
      const left = await Promise.all(ids.map((id) => scenario.store.jobs.byId(id, anchorScope)));
      expect(left.map((job) => job?.status ?? null)).toEqual([
        "QUEUED",
        ...Array.from({ length: 7 }, () => null),
        "PENDING",
      ]);
      const events = await Promise.all(jobs.map((job) => scenario.store.eventReader.byId(job.eventId!, anchorScope)));
      expect(events.map((event) => event !== null)).toEqual([true, ...Array.from({ length: 7 }, () => false), true]);
      expect(await scenario.statuses(recent)).toEqual(["PENDING"]);
      expect(await scenario.store.jobs.stats(jobs[0]!.subscriptionId!)).toMatchObject({
        COMPLETED: 0,
        QUEUED: 1,
        PENDING: 2,
      });
    });

    test("what stayed because it was open goes once it is final", async () => {
      const [id] = await scenario.publish({});
      await scenario.queue();
      await scenario.store.advance(hourMs);
      expect(await untilZero(() => drop(now()))).toEqual([0]);
      await scenario.deliver(id!);
      expect(await untilZero(() => drop(now()))).toEqual([1, 1, 0]);
    });

    test("a failed job that holds its group stays for as long as it does", async () => {
      const profile = profileFor(subscriptionB, { mode: "BLOCK_ON_ERROR" });
      const ids = await scenario.publish({ group: "g", profile }, { group: "g", profile });
      await scenario.queue();
      await scenario.fail(ids[0]!);
      await scenario.store.advance(hourMs);
      expect(await untilZero(() => drop(now()))).toEqual([0]);
      const key = `${subscriptionB}:g`;
      const held = await scenario.store.jobCommands.unblock(key, "skip", now(), anchorScope);
      expect(held).toMatchObject({ reason: "GROUP_BLOCKED", headJobId: ids[0]! });
      expect(idsOf(await scenario.queue())).toEqual([[ids[1]!]]);
      expect(await untilZero(() => drop(now()))).toEqual([1, 1, 0]);
    });

    test("a group that an archived subscription has left blocked keeps nothing", async () => {
      const gone = scenario.samples.subscription({ leaseExpiresAtMs: now() + 60_000, mode: "BLOCK_ON_ERROR" });
      await scenario.store.subscriptions.create(gone);
      const profile = profileFor(gone.id, { mode: "BLOCK_ON_ERROR" });
      const ids = await scenario.publish({ group: "g", profile }, { group: "g", profile });
      await scenario.queue();
      await scenario.fail(ids[0]!);
      await scenario.store.advance(hourMs);
      await untilZero(() => scenario.store.housekeeping.archiveExpiredSubscriptions(now(), scenario.epoch));
      await untilZero(() => drop(now()));
      expect(await scenario.store.jobs.byId(ids[0]!, anchorScope)).toBeNull();
      const held = await scenario.store.jobs.heldGroups({ limit: 10, cursor: null }, anchorScope);
      expect(held.items).toEqual([]);
    });

    test("what a clock that was ahead has stamped does not keep what is old behind it", async () => {
      const [ahead, ...old] = await scenario.newJobs([{}, {}, {}, {}]);
      await scenario.append([{ ...ahead!, createdAtMs: now() + 100 * hourMs }, ...old]);
      await scenario.queue();
      for (const job of [ahead!, ...old]) await scenario.deliver(job.id);
      await scenario.store.advance(hourMs);
      await untilZero(() => drop(now()));
      const left = await Promise.all([ahead!, ...old].map((job) => scenario.store.jobs.byId(job.id, anchorScope)));
      expect(left.map((job) => job !== null)).toEqual([true, false, false, false]);
      const events = await Promise.all(old.map((job) => scenario.store.eventReader.byId(job.eventId, anchorScope)));
      expect(events).toEqual([null, null, null]);
    });

    test("events the stream has not passed stay", async () => {
      const [event] = await scenario.store.events.append([scenario.samples.event({ createdAtMs: now() })]);
      await scenario.store.advance(hourMs);
      expect(await untilZero(() => drop(now()))).toEqual([0]);
      expect(await scenario.store.eventReader.byId(event!.event.id, anchorScope)).not.toBeNull();
    });

    test("an event made again under a key whose first one was dropped is a new event", async () => {
      const event = scenario.samples.event({ deduplicationId: "d", createdAtMs: now() });
      const [first] = await scenario.store.events.append([event]);
      await scenario.append([scenario.jobOf(first!.event, {})]);
      await scenario.queue();
      await scenario.deliver(
        (await scenario.store.jobs.byEvent(event.id, { limit: 1, cursor: null }, anchorScope)).items[0]!.id,
      );
      await scenario.store.advance(hourMs);
      await untilZero(() => drop(now()));
      const [again] = await scenario.store.events.append([scenario.samples.event({ deduplicationId: "d" })]);
      expect(again!.kind).toBe("created");
    });

    test("positions of jobs go on after all of them were dropped", async () => {
      const first = await scenario.publish({ group: "g" });
      await scenario.queue();
      const { position } = await scenario.job(first[0]!);
      await scenario.deliver(first[0]!);
      await scenario.store.advance(hourMs);
      await untilZero(() => drop(now()));
      const second = await scenario.publish({ group: "g" });
      expect((await scenario.job(second[0]!)).position).toBeGreaterThan(position);
      expect(idsOf(await scenario.queue())).toEqual([second]);
    });

    test("groups that have nothing go, others stay", async () => {
      const ids = await scenario.publish(
        { group: "idle" },
        { group: "waiting", dueInMs: 10 * hourMs },
        { group: "busy" },
        { group: "blocked", profile: profileFor(subscriptionB, { mode: "BLOCK_ON_ERROR" }) },
        { group: "newest" },
      );
      await scenario.queue();
      await scenario.deliver(ids[0]!);
      await scenario.fail(ids[3]!);
      await scenario.deliver(ids[4]!);
      await scenario.store.advance(1);
      const { housekeeping } = scenario.store;
      expect(await housekeeping.dropIdleGroups(now() - hourMs, 10, scenario.epoch)).toBe(0);
      await untilZero(() => housekeeping.dropIdleGroups(now(), 10, scenario.epoch));
      const next = await scenario.publish({ group: "idle" }, { group: "busy" });
      expect(idsOf(await scenario.queue())).toEqual([[next[0]!]]);
      await scenario.deliver(ids[2]!);
      expect(idsOf(await scenario.queue())).toEqual([[next[1]!]]);
      const held = await scenario.store.jobs.heldGroups({ limit: 10, cursor: null }, anchorScope);
      expect(held.items.map((group) => group.reason)).toEqual(["SCHEDULED", "GROUP_BLOCKED"]);
    });

    test("profiles no job refers to go, in steps; one that is used again is made again", async () => {
      const profiles = [1, 2, 3, 4].map((timeoutSeconds) => profileFor(subscriptionB, { timeoutSeconds }));
      const ids = await scenario.publish(...profiles.map((profile) => ({ profile })));
      await scenario.queue();
      for (const id of ids.slice(0, 3)) await scenario.deliver(id);
      await scenario.store.advance(unusedMs);
      await untilZero(() => drop(now()));
      const step = () => scenario.store.housekeeping.dropUnusedProfiles(2, scenario.epoch);
      expect(await untilZero(step)).toEqual([2, 1, 0]);
      expect(await scenario.store.jobAppender.profiles(profiles.map((one) => one.key))).toEqual([profiles[3]!]);
      const again = await scenario.publish({ profile: profiles[0]! });
      expect((await scenario.job(again[0]!)).profile).toEqual(profiles[0]!);
    });

    test("profiles a half-done event has frozen stay", async () => {
      const profile = profileFor(subscriptionB);
      const from = await scenario.store.jobAppender.checkpoint();
      const to = { ...from, ordinal: 1, frozenProfileKeys: [profile.key] };
      expect(await scenario.append([], { from, to, frozenProfiles: [profile] })).toBe(true);
      await scenario.store.advance(unusedMs);
      expect(await scenario.store.housekeeping.dropUnusedProfiles(10, scenario.epoch)).toBe(0);
      expect(await scenario.store.jobAppender.profiles([profile.key])).toEqual([profile]);
    });

    test("temporary subscriptions past their lease are archived, and what they had pending is cancelled", async () => {
      const gone = scenario.samples.subscription({ leaseExpiresAtMs: now() + 60_000 });
      const kept = scenario.samples.subscription({ leaseExpiresAtMs: now() + 60_002 });
      for (const subscription of [gone, kept]) await scenario.store.subscriptions.create(subscription);
      const ids = await scenario.publish(
        { profile: profileFor(gone.id) },
        { profile: profileFor(kept.id), group: "g" },
      );
      await scenario.store.advance(60_001);
      const archive = () => scenario.store.housekeeping.archiveExpiredSubscriptions(now(), scenario.epoch);
      expect(await untilZero(archive)).toEqual([1, 0]);
      const read = await scenario.store.subscriptions.byId(gone.id, anchorScope);
      expect(read).toMatchObject({ status: "ARCHIVED", version: gone.version + 1 });
      expect((await scenario.store.subscriptions.byId(kept.id, anchorScope))?.status).toBe("ACTIVE");
      expect(await scenario.statuses(ids)).toEqual(["CANCELLED", "PENDING"]);
    });

    test("an archived subscription goes when it is old and nothing of it is left", async () => {
      const { subscriptions, housekeeping } = scenario.store;
      const archived = { status: "ARCHIVED", updatedAtMs: now() } as const;
      const [unused, used, live] = [
        scenario.samples.subscription(archived),
        scenario.samples.subscription(archived),
        scenario.samples.subscription({ updatedAtMs: now() }),
      ];
      for (const one of [unused, used, live]) await subscriptions.create(one);
      const ids = await scenario.publish({ profile: profileFor(used.id), group: "g" }, { group: "newest" });
      await scenario.queue();
      for (const id of ids) await scenario.deliver(id);
      const dropArchived = () => housekeeping.dropArchived(now(), 1, scenario.epoch);
      expect(await dropArchived()).toBe(0);
      await scenario.store.advance(hourMs);
      expect(await untilZero(dropArchived)).toEqual([1, 0]);
      await untilZero(() => drop(now()));
      await untilZero(() => housekeeping.dropIdleGroups(now(), 10, scenario.epoch));
      expect(await untilZero(dropArchived)).toEqual([1, 0]);
      const left = await Promise.all([unused, used, live].map((one) => subscriptions.byId(one.id, anchorScope)));
      expect(left.map((one) => one !== null)).toEqual([false, false, true]);
      const again = await scenario.publish({ profile: profileFor(live.id), group: "g" });
      expect(idsOf(await scenario.queue())).toEqual([again]);
    });

    test("replays go when they ended long ago", async () => {
      const { replays, housekeeping } = scenario.store;
      const times = { total: 0, done: 0, jobsPerSecond: 1, createdAtMs: now(), updatedAtMs: now() };
      const statuses = ["RUNNING", "COMPLETED", "CANCELLED"] as const;
      for (const status of statuses) {
        await replays.create(
          { id: `rpl_${status}` as ReplayId, filter: { statuses: [] }, status, ...times },
          anchorScope,
        );
      }
      await scenario.store.advance(hourMs);
      expect(await untilZero(() => housekeeping.dropArchived(now(), 10, scenario.epoch))).toEqual([2, 0]);
      const left = await replays.list({ limit: 10, cursor: null }, anchorScope);
      expect(left.items.map((replay) => replay.status)).toEqual(["RUNNING"]);
    });

    test("what an archived subscription had with a router is cancelled when it comes back", async () => {
      const gone = scenario.samples.subscription({ leaseExpiresAtMs: now() + 60_000 });
      await scenario.store.subscriptions.create(gone);
      const ids = await scenario.publish({ profile: profileFor(gone.id) });
      await scenario.queue();
      await scenario.store.advance(60_001);
      const archive = () => scenario.store.housekeeping.archiveExpiredSubscriptions(now(), scenario.epoch);
      await untilZero(archive);
      await scenario.report(ids[0]!, { result: { kind: "released", dueAtMs: 0 }, attempt: null });
      expect((await scenario.claim()).runs).toEqual([]);
      expect(await untilZero(archive)).toEqual([1, 0]);
      expect(await scenario.statuses(ids)).toEqual(["CANCELLED"]);
    });

    test("a crash while an archived subscription's jobs are being cancelled leaves none of them behind", async () => {
      const gone = scenario.samples.subscription({ leaseExpiresAtMs: null });
      await scenario.store.subscriptions.create(gone);
      const specs = Array.from({ length: 6 }, (_, n) => ({ profile: profileFor(gone.id), group: `g${n % 3}` }));
      const ids = await scenario.publish(...specs);
      const archived = { ...gone, status: "ARCHIVED" as const, version: gone.version + 1 };
      expect(await scenario.store.subscriptions.replace(archived, gone.version)).toMatchObject({ kind: "updated" });
      // Before the hold, and again when some of its jobs are cancelled.
      await scenario.store.restart();
      expect((await scenario.claim()).runs).toEqual([]);
      expect(await scenario.store.jobCommands.cancelPendingOf(gone.id, 2, now())).toBe(2);
      await scenario.store.restart();
      const archive = () => scenario.store.housekeeping.archiveExpiredSubscriptions(now(), scenario.epoch);
      expect(await untilZero(archive)).toEqual([1, 0]);
      expect(await scenario.statuses(ids)).toEqual(ids.map(() => "CANCELLED"));
    });

    test("nothing of a temporary subscription goes out between its end and its last cancelled job", async () => {
      const gone = scenario.samples.subscription({ leaseExpiresAtMs: now() + 60_000 });
      await scenario.store.subscriptions.create(gone);
      const ids = await scenario.publish({ profile: profileFor(gone.id) }, { profile: profileFor(gone.id) });
      await scenario.store.advance(60_001);
      const archiving = scenario.store.housekeeping.archiveExpiredSubscriptions(now(), scenario.epoch);
      while ((await scenario.store.subscriptions.byId(gone.id, anchorScope))?.status !== "ARCHIVED");
      expect((await scenario.claim()).runs).toEqual([]);
      await archiving;
      expect(await scenario.statuses(ids)).toEqual(["CANCELLED", "CANCELLED"]);
    });

    test("a holder whose lease went to another removes nothing", async () => {
      const epoch = (scenario.epoch + 1) as LeaseEpoch;
      const { housekeeping } = scenario.store;
      await scenario.publish({});
      const works = [
        housekeeping.dropHistory(now(), 1, epoch),
        housekeeping.expireDeduplication(now(), 1, epoch),
        housekeeping.expireIdempotencyKeys(now(), 1, epoch),
        housekeeping.archiveExpiredSubscriptions(now(), epoch),
        housekeeping.dropArchived(now(), 1, epoch),
      ];
      const errors = await Promise.all(works.map((work) => work.catch((error: unknown) => error)));
      for (const error of errors) expect(isCodedError(error, "LEASE_LOST")).toBe(true);
    });
  });
}
