import type { ServiceRoot } from "@flowcatalyst/contracts";
import type { Scope } from "../../domain/scope.ts";
import { jsonAnswer } from "../answers.ts";
import type { Mount } from "../mount.ts";
import type { PlatformConfig, PlatformDeps } from "../platform-deps.ts";
import { rootEndpoints } from "./endpoints.ts";

const links: ServiceRoot["links"] = {
  openapi: "/openapi.json",
  swaggerUi: "/swagger-ui",
  health: "/q/health",
  metrics: "/metrics",
  events: "/api/bff/events",
  eventTypes: "/api/event-types",
  subscriptions: "/api/subscriptions",
  dispatchPools: "/api/dispatch-pools",
  dispatchJobs: "/api/bff/dispatch-jobs",
  heldGroups: "/api/dispatch/groups",
};

export function mountRoot(mount: Mount, deps: PlatformDeps, config: PlatformConfig): void {
  mount.endpoint(rootEndpoints.root, async ({ scope }) =>
    jsonAnswer({
      name: "FlowCatalyst",
      version: config.version,
      addresses: config.addresses,
      counts: await counts(deps, scope),
      links,
    }),
  );
}

/** Only what is cheap to count. Events by position: exact until retention takes the oldest away. */
async function counts(deps: PlatformDeps, scope: Scope): Promise<Record<string, number>> {
  const one = { limit: 1, cursor: null };
  const [events, subscriptions, pools, eventTypes] = await Promise.all([
    scope.kind === "anchor" ? deps.eventFeed.newest() : null,
    deps.subscriptions.list({}, one, scope),
    deps.pools.list(one, scope),
    deps.eventTypes.list({}, one, scope),
  ]);
  const all = { events, subscriptions: subscriptions.total, dispatchPools: pools.total, eventTypes: eventTypes.total };
  return Object.fromEntries(Object.entries(all).flatMap(([name, count]) => (count === null ? [] : [[name, count]])));
}
