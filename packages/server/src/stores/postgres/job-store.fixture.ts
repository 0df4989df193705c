import { createSecretBox, newAppKey, seededRandom, silentLogger } from "@flowcatalyst/foundation";
import type { JobStoreFixture } from "../../ports/job-scenario.fixture.ts";
import { createPostgresStore, type PostgresStore } from "./index.ts";
import { openTestStore, type TestStoreDatabase } from "./postgres-store.fixture.ts";

/** A fresh store with every port that has to do with jobs, and the database below it. */
export interface TestJobs extends JobStoreFixture {
  readonly test: TestStoreDatabase;
  /** Another process on the same database: a pool of its own, and nothing remembered. */
  another(): Promise<PostgresStore>;
}

export async function openTestJobs(): Promise<TestJobs> {
  const test = await openTestStore();
  const { clock } = test;
  const secretBox = createSecretBox(newAppKey());
  const random = seededRandom(1);
  const stores: PostgresStore[] = [];
  const open = async (): Promise<PostgresStore> => {
    const store = await createPostgresStore(
      { database: test.open(4), search: test.search, clock, logger: silentLogger(), secretBox, random },
      { dedupWindowMs: 7 * 86_400_000 },
    );
    stores.push(store);
    return store;
  };
  let store = await open();
  return {
    test,
    another: open,
    get events() {
      return store.events;
    },
    get eventReader() {
      return store.eventReader;
    },
    get subscriptions() {
      return store.subscriptions;
    },
    get pools() {
      return store.pools;
    },
    get leases() {
      return store.leases;
    },
    get control() {
      return store.control;
    },
    get jobAppender() {
      return store.jobAppender;
    },
    get jobClaims() {
      return store.jobClaims;
    },
    get attemptSink() {
      return store.attemptSink;
    },
    get deliveryReader() {
      return store.deliveryReader;
    },
    get jobs() {
      return store.jobs;
    },
    get jobCommands() {
      return store.jobCommands;
    },
    get replays() {
      return store.replays;
    },
    get housekeeping() {
      return store.housekeeping;
    },
    now: () => clock.now(),
    advance: (ms) => test.advance(ms),
    restart: async () => {
      store = await open();
    },
    close: async () => {
      for (const opened of stores) await opened.close();
      await test.close();
    },
  };
}
