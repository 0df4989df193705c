import { CodedError } from "@flowcatalyst/foundation";
import type { DeliveryControl } from "../../ports/delivery-control.ts";
import type { Warnings } from "../../router/warnings.ts";
import type { RouterConfig } from "../process-config.ts";
import type { ProcessContext } from "../process-context.ts";
import { openQueueAt, type OpenQueue } from "../queue-at.ts";
import { toldQueueFault, withOwnCredentials } from "../router-queue.ts";
import type { RouterHome } from "../router-home.ts";
import type { ConfiguredParts } from "../router-service.ts";
import { ConfiguredControl } from "./configured-control.ts";
import { ConfiguredRouter, type ConfiguredRouterDeps } from "./configured-router.ts";
import { createConfigFetch } from "./config-fetch.ts";
import { readPoolsFile } from "./pools-file.ts";
import { QueueSet } from "./queue-set.ts";
import type { ConfiguredQueue, PoolsFile } from "./router-config-shapes.ts";
import { defaultSecretRef, signedByDefault } from "./signed-by-default.ts";

const msPerSecond = 1_000;

export interface OpenConfigured {
  readonly parts: ConfiguredParts;
  readonly control: DeliveryControl;
  /** The queues of FC_QUEUE_URL as the router is to receive from them. */
  readonly ownQueues: readonly OpenQueue[];
  /** After the router has stopped. */
  close(): Promise<void>;
}

export interface ConfiguredPlan {
  readonly config: RouterConfig;
  readonly home: RouterHome;
  /** That of FC_ROUTER_POOLS_PATH as it is at the start. */
  readonly poolsFile: PoolsFile | null;
  readonly ownUrls: readonly string[];
  readonly ownQueues: readonly OpenQueue[];
  readonly warnings: Warnings;
}

/**
 * What a router is told by FC_ROUTER_CONFIG_URL and FC_ROUTER_POOLS_PATH. Adds the check `configuration` to the health.
 */
export function openConfigured(plan: ConfiguredPlan, context: ProcessContext): OpenConfigured {
  const { config, home, ownQueues } = plan;
  const filePath = config.routerPoolsPath ?? null;
  const signing = (opened: OpenQueue): OpenQueue => (filePath === null ? opened : signedByDefault(opened, hasDefault));
  const configured: ConfiguredRouter = new ConfiguredRouter(
    depsOf(plan, context, async (queue) => signing(await openConfiguredQueue(queue, plan, context))),
    {
      urls: config.routerConfigUrls,
      intervalMs: config.routerConfigIntervalSecs * msPerSecond,
      filePath,
      file: plan.poolsFile,
      ownQueues: ownQueues.map(({ queue, uri }) => ({ name: queue.name, uri })),
      platformOrigin: home.kind === "platform" ? originOf(config.apiBaseUrl) : null,
    },
  );
  const hasDefault = (): boolean => configured.current().secrets.has(defaultSecretRef);
  context.health.register("configuration", () => configured.health());
  return {
    parts: partsOf(configured),
    control: new ConfiguredControl(home.control, configured),
    ownQueues: ownQueues.map(signing),
    close: () => configured.queues.close(),
  };
}

function depsOf(
  { config, warnings }: ConfiguredPlan,
  { clock, random, logger, version, env = {} }: ProcessContext,
  open: (queue: ConfiguredQueue) => Promise<OpenQueue>,
): ConfiguredRouterDeps {
  const fetchOptions = { token: config.apiToken ?? null, userAgent: `FlowCatalyst/${version}` };
  return {
    clock,
    random,
    warnings,
    fetchConfig: createConfigFetch({ clock }, fetchOptions),
    readFile: (path) => readPoolsFile(path, env, clock),
    queues: new QueueSet({ clock, random, logger, warnings, open }),
  };
}

/** Its user and password are those of FC_QUEUE_URL on the same host, unless it has its own. */
async function openConfiguredQueue(
  { name, uri, connections, visibilityMs }: ConfiguredQueue,
  { config, home, ownUrls }: ConfiguredPlan,
  context: ProcessContext,
): Promise<OpenQueue> {
  const fault = toldQueueFault(uri, { opensFiles: context.opensToldFiles === true });
  if (fault !== null) throw new CodedError("CONFIG_INVALID", { message: fault });
  const place = {
    url: withOwnCredentials(uri, ownUrls),
    name,
    visibilityMs: visibilityMs ?? config.routerVisibilityTimeoutSecs * msPerSecond,
    parallelReceives: connections ?? config.routerQueueConnections,
    poolSize: config.databasePoolSize,
    migrates: config.migrate,
    store: home.store,
  };
  return openQueueAt(place, context);
}

function originOf(url: string | undefined): string | null {
  return url === undefined ? null : new URL(url).origin;
}

function partsOf(configured: ConfiguredRouter): ConfiguredParts {
  return {
    service: {
      name: "router-config",
      run: (signal) => configured.run(signal),
      ready: () => configured.ready(),
    },
    attach: (router) => configured.attach(router),
    reload: () => configured.reload(),
    queueFaults: () => configured.queues.faults(),
    opened: () => configured.queues.opened(),
  };
}
