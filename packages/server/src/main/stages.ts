import type { Service } from "@flowcatalyst/foundation";
import { createFilterCompiler } from "../domain/filter.ts";
import type { IdSource } from "../domain/ids.ts";
import { createMaintenance, maintenanceDefaults } from "../maintenance/maintenance.ts";
import type { QueueConsumer, QueuePublisher } from "../ports/queue.ts";
import { createReplayRunner, replayDefaults, type ReplayRunner } from "../scheduler/replay.ts";
import { createScheduler, schedulerDefaults } from "../scheduler/scheduler.ts";
import { createStreamProcessor, streamDefaults, type StreamProcessor } from "../stream/stream-processor.ts";
import type { StorePorts } from "./open-store.ts";
import type { ProcessContext } from "./process-context.ts";

/**
 * The stages that work by themselves, wired from a store and the settings of their own. `flowcatalyst dev` has all of
 * them in one process; `stream` has the stream, and `scheduler` the scheduler with replays and housekeeping.
 */
export interface StreamSettings {
  readonly streamBatchSize: number;
  readonly streamPollIntervalMs: number;
}

export function streamProcessor(
  wired: { readonly store: StorePorts; readonly ids: IdSource; readonly config: StreamSettings },
  context: ProcessContext,
): StreamProcessor {
  const { store, ids, config } = wired;
  const { clock, random, logger, metrics, holder } = context;
  return createStreamProcessor(
    {
      feed: store.eventFeed,
      subscriptions: store.subscriptionReader,
      jobs: store.jobAppender,
      leases: store.leases,
      ids,
      compiler: createFilterCompiler(),
      clock,
      random,
      logger,
      metrics,
    },
    {
      ...streamDefaults,
      holder,
      batchSize: config.streamBatchSize,
      pollIntervalMs: config.streamPollIntervalMs,
    },
  );
}

export interface SchedulerSettings {
  readonly schedulerPollIntervalMs: number;
  readonly schedulerBatchSize: number;
  readonly schedulerPublishWindow: number;
}

export function schedulerService(
  wired: {
    readonly store: StorePorts;
    readonly queue: QueuePublisher & Pick<QueueConsumer, "metrics">;
    readonly config: SchedulerSettings;
  },
  context: ProcessContext,
): Service {
  const { store, queue, config } = wired;
  const { clock, random, logger, metrics, holder } = context;
  const scheduler = createScheduler(
    {
      claims: store.jobClaims,
      publisher: queue,
      leases: store.leases,
      queueMetrics: () => queue.metrics(),
      clock,
      random,
      logger,
      metrics,
    },
    {
      ...schedulerDefaults,
      holder,
      pollIntervalMs: config.schedulerPollIntervalMs,
      batchSize: config.schedulerBatchSize,
      publishWindow: config.schedulerPublishWindow,
    },
  );
  return { name: "scheduler", run: (signal) => scheduler.run(signal) };
}

export function replayRunner(store: StorePorts, context: ProcessContext): ReplayRunner {
  const { clock, logger, metrics, holder } = context;
  return createReplayRunner(
    { replays: store.replays, leases: store.leases, clock, logger, metrics },
    { ...replayDefaults, holder },
  );
}

export function maintenanceService(
  store: StorePorts,
  { retentionDays, auditRetentionDays }: { readonly retentionDays: number; readonly auditRetentionDays: number },
  context: ProcessContext,
): Service {
  const { clock, logger, metrics, holder } = context;
  const maintenance = createMaintenance(
    { housekeeping: store.housekeeping, leases: store.leases, clock, logger, metrics },
    { ...maintenanceDefaults, holder, retentionDays, auditRetentionDays },
  );
  return { name: "maintenance", run: (signal) => maintenance.run(signal) };
}
