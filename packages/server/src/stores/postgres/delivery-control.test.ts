import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createSecretBox, newAppKey } from "@flowcatalyst/foundation";
import { adHoc } from "../../postgres/statement.ts";
import { describeWithPostgres } from "../../postgres/test-database.fixture.ts";
import { describeDeliveryControlConformance } from "../../ports/delivery-control.conformance.ts";
import { createSamples } from "../../ports/sample-entities.fixture.ts";
import { describeSecretStoreConformance } from "../../ports/secret-store.conformance.ts";
import { cancelledJobsKept, noteCancelledJobs } from "./cancelled-jobs.ts";
import { createDeliveryControl, deliveryControlLimits } from "./delivery-control.ts";
import { createDispatchPoolRepository } from "./dispatch-pool-repository.ts";
import { openTestStore, type TestStoreDatabase } from "./postgres-store.fixture.ts";
import { createSecretStore } from "./secret-store.ts";
import { createSubscriptionRepository } from "./subscription-repository.ts";
import { createStoreWakes } from "./wake-signal.ts";

const secretBox = createSecretBox(newAppKey());

/** What one process has of it. */
function controlOf(store: TestStoreDatabase, database = store.database) {
  const wakes = createStoreWakes(database);
  const deps = { database, clock: store.clock, wakes, secretBox };
  const secrets = createSecretStore(deps);
  return {
    control: createDeliveryControl({ ...deps, secrets }),
    subscriptions: createSubscriptionRepository(deps),
    pools: createDispatchPoolRepository(deps),
    secrets,
    cancelJobs: async (keys: readonly string[]) => {
      await database.transaction((session) => noteCancelledJobs(session, keys));
      wakes.control.wake();
    },
  };
}

describeWithPostgres("postgres delivery control", () => {
  describeSecretStoreConformance("postgres", async () => {
    const store = await openTestStore();
    return {
      secrets: controlOf(store).secrets,
      now: () => store.clock.now(),
      advance: store.advance,
      rawContents: async () => JSON.stringify(await store.database.query(adHoc("SELECT * FROM secrets"), [])),
      close: store.close,
    };
  });

  describeDeliveryControlConformance("postgres", async () => {
    const store = await openTestStore();
    return { ...controlOf(store), now: () => store.clock.now(), advance: store.advance, close: store.close };
  });

  describe("several instances", () => {
    let store: TestStoreDatabase;
    const stop = new AbortController();
    beforeEach(async () => {
      store = await openTestStore();
    });
    afterEach(() => store.close());

    test("a wait at one learns of a change at another at once", async () => {
      const [here, there] = [controlOf(store), controlOf(store, store.open())];
      const before = await here.control.read(null, 0, stop.signal);
      const after = here.control.read(before.revision, 20_000, stop.signal);
      await there.secrets.put("r", "whsec_b25l", store.clock.now());
      expect((await after).revision).toBe(before.revision + 1);
      expect(await here.control.secrets("r", stop.signal)).toEqual(["whsec_b25l"]);
    });

    test("a change whose wake-up was lost is learnt of by looking", async () => {
      const { control } = controlOf(store);
      const before = await control.read(null, 0, stop.signal);
      const after = control.read(before.revision, 20_000, stop.signal);
      // Its end, and the next look.
      await store.clock.whenTimers(2);
      await store.open().transaction((session) => noteCancelledJobs(session, ["job_1.1"]));
      await store.clock.advance(deliveryControlLimits.pollIntervalMs);
      expect([...(await after).cancelledJobs]).toEqual(["job_1.1"]);
    });

    test("rotations at once keep every secret that still signs", async () => {
      const [here, there] = [controlOf(store), controlOf(store, store.open())];
      await Promise.all(
        [here, there, here, there].map(({ secrets }, n) =>
          secrets.put("r", `whsec_${Buffer.from(`secret ${n}`).toString("base64")}`, store.clock.now() + 1_000),
        ),
      );
      expect(await here.secrets.valid("r", store.clock.now())).toHaveLength(4);
      await store.clock.advance(1_000);
      expect(await there.secrets.valid("r", store.clock.now())).toHaveLength(1);
    });

    test("cancellations at once are all noted, and no more are kept than needed", async () => {
      const [here, there] = [controlOf(store), controlOf(store, store.open())];
      const keys = (from: number) => Array.from({ length: 3_000 }, (_, n) => `job_${from + n}.1`);
      await Promise.all([0, 1, 2, 3].map((n) => (n % 2 === 0 ? here : there).cancelJobs(keys(n * 3_000))));
      const state = await here.control.read(null, 0, stop.signal);
      expect(state.cancelledJobs.size).toBe(cancelledJobsKept);
    });

    test("a row copied to another ref does not open", async () => {
      const { secrets } = controlOf(store);
      await secrets.put("mine", "whsec_b25l", 0);
      await store.database.run(
        adHoc("INSERT INTO secrets SELECT 'yours', sequence, sealed, valid_until_ms FROM secrets"),
        [],
      );
      const fault = await secrets.valid("yours", 0).catch((error: unknown) => error);
      expect(fault).toMatchObject({ code: "SECRET_UNREADABLE" });
    });

    test("names exactly what is paused and suspended, whoever changed it", async () => {
      const [here, there] = [controlOf(store), controlOf(store, store.open())];
      const samples = createSamples();
      const [paused, pool] = [samples.subscription({ status: "PAUSED" }), samples.pool({ status: "SUSPENDED" })];
      await Promise.all([here.subscriptions.create(paused), there.pools.create(pool)]);
      const state = await there.control.read(null, 0, stop.signal);
      expect([...state.pausedSubscriptions]).toEqual([paused.id]);
      expect(state.pools).toEqual([pool]);
    });
  });
});
