import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { EventPosition } from "../domain/ids.ts";
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

export function describeJobAppenderConformance(name: string, setup: JobStoreSetup): void {
  describe(`${name}: job appender`, () => {
    let scenario: JobScenario;
    beforeEach(async () => {
      scenario = await JobScenario.start(setup);
    });
    afterEach(() => scenario.store.close());

    test("starts at the beginning of the log", async () => {
      expect(await scenario.store.jobAppender.checkpoint()).toEqual({
        position: 0 as EventPosition,
        ordinal: 0,
        frozenProfileKeys: [],
      });
    });

    test("jobs and checkpoint are written together", async () => {
      const [job] = await scenario.newJobs([{ group: "g", dueInMs: 0 }]);
      const from = await scenario.store.jobAppender.checkpoint();
      const to = { position: job!.eventPosition, ordinal: 2, frozenProfileKeys: ["a", "b"] };
      expect(await scenario.append([job!], { from, to })).toBe(true);
      expect(await scenario.store.jobAppender.checkpoint()).toEqual(to);
      expect(await scenario.job(job!.id)).toMatchObject({
        kind: "EVENT",
        status: "PENDING",
        generation: 1,
        attemptCount: 0,
        eventId: job!.eventId,
        subscriptionId: subscriptionA,
        code: "order.created",
        groupKey: job!.groupKey,
        profile: job!.profile,
        expiresAtMs: null,
        payloadBytes: job!.payloadBytes,
      });
    });

    test("a pass that starts elsewhere than where the store stands writes nothing", async () => {
      const jobs = await scenario.newJobs([{}, {}]);
      const from = await scenario.store.jobAppender.checkpoint();
      expect(await scenario.append([jobs[0]!])).toBe(true);
      // The same pass once more, as an instance would that was thought dead.
      expect(await scenario.append([jobs[0]!], { from })).toBe(false);
      const there = await scenario.store.jobAppender.checkpoint();
      expect(await scenario.append([jobs[1]!], { from: { ...there, ordinal: 1 } })).toBe(false);
      expect(await scenario.store.jobs.byId(jobs[1]!.id, anchorScope)).toBeNull();
      expect(await scenario.store.jobAppender.checkpoint()).toEqual(there);
    });

    test("a holder whose lease went to another writes nothing", async () => {
      const jobs = await scenario.newJobs([{}]);
      const epoch = (scenario.epoch + 1_000) as LeaseEpoch;
      expect(await scenario.append(jobs, { epoch })).toBe(false);
      expect(await scenario.store.jobs.byId(jobs[0]!.id, anchorScope)).toBeNull();
    });

    test("one event may span passes: its frozen profiles are found again", async () => {
      const profiles = [profileFor(subscriptionA), profileFor(subscriptionB)];
      const [event] = await scenario.store.events.append([scenario.samples.event()]);
      const from = await scenario.store.jobAppender.checkpoint();
      const half = { position: 0 as EventPosition, ordinal: 1, frozenProfileKeys: profiles.map((one) => one.key) };
      const first = scenario.jobOf(event!.event, { profile: profiles[0]! });
      expect(await scenario.append([first], { from, to: half, frozenProfiles: [profiles[1]!] })).toBe(true);
      await scenario.store.restart();
      const found = await scenario.store.jobAppender.profiles(half.frozenProfileKeys);
      expect(found).toEqual(profiles);
      const second = scenario.jobOf(event!.event, { profile: found[1]! });
      expect(await scenario.append([second], { from: half })).toBe(true);
      const page = await scenario.store.jobs.byEvent(event!.event.id, { limit: 10, cursor: null }, anchorScope);
      expect(page.items.map((job) => job.id)).toEqual([first.id, second.id]);
    });

    test("sets poison events aside", async () => {
      const [job] = await scenario.newJobs([{}]);
      const poison = [
        { position: job!.eventPosition, eventId: job!.eventId, reason: "too deep", atMs: scenario.store.now() },
      ];
      const from = await scenario.store.jobAppender.checkpoint();
      const to = { position: job!.eventPosition, ordinal: 0, frozenProfileKeys: [] };
      expect(await scenario.append([], { poison, from, to })).toBe(true);
      expect((await scenario.store.jobAppender.checkpoint()).position).toBe(job!.eventPosition);
      expect(await scenario.store.jobAppender.poisonAt(job!.eventPosition)).toEqual(poison[0]!);
      expect(await scenario.store.jobAppender.poisonAt((job!.eventPosition + 1) as EventPosition)).toBeNull();
    });

    test("jobs of a subscription that is held come in held", async () => {
      await scenario.store.jobCommands.holdSubscription(subscriptionA, true, scenario.store.now());
      await scenario.publish({ group: "g" }, {}, { profile: profileFor(subscriptionB) });
      expect((await scenario.claim()).runs).toHaveLength(1);
      await scenario.store.jobCommands.holdSubscription(subscriptionA, false, scenario.store.now());
      expect((await scenario.claim()).runs).toHaveLength(3);
    });

    test("a later job goes behind the ones its group has", async () => {
      const first = await scenario.publish({ group: "g" });
      const second = await scenario.publish({ group: "g" }, { group: "h" });
      const runs = idsOf((await scenario.claim()).runs);
      expect(runs).toContainEqual([first[0]!, second[0]!]);
      expect(runs).toContainEqual([second[1]!]);
    });

    test("wakes the scheduler", async () => {
      let woken = 0;
      const unsubscribe = scenario.store.jobClaims.onReady(() => woken++);
      await scenario.publish({ group: "g" });
      expect(woken).toBeGreaterThan(0);
      unsubscribe();
      const before = woken;
      await scenario.publish({ group: "h" });
      expect(woken).toBe(before);
    });
  });
}
