import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { adHoc } from "../../postgres/statement.ts";
import { describeWithPostgres } from "../../postgres/test-database.fixture.ts";
import type { PoolCode } from "../../domain/ids.ts";
import { anchorScope } from "../../domain/scope.ts";
import { createSamples } from "../../ports/sample-entities.fixture.ts";
import { describeSettingsConformance } from "../../ports/settings.conformance.ts";
import { createDispatchPoolRepository } from "./dispatch-pool-repository.ts";
import { createEventTypeRepository } from "./event-type-repository.ts";
import { openTestStore, type TestStoreDatabase } from "./postgres-store.fixture.ts";
import { createSubscriptionReader, createSubscriptionRepository } from "./subscription-repository.ts";
import { createStoreWakes } from "./wake-signal.ts";

/** The repositories of one process. */
function settingsOf(store: TestStoreDatabase, database = store.database) {
  const deps = { database, clock: store.clock, wakes: createStoreWakes(database) };
  return {
    subscriptions: createSubscriptionRepository(deps),
    subscriptionReader: createSubscriptionReader(database),
    pools: createDispatchPoolRepository(deps),
    eventTypes: createEventTypeRepository(database),
  };
}

describeWithPostgres("postgres settings", () => {
  describeSettingsConformance("postgres", async () => {
    const store = await openTestStore();
    return { ...settingsOf(store), close: store.close };
  });

  describe("several instances", () => {
    let store: TestStoreDatabase;
    beforeEach(async () => {
      store = await openTestStore();
    });
    afterEach(() => store.close());
    const both = () => [settingsOf(store), settingsOf(store, store.open())] as const;
    const feeds = () =>
      store.database.query(
        adHoc<{ key: string; held: boolean }>(
          "SELECT key, held_since IS NOT NULL AS held FROM job_feeds WHERE paused OR pool_held OR key LIKE 'sub_%'",
        ),
        [],
      );

    test("that take one code at the same moment: one gets it, the others learn whose it is", async () => {
      const [one, two] = both();
      const samples = createSamples();
      for (let round = 0; round < 10; round++) {
        const results = await Promise.all(
          [one, two, one, two].map(({ subscriptions }) =>
            subscriptions.create(samples.subscription({ code: `code ${round}` })),
          ),
        );
        const created = results.flatMap((result) => (result.kind === "created" ? [result.entity] : []));
        expect(created).toHaveLength(1);
        const taken = { kind: "duplicate" as const, field: "code", existing: created[0]! };
        expect(results.filter((result) => result.kind === "duplicate")).toEqual([taken, taken, taken]);
      }
    });

    test("that rename to one name at the same moment: one does", async () => {
      const [one, two] = both();
      const samples = createSamples();
      for (let round = 0; round < 10; round++) {
        const [a, b] = [samples.subscription(), samples.subscription()];
        await one.subscriptions.create(a);
        await one.subscriptions.create(b);
        const results = await Promise.all([
          one.subscriptions.replace({ ...a, name: `name ${round}`, version: 2 }, 1),
          two.subscriptions.replace({ ...b, name: `name ${round}`, version: 2 }, 1),
        ]);
        expect(results.map((result) => result.kind).sort()).toEqual(["duplicate", "updated"]);
      }
    });

    test("that remove a pool and subscribe to it at the same moment: one waits for the other", async () => {
      const [one, two] = both();
      const samples = createSamples();
      for (let round = 0; round < 10; round++) {
        const pool = samples.pool();
        await one.pools.create(pool);
        const [removed] = await Promise.all([
          one.pools.remove(pool.id),
          two.subscriptions.create(samples.subscription({ poolCode: pool.code })),
        ]);
        const left = await one.pools.byId(pool.id, anchorScope);
        expect(left === null).toBe(removed === "removed");
      }
    });

    test("an id that is taken is a duplicate, of whatever kind", async () => {
      const [{ pools, subscriptions, eventTypes }] = both();
      const samples = createSamples();
      const [pool, subscription, type] = [samples.pool(), samples.subscription(), samples.eventType()];
      await pools.create(pool);
      await subscriptions.create(subscription);
      await eventTypes.create(type);
      const again = { kind: "duplicate" as const, field: "id" };
      expect(await pools.create({ ...samples.pool(), id: pool.id })).toEqual({ ...again, existing: pool });
      expect(await pools.create(pool)).toEqual({ ...again, existing: pool });
      const sameSubscription = { ...samples.subscription(), id: subscription.id };
      expect(await subscriptions.create(sameSubscription)).toEqual({ ...again, existing: subscription });
      expect(await eventTypes.create({ ...samples.eventType(), id: type.id })).toEqual({ ...again, existing: type });
    });

    test("a pause holds the subscription's feed, and a resume releases it, in the same transaction", async () => {
      const [{ subscriptions }] = both();
      const subscription = createSamples().subscription({ status: "PAUSED" });
      await subscriptions.create(subscription);
      expect(await feeds()).toEqual([{ key: subscription.id, held: true }]);
      await subscriptions.replace({ ...subscription, status: "ACTIVE", version: 2 }, 1);
      expect(await feeds()).toEqual([{ key: subscription.id, held: false }]);
      await subscriptions.replace({ ...subscription, status: "ARCHIVED", version: 3 }, 2);
      expect(await feeds()).toEqual([{ key: subscription.id, held: true }]);
    });

    test("a suspended pool holds the feeds of its lane until it is active again, or gone", async () => {
      const [{ pools }] = both();
      const pool = createSamples().pool({ code: "SLOW" as PoolCode });
      await store.database.run(adHoc("INSERT INTO job_feeds (key, lane) VALUES ('sub_1', 'SLOW')"), []);
      await pools.create(pool);
      await pools.replace({ ...pool, status: "SUSPENDED", version: 2 }, 1);
      expect(await feeds()).toEqual([{ key: "sub_1", held: true }]);
      await pools.replace({ ...pool, version: 3 }, 2);
      expect(await feeds()).toEqual([{ key: "sub_1", held: false }]);
      await pools.replace({ ...pool, status: "SUSPENDED", version: 4 }, 3);
      await pools.remove(pool.id);
      expect(await feeds()).toEqual([{ key: "sub_1", held: false }]);
    });

    test("text that PostgreSQL cannot hold is kept in the entity, and found by its replacement", async () => {
      const [{ subscriptions }] = both();
      const samples = createSamples();
      const odd = samples.subscription({ name: "a\0b", headers: { "x-a": "\ud800 \0 \\u0000" } });
      await subscriptions.create(odd);
      expect(await subscriptions.byId(odd.id, anchorScope)).toEqual(odd);
      const page = await subscriptions.list({ name: "a\0b" }, { limit: 5, cursor: null }, anchorScope);
      expect(page.items).toEqual([odd]);
      const clash = await subscriptions.create(samples.subscription({ name: "a\0b" }));
      expect(clash).toEqual({ kind: "duplicate", field: "name", existing: odd });
    });
  });
});
