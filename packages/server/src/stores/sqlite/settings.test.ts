import { describeSettingsConformance } from "../../ports/settings.conformance.ts";
import { createDispatchPoolRepository } from "./dispatch-pool-repository.ts";
import { createEventTypeRepository } from "./event-type-repository.ts";
import { openTestDatabase } from "./sqlite-store.fixture.ts";
import { createSubscriptionReader, createSubscriptionRepository } from "./subscription-repository.ts";
import { createStoreWakes } from "./wake-signal.ts";

describeSettingsConformance("sqlite", async () => {
  const store = openTestDatabase();
  const deps = { database: store.database, wakes: createStoreWakes() };
  return {
    subscriptions: createSubscriptionRepository(deps),
    subscriptionReader: createSubscriptionReader(store.database),
    pools: createDispatchPoolRepository(deps),
    eventTypes: createEventTypeRepository(store.database),
    close: store.close,
  };
});
