import type { Service } from "@flowcatalyst/foundation";
import type { Hono } from "hono";
import type { FilterFaults } from "../domain/filter-faults.ts";
import type { IdSource, SubscriptionId } from "../domain/ids.ts";
import { createHealthRoutes } from "../http/health-routes.ts";
import { createPlatformApp } from "../platform/app.ts";
import type { RouterQueue } from "../platform/platform-deps.ts";
import type { AddressGuard } from "../ports/transport.ts";
import { createHttpService } from "./http-service.ts";
import type { StorePorts } from "./open-store.ts";
import type { ProcessContext } from "./process-context.ts";

/** The settings of `flowcatalyst dev` and `flowcatalyst platform` that the API needs. */
export interface PlatformSettings {
  readonly host: string;
  readonly apiPort: number;
  readonly apiTokens: readonly string[];
  readonly corsOrigins: readonly string[];
  readonly routerMaxInFlight: number;
}

export interface PlatformParts {
  readonly store: StorePorts;
  readonly ids: IdSource;
  readonly guard: AddressGuard;
  readonly routerQueues: readonly RouterQueue[];
  /** Absent: a process that does not know its queue takes what every queue but a small one carries. */
  readonly eventDataMaxBytes?: number;
  /** Where the process is found. The API's own is corrected once it listens. */
  readonly addresses: Record<string, string>;
  /** Routes that are there besides the API, and need no token. */
  readonly extra?: { readonly path: string; readonly routes: Hono };
  /** Of a stream in the same process. */
  readonly filterFaults?: (id: SubscriptionId) => FilterFaults | null;
  /** Told when a replay was created, if its runner is in the same process; else that one polls. */
  readonly replayCreated?: () => void;
}

/** The platform's HTTP API with health and metrics, as a service. */
export function platformService(parts: PlatformParts, settings: PlatformSettings, context: ProcessContext): Service {
  const { store, ids, guard, addresses, extra, filterFaults } = parts;
  const { clock, random, logger, metrics, health, version } = context;
  const app = createPlatformApp(
    {
      ...store,
      replays: tellingReplays(store, parts.replayCreated),
      ...(filterFaults === undefined ? {} : { filterFaults }),
      clock,
      random,
      ids,
      log: logger,
      metrics,
      addressGuard: guard,
    },
    {
      version,
      apiTokens: settings.apiTokens,
      corsOrigins: settings.corsOrigins,
      addresses,
      routerQueues: parts.routerQueues,
      ...(parts.eventDataMaxBytes === undefined ? {} : { eventDataMaxBytes: parts.eventDataMaxBytes }),
      poolConcurrencyMax: settings.routerMaxInFlight,
      deliveryPathPrefixes: extra === undefined ? [] : [`${extra.path}/`],
    },
  );
  app.route("/", createHealthRoutes(health, metrics));
  if (extra !== undefined) app.route(extra.path, extra.routes);
  return createHttpService(app, {
    name: "api",
    host: settings.host,
    port: settings.apiPort,
    portSetting: "FC_API_PORT",
    clock,
    onListening: (url) => {
      addresses["api"] = url;
    },
  });
}

function tellingReplays({ replays }: StorePorts, created: (() => void) | undefined): StorePorts["replays"] {
  if (created === undefined) return replays;
  return {
    ...replays,
    async create(replay, scope) {
      const made = await replays.create(replay, scope);
      created();
      return made;
    },
  };
}
