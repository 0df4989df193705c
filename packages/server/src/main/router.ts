/**
 * `flowcatalyst router`: the router alone, for people who have a queue of stand-alone messages and no platform.
 *
 * It has no database. Pools are not configured anywhere, so every lane goes to the default pool, whose concurrency is
 * FC_ROUTER_POOL_CONCURRENCY; nothing can be paused or cancelled, and messages are not signed, because there is nobody
 * to ask for secrets.
 */
import type { DispatchPool } from "../domain/dispatch-pool.ts";
import type { DeliveryControl } from "../ports/delivery-control.ts";
import { createFetchTransport } from "../net/index.ts";
import { httpUrl } from "./http-service.ts";
import type { RouterConfig } from "./process-config.ts";
import type { Composition, ProcessContext } from "./process-context.ts";
import { openQueueAt } from "./queue-at.ts";
import { createMetricsService, createRouterServices, createTargetGuard } from "./router-service.ts";

const msPerSecond = 1_000;

export async function composeRouter(config: RouterConfig, context: ProcessContext): Promise<Composition> {
  const queue = await openQueueAt(
    { url: config.queueUrl, visibilityMs: config.routerVisibilityTimeoutSecs * msPerSecond, connection: null },
    context.clock,
  );
  const addresses = {
    router: httpUrl(config.host, config.routerPort),
    metrics: httpUrl(config.host, config.metricsPort),
  };
  const settings = { ...config, defaultPoolConcurrency: config.routerPoolConcurrency };
  const parts = {
    queue,
    control: fixedControl([], context),
    jobs: null,
    transport: createFetchTransport({ clock: context.clock }, { trustedCertificates: null, proxy: null }),
    guard: createTargetGuard(config.allowedTargetCidrs, context),
    addresses,
  };
  return {
    services: [createMetricsService(config, context, addresses), ...createRouterServices(parts, settings, context)],
    started: () => {
      const facts = { version: context.version, addresses, queue: queue.uri };
      context.announce({ kind: "started", service: "router", ...facts }, () => [
        `FlowCatalyst router ${context.version} is up`,
        `  queue    ${queue.uri}`,
        `  publish  POST ${addresses.router}/api/router/publish`,
        `  health   ${addresses.metrics}/q/health`,
      ]);
    },
    close: async () => queue.close(),
  };
}

/** What never changes: these pools, no pauses, no secrets. */
function fixedControl(pools: readonly DispatchPool[], context: ProcessContext): DeliveryControl {
  const state = { revision: 1, pools, pausedSubscriptions: new Set<never>(), cancelledJobs: new Set<never>() };
  return {
    async read(knownRevision, waitMs, signal) {
      if (knownRevision === state.revision) await context.clock.sleep(waitMs, signal);
      return state;
    },
    secrets: async () => [],
  };
}
