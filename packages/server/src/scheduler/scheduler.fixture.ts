import { createMetrics, seededRandom, silentLogger, type FakeClock, type Metrics } from "@flowcatalyst/foundation";
import { profileOf } from "../domain/delivery-profile.ts";
import { eventGroupKey } from "../domain/group-key.ts";
import type { NewEventJob } from "../domain/dispatch-job.ts";
import type { EventPosition, JobId } from "../domain/ids.ts";
import type { Subscription } from "../domain/subscription.ts";
import type { AttemptSink } from "../ports/attempt-sink.ts";
import type { JobClaims } from "../ports/job-claims.ts";
import type { ReplayStore } from "../ports/job-store.ts";
import { createSamples, type SampleEntities } from "../ports/sample-entities.fixture.ts";
import { createSqliteQueue, type SqliteQueue, type SqliteQueueConfig } from "../queues/sqlite/index.ts";
import { createAttemptSink } from "../stores/sqlite/attempt-sink.ts";
import { createEventLog } from "../stores/sqlite/event-log.ts";
import { createJobAppender } from "../stores/sqlite/job-appender.ts";
import { createJobClaims } from "../stores/sqlite/job-claims.ts";
import { statusCodes } from "../stores/job-row.ts";
import { createJobWriter } from "../stores/sqlite/job-writer.ts";
import { createLeaseStore } from "../stores/sqlite/lease-store.ts";
import { createReplayStore } from "../stores/sqlite/replay-store.ts";
import { openTestDatabase } from "../stores/sqlite/sqlite-store.fixture.ts";
import { createSubscriptionRepository } from "../stores/sqlite/subscription-repository.ts";
import { createStoreWakes } from "../stores/sqlite/wake-signal.ts";
import {
  createScheduler,
  schedulerDefaults,
  type Scheduler,
  type SchedulerConfig,
  type SchedulerDeps,
} from "./scheduler.ts";

/** What jobs a test wants. */
export interface WantedJobs {
  readonly subscription: Subscription;
  /** One job each; null: not in a group. */
  readonly groups: readonly (string | null)[];
  readonly data?: string;
}

/** The scheduler between a real job store and a real queue. */
export interface SchedulerBench {
  readonly clock: FakeClock;
  readonly samples: SampleEntities;
  readonly deps: SchedulerDeps;
  readonly metrics: Metrics;
  readonly queue: SqliteQueue;
  readonly sink: AttemptSink;
  readonly claims: JobClaims;
  readonly replays: ReplayStore;
  subscribe(changes?: Partial<Subscription>): Promise<Subscription>;
  /** Accepts events and makes their jobs; gives back the jobs' ids. */
  addJobs(wanted: WantedJobs): Promise<readonly JobId[]>;
  scheduler(config?: Partial<SchedulerConfig>, deps?: Partial<SchedulerDeps>): Scheduler;
  jobs(): readonly StoredJobState[];
  /** Receives everything there is and settles it without a word to the store, as if somebody had purged the queue. */
  purgeQueue(): Promise<number>;
  close(): Promise<void>;
}

export interface StoredJobState {
  readonly id: JobId;
  readonly status: string;
  readonly generation: number;
  readonly lastError: string | null;
}

const dedupWindowMs = 3_600_000;

export function openSchedulerBench(queueConfig: Partial<SqliteQueueConfig> = {}): SchedulerBench {
  const store = openTestDatabase();
  const { database, clock } = store;
  const wakes = createStoreWakes();
  const samples = createSamples();
  const log = createEventLog({ database, clock, appended: wakes.appended }, { dedupWindowMs });
  const writer = createJobWriter({ database, clock, wakes, random: seededRandom(1) });
  const appender = createJobAppender(writer);
  const leases = createLeaseStore({ database, clock });
  const repository = createSubscriptionRepository({ database, wakes });
  const claims = createJobClaims(writer, wakes);
  const queue = createSqliteQueue({ connection: database, clock }, queueConfig);
  const metrics = createMetrics();
  const deps: SchedulerDeps = {
    claims,
    publisher: queue,
    leases,
    queueMetrics: () => queue.metrics(),
    clock,
    random: seededRandom(1),
    logger: silentLogger(),
    metrics,
  };
  let jobCount = 0;
  const newJob = (subscription: Subscription, event: JobSource): NewEventJob => ({
    kind: "EVENT",
    id: `job_${String(++jobCount).padStart(13, "0")}` as JobId,
    clientId: null,
    eventId: event.id,
    eventPosition: event.position,
    code: event.type,
    messageGroup: event.messageGroup,
    groupKey: eventGroupKey(subscription.id, subscription.mode, event.messageGroup),
    profile: profileOf(subscription),
    dueAtMs: clock.now() + subscription.delaySeconds * 1_000,
    payloadBytes: event.data?.length ?? 0,
    createdAtMs: clock.now(),
  });
  return {
    clock,
    samples,
    deps,
    metrics,
    queue,
    claims,
    sink: createAttemptSink(writer),
    replays: createReplayStore(writer),
    subscribe: async (changes) => {
      const subscription = samples.subscription(changes);
      await repository.create(subscription);
      return subscription;
    },
    addJobs: async ({ subscription, groups, data }) => {
      const wanted = groups.map((messageGroup) =>
        samples.event({ messageGroup, ...(data === undefined ? {} : { data }) }),
      );
      const appended = await log.appender.append(wanted);
      const jobs = appended.map(({ event }) => newJob(subscription, event));
      const from = await appender.checkpoint();
      const position = jobs.at(-1)?.eventPosition ?? from.position;
      const lease = await leases.acquire("stream", "fixture", 1_000_000_000);
      if (lease === null) throw new Error("no lease");
      const to = { position, ordinal: 0, frozenProfileKeys: [] };
      await appender.append({ jobs, poison: [], from, to, epoch: lease.epoch });
      return jobs.map(({ id }) => id);
    },
    scheduler: (config, other) =>
      createScheduler(
        { ...deps, metrics: createMetrics(), ...other },
        { ...schedulerDefaults, holder: "process-1", ...config },
      ),
    jobs: () => database.statement<JobRow>(selectJobs).all().map(toState),
    purgeQueue: () => purge(queue),
    close: async () => {
      queue.close();
      await store.close();
    },
  };
}

interface JobSource {
  readonly id: NewEventJob["eventId"];
  readonly position: EventPosition;
  readonly type: string;
  readonly messageGroup: string | null;
  readonly data: string | null;
}

type JobRow = Omit<StoredJobState, "status"> & { readonly status: number };

const selectJobs = "SELECT id, status, generation, last_error AS lastError FROM jobs ORDER BY position";

function toState(row: JobRow): StoredJobState {
  const status = Object.entries(statusCodes).find(([, code]) => code === row.status)?.[0] ?? "unknown";
  return { ...row, status };
}

async function purge(queue: SqliteQueue): Promise<number> {
  let purged = 0;
  for (const lane of await queue.readyLanes()) {
    const received = await queue.receive({ lane, max: 1_000, waitMs: 0 }, new AbortController().signal);
    await queue.ack(received.map(({ receipt }) => receipt));
    purged += received.length;
  }
  return purged;
}
