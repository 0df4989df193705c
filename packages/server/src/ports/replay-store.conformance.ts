import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { JobId, ReplayId } from "../domain/ids.ts";
import { anchorScope, type Scope } from "../domain/scope.ts";
import type { Replay, ReplayFilter } from "./job-store.ts";
import { JobScenario, profileFor, subscriptionB, type JobStoreSetup } from "./job-scenario.fixture.ts";
import { clientA, clientB } from "./sample-entities.fixture.ts";

const scopeA: Scope = { kind: "client", clientId: clientA };
const scopeB: Scope = { kind: "client", clientId: clientB };
const firstPage = { limit: 100, cursor: null } as const;

export function describeReplayStoreConformance(name: string, setup: JobStoreSetup): void {
  describe(`${name}: replays`, () => {
    let scenario: JobScenario;
    beforeEach(async () => {
      scenario = await JobScenario.start(setup);
    });
    afterEach(() => scenario.store.close());
    let counter = 0;
    const newReplay = (filter: ReplayFilter, total: number): Replay => ({
      id: `rpl_${(++counter).toString().padStart(13, "0")}` as ReplayId,
      filter,
      total,
      done: 0,
      status: "RUNNING",
      jobsPerSecond: 100,
      createdAtMs: scenario.store.now(),
      updatedAtMs: scenario.store.now(),
    });
    /** Five jobs: FAILED, COMPLETED, FAILED of another client, FAILED of another subscription and type, QUEUED. */
    const ended = async (): Promise<readonly JobId[]> => {
      const ids = await scenario.publish(
        { clientId: clientA },
        {},
        { clientId: clientB },
        { profile: profileFor(subscriptionB), type: "order.paid" },
        {},
      );
      await scenario.queue();
      for (const id of [ids[0]!, ids[2]!, ids[3]!]) await scenario.fail(id);
      await scenario.deliver(ids[1]!);
      return ids;
    };
    const failed: ReplayFilter = { statuses: ["FAILED", "EXPIRED"] };

    test("counts by status, subscription, type, time and scope", async () => {
      await ended();
      const { replays } = scenario.store;
      expect(await replays.count(failed, anchorScope)).toBe(3);
      expect(await replays.count({ statuses: ["COMPLETED"] }, anchorScope)).toBe(1);
      expect(await replays.count({ ...failed, subscriptionId: subscriptionB }, anchorScope)).toBe(1);
      expect(await replays.count({ ...failed, eventType: "order.paid" }, anchorScope)).toBe(1);
      expect(await replays.count({ ...failed, createdAfterMs: scenario.store.now() + 1 }, anchorScope)).toBe(0);
      expect(await replays.count({ ...failed, createdBeforeMs: scenario.store.now() + 1 }, anchorScope)).toBe(3);
      expect(await replays.count(failed, scopeA)).toBe(1);
    });

    test("retries in order of position, in steps that survive a restart", async () => {
      const ids = await ended();
      const replay = newReplay(failed, 3);
      await scenario.store.replays.create(replay, anchorScope);
      expect(await scenario.store.replays.advance(replay.id, 2, scenario.store.now())).toMatchObject({
        done: 2,
        status: "RUNNING",
      });
      expect(await scenario.statuses(ids)).toEqual(["PENDING", "COMPLETED", "PENDING", "FAILED", "QUEUED"]);
      await scenario.store.restart();
      expect(await scenario.store.replays.running()).toMatchObject([{ id: replay.id, done: 2, filter: failed }]);
      await scenario.store.replays.advance(replay.id, 2, scenario.store.now());
      expect(await scenario.store.replays.byId(replay.id, anchorScope)).toMatchObject({ done: 3, status: "COMPLETED" });
      expect(await scenario.statuses(ids)).toEqual(["PENDING", "COMPLETED", "PENDING", "PENDING", "QUEUED"]);
      expect((await scenario.job(ids[3]!)).replayCount).toBe(1);
      expect(await scenario.store.replays.running()).toEqual([]);
    });

    test("does not touch jobs that were made after it", async () => {
      await ended();
      const replay = newReplay(failed, 3);
      await scenario.store.replays.create(replay, anchorScope);
      const [later] = await scenario.publish({});
      await scenario.queue();
      await scenario.fail(later!);
      for (let step = 0; step < 5; step++) await scenario.store.replays.advance(replay.id, 2, scenario.store.now());
      expect((await scenario.job(later!)).status).toBe("FAILED");
    });

    test("a tenant's replay touches its own jobs only", async () => {
      const ids = await ended();
      const replay = newReplay(failed, 1);
      await scenario.store.replays.create(replay, scopeB);
      await scenario.store.replays.advance(replay.id, 10, scenario.store.now());
      expect(await scenario.statuses(ids)).toEqual(["FAILED", "COMPLETED", "PENDING", "FAILED", "QUEUED"]);
      expect(await scenario.store.replays.byId(replay.id, scopeA)).toBeNull();
      expect(await scenario.store.replays.byId(replay.id, scopeB)).toMatchObject({ done: 1 });
    });

    test("a cancelled one stops", async () => {
      await ended();
      const replay = newReplay(failed, 3);
      await scenario.store.replays.create(replay, anchorScope);
      expect(await scenario.store.replays.cancel(replay.id, scenario.store.now())).toMatchObject({
        status: "CANCELLED",
      });
      expect(await scenario.store.replays.advance(replay.id, 10, scenario.store.now())).toMatchObject({
        done: 0,
        status: "CANCELLED",
      });
      expect(await scenario.store.replays.cancel("rpl_none" as ReplayId, 0)).toBeNull();
    });

    test("are listed, newest first, within the scope", async () => {
      const replays = [newReplay(failed, 1), newReplay(failed, 2), newReplay(failed, 3)];
      await scenario.store.replays.create(replays[0]!, anchorScope);
      await scenario.store.replays.create(replays[1]!, scopeA);
      await scenario.store.replays.create(replays[2]!, anchorScope);
      const first = await scenario.store.replays.list({ limit: 2, cursor: null }, anchorScope);
      expect(first.items.map((replay) => replay.id)).toEqual([replays[2]!.id, replays[1]!.id]);
      const second = await scenario.store.replays.list({ limit: 2, cursor: first.nextCursor }, anchorScope);
      expect(second.items.map((replay) => replay.id)).toEqual([replays[0]!.id]);
      expect(second.nextCursor).toBeNull();
      expect((await scenario.store.replays.list(firstPage, scopeA)).items.map((one) => one.id)).toEqual([
        replays[1]!.id,
      ]);
    });
  });
}
