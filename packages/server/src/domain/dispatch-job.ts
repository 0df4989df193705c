import type {
  ClientId,
  EventId,
  EventPosition,
  GroupKey,
  JobId,
  JobPosition,
  PoolCode,
  SubscriptionId,
} from "./ids.ts";
import type { DeliveryFormat, DispatchMode } from "./subscription.ts";
import type { RetryPolicy } from "./retry-policy.ts";

export type JobStatus = "PENDING" | "QUEUED" | "COMPLETED" | "FAILED" | "CANCELLED" | "EXPIRED";
export type FinalStatus = Exclude<JobStatus, "PENDING" | "QUEUED">;

/** Why a group of jobs or all jobs of a subscription are not published now. */
export type HeldReason = "SUBSCRIPTION_PAUSED" | "POOL_SUSPENDED" | "GROUP_BLOCKED" | "WAITING_RETRY" | "SCHEDULED";

/**
 * How a job is to be delivered, as its subscription said when the job was made. Immutable, shared by all jobs made from
 * one version of a subscription and stored once: `key` names it (`sub_X@version`, or `task:` and a digest).
 * Secrets are never in it; `secretRef` says where to look when sending.
 */
export interface DeliveryProfile {
  readonly key: string;
  readonly subscriptionId: SubscriptionId | null;
  readonly targetUrl: string;
  readonly poolCode: PoolCode;
  readonly mode: DispatchMode;
  readonly format: DeliveryFormat;
  readonly timeoutSeconds: number;
  readonly retry: RetryPolicy;
  readonly headers: Readonly<Record<string, string>>;
  readonly maxAgeSeconds: number;
  readonly legacySignature: boolean;
  /** Which secret signs: `subscription:<id>`, `client:<id>`, a name a task gave, or null: unsigned. */
  readonly secretRef: string | null;
}

/** One delivery owed. Times are epoch milliseconds. */
export interface DispatchJob {
  readonly id: JobId;
  readonly position: JobPosition;
  /** `EVENT`: made by the stream from (event, subscription). `TASK`: created directly, with its own payload. */
  readonly kind: "EVENT" | "TASK";
  readonly clientId: ClientId | null;
  readonly eventId: EventId | null;
  readonly subscriptionId: SubscriptionId | null;
  /** The event's type, or the code a task was given. */
  readonly code: string | null;
  readonly messageGroup: string | null;
  /** Null: not ordered (IMMEDIATE, or no message group). */
  readonly groupKey: GroupKey | null;
  readonly profile: DeliveryProfile;
  readonly status: JobStatus;
  /** Raised by each entry into PENDING; starts at 1. Results of another generation do not move the job. */
  readonly generation: number;
  /** Attempts of this retry budget that were burnt. */
  readonly attemptCount: number;
  /** Attempts recorded of the current generation, burnt or not; the next one's number is one more. */
  readonly generationAttempts: number;
  /** When it may be published; for a parked job the end of its wait. */
  readonly dueAtMs: number;
  readonly queuedAtMs: number | null;
  /** Null until first published. Time spent held by pause, block or suspension is already added. */
  readonly expiresAtMs: number | null;
  readonly finishedAtMs: number | null;
  readonly lastError: string | null;
  readonly replayCount: number;
  readonly idempotencyKey: string | null;
  readonly metadata: Readonly<Record<string, string>>;
  readonly payloadBytes: number;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

/** A job as the stream makes it. */
export interface NewEventJob {
  readonly kind: "EVENT";
  readonly id: JobId;
  readonly clientId: ClientId | null;
  readonly eventId: EventId;
  readonly eventPosition: EventPosition;
  readonly code: string;
  readonly messageGroup: string | null;
  readonly groupKey: GroupKey | null;
  readonly profile: DeliveryProfile;
  readonly dueAtMs: number;
  readonly payloadBytes: number;
  readonly createdAtMs: number;
}

/** A job as a caller of the API makes it. Carries its payload itself. */
export interface NewTaskJob {
  readonly kind: "TASK";
  readonly id: JobId;
  readonly clientId: ClientId | null;
  /** Informational: the event or subscription the caller says it belongs to. */
  readonly eventId: EventId | null;
  readonly subscriptionId: SubscriptionId | null;
  readonly code: string | null;
  readonly messageGroup: string | null;
  readonly groupKey: GroupKey | null;
  readonly profile: DeliveryProfile;
  readonly payload: string;
  readonly contentType: string;
  readonly dueAtMs: number;
  readonly idempotencyKey: string | null;
  readonly metadata: Readonly<Record<string, string>>;
  readonly createdAtMs: number;
}

export const jobLimits = {
  runMaxJobs: 32,
  runMaxBytes: 262_144,
  /** A wait of at most this is spent in the router; any longer one parks the job. */
  routerWaitMaxMs: 10_000,
  /** Attempts that burn nothing keep this many rows. */
  unburntAttemptRows: 20,
} as const;
