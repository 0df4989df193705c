// Generated from the OpenAPI documents by `npm run generate` (scripts/generators/sdk-sources.ts).
import {
  pathSegment,
  type CallOptions,
  type ChangeOptions,
  type KeyedChangeOptions,
  type KeyedOptions,
  type Send,
} from "../operation.ts";
import { itemsByCursor } from "../pages.ts";
import type { DispatchPool } from "./shared.ts";

export interface CreateDispatchPool {
  readonly code: string;
  readonly clientId?: string | null;
  readonly name?: string | null;
  /** Calls at once; 10. */
  readonly concurrency?: number | null;
  readonly rateLimitPerMinute?: number | null;
  /** Tokens the bucket holds; the concurrency. */
  readonly burst?: number | null;
  readonly timeoutSeconds?: number | null;
}

export interface DispatchPoolList {
  readonly items: readonly DispatchPool[];
  /** Absent on the last page. Opaque. */
  readonly nextCursor?: string;
  /** Given where counting is cheap. */
  readonly total?: number;
}

export interface UpdateDispatchPool {
  readonly name?: string | null;
  /** Calls at once; 10. */
  readonly concurrency?: number | null;
  readonly rateLimitPerMinute?: number | null;
  /** Tokens the bucket holds; the concurrency. */
  readonly burst?: number | null;
  readonly timeoutSeconds?: number | null;
}

/** Query of `GET /api/dispatch-pools`: List dispatch pools. */
export interface ListDispatchPoolsQuery {
  readonly limit?: number;
  readonly cursor?: string;
}

/** Operations on `pools`, one method each. */
export interface PoolsApi {
  /** Create a dispatch pool. `POST /api/dispatch-pools` */
  create(body: CreateDispatchPool, options?: KeyedOptions): Promise<DispatchPool>;

  /** List dispatch pools. `GET /api/dispatch-pools` */
  list(query?: ListDispatchPoolsQuery, options?: CallOptions): Promise<DispatchPoolList>;
  /** Every item of `list`, page by page as they are asked for. */
  all(query?: ListDispatchPoolsQuery, options?: CallOptions): AsyncGenerator<DispatchPool, void, undefined>;

  /** Read a dispatch pool by id or code. `GET /api/dispatch-pools/{id}` */
  get(id: string, options?: CallOptions): Promise<DispatchPool>;

  /** Replace a pool's budget; what is absent goes back to its default. `PUT /api/dispatch-pools/{id}` */
  replace(id: string, body: UpdateDispatchPool, options?: ChangeOptions): Promise<DispatchPool>;

  /** Change a pool's budget in place. `PATCH /api/dispatch-pools/{id}` */
  update(id: string, body: UpdateDispatchPool, options?: ChangeOptions): Promise<DispatchPool>;

  /** Remove a pool that no subscription names. `DELETE /api/dispatch-pools/{id}` */
  remove(id: string, options?: CallOptions): Promise<void>;

  /** Hold all jobs of a pool. `POST /api/dispatch-pools/{id}/suspend` */
  suspend(id: string, options?: KeyedChangeOptions): Promise<DispatchPool>;

  /** Let the jobs of a pool go on. `POST /api/dispatch-pools/{id}/activate` */
  activate(id: string, options?: KeyedChangeOptions): Promise<DispatchPool>;
}

/** Makes them of something that sends. */
export function poolsApi(send: Send): PoolsApi {
  const api: PoolsApi = {
    create: (body, options) => send({ method: "POST", path: "/api/dispatch-pools", body, keyed: true, options }),
    list: (query, options) => send({ method: "GET", path: "/api/dispatch-pools", query: { ...query }, options }),
    all: (query, options) => itemsByCursor((cursor) => api.list({ ...query, cursor }, options), query?.cursor),
    get: (id, options) => send({ method: "GET", path: `/api/dispatch-pools/${pathSegment(id)}`, options }),
    replace: (id, body, options) =>
      send({ method: "PUT", path: `/api/dispatch-pools/${pathSegment(id)}`, body, options }),
    update: (id, body, options) =>
      send({ method: "PATCH", path: `/api/dispatch-pools/${pathSegment(id)}`, body, options }),
    remove: (id, options) => send({ method: "DELETE", path: `/api/dispatch-pools/${pathSegment(id)}`, options }),
    suspend: (id, options) =>
      send({ method: "POST", path: `/api/dispatch-pools/${pathSegment(id)}/suspend`, body: {}, keyed: true, options }),
    activate: (id, options) =>
      send({ method: "POST", path: `/api/dispatch-pools/${pathSegment(id)}/activate`, body: {}, keyed: true, options }),
  };
  return api;
}
