/**
 * `flowcatalyst router`: the router alone. Several may run side by side on one queue.
 *
 * Where it gets pools, pauses, secrets and payloads, and where it reports to, is its home (router-home.ts): the
 * database, a platform over HTTP, or nobody. With FC_STANDBY_ENABLED one of several routers is active
 * (router-standby.ts).
 */
import { createFetchTransport } from "../net/index.ts";
import { httpUrl } from "./http-service.ts";
import type { RouterConfig } from "./process-config.ts";
import type { Composition, ProcessContext } from "./process-context.ts";
import { openQueueAt } from "./queue-at.ts";
import { openRouterHome, type RouterHome } from "./router-home.ts";
import { createMetricsService, createRouterServices, createTargetGuard } from "./router-service.ts";

const msPerSecond = 1_000;
/** A long poll, a batch of results, a check for each lane of the queue, and secrets of which many deliveries wait. */
const callsHome = 64;

export async function composeRouter(config: RouterConfig, context: ProcessContext): Promise<Composition> {
  const home = await openRouterHome(config, context);
  try {
    return await compose(home, config, context);
  } catch (error) {
    await home.close();
    throw error;
  }
}

async function compose(home: RouterHome, config: RouterConfig, context: ProcessContext): Promise<Composition> {
  const standby = config.standbyEnabled ? await openRouterStandby(home, config, context) : null;
  const { queueUrl: url, databasePoolSize: poolSize, migrate: migrates, routerVisibilityTimeoutSecs } = config;
  const visibilityMs = routerVisibilityTimeoutSecs * msPerSecond;
  const queue = await openQueueAt({ url, visibilityMs, poolSize, migrates, store: home.store }, context);
  const addresses = {
    router: httpUrl(config.host, config.routerPort),
    metrics: httpUrl(config.host, config.metricsPort),
  };
  const settings = { ...config, defaultPoolConcurrency: config.routerPoolConcurrency };
  const parts = {
    queue,
    control: home.control,
    jobs: home.jobs,
    transport: createFetchTransport({ clock: context.clock }, { trustedCertificates: null, proxy: null }),
    guard: createTargetGuard(config.allowedTargetCidrs, context),
    standby: standby?.standby ?? null,
    callsHome: home.kind === "platform" ? callsHome : 0,
    addresses,
  };
  return {
    services: [
      createMetricsService(config, context, addresses),
      ...home.services,
      ...(standby === null ? [] : [standby.service]),
      ...createRouterServices(parts, settings, context),
    ],
    started: () => {
      const facts = { version: context.version, addresses, queue: queue.uri, home: home.kind, place: home.place };
      context.announce({ kind: "started", service: "router", ...facts }, () => [
        `FlowCatalyst router ${context.version} is up`,
        `  queue    ${queue.uri}`,
        ...(home.place === null ? [] : [`  platform ${home.place}`]),
        `  publish  POST ${addresses.router}/api/router/publish`,
        `  health   ${addresses.metrics}/q/health`,
      ]);
    },
    close: async () => {
      standby?.close();
      await queue.close();
      await home.close();
    },
  };
}

async function openRouterStandby(home: RouterHome, config: RouterConfig, context: ProcessContext) {
  const { openStandby } = await import("./router-standby.ts");
  return openStandby(config, home.store?.leases ?? null, context);
}
