/**
 * `flowcatalyst router`: the router alone. Several may run side by side on one queue.
 *
 * Where it gets pools, pauses, secrets and payloads, and where it reports to, is its home (router-home.ts): the
 * database, a platform over HTTP, or nobody. With FC_STANDBY_ENABLED one of several routers is active
 * (router-standby.ts). It receives from all queues of FC_QUEUE_URL, and from those that FC_ROUTER_CONFIG_URL names;
 * pools come from there too, or from the file of FC_ROUTER_POOLS_PATH (configured/configured-router.ts).
 */
import { configInvalid } from "@flowcatalyst/foundation";
import type { PoolsFile } from "./configured/router-config-shapes.ts";
import type { ConfiguredPlan, OpenConfigured } from "./configured/open-configured.ts";
import { Warnings } from "../router/warnings.ts";
import { createFetchTransport } from "../net/index.ts";
import { httpUrl } from "./http-service.ts";
import type { RouterConfig } from "./process-config.ts";
import type { Composition, ProcessContext } from "./process-context.ts";
import { closeQueues, openQueuesAt, queueUrlsOf, type OpenQueue } from "./queue-at.ts";
import { openRouterHome, type RouterHome } from "./router-home.ts";
import { placeOf } from "./router-queue.ts";
import type { OpenStandby } from "./router-standby.ts";
import { createMetricsService, createRouterServices, createTargetGuard } from "./router-service.ts";

const msPerSecond = 1_000;
/** A long poll, a batch of results, a check for each lane of the queue, and secrets of which many deliveries wait. */
const callsHome = 64;

export async function composeRouter(config: RouterConfig, context: ProcessContext): Promise<Composition> {
  // Before anything is waited for: a file with faults is told at once.
  const poolsFile = await poolsFileOf(config, context);
  const home = await openRouterHome(config, context);
  try {
    return await compose({ home, poolsFile }, config, context);
  } catch (error) {
    await home.close();
    throw error;
  }
}

async function compose(
  { home, poolsFile }: { readonly home: RouterHome; readonly poolsFile: PoolsFile | null },
  config: RouterConfig,
  context: ProcessContext,
): Promise<Composition> {
  const standby = config.standbyEnabled ? await openRouterStandby(home, config, context) : null;
  const { databasePoolSize: poolSize, migrate: migrates, routerQueueConnections: parallelReceives } = config;
  const visibilityMs = config.routerVisibilityTimeoutSecs * msPerSecond;
  const place = { visibilityMs, parallelReceives, poolSize, migrates, store: home.store };
  const queues = await openQueuesAt(queueUrlsOf(config), place, context);
  try {
    return await composeOn({ home, poolsFile, queues, standby }, config, context);
  } catch (error) {
    await closeQueues(queues);
    throw error;
  }
}

interface Wired {
  readonly home: RouterHome;
  readonly poolsFile: PoolsFile | null;
  readonly queues: readonly OpenQueue[];
  readonly standby: OpenStandby | null;
}

async function composeOn(
  { home, poolsFile, queues, standby }: Wired,
  config: RouterConfig,
  context: ProcessContext,
): Promise<Composition> {
  const warnings = new Warnings(context.clock, context.logger);
  const isConfigured = config.routerConfigUrls.length > 0 || config.routerPoolsPath !== undefined;
  const plan = { config, home, poolsFile, ownUrls: queueUrlsOf(config), ownQueues: queues, warnings };
  const configured = isConfigured ? await openConfiguredOf(plan, context) : null;
  const addresses = {
    router: httpUrl(config.host, config.routerPort),
    metrics: httpUrl(config.host, config.metricsPort),
  };
  const settings = { ...config, defaultPoolConcurrency: config.routerPoolConcurrency };
  const parts = {
    queues: configured?.ownQueues ?? queues,
    configured: configured?.parts ?? null,
    warnings,
    control: configured?.control ?? home.control,
    jobs: home.jobs,
    transport: createFetchTransport({ clock: context.clock }, { trustedCertificates: null, proxy: null }),
    guard: createTargetGuard(config.allowedTargetCidrs, context),
    standby: standby?.standby ?? null,
    callsHome: (home.kind === "platform" ? callsHome : 0) + config.routerConfigUrls.length,
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
      const uris = queues.map(({ uri }) => uri);
      const told = config.routerConfigUrls.map(placeOf);
      const facts = {
        version: context.version,
        addresses,
        home: home.kind,
        place: home.place,
        queue: uris[0] ?? null,
        queues: uris,
        configuration: told,
        pools: config.routerPoolsPath ?? null,
      };
      context.announce({ kind: "started", service: "router", ...facts }, () => [
        `FlowCatalyst router ${context.version} is up`,
        ...uris.map((uri) => `  queue    ${uri}`),
        ...told.map((url) => `  told by  ${url}`),
        ...(config.routerPoolsPath === undefined ? [] : [`  pools    ${config.routerPoolsPath}`]),
        ...(home.place === null ? [] : [`  platform ${home.place}`]),
        `  publish  POST ${addresses.router}/api/router/publish`,
        `  health   ${addresses.metrics}/q/health`,
      ]);
    },
    close: async () => {
      standby?.close();
      await configured?.close();
      await closeQueues(queues);
      await home.close();
    },
  };
}

/** Throws CONFIG_INVALID with all of its faults; null: none is named. */
async function poolsFileOf({ routerPoolsPath }: RouterConfig, { env = {} }: ProcessContext): Promise<PoolsFile | null> {
  if (routerPoolsPath === undefined) return null;
  const { readPoolsFile } = await import("./configured/pools-file.ts");
  const read = await readPoolsFile(routerPoolsPath, env);
  if (read.kind === "faulty") throw configInvalid(read.faults);
  return read.file;
}

/** Loaded only where there is something to configure: the schemas take their time. */
async function openConfiguredOf(plan: ConfiguredPlan, context: ProcessContext): Promise<OpenConfigured> {
  const { openConfigured } = await import("./configured/open-configured.ts");
  return openConfigured(plan, context);
}

async function openRouterStandby(home: RouterHome, config: RouterConfig, context: ProcessContext) {
  const { openStandby } = await import("./router-standby.ts");
  return openStandby(config, home.store?.leases ?? null, context);
}
