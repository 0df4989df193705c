import type { ClientId, EventId, GroupKey, JobId, MessageId, PoolCode, SubscriptionId } from "./ids.ts";
import type { DeliveryFormat } from "./subscription.ts";
import type { RetryPolicy } from "./retry-policy.ts";
import type { DataKind } from "./event.ts";

/** What travels on the queue. */
export type QueueMessage = PlatformMessage | StandaloneMessage;

/**
 * A run of one or more jobs of the platform, delivered one after another by one router. A queue in the same database
 * carries references; a broker carries deliveries.
 */
export interface PlatformMessage {
  readonly kind: "platform";
  readonly id: MessageId;
  readonly lane: PoolCode;
  readonly groupKey: GroupKey | null;
  readonly jobs: readonly JobItem[];
  readonly traceparent: string | null;
}

export type JobItem = JobReference | JobDelivery;

/** Names a job whose particulars are read from the store when the message is received. */
export interface JobReference {
  readonly kind: "reference";
  readonly jobId: JobId;
  readonly generation: number;
  /** Size of the payload in bytes, for limits on what is in the pipeline. */
  readonly bytes: number;
}

/** Everything needed to send, so that a router without a database can. */
export interface JobDelivery {
  readonly kind: "delivery";
  readonly jobId: JobId;
  readonly generation: number;
  readonly attemptCount: number;
  /** Attempts already recorded of this generation: the next one's number is one more. */
  readonly generationAttempts: number;
  readonly clientId: ClientId | null;
  readonly subscriptionId: SubscriptionId | null;
  readonly target: string;
  readonly contentType: string;
  readonly format: DeliveryFormat;
  readonly headers: Readonly<Record<string, string>>;
  readonly payloadKind: DataKind;
  readonly payload: string | null;
  readonly timeoutSeconds: number;
  readonly retry: RetryPolicy;
  readonly expiresAtMs: number;
  readonly legacySignature: boolean;
  readonly secretRef: string | null;
  /** Null for a task that names no event. */
  readonly event: DeliveredEvent | null;
}

/** The attributes of an event that a delivery tells of. */
export interface DeliveredEvent {
  readonly id: EventId;
  readonly senderId: string | null;
  readonly type: string;
  readonly source: string;
  readonly subject: string | null;
  readonly timeMs: number;
  readonly correlationId: string | null;
  readonly causationId: string | null;
  readonly messageGroup: string | null;
  readonly dataSchema: string | null;
  readonly extensions: Readonly<Record<string, string | number | boolean>>;
}

/** A message of a user who has no platform. */
export interface StandaloneMessage {
  readonly kind: "standalone";
  readonly id: MessageId;
  readonly lane: PoolCode;
  readonly groupKey: GroupKey | null;
  readonly deduplicationId: string | null;
  readonly highPriority: boolean;
  readonly target: string;
  /** The request body, as it is sent. */
  readonly payload: string;
  readonly contentType: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly secretRef: string | null;
  readonly traceparent: string | null;
}
