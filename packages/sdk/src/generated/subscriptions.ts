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
import type { DeliveryFormat, DispatchJob, DispatchMode, Retry, RetryIn } from "./shared.ts";

export interface CreateSubscription {
  readonly name: string;
  readonly eventTypes: readonly EventTypeBindingIn[];
  /** http or https; checked against forbidden addresses. */
  readonly targetUrl: string;
  readonly code?: string | null;
  /** Id or code of a pool; default is DEFAULT-POOL. */
  readonly dispatchPoolId?: string | null;
  readonly mode?: DispatchMode | null;
  readonly format?: DeliveryFormat | null;
  /** CEL over `event` and `data`, e.g. data.amount > 100 */
  readonly filter?: string | null;
  readonly timeoutSeconds?: number | null;
  readonly maxRetries?: number | null;
  readonly retry?: RetryIn | null;
  readonly headers?: Readonly<Record<string, string>> | null;
  readonly delaySeconds?: number | null;
  readonly maxAgeSeconds?: number | null;
  readonly legacySignature?: boolean | null;
  readonly clientId?: string | null;
  /** Makes it temporary: archived once the lease is over, unless renewed. */
  readonly leaseSeconds?: number | null;
}

/** The entity was saved, but something about it deserves a look. */
export interface EntityWarning {
  readonly code: string;
  readonly message: string;
}

/** A type or pattern: * is one segment, ** at the end one or more. */
export type EventTypeBindingIn =
  | string
  | {
      readonly eventTypeCode: string;
      /** CEL over `event` and `data`, e.g. data.amount > 100 */
      readonly filter?: string | null;
    };

export interface PauseSubscription {
  readonly reason?: string | null;
}

export interface RenewLease {
  readonly leaseSeconds?: number | null;
}

export interface ReplaceSubscription {
  readonly name: string;
  readonly eventTypes: readonly EventTypeBindingIn[];
  /** http or https; checked against forbidden addresses. */
  readonly targetUrl: string;
  readonly code?: string | null;
  /** Id or code of a pool; default is DEFAULT-POOL. */
  readonly dispatchPoolId?: string | null;
  readonly mode?: DispatchMode | null;
  readonly format?: DeliveryFormat | null;
  /** CEL over `event` and `data`, e.g. data.amount > 100 */
  readonly filter?: string | null;
  readonly timeoutSeconds?: number | null;
  readonly maxRetries?: number | null;
  readonly retry?: RetryIn | null;
  readonly headers?: Readonly<Record<string, string>> | null;
  readonly delaySeconds?: number | null;
  readonly maxAgeSeconds?: number | null;
  readonly legacySignature?: boolean | null;
}

export interface RotateSecret {
  /** How long the old one stays valid; 24. */
  readonly overlapHours?: number | null;
}

export interface SigningSecret {
  /** whsec_ and base64; the one that signs now. */
  readonly secret: string;
  /** Older ones that still sign besides it. */
  readonly alsoValid: readonly string[];
}

export interface Subscription {
  readonly id: string;
  readonly code: string | null;
  readonly name: string;
  readonly clientId: string | null;
  readonly eventTypes: readonly {
    readonly eventTypeCode: string;
    readonly filter: string | null;
  }[];
  readonly targetUrl: string;
  /** The pool's code. */
  readonly dispatchPoolId: string;
  readonly mode: DispatchMode;
  readonly format: DeliveryFormat;
  readonly filter: string | null;
  readonly timeoutSeconds: number;
  readonly retry: Retry;
  readonly headers: Readonly<Record<string, string>>;
  readonly delaySeconds: number;
  readonly maxAgeSeconds: number;
  readonly legacySignature: boolean;
  readonly status: "ACTIVE" | "PAUSED" | "ARCHIVED";
  readonly pauseReason: string | null;
  readonly leaseExpiresAt: string | null;
  readonly version: number;
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly warnings?: readonly EntityWarning[];
}

export interface SubscriptionList {
  readonly items: readonly Subscription[];
  /** Absent on the last page. Opaque. */
  readonly nextCursor?: string;
  /** Given where counting is cheap. */
  readonly total?: number;
}

/** Jobs by status, each counted to 10,000 at most. */
export interface SubscriptionStats {
  readonly subscriptionId: string;
  readonly pending: number;
  readonly queued: number;
  readonly completed: number;
  readonly failed: number;
  readonly cancelled: number;
  readonly expired: number;
  /** Events its filter could not be evaluated on, since the stream started; null: none known. */
  readonly filterFaults: {
    readonly count: number;
    readonly lastReason: string;
    readonly lastEventId: string;
    readonly lastAt: string;
  } | null;
}

export interface TestSubscription {
  /** Defaults to the first event type without wildcards. */
  readonly type?: string | null;
  readonly data?: unknown;
}

export interface UpdateSubscription {
  readonly name?: string;
  readonly eventTypes?: readonly EventTypeBindingIn[];
  /** http or https; checked against forbidden addresses. */
  readonly targetUrl?: string;
  readonly code?: string | null;
  /** Id or code of a pool; default is DEFAULT-POOL. */
  readonly dispatchPoolId?: string | null;
  readonly mode?: DispatchMode | null;
  readonly format?: DeliveryFormat | null;
  /** CEL over `event` and `data`, e.g. data.amount > 100 */
  readonly filter?: string | null;
  readonly timeoutSeconds?: number | null;
  readonly maxRetries?: number | null;
  readonly retry?: RetryIn | null;
  readonly headers?: Readonly<Record<string, string>> | null;
  readonly delaySeconds?: number | null;
  readonly maxAgeSeconds?: number | null;
  readonly legacySignature?: boolean | null;
}

