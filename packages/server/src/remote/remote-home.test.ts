import { describe, expect, test } from "bun:test";
import { createSecretBox, FakeClock, newAppKey, seededRandom, silentLogger } from "@flowcatalyst/foundation";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeAttemptSinkConformance } from "../ports/attempt-sink.conformance.ts";
import { describeDeliveryControlConformance } from "../ports/delivery-control.conformance.ts";
import type { JobStoreFixture } from "../ports/job-scenario.fixture.ts";
import { sampleTimeMs } from "../ports/sample-entities.fixture.ts";
import { noteCancelledJobs } from "../stores/sqlite/cancelled-jobs.ts";
import { createDeliveryControl } from "../stores/sqlite/delivery-control.ts";
import { createDispatchPoolRepository } from "../stores/sqlite/dispatch-pool-repository.ts";
import { createSqliteStore, openDatabase } from "../stores/sqlite/index.ts";
import { createSecretStore } from "../stores/sqlite/secret-store.ts";
import { openTestDatabase } from "../stores/sqlite/sqlite-store.fixture.ts";
import { createSubscriptionRepository } from "../stores/sqlite/subscription-repository.ts";
import { createStoreWakes } from "../stores/sqlite/wake-signal.ts";
import { createRemoteAttemptSink, createRemoteDeliveryControl } from "./index.ts";
import { openRemotePlatform } from "./remote-platform.fixture.ts";

/** What a store does for a router in its process, it does for one behind the API: nothing is lost on the wire. */

async function setupJobs(): Promise<JobStoreFixture> {
  const directory = mkdtempSync(join(tmpdir(), "remote-jobs-"));
  const clock = new FakeClock(sampleTimeMs);
  const secretBox = createSecretBox(newAppKey());
  const logger = silentLogger();
  const open = () => {
    const database = openDatabase({ path: join(directory, "flowcatalyst.db") }, { clock, pid: process.pid });
    const deps = { database, clock, logger, secretBox, random: seededRandom(1) };
    return createSqliteStore(deps, { dedupWindowMs: 7 * 86_400_000 });
  };
  let store = open();
  const remote = openRemotePlatform({
    attemptSink: { record: (reports) => store.attemptSink.record(reports) },
    deliveryReader: { read: (references) => store.deliveryReader.read(references) },
  });
  const attemptSink = createRemoteAttemptSink({ client: remote.client, logger });
  const fixture = {
    attemptSink,
    now: () => clock.now(),
    advance: (ms: number) => clock.advance(ms),
    restart: async () => {
      await store.close();
      store = open();
    },
    close: async () => {
      await remote.close();
      await store.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
  // The store behind it is another one after a restart.
  return new Proxy(fixture, {
    get: (own, name): unknown => (name in own ? Reflect.get(own, name) : Reflect.get(store, name)),
  }) as unknown as JobStoreFixture;
}

describeAttemptSinkConformance("remote", setupJobs);

describeDeliveryControlConformance("remote", async () => {
  const store = openTestDatabase();
  const wakes = createStoreWakes();
  const deps = { ...store, wakes };
  const secrets = createSecretStore({ ...deps, secretBox: createSecretBox(newAppKey()) });
  const remote = openRemotePlatform({ control: createDeliveryControl({ ...deps, secrets }) });
  const control = createRemoteDeliveryControl({ client: remote.client });
  let open = 0;
  return {
    control: {
      read: async (...asked) => {
        open += 1;
        return control.read(...asked).finally(() => (open -= 1));
      },
      secrets: (ref, signal) => control.secrets(ref, signal),
    },
    subscriptions: createSubscriptionRepository(deps),
    pools: createDispatchPoolRepository(deps),
    secrets,
    cancelJobs: async (keys) => {
      store.database.transaction(() => noteCancelledJobs(store.database, keys));
      wakes.control.wake();
    },
    now: () => store.clock.now(),
    advance: async (ms) => {
      // A question on its way has to arrive before the time it waits for can pass.
      if (open > 0) await store.clock.whenTimers(1);
      await store.clock.advance(ms);
    },
    close: async () => {
      await remote.close();
      await store.close();
    },
  };
});

describe("a wait that the router gives up", () => {
  test("ends on the platform too", async () => {
    const remote = openRemotePlatform();
    const control = createRemoteDeliveryControl({ client: remote.client });
    const stop = new AbortController();
    const { revision } = await control.read(null, 0, stop.signal);
    const waiting = control.read(revision, 30_000, stop.signal);
    await remote.platform.clock.whenTimers(1);
    stop.abort();
    expect((await waiting).revision).toBe(revision);
    expect(remote.client.fault).toBeNull();
    await remote.close();
  });
});
