import { describe, expect, test } from "bun:test";
import { createSecretBox, newAppKey } from "@flowcatalyst/foundation";
import { describeDeliveryControlConformance } from "../../ports/delivery-control.conformance.ts";
import { describeSecretStoreConformance } from "../../ports/secret-store.conformance.ts";
import { noteCancelledJobs } from "./cancelled-jobs.ts";
import { createDeliveryControl, pausedSubscriptions } from "./delivery-control.ts";
import { createDispatchPoolRepository } from "./dispatch-pool-repository.ts";
import { createSecretStore } from "./secret-store.ts";
import { openTestDatabase, type TestDatabase } from "./sqlite-store.fixture.ts";
import { createSubscriptionRepository } from "./subscription-repository.ts";
import { createStoreWakes } from "./wake-signal.ts";

const setupSecrets = (store: TestDatabase, wakes = createStoreWakes()) =>
  createSecretStore({ ...store, secretBox: createSecretBox(newAppKey()), wakes });

describeSecretStoreConformance("sqlite", async () => {
  const store = openTestDatabase();
  return {
    secrets: setupSecrets(store),
    now: () => store.clock.now(),
    advance: (ms) => store.clock.advance(ms),
    rawContents: async () => JSON.stringify(store.database.statement("SELECT * FROM secrets").all()),
    close: store.close,
  };
});

describeDeliveryControlConformance("sqlite", async () => {
  const store = openTestDatabase();
  const wakes = createStoreWakes();
  const deps = { ...store, wakes };
  const secrets = setupSecrets(store, wakes);
  return {
    control: createDeliveryControl({ ...deps, secrets }),
    subscriptions: createSubscriptionRepository(deps),
    pools: createDispatchPoolRepository(deps),
    secrets,
    cancelJobs: async (ids) => {
      store.database.transaction(() => noteCancelledJobs(store.database, ids));
      wakes.control.wake();
    },
    now: () => store.clock.now(),
    advance: (ms) => store.clock.advance(ms),
    close: store.close,
  };
});

describe("sqlite secret store", () => {
  test("a row copied to another ref does not open", async () => {
    const store = openTestDatabase();
    const secrets = setupSecrets(store);
    await secrets.put("mine", "whsec_b25l", 0);
    store.database.transaction(() =>
      store.database.exec("INSERT INTO secrets SELECT 'yours', sequence, sealed, valid_until_ms FROM secrets"),
    );
    const fault = await secrets.valid("yours", 0).catch((error: unknown) => error);
    expect(fault).toMatchObject({ code: "SECRET_UNREADABLE" });
    await store.close();
  });
});

test("paused subscriptions are found without looking at the others", async () => {
  const store = openTestDatabase();
  const plan = store.database.statement<{ detail: string }>(`EXPLAIN QUERY PLAN ${pausedSubscriptions}`).all();
  expect(plan.map((row) => row.detail)).toEqual(["SCAN subscriptions USING COVERING INDEX subscriptions_paused"]);
  await store.close();
});