/** Query of `GET /api/subscriptions`: List subscriptions. */
export interface ListSubscriptionsQuery {
  readonly limit?: number;
  readonly cursor?: string;
  readonly status?: "ACTIVE" | "PAUSED" | "ARCHIVED";
  readonly clientId?: string;
  readonly code?: string;
  readonly name?: string;
}

/** Operations on `subscriptions`, one method each. */
export interface SubscriptionsApi {
  /** Create a subscription. `POST /api/subscriptions` */
  create(body: CreateSubscription, options?: KeyedOptions): Promise<Subscription>;

  /** List subscriptions. `GET /api/subscriptions` */
  list(query?: ListSubscriptionsQuery, options?: CallOptions): Promise<SubscriptionList>;
  /** Every item of `list`, page by page as they are asked for. */
  all(query?: ListSubscriptionsQuery, options?: CallOptions): AsyncGenerator<Subscription, void, undefined>;

  /** Read a subscription. `GET /api/subscriptions/{id}` */
  get(id: string, options?: CallOptions): Promise<Subscription>;

  /** Replace a subscription; what is absent goes back to its default. `PUT /api/subscriptions/{id}` */
  replace(id: string, body: ReplaceSubscription, options?: ChangeOptions): Promise<Subscription>;

  /** Change a subscription; what is absent stays. `PATCH /api/subscriptions/{id}` */
  update(id: string, body: UpdateSubscription, options?: ChangeOptions): Promise<Subscription>;

  /** Archive a subscription. `DELETE /api/subscriptions/{id}` */
  remove(id: string, options?: ChangeOptions): Promise<void>;

  /** Pause deliveries; matching goes on and nothing is lost. `POST /api/subscriptions/{id}/pause` */
  pause(id: string, body?: PauseSubscription, options?: KeyedChangeOptions): Promise<Subscription>;

  /** Resume deliveries. `POST /api/subscriptions/{id}/resume` */
  resume(id: string, options?: KeyedChangeOptions): Promise<Subscription>;

  /** End a subscription and cancel its pending jobs. `POST /api/subscriptions/{id}/archive` */
  archive(id: string, options?: KeyedChangeOptions): Promise<Subscription>;

  /** Keep a temporary subscription for another lease. `POST /api/subscriptions/{id}/renew-lease` */
  renewLease(id: string, body?: RenewLease, options?: KeyedOptions): Promise<Subscription>;

  /** Send a test delivery to the target. `POST /api/subscriptions/{id}/test` */
  test(id: string, body?: TestSubscription, options?: KeyedOptions): Promise<DispatchJob>;

  /** Read the signing secret. `GET /api/subscriptions/{id}/secret` */
  secret(id: string, options?: CallOptions): Promise<SigningSecret>;

  /**
   * Make a new signing secret; the old one stays valid for 24 h.
   * `POST /api/subscriptions/{id}/rotate-secret`
   */
  rotateSecret(id: string, body?: RotateSecret, options?: KeyedOptions): Promise<SigningSecret>;

  /** Count a subscription's jobs by status. `GET /api/subscriptions/{id}/stats` */
  stats(id: string, options?: CallOptions): Promise<SubscriptionStats>;
}

/** Makes them of something that sends. */
export function subscriptionsApi(send: Send): SubscriptionsApi {
  const api: SubscriptionsApi = {
    create: (body, options) => send({ method: "POST", path: "/api/subscriptions", body, keyed: true, options }),
    list: (query, options) => send({ method: "GET", path: "/api/subscriptions", query: { ...query }, options }),
    all: (query, options) => itemsByCursor((cursor) => api.list({ ...query, cursor }, options), query?.cursor),
    get: (id, options) => send({ method: "GET", path: `/api/subscriptions/${pathSegment(id)}`, options }),
    replace: (id, body, options) =>
      send({ method: "PUT", path: `/api/subscriptions/${pathSegment(id)}`, body, options }),
    update: (id, body, options) =>
      send({ method: "PATCH", path: `/api/subscriptions/${pathSegment(id)}`, body, options }),
    remove: (id, options) => send({ method: "DELETE", path: `/api/subscriptions/${pathSegment(id)}`, options }),
    pause: (id, body, options) =>
      send({
        method: "POST",
        path: `/api/subscriptions/${pathSegment(id)}/pause`,
        body: body ?? {},
        keyed: true,
        options,
      }),
    resume: (id, options) =>
      send({ method: "POST", path: `/api/subscriptions/${pathSegment(id)}/resume`, body: {}, keyed: true, options }),
    archive: (id, options) =>
      send({ method: "POST", path: `/api/subscriptions/${pathSegment(id)}/archive`, body: {}, keyed: true, options }),
    renewLease: (id, body, options) =>
      send({
        method: "POST",
        path: `/api/subscriptions/${pathSegment(id)}/renew-lease`,
        body: body ?? {},
        keyed: true,
        options,
      }),
    test: (id, body, options) =>
      send({
        method: "POST",
        path: `/api/subscriptions/${pathSegment(id)}/test`,
        body: body ?? {},
        keyed: true,
        options,
      }),
    secret: (id, options) => send({ method: "GET", path: `/api/subscriptions/${pathSegment(id)}/secret`, options }),
    rotateSecret: (id, body, options) =>
      send({
        method: "POST",
        path: `/api/subscriptions/${pathSegment(id)}/rotate-secret`,
        body: body ?? {},
        keyed: true,
        options,
      }),
    stats: (id, options) => send({ method: "GET", path: `/api/subscriptions/${pathSegment(id)}/stats`, options }),
  };
  return api;
}
