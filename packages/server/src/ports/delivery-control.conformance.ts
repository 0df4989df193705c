import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { ControlState, DeliveryControl } from "./delivery-control.ts";
import { createSamples, type SampleEntities } from "./sample-entities.fixture.ts";
import type { SecretStore } from "./secret-store.ts";
import type { DispatchPoolRepository, SubscriptionRepository } from "./settings.ts";

/** Delivery control over fresh, empty settings. */
export interface DeliveryControlFixture {
  readonly control: DeliveryControl;
  readonly subscriptions: SubscriptionRepository;
  readonly pools: DispatchPoolRepository;
  readonly secrets: SecretStore;
  /** As the job store does when an operator cancels QUEUED jobs. */
  cancelJobs(keys: readonly string[]): Promise<void>;
  now(): number;
  advance(ms: number): Promise<void>;
  close(): Promise<void>;
}

const waitMs = 20_000;

export function describeDeliveryControlConformance(name: string, setup: () => Promise<DeliveryControlFixture>): void {
  describe(`${name}: delivery control`, () => {
    let fixture: DeliveryControlFixture;
    let samples: SampleEntities;
    let stop: AbortController;
    beforeEach(async () => {
      fixture = await setup();
      samples = createSamples();
      stop = new AbortController();
    });
    afterEach(() => fixture.close());
    const readNow = (): Promise<ControlState> => fixture.control.read(null, 0, stop.signal);

    /** Starts waiting for a change, makes it, and gives what the wait came to. */
    const waitFor = async (change: () => Promise<unknown>): Promise<[ControlState, ControlState]> => {
      const before = await readNow();
      const after = fixture.control.read(before.revision, waitMs, stop.signal);
      await change();
      return [before, await after];
    };

    test("tells pools, paused subscriptions and cancelled jobs", async () => {
      const pool = samples.pool();
      const paused = samples.subscription({ status: "PAUSED" });
      await fixture.pools.create(pool);
      await fixture.subscriptions.create(paused);
      await fixture.subscriptions.create(samples.subscription());
      await fixture.cancelJobs(["job_1.1", "job_2.1"]);
      const state = await readNow();
      expect(state.pools).toEqual([pool]);
      expect([...state.pausedSubscriptions]).toEqual([paused.id]);
      expect([...state.cancelledJobs].sort()).toEqual(["job_1.1", "job_2.1"]);
    });

    test("answers at once when another revision is known", async () => {
      const state = await readNow();
      expect(await fixture.control.read(state.revision - 1, waitMs, stop.signal)).toEqual(state);
    });

    test("answers when a pool changes", async () => {
      const [before, after] = await waitFor(() => fixture.pools.create(samples.pool()));
      expect(after.revision).toBeGreaterThan(before.revision);
      expect(after.pools).toHaveLength(1);
    });

    test("answers when a subscription is paused, resumed or archived", async () => {
      const active = samples.subscription();
      await fixture.subscriptions.create(active);
      const set = (status: "PAUSED" | "ACTIVE" | "ARCHIVED", version: number) =>
        waitFor(() => fixture.subscriptions.replace({ ...active, status, version }, version - 1));
      const [, paused] = await set("PAUSED", 2);
      expect([...paused.pausedSubscriptions]).toEqual([active.id]);
      const [, resumed] = await set("ACTIVE", 3);
      expect([...resumed.pausedSubscriptions]).toEqual([]);
    });

    test("answers when a secret is made, rotated or removed", async () => {
      for (const change of [
        () => fixture.secrets.put("r", "whsec_b25l", fixture.now()),
        () => fixture.secrets.put("r", "whsec_dHdv", fixture.now() + 1_000),
        () => fixture.secrets.remove("r"),
      ]) {
        const [before, after] = await waitFor(change);
        expect(after.revision).toBeGreaterThan(before.revision);
      }
    });

    test("answers when jobs are cancelled, and remembers the last 10,000", async () => {
      const ids = Array.from({ length: 10_050 }, (_, n) => `job_${n}.1`);
      const [, after] = await waitFor(() => fixture.cancelJobs(ids));
      expect(after.cancelledJobs.size).toBe(10_000);
      expect(after.cancelledJobs.has("job_10049.1")).toBe(true);
      expect(after.cancelledJobs.has("job_49.1")).toBe(false);
    });

    test("answers with the same revision when the time is over", async () => {
      const before = await readNow();
      const after = fixture.control.read(before.revision, waitMs, stop.signal);
      await fixture.advance(waitMs);
      expect(await after).toEqual(before);
    });

    test("ends early when told to stop", async () => {
      const before = await readNow();
      const after = fixture.control.read(before.revision, waitMs, stop.signal);
      stop.abort();
      expect((await after).revision).toBe(before.revision);
      expect((await fixture.control.read(before.revision, waitMs, stop.signal)).revision).toBe(before.revision);
    });

    test("gives the secrets valid now, and learns of a new one", async () => {
      expect(await fixture.control.secrets("r", stop.signal)).toEqual([]);
      await fixture.secrets.put("r", "whsec_b25l", fixture.now());
      await fixture.advance(60_000);
      expect(await fixture.control.secrets("r", stop.signal)).toEqual(["whsec_b25l"]);
      await fixture.secrets.put("r", "whsec_dHdv", fixture.now() + 1_000);
      await fixture.advance(60_000);
      expect(await fixture.control.secrets("r", stop.signal)).toEqual(["whsec_dHdv"]);
    });
  });
}
