import { createSecretBox, newAppKey, seededRandom, silentLogger } from "@flowcatalyst/foundation";
import { describeAttemptSinkConformance } from "../../ports/attempt-sink.conformance.ts";
import { describeDeliveryReaderConformance } from "../../ports/delivery-reader.conformance.ts";
import { describeHousekeepingConformance } from "../../ports/housekeeping.conformance.ts";
import { describeJobAppenderConformance } from "../../ports/job-appender.conformance.ts";
import { describeJobClaimsConformance } from "../../ports/job-claims.conformance.ts";
import { describeJobModelConformance } from "../../ports/job-model.conformance.ts";
import { describeJobStoreConformance } from "../../ports/job-store.conformance.ts";
import type { JobStoreFixture } from "../../ports/job-scenario.fixture.ts";
import { describeWithPostgres } from "../../postgres/test-database.fixture.ts";
import { createPostgresStore, type PostgresStore } from "./index.ts";
import { openTestStore } from "./postgres-store.fixture.ts";

/** Each restart is another process: a pool of its own, and nothing remembered. */
async function setup(): Promise<JobStoreFixture> {
  const test = await openTestStore();
  const { clock } = test;
  const secretBox = createSecretBox(newAppKey());
  const random = seededRandom(1);
  const open = (): Promise<PostgresStore> =>
    createPostgresStore(
      { database: test.open(4), search: test.search, clock, logger: silentLogger(), secretBox, random },
      { dedupWindowMs: 7 * 86_400_000 },
    );
  let store = await open();
  return {
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
      await store.close();
      store = await open();
    },
    close: async () => {
      await store.close();
      await test.close();
    },
  };
}

describeWithPostgres("jobs", () => {
  describeJobAppenderConformance("postgres", setup);
  describeJobClaimsConformance("postgres", setup);
  describeAttemptSinkConformance("postgres", setup);
  describeDeliveryReaderConformance("postgres", setup);
  describeJobStoreConformance("postgres", setup);
  describeHousekeepingConformance("postgres", setup);
  describeJobModelConformance("postgres", setup);
});
