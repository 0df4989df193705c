// Generated from the OpenAPI documents by `npm run generate` (scripts/generators/sdk-sources.ts).
import type { Send } from "../operation.ts";
import { eventsApi, type EventsApi } from "./events.ts";
import { eventTypesApi, type EventTypesApi } from "./event-types.ts";
import { subscriptionsApi, type SubscriptionsApi } from "./subscriptions.ts";
import { poolsApi, type PoolsApi } from "./pools.ts";
import { jobsApi, type JobsApi } from "./jobs.ts";
import { replaysApi, type ReplaysApi } from "./replays.ts";
import { groupsApi, type GroupsApi } from "./groups.ts";
import { auditLogsApi, type AuditLogsApi } from "./audit-logs.ts";
import { routerControlApi, type RouterControlApi } from "./router-control.ts";
import { serviceApi, type ServiceApi } from "./service.ts";

/** Every operation of the platform API, by resource. */
export interface PlatformApi {
  readonly events: EventsApi;
  readonly eventTypes: EventTypesApi;
  readonly subscriptions: SubscriptionsApi;
  readonly pools: PoolsApi;
  readonly jobs: JobsApi;
  readonly replays: ReplaysApi;
  readonly groups: GroupsApi;
  readonly auditLogs: AuditLogsApi;
  readonly routerControl: RouterControlApi;
  readonly service: ServiceApi;
}

/** Makes them of something that sends. */
export function platformApi(send: Send): PlatformApi {
  return {
    events: eventsApi(send),
    eventTypes: eventTypesApi(send),
    subscriptions: subscriptionsApi(send),
    pools: poolsApi(send),
    jobs: jobsApi(send),
    replays: replaysApi(send),
    groups: groupsApi(send),
    auditLogs: auditLogsApi(send),
    routerControl: routerControlApi(send),
    service: serviceApi(send),
  };
}
