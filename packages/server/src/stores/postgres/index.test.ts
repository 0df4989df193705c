import { afterEach, expect, test } from "bun:test";
import { createSecretBox, newAppKey, silentLogger } from "@flowcatalyst/foundation";
import { describeWithPostgres, openTestPostgres } from "../../postgres/test-database.fixture.ts";
import { anchorScope } from "../../domain/scope.ts";
import { createSamples } from "../../ports/sample-entities.fixture.ts";
import { createPostgresStore, type PostgresStore } from "./index.ts";
import { openTestStore, type TestStoreDatabase } from "./postgres-store.fixture.ts";

const secretBox = createSecretBox(newAppKey());
const dedupWindowMs = 1_000;

describeWithPostgres("postgres store", () => {
  const closing: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0).toReversed()) await close();
  });

  /** The store of one more process. */
  const open = async (on: TestStoreDatabase): Promise<PostgresStore> => {
    const deps = { ...on, database: on.open(), logger: silentLogger(), secretBox };
    const store = await createPostgresStore(deps, { dedupWindowMs });
    closing.push(() => store.close());
    return store;
  };
  const setup = async (): Promise<TestStoreDatabase> => {
    const database = await openTestStore();
    closing.push(() => database.close());
    return database;
  };

  test("refuses a database without its tables", async () => {
    const postgres = await openTestPostgres([]);
    closing.push(() => postgres.close());
    const deps = { ...(await setup()), database: postgres.database, logger: silentLogger(), secretBox };
    const opening = createPostgresStore(deps, { dedupWindowMs });
    expect(await opening.catch((error: unknown) => error)).toMatchObject({ code: "DATABASE_NOT_MIGRATED" });
  });

  test("what one process wrote the others have, and the next one too", async () => {
    const database = await setup();
    const samples = createSamples();
    const [one, two] = [await open(database), await open(database)];
    const subscription = samples.subscription();
    await one.subscriptions.create(subscription);
    await two.secrets.put("r", "whsec_b25l", 0);
    const [event, position] = [samples.event(), await two.eventFeed.newest()];
    await one.events.append([event]);
    expect(await two.subscriptionReader.matching()).toEqual([subscription]);
    expect(await one.secrets.valid("r", 0)).toEqual(["whsec_b25l"]);
    expect((await two.searches.events({}, { page: 0, size: 5 }, anchorScope)).items.map(({ id }) => id)).toEqual([
      event.id,
    ]);
    const read = await two.eventFeed.readAfter(position, { maxEvents: 5, maxBytes: 1_000, withData: true });
    expect(read.map(({ id }) => id)).toEqual([event.id]);
    const next = await open(database);
    expect(await next.eventFeed.newest()).toBe(read[0]!.position);
    expect(await next.leases.acquire("stream", "next", 1_000)).not.toBeNull();
    expect(await one.leases.acquire("stream", "one", 1_000)).toBeNull();
  });

  test("wakes the others", async () => {
    const database = await setup();
    const [one, two] = [await open(database), await open(database)];
    const connected = Promise.withResolvers<void>();
    two.wakes.control.subscribe(connected.resolve);
    await connected.promise;
    const woken = Promise.withResolvers<void>();
    two.wakes.control.subscribe(woken.resolve);
    await one.pools.create(createSamples().pool());
    await woken.promise;
  });

  test("commits what waits before it is closed, and accepts nothing after", async () => {
    const database = await setup();
    const store = await open(database);
    const accepted = store.events.append([createSamples().event()]);
    await store.close();
    expect(await accepted).toHaveLength(1);
    const late = await store.events.append([createSamples().event()]).catch((error: unknown) => error);
    expect(late).toMatchObject({ code: "SHUTTING_DOWN" });
  });
});
