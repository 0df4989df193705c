import { createMetrics, seededRandom, silentLogger, type FakeClock, type Metrics } from "@flowcatalyst/foundation";
import { createFilterCompiler } from "../domain/filter.ts";
import type { JobId } from "../domain/ids.ts";
import type { NewEvent } from "../domain/event.ts";
import type { Subscription } from "../domain/subscription.ts";
import type { JobAppender } from "../ports/job-appender.ts";
import { createSamples, type SampleEntities } from "../ports/sample-entities.fixture.ts";
import { createEventLog } from "../stores/sqlite/event-log.ts";
import { createJobAppender } from "../stores/sqlite/job-appender.ts";
import { createJobWriter } from "../stores/sqlite/job-writer.ts";
import { createLeaseStore } from "../stores/sqlite/lease-store.ts";
import { openTestDatabase } from "../stores/sqlite/sqlite-store.fixture.ts";
import { createSubscriptionReader, createSubscriptionRepository } from "../stores/sqlite/subscription-repository.ts";
import { createStoreWakes } from "../stores/sqlite/wake-signal.ts";
import {
  createStreamProcessor,
  streamDefaults,
  type StreamProcessor,
  type StreamProcessorConfig,
  type StreamProcessorDeps,
} from "./stream-processor.ts";

/** A job as the tests of the stream look at it. */
export interface StoredJob {
  readonly eventPosition: number;
  readonly profileKey: string;
  readonly dueAtMs: number;
}

/** The stream on a real store. */
export interface StreamBench {
  readonly clock: FakeClock;
  readonly samples: SampleEntities;
  readonly deps: StreamProcessorDeps;
  readonly metrics: Metrics;
  subscribe(changes?: Partial<Subscription>): Promise<Subscription>;
  /** Saves the changes as the next version. */
  change(subscription: Subscription, changes: Partial<Subscription>): Promise<Subscription>;
  publish(...events: readonly Partial<NewEvent>[]): Promise<void>;
  /** A stage as another process would have it. `jobs` stands in front of the real appender. */
  processor(config?: Partial<StreamProcessorConfig>, deps?: Partial<StreamProcessorDeps>): StreamProcessor;
  readonly appender: JobAppender;
  /** In the order they were made. */
  storedJobs(): readonly StoredJob[];
  poison(): readonly { readonly position: number; readonly reason: string }[];
  close(): Promise<void>;
}

const dedupWindowMs = 3_600_000;

export function openStreamBench(): StreamBench {
  const store = openTestDatabase();
  const { database, clock } = store;
  const wakes = createStoreWakes();
  const samples = createSamples();
  const log = createEventLog({ database, clock, appended: wakes.appended }, { dedupWindowMs });
  const writer = createJobWriter({ database, clock, wakes, random: seededRandom(1) });
  const repository = createSubscriptionRepository({ database, wakes });
  const metrics = createMetrics();
  let jobs = 0;
  const appender = createJobAppender(writer);
  const deps: StreamProcessorDeps = {
    feed: log.feed,
    subscriptions: createSubscriptionReader(database),
    jobs: appender,
    leases: createLeaseStore({ database, clock }),
    ids: { job: () => `job_${String(++jobs).padStart(13, "0")}` as JobId },
    compiler: createFilterCompiler(),
    clock,
    random: seededRandom(1),
    logger: silentLogger(),
    metrics,
  };
  return {
    clock,
    samples,
    deps,
    metrics,
    appender,
    close: () => store.close(),
    subscribe: async (changes) => {
      const subscription = samples.subscription(changes);
      await repository.create(subscription);
      return subscription;
    },
    change: async (subscription, changes) => {
      const next = { ...subscription, ...changes, version: subscription.version + 1 };
      await repository.replace(next, subscription.version);
      return next;
    },
    publish: async (...events) => {
      await log.appender.append(events.map((changes) => samples.event(changes)));
    },
    processor: (config, other) =>
      createStreamProcessor(
        { ...deps, metrics: createMetrics(), ...other },
        { ...streamDefaults, holder: "process-1", ...config },
      ),
    storedJobs: () => database.statement<StoredJob>(selectJobs).all(),
    poison: () =>
      database
        .statement<{ position: number; reason: string }>("SELECT position, reason FROM poison_events ORDER BY position")
        .all(),
  };
}

const selectJobs = `
  SELECT j.stream_position AS eventPosition, p.key AS profileKey, j.due_at AS dueAtMs
  FROM jobs j JOIN delivery_profiles p ON p.id = j.profile_id ORDER BY j.position`;
