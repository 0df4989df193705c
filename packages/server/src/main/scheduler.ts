/**
 * `flowcatalyst scheduler`: from jobs to the queue, as a process of its own, on PostgreSQL. Replays and housekeeping
 * run beside it, because they are of the same kind: one instance of each is active, and nobody waits for their answer.
 *
 * Each of the three has a lease of its own, so that of two scheduler processes one may publish and the other drop old
 * history; the others stand by and take over within seconds.
 *
 * Failures: see composed-process.ts and open-store.ts for the start. Later database and queue may come and go: passes
 * are tried again for ever. At the stop the leases are given back, so that successors need not wait for them.
 */
import { maintenanceLeaseName } from "../maintenance/maintenance.ts";
import { replayLeaseName } from "../scheduler/replay.ts";
import { createReceiverWatch, receiverWatchDefaults } from "../scheduler/receiver-watch.ts";
import { schedulerLeaseName } from "../scheduler/scheduler.ts";
import { announceStart, composeOnStore, metricsAddress } from "./composed-process.ts";
import { watchedLeases } from "./lease-checks.ts";
import type { OpenStore } from "./open-store.ts";
import type { SchedulerConfig } from "./process-config.ts";
import type { Composition, ProcessContext } from "./process-context.ts";
import { firstQueueUrl, openQueueAt, reachedQueue } from "./queue-at.ts";
import { createMetricsService } from "./router-service.ts";
import { maintenanceService, replayRunner, schedulerService } from "./stages.ts";

/** The scheduler only publishes; how long a message stays hidden is up to the router that receives it. */
const visibilityMs = 60_000;

export function composeScheduler(config: SchedulerConfig, context: ProcessContext): Promise<Composition> {
  return composeOnStore(config, context, (store) => compose(store, config, context));
}

async function compose(opened: OpenStore, config: SchedulerConfig, context: ProcessContext): Promise<Composition> {
  const url = firstQueueUrl(config);
  const { databasePoolSize: poolSize, migrate: migrates } = config;
  const place = { url, visibilityMs, poolSize, migrates, store: opened };
  const queue = await reachedQueue(() => openQueueAt(place, context), url, context);
  if (queue.probe !== undefined) context.health.register("queue", queue.probe);
  const addresses = metricsAddress(config);
  const leaseNames = [schedulerLeaseName, replayLeaseName, maintenanceLeaseName];
  const store = { ...opened, leases: watchedLeases(opened.leases, leaseNames, context) };
  const replays = replayRunner(store, context);
  const receivers = createReceiverWatch(
    { queueMetrics: () => queue.queue.metrics(), clock: context.clock, logger: context.logger },
    { ...receiverWatchDefaults, queue: queue.uri },
  );
  context.health.register("receivers", () => receivers.health());
  return {
    services: [
      ...store.services,
      createMetricsService(config, context, addresses),
      schedulerService({ store, queue: queue.queue, config }, context),
      { name: "replays", run: (signal) => replays.run(signal) },
      maintenanceService(store, config, context),
      { name: "receiver-watch", run: (signal) => receivers.run(signal) },
    ],
    started: () =>
      announceStart(context, "scheduler", {
        addresses,
        database: store.place,
        lines: [`  health   ${addresses.metrics}/q/health`, `  data     ${store.place}`, `  queue    ${queue.uri}`],
      }),
    close: async () => {
      await queue.close();
      await store.close();
    },
  };
}
