/**
 * `flowcatalyst stream`: from events to jobs, as a process of its own, on PostgreSQL. Of several one is active, by a
 * lease in the database; the others stand by and take over within seconds.
 *
 * Failures: see composed-process.ts and open-store.ts for the start. Later the database may come and go: passes are
 * tried again for ever. At the stop the lease is given back, so that a successor need not wait for it.
 */
import { announceStart, composeOnStore, metricsAddress } from "./composed-process.ts";
import { createLeasedIds } from "./leased-ids.ts";
import { watchedLeases } from "./lease-checks.ts";
import type { OpenStore } from "./open-store.ts";
import type { StreamConfig } from "./process-config.ts";
import type { Composition, ProcessContext } from "./process-context.ts";
import { createMetricsService } from "./router-service.ts";
import { streamProcessor } from "./stages.ts";
import { streamLeaseName } from "../stream/stream-processor.ts";

export function composeStream(config: StreamConfig, context: ProcessContext): Promise<Composition> {
  return composeOnStore(config, context, (store) => compose(store, config, context));
}

async function compose(store: OpenStore, config: StreamConfig, context: ProcessContext): Promise<Composition> {
  const { ids, service: nodeNumber } = await createLeasedIds({ ...context, ...store }, context.holder);
  const addresses = metricsAddress(config);
  const leases = watchedLeases(store.leases, [streamLeaseName], context);
  const stream = streamProcessor({ store: { ...store, leases }, ids, config }, context);
  return {
    services: [
      ...store.services,
      nodeNumber,
      createMetricsService(config, context, addresses),
      { name: "stream", run: (signal) => stream.run(signal) },
    ],
    started: () =>
      announceStart(context, "stream", {
        addresses,
        database: store.place,
        lines: [`  health   ${addresses.metrics}/q/health`, `  data     ${store.place}`],
      }),
    close: () => store.close(),
  };
}
