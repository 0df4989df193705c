// Generated from the OpenAPI documents by `npm run generate` (scripts/generators/sdk-sources.ts).
import { type CallOptions, type Send } from "../operation.ts";
import type { DispatchPool, JobStatus } from "./shared.ts";

/** Jobs as a message names them that was received again, or is old. */
export interface CheckDeliveries {
  readonly jobs: readonly {
    readonly jobId: string;
    readonly generation: number;
  }[];
}

export interface CheckDeliveriesAnswer {
  /** Those still owed in the generation that was asked for; do not start the others. */
  readonly jobs: readonly OwedDelivery[];
}

export interface DeliveryReport {
  readonly jobId: string;
  readonly generation: number;
  readonly attempt: {
    readonly number: number;
    readonly startedAt: string;
    readonly durationMs: number;
    readonly outcome:
      | "DELIVERED"
      | "NOT_YET"
      | "REDIRECT"
      | "REJECTED"
      | "GONE"
      | "RATE_LIMITED"
      | "SERVER_ERROR"
      | "NOT_IMPLEMENTED"
      | "TIMEOUT"
      | "CONNECTION_FAILED"
      | "DNS_FAILED"
      | "TLS_FAILED"
      | "BLOCKED_ADDRESS";
    readonly statusCode: number | null;
    readonly burnt: boolean;
    readonly error: string | null;
    readonly responseBody: string | null;
    readonly signed: boolean;
  } | null;
  readonly result: DeliveryResult;
}

export type DeliveryResult =
  | {
      readonly kind: "delivered";
    }
  | {
      readonly kind: "permanent";
      readonly error: string;
      /** The reason to pause the subscription with. */
      readonly pauseSubscription: string | null;
    }
  | {
      readonly kind: "transient";
      readonly error: string;
    }
  | {
      readonly kind: "held";
      readonly until: string;
      readonly error: string | null;
    }
  | {
      readonly kind: "expired";
    }
  | {
      readonly kind: "released";
      readonly dueAt: string;
    };

export interface OwedDelivery {
  readonly jobId: string;
  readonly generation: number;
  /** Attempts that burnt one of the budget. */
  readonly attemptCount: number;
  /** Attempts recorded of this generation. */
  readonly generationAttempts: number;
}

export interface ReportAttempts {
  readonly reports: readonly DeliveryReport[];
}

export interface ReportAttemptsAnswer {
  /** By position. */
  readonly verdicts: readonly ReportVerdict[];
}

export type ReportVerdict =
  | {
      readonly kind: "settled";
      readonly status: JobStatus;
      /** The rest of the run was taken back and must not be started. */
      readonly holdsGroup: boolean;
    }
  | {
      readonly kind: "wait";
      readonly delayMs: number;
      readonly attemptCount: number;
    }
  | {
      readonly kind: "parked";
      readonly until: string;
    }
  | {
      readonly kind: "ignored";
      readonly reason: "STALE" | "FINAL" | "UNKNOWN_JOB";
    };

export interface RouterConfig {
  readonly processingPools: readonly {
    readonly code: string;
    readonly concurrency: number;
    readonly rateLimitPerMinute?: number | null;
  }[];
  readonly queues: readonly {
    readonly queueName: string;
    readonly queueUri: string;
    readonly connections?: number;
    readonly visibilityTimeout?: number;
  }[];
}

export interface RouterControl {
  readonly revision: number;
  readonly pools: readonly DispatchPool[];
  readonly pausedSubscriptions: readonly string[];
  /** As `jobId.generation`: do not start these. */
  readonly cancelledJobs: readonly string[];
}

export interface RouterSecrets {
  /** Valid now, newest first; empty: unknown. */
  readonly secrets: readonly string[];
}

/** Query of `GET /api/router/control`: Pools, pauses and cancellations; waits for a change. */
export interface GetRouterControlQuery {
  readonly revision?: number;
  readonly waitMs?: number;
}

/** Query of `GET /api/router/secrets`: Signing secrets valid now for a reference. */
export interface GetRouterSecretsQuery {
  readonly ref: string;
}

/** Operations on `routerControl`, one method each. */
export interface RouterControlApi {
  /** Results of a router without a database. `POST /api/dispatch/attempts` */
  reportAttempts(body: ReportAttempts, options?: CallOptions): Promise<ReportAttemptsAnswer>;

  /** Which deliveries of a message are still owed. `POST /api/dispatch/check` */
  checkDeliveries(body: CheckDeliveries, options?: CallOptions): Promise<CheckDeliveriesAnswer>;

  /** Pools, pauses and cancellations; waits for a change. `GET /api/router/control` */
  control(query?: GetRouterControlQuery, options?: CallOptions): Promise<RouterControl>;

  /** Signing secrets valid now for a reference. `GET /api/router/secrets` */
  secrets(query?: GetRouterSecretsQuery, options?: CallOptions): Promise<RouterSecrets>;

  /** Pools and queues, for FC_ROUTER_CONFIG_URL. `GET /api/config/router` */
  config(options?: CallOptions): Promise<RouterConfig>;
}

/** Makes them of something that sends. */
export function routerControlApi(send: Send): RouterControlApi {
  const api: RouterControlApi = {
    reportAttempts: (body, options) => send({ method: "POST", path: "/api/dispatch/attempts", body, options }),
    checkDeliveries: (body, options) => send({ method: "POST", path: "/api/dispatch/check", body, options }),
    control: (query, options) => send({ method: "GET", path: "/api/router/control", query: { ...query }, options }),
    secrets: (query, options) => send({ method: "GET", path: "/api/router/secrets", query: { ...query }, options }),
    config: (options) => send({ method: "GET", path: "/api/config/router", options }),
  };
  return api;
}
