import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSecretBox, FakeClock, newAppKey, seededRandom, silentLogger } from "@flowcatalyst/foundation";
import { describeAttemptSinkConformance } from "../../ports/attempt-sink.conformance.ts";
import { describeDeliveryReaderConformance } from "../../ports/delivery-reader.conformance.ts";
import { describeHousekeepingConformance } from "../../ports/housekeeping.conformance.ts";
import { describeJobAppenderConformance } from "../../ports/job-appender.conformance.ts";
import { describeJobClaimsConformance } from "../../ports/job-claims.conformance.ts";
import { describeJobModelConformance } from "../../ports/job-model.conformance.ts";
import { describeJobStoreConformance } from "../../ports/job-store.conformance.ts";
import type { JobStoreFixture } from "../../ports/job-scenario.fixture.ts";
import { sampleTimeMs } from "../../ports/sample-entities.fixture.ts";
import { createSqliteStore, openDatabase, type SqliteStore } from "./index.ts";

async function setup(): Promise<JobStoreFixture> {
  const directory = mkdtempSync(join(tmpdir(), "sqlite-jobs-"));
  const path = join(directory, "flowcatalyst.db");
  const clock = new FakeClock(sampleTimeMs);
  const secretBox = createSecretBox(newAppKey());
  const random = seededRandom(1);
  const open = (): SqliteStore => {
    const database = openDatabase({ path }, { clock, pid: process.pid });
    return createSqliteStore(
      { database, clock, logger: silentLogger(), secretBox, random },
      { dedupWindowMs: 7 * 86_400_000 },
    );
  };
  let store = open();
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
    advance: (ms) => clock.advance(ms),
    restart: async () => {
      await store.close();
      store = open();
    },
    close: async () => {
      await store.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

describeJobAppenderConformance("sqlite", setup);
describeJobClaimsConformance("sqlite", setup);
describeAttemptSinkConformance("sqlite", setup);
describeDeliveryReaderConformance("sqlite", setup);
describeJobStoreConformance("sqlite", setup);
describeHousekeepingConformance("sqlite", setup);
describeJobModelConformance("sqlite", setup);
