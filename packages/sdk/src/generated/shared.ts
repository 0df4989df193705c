// Generated from the OpenAPI documents by `npm run generate` (scripts/generators/sdk-sources.ts).

/** Body of the webhook: the data alone, or a CloudEvents JSON envelope. */
export type DeliveryFormat = "data" | "cloudevents";

export interface DispatchJob {
  readonly id: string;
  readonly kind: "EVENT" | "TASK";
  readonly status: JobStatus;
  readonly clientId: string | null;
  readonly eventId: string | null;
  readonly subscriptionId: string | null;
  readonly code: string | null;
  readonly messageGroup: string | null;
  readonly groupKey: string | null;
  readonly targetUrl: string;
  /** The pool's code. */
  readonly dispatchPoolId: string;
  readonly mode: DispatchMode;
  readonly format: DeliveryFormat;
  readonly timeoutSeconds: number;
  readonly maxAgeSeconds: number;
  readonly retry: Retry;
  readonly headers: Readonly<Record<string, string>>;
  readonly generation: number;
  /** Attempts of the present retry budget. */
  readonly attemptCount: number;
  readonly replayCount: number;
  /** For a PENDING job: not published before. */
  readonly nextAttemptAt: string | null;
  readonly queuedAt: string | null;
  readonly expiresAt: string | null;
  readonly finishedAt: string | null;
  readonly lastError: string | null;
  readonly idempotencyKey: string | null;
  readonly metadata: Readonly<Record<string, string>>;
  readonly payloadBytes: number;
  readonly createdAt: string;
  readonly updatedAt: string;
}

export interface DispatchJobList {
  readonly items: readonly DispatchJob[];
  /** Absent on the last page. Opaque. */
  readonly nextCursor?: string;
  /** Given where counting is cheap. */
  readonly total?: number;
}

/** Whether order is kept within a message group, and what a failure does to it. */
export type DispatchMode = "IMMEDIATE" | "NEXT_ON_ERROR" | "BLOCK_ON_ERROR";

export interface DispatchPool {
  readonly id: string;
  readonly code: string;
  readonly name: string | null;
  readonly clientId: string | null;
  readonly concurrency: number;
  readonly rateLimitPerMinute: number | null;
  readonly burst: number | null;
  readonly timeoutSeconds: number | null;
  readonly status: "ACTIVE" | "SUSPENDED";
  readonly version: number;
  readonly createdAt: string;
  readonly updatedAt: string;
}

export interface Fault {
  readonly path: string;
  readonly message: string;
}

export interface FilterOption {
  readonly value: string;
  readonly label: string;
}

/** INTERNAL_ERROR may be sent again; the others will not get better. */
export interface ItemResult {
  readonly id?: string;
  readonly status: "SUCCESS" | "BAD_REQUEST" | "FORBIDDEN" | "INTERNAL_ERROR";
  readonly error?: string;
}

export interface ItemsAnswer {
  /** By position. */
  readonly results: readonly ItemResult[];
}

export type JobStatus = "PENDING" | "QUEUED" | "COMPLETED" | "FAILED" | "CANCELLED" | "EXPIRED";

export interface Problem {
  /** Identifies the kind of problem: /errors/ and the code. */
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  /** The path of the request. */
  readonly instance?: string;
  /** From a closed set: docs/reference/errors.md. */
  readonly code: string;
  /** The same as detail. */
  readonly message: string;
  /** The same as code. */
  readonly error: string;
  /** Each fault of a request that was not valid. */
  readonly errors?: readonly Fault[];
}

/** The wait before retry n is delaysSeconds[n]; the last one repeats. */
export interface Retry {
  readonly delaysSeconds: readonly number[];
  readonly maxRetries: number;
}

export type RetryIn =
  | "fast"
  | "default"
  | "standard-webhooks"
  | {
      readonly delaysSeconds: readonly number[];
      readonly maxRetries?: number | null;
    };

export interface ServiceRoot {
  readonly name: string;
  readonly version: string;
  readonly addresses: Readonly<Record<string, string>>;
  readonly counts: Readonly<Record<string, number>>;
  readonly links: Readonly<Record<string, string>>;
}
