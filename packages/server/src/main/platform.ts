/**
 * `flowcatalyst platform`: the HTTP API as a process of its own, on PostgreSQL. Any number may run side by side.
 *
 * It takes events in and keeps the settings, and reads everything; nothing runs in it by itself. What accumulates is
 * seen to, and replays are run, by the scheduler's process. `/api/config/router` tells routers of the queues of
 * FC_QUEUE_URL, which is why that setting is read here too; the platform itself never opens them (decision 0026).
 *
 * Failures: see composed-process.ts and open-store.ts for the start. Later the database may come and go: requests are
 * answered 503 meanwhile, readiness is red, and the process goes on.
 */
import { announceStart, composeOnStore, metricsAddress } from "./composed-process.ts";
import { httpUrl } from "./http-service.ts";
import { createLeasedIds } from "./leased-ids.ts";
import type { OpenStore } from "./open-store.ts";
import { platformService } from "./platform-api.ts";
import type { PlatformConfig } from "./process-config.ts";
import type { Composition, ProcessContext } from "./process-context.ts";
import { queueUrlsOf } from "./queue-at.ts";
import { routerQueuesOf } from "./router-queue.ts";
import { createMetricsService, createTargetGuard } from "./router-service.ts";

export function composePlatform(config: PlatformConfig, context: ProcessContext): Promise<Composition> {
  return composeOnStore(config, context, (store) => compose(store, config, context));
}

async function compose(store: OpenStore, config: PlatformConfig, context: ProcessContext): Promise<Composition> {
  const { ids, service: nodeNumber } = await createLeasedIds({ ...context, ...store }, context.holder);
  const addresses = { api: httpUrl(config.host, config.apiPort), ...metricsAddress(config) };
  const guard = createTargetGuard(config.allowedTargetCidrs, context);
  const routerQueues = routerQueuesOf(queueUrlsOf(config));
  return {
    services: [
      ...store.services,
      nodeNumber,
      createMetricsService(config, context, addresses),
      platformService({ store, ids, guard, addresses, routerQueues }, config, context),
    ],
    started: () =>
      announceStart(context, "platform", {
        addresses,
        database: store.place,
        lines: [
          `  API      ${addresses.api}  (documentation at ${addresses.api}/swagger-ui)`,
          `  health   ${addresses.metrics}/q/health`,
          `  data     ${store.place}`,
        ],
      }),
    close: () => store.close(),
  };
}
