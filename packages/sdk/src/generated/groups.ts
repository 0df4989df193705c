// Generated from the OpenAPI documents by `npm run generate` (scripts/generators/sdk-sources.ts).
import { pathSegment, type CallOptions, type KeyedOptions, type Send } from "../operation.ts";
import { itemsByCursor } from "../pages.ts";

export interface HeldGroup {
  readonly key: string;
  readonly subscriptionId: string | null;
  readonly reason: "SUBSCRIPTION_PAUSED" | "POOL_SUSPENDED" | "GROUP_BLOCKED" | "WAITING_RETRY" | "SCHEDULED";
  readonly since: string;
  readonly until: string | null;
  /** Jobs waiting; counted to 10,000 at most. */
  readonly waiting: number;
  readonly headJobId: string | null;
  readonly headStatus: string | null;
}

export interface HeldGroupList {
  readonly items: readonly HeldGroup[];
  /** Absent on the last page. Opaque. */
  readonly nextCursor?: string;
  /** Given where counting is cheap. */
  readonly total?: number;
}

/** skip cancels the failed head, retry tries it again. */
export interface UnblockGroup {
  readonly action: "skip" | "retry";
}

/** Query of `GET /api/dispatch/groups`: Groups that are held: why, since when, and how many jobs wait. */
export interface ListHeldGroupsQuery {
  readonly limit?: number;
  readonly cursor?: string;
}

/** Operations on `groups`, one method each. */
export interface GroupsApi {
  /** Groups that are held: why, since when, and how many jobs wait. `GET /api/dispatch/groups` */
  list(query?: ListHeldGroupsQuery, options?: CallOptions): Promise<HeldGroupList>;
  /** Every item of `list`, page by page as they are asked for. */
  all(query?: ListHeldGroupsQuery, options?: CallOptions): AsyncGenerator<HeldGroup, void, undefined>;

  /** Let a blocked group go on: skip or retry its head. `POST /api/dispatch/groups/{key}/unblock` */
  unblock(key: string, body: UnblockGroup, options?: KeyedOptions): Promise<HeldGroup>;
}

/** Makes them of something that sends. */
export function groupsApi(send: Send): GroupsApi {
  const api: GroupsApi = {
    list: (query, options) => send({ method: "GET", path: "/api/dispatch/groups", query: { ...query }, options }),
    all: (query, options) => itemsByCursor((cursor) => api.list({ ...query, cursor }, options), query?.cursor),
    unblock: (key, body, options) =>
      send({ method: "POST", path: `/api/dispatch/groups/${pathSegment(key)}/unblock`, body, keyed: true, options }),
  };
  return api;
}
