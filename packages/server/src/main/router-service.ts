import { CodedError, wrapUnknown, type HealthResult, type Service } from "@flowcatalyst/foundation";
import { createAddressPolicy } from "../domain/address-policy.ts";
import { createDnsAddressGuard, systemResolveHost } from "../net/index.ts";
import type { DeliveryControl } from "../ports/delivery-control.ts";
import type { Standby } from "../ports/standby-lease.ts";
import type { AddressGuard, Transport } from "../ports/transport.ts";
import { createRouter, routerDefaults, type Router } from "../router/router.ts";
import { Warnings } from "../router/warnings.ts";
import { createHealthRoutes } from "../http/health-routes.ts";
import { createHttpService, madeOnFirstRequest } from "./http-service.ts";
import type { ProcessContext } from "./process-context.ts";
import type { OpenQueue } from "./queue-at.ts";
import type { RouterJobs } from "./router-home.ts";

/** The settings of `flowcatalyst dev` and `flowcatalyst router` that a router needs. */
export interface RouterSettings {
  readonly host: string;
  readonly routerPort: number;
  readonly apiTokens: readonly string[];
  readonly routerVisibilityTimeoutSecs: number;
  readonly routerDrainTimeoutSecs: number;
  readonly routerMaxInFlight: number;
  /** Of DEFAULT-POOL, unless the settings have a pool of that code; the router's own default if absent. */
  readonly defaultPoolConcurrency?: number;
}

export interface RouterParts {
  /** Open already. The first takes what is published to the router itself. */
  readonly queues: readonly OpenQueue[];
  /** Pools and queues from elsewhere. */
  readonly configured?: ConfiguredParts | null;
  /** Absent: the router's own. */
  readonly warnings?: Warnings;
  readonly control: DeliveryControl;
  /** Null: the queue carries stand-alone messages only. */
  readonly jobs: RouterJobs | null;
  readonly transport: Transport;
  readonly guard: AddressGuard;
  /** Null or absent: this router is active whatever others are. */
  readonly standby?: Standby | null;
  /** HTTP requests at once, at most, to where results go and settings come from; absent: none. */
  readonly callsHome?: number;
  /** Where the process is found. The router's own is corrected once it listens. */
  readonly addresses: Record<string, string>;
}

/** What comes and goes by a configuration that is read while the router runs (configured/). */
export interface ConfiguredParts {
  /** Started before the router; ready when there are settings to begin with. */
  readonly service: Service;
  attach(router: Router): void;
  /** Reads everything again; throws what could not be taken. */
  reload(): Promise<void>;
  /** Why queues that are named are not open. */
  queueFaults(): readonly string[];
  /** Those that are open now. */
  opened(): readonly OpenQueue[];
}

const msPerSecond = 1_000;

/** A router and its HTTP API, and what configures it, as services in starting order. */
export function createRouterServices(
  parts: RouterParts,
  settings: RouterSettings,
  context: ProcessContext,
): readonly Service[] {
  const router = createRouter(
    {
      queues: parts.queues.map(({ queue }) => queue),
      deliveries: parts.jobs?.deliveries ?? null,
      check: parts.jobs?.check ?? null,
      sink: parts.jobs?.sink ?? null,
      control: parts.control,
      transport: parts.transport,
      guard: parts.guard,
      clock: context.clock,
      random: context.random,
      logger: context.logger,
      metrics: context.metrics,
      warnings: parts.warnings ?? new Warnings(context.clock, context.logger),
      standby: parts.standby ?? null,
    },
    {
      ...routerDefaults,
      userAgent: `FlowCatalyst/${context.version}`,
      drainMs: settings.routerDrainTimeoutSecs * msPerSecond,
      defaultPoolConcurrency: settings.defaultPoolConcurrency ?? routerDefaults.defaultPoolConcurrency,
      maxInFlight: callsAtOnce(settings.routerMaxInFlight, parts.callsHome ?? 0, context),
    },
  );
  parts.configured?.attach(router);
  context.health.register("queue", () => queueHealth(router, parts));
  const services = [routerService(router), routerHttp({ router, parts, settings }, context)];
  return parts.configured ? [parts.configured.service, ...services] : services;
}

/** All that are open now, those of the settings first. */
function openQueues({ queues, configured }: RouterParts): readonly OpenQueue[] {
  return configured ? [...queues, ...configured.opened()] : queues;
}

