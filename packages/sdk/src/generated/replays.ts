// Generated from the OpenAPI documents by `npm run generate` (scripts/generators/sdk-sources.ts).
import { pathSegment, type CallOptions, type KeyedOptions, type Send } from "../operation.ts";
import { itemsByCursor } from "../pages.ts";

export interface CreateReplay {
  /** FAILED and EXPIRED if absent. */
  readonly statuses?: readonly ("FAILED" | "EXPIRED" | "CANCELLED" | "COMPLETED")[] | null;
  readonly subscriptionId?: string | null;
  readonly eventType?: string | null;
  readonly createdAfter?: string | null;
  readonly createdBefore?: string | null;
  /** 100 if absent. */
  readonly jobsPerSecond?: number | null;
  readonly dryRun?: boolean | null;
}

export interface Replay {
  readonly id: string;
  readonly status: "RUNNING" | "COMPLETED" | "CANCELLED";
  readonly total: number;
  readonly done: number;
  readonly jobsPerSecond: number;
  readonly filter: {
    readonly statuses: readonly string[];
    readonly subscriptionId: string | null;
    readonly eventType: string | null;
    readonly createdAfter: string | null;
    readonly createdBefore: string | null;
  };
  readonly createdAt: string;
  readonly updatedAt: string;
}

export interface ReplayList {
  readonly items: readonly Replay[];
  /** Absent on the last page. Opaque. */
  readonly nextCursor?: string;
  /** Given where counting is cheap. */
  readonly total?: number;
}

export interface ReplayPreview {
  readonly dryRun: true;
  readonly count: number;
}

/** Query of `GET /api/dispatch/replays`: List replays, newest first. */
export interface ListReplaysQuery {
  readonly limit?: number;
  readonly cursor?: string;
}

/** Operations on `replays`, one method each. */
export interface ReplaysApi {
  /** Retry final jobs in bulk, at a limited rate. `POST /api/dispatch/jobs/replay` */
  create(body: CreateReplay, options?: KeyedOptions): Promise<ReplayPreview | Replay>;

  /** List replays, newest first. `GET /api/dispatch/replays` */
  list(query?: ListReplaysQuery, options?: CallOptions): Promise<ReplayList>;
  /** Every item of `list`, page by page as they are asked for. */
  all(query?: ListReplaysQuery, options?: CallOptions): AsyncGenerator<Replay, void, undefined>;

  /** How far a replay is. `GET /api/dispatch/replays/{id}` */
  get(id: string, options?: CallOptions): Promise<Replay>;

  /** Stop a replay; jobs retried already go on. `POST /api/dispatch/replays/{id}/cancel` */
  cancel(id: string, options?: KeyedOptions): Promise<Replay>;
}

/** Makes them of something that sends. */
export function replaysApi(send: Send): ReplaysApi {
  const api: ReplaysApi = {
    create: (body, options) => send({ method: "POST", path: "/api/dispatch/jobs/replay", body, keyed: true, options }),
    list: (query, options) => send({ method: "GET", path: "/api/dispatch/replays", query: { ...query }, options }),
    all: (query, options) => itemsByCursor((cursor) => api.list({ ...query, cursor }, options), query?.cursor),
    get: (id, options) => send({ method: "GET", path: `/api/dispatch/replays/${pathSegment(id)}`, options }),
    cancel: (id, options) =>
      send({ method: "POST", path: `/api/dispatch/replays/${pathSegment(id)}/cancel`, body: {}, keyed: true, options }),
  };
  return api;
}
