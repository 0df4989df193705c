import type { Endpoint } from "../http/endpoint.ts";
import { openApiDocument } from "../http/openapi.ts";
import { auditLogEndpoints } from "./audit-logs/endpoints.ts";
import { bffEndpoints } from "./bff/endpoints.ts";
import { dispatchJobEndpoints } from "./dispatch-jobs/endpoints.ts";
import { dispatchPoolEndpoints } from "./dispatch-pools/endpoints.ts";
import { eventTypeEndpoints } from "./event-types/endpoints.ts";
import { eventEndpoints } from "./events/endpoints.ts";
import { groupEndpoints } from "./groups/endpoints.ts";
import { replayEndpoints } from "./replays/endpoints.ts";
import { rootEndpoints } from "./root/endpoints.ts";
import { routerControlEndpoints } from "./router-control/endpoints.ts";
import { subscriptionEndpoints } from "./subscriptions/endpoints.ts";

/** Every operation of the platform API, in the order of the document. */
export function platformEndpoints(): readonly Endpoint[] {
  return [
    eventEndpoints,
    eventTypeEndpoints,
    subscriptionEndpoints,
    dispatchPoolEndpoints,
    dispatchJobEndpoints,
    replayEndpoints,
    groupEndpoints,
    auditLogEndpoints,
    bffEndpoints,
    routerControlEndpoints,
    rootEndpoints,
  ].flatMap((endpoints) => Object.values<Endpoint>(endpoints));
}

/** The OpenAPI 3.1 document of the platform API; checked in as docs/reference/openapi.json. */
export function platformOpenApi(): object {
  const info = {
    title: "FlowCatalyst platform API",
    version: "1",
    description: "Events in, webhooks out: once each at least, in order where order was asked for.",
    tags: [
      { name: "Events", description: "Publish events and see what became of them." },
      { name: "Event types", description: "Registered types and the JSON Schemas their data is held to." },
      { name: "Subscriptions", description: "Who wants which events, where to, and how." },
      { name: "Dispatch pools", description: "Budgets of concurrency and rate." },
      { name: "Dispatch jobs", description: "Deliveries owed, and their attempts." },
      { name: "Replays", description: "Bulk retries and their progress." },
      { name: "Groups", description: "Groups of ordered jobs that are held." },
      { name: "Audit logs", description: "Who did what to which entity, as applications tell it." },
      { name: "Searches", description: "Numbered pages for user interfaces." },
      { name: "Router control", description: "For routers without a database." },
      { name: "Service", description: "The server itself." },
    ],
  };
  return openApiDocument(info, platformEndpoints());
}