/** A queue that cannot be opened or received from is tried again for ever; meanwhile readiness says so. */
async function queueHealth({ monitoring }: Router, parts: RouterParts): Promise<HealthResult> {
  const failing = monitoring.consumers().flatMap(({ name, error }) => (error === null ? [] : `${name}: ${error}`));
  const probed = await Promise.all(openQueues(parts).map(probeFault));
  const reasons = new Set([...(parts.configured?.queueFaults() ?? []), ...failing, ...probed.flat()]);
  if (reasons.size === 0) return { status: "UP" };
  return { status: "DOWN", data: { reason: [...reasons].join("; ") } };
}

async function probeFault({ queue, probe }: OpenQueue): Promise<readonly string[]> {
  const result = await probe?.();
  return result === undefined || result.status === "UP" ? [] : [`${queue.name}: ${reasonOf(result)}`];
}

function reasonOf({ data }: HealthResult): string {
  const reason = data?.["reason"];
  return typeof reason === "string" ? reason : "there is no connection";
}

/**
 * Beyond the runtime's own limit a call would wait for some other target's to end, so such a start is refused. Calls
 * to the platform count too: results must not wait for targets that hang.
 */
function callsAtOnce(wanted: number, callsHome: number, context: ProcessContext): number {
  if (wanted + callsHome <= context.maxSimultaneousRequests) return wanted;
  const forHome = callsHome === 0 ? "" : `, and ${callsHome} are needed for the platform`;
  const limit = `The runtime makes ${context.maxSimultaneousRequests} requests at once`;
  const message = `${limit}; ${wanted} are configured${forHome}`;
  throw new CodedError("TRANSPORT_LIMIT_TOO_LOW", { message });
}

/** One that stands by is as ready as it can be: it waits, perhaps for days, to become active. */
function routerService(router: Router): Service {
  return { name: "router", run: (signal) => router.run(signal), ready: () => router.ready() };
}

function routerHttp(
  wired: { readonly router: Router; readonly parts: RouterParts; readonly settings: RouterSettings },
  context: ProcessContext,
): Service {
  const { router, parts, settings } = wired;
  const { clock, random, logger, metrics, health, version } = context;
  // Its schemas take as long to load as all the rest of the router, and deliveries do not need them.
  const app = madeOnFirstRequest(async () => {
    const { createRouterApp } = await import("../router/router-api.ts");
    const made = createRouterApp(
      {
        router: reloading(router, parts),
        queues: () => openQueues(parts).map(({ queue }) => queue),
        clock,
        random,
        logger,
        metrics,
      },
      { apiTokens: settings.apiTokens, version, addresses: parts.addresses },
    );
    return made.route("/", createHealthRoutes(health, metrics));
  });
  return createHttpService(app, {
    name: "router-api",
    host: settings.host,
    port: settings.routerPort,
    portSetting: "FC_ROUTER_PORT",
    clock,
    onListening: (url) => {
      parts.addresses["router"] = url;
    },
  });
}

/** POST /config/reload reads all that the settings come from, in the order in which one is laid over the other. */
function reloading(router: Router, { configured }: RouterParts): Pick<Router, "monitoring" | "reload"> {
  if (!configured) return router;
  return {
    monitoring: router.monitoring,
    reload: async () => {
      const fault = await configured.reload().then(
        () => null,
        (error: unknown) => wrapUnknown(error),
      );
      const revision = await router.reload();
      if (fault !== null) throw fault;
      return revision;
    },
  };
}

/** Which addresses targets may have; one for the router and for whoever saves a subscription. */
export function createTargetGuard(allowedCidrs: readonly string[], context: ProcessContext): AddressGuard {
  const policy = createAddressPolicy(allowedCidrs);
  return createDnsAddressGuard({ clock: context.clock, policy, resolve: systemResolveHost });
}

/** Health and metrics on a port of their own: they answer while other ports are not open yet, or not any more. */
export function createMetricsService(
  settings: { readonly host: string; readonly metricsPort: number },
  context: ProcessContext,
  addresses: { metrics: string },
): Service {
  const routes = createHealthRoutes(context.health, context.metrics);
  return createHttpService(routes, {
    name: "metrics",
    host: settings.host,
    port: settings.metricsPort,
    portSetting: "FC_METRICS_PORT",
    clock: context.clock,
    onListening: (url) => {
      addresses.metrics = url;
    },
  });
}
