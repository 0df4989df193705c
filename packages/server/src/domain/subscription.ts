import type { ClientId, PoolCode, SubscriptionId } from "./ids.ts";
import type { RetryPolicy } from "./retry-policy.ts";

export type SubscriptionStatus = "ACTIVE" | "PAUSED" | "ARCHIVED";
export type DispatchMode = "IMMEDIATE" | "NEXT_ON_ERROR" | "BLOCK_ON_ERROR";
export type DeliveryFormat = "data" | "cloudevents";

/** One pattern of event types, and optionally a filter that applies to events of this pattern only. */
export interface EventTypeBinding {
  readonly pattern: string;
  readonly filter: string | null;
}

/** Who wants which events, where to, and how. Its signing secrets are kept apart (`SecretStore`), never in here. */
export interface Subscription {
  readonly id: SubscriptionId;
  /** Unique within the client, case-sensitive; null when none was given. */
  readonly code: string | null;
  readonly name: string;
  readonly clientId: ClientId | null;
  readonly eventTypes: readonly EventTypeBinding[];
  readonly filter: string | null;
  readonly targetUrl: string;
  readonly poolCode: PoolCode;
  readonly mode: DispatchMode;
  readonly format: DeliveryFormat;
  readonly timeoutSeconds: number;
  readonly retry: RetryPolicy;
  readonly headers: Readonly<Record<string, string>>;
  readonly delaySeconds: number;
  readonly maxAgeSeconds: number;
  readonly legacySignature: boolean;
  readonly status: SubscriptionStatus;
  /** Why it is paused, when it is: an operator's word or e.g. `TARGET_GONE`. */
  readonly pauseReason: string | null;
  /** A temporary subscription is archived by housekeeping once this is past; null: permanent. */
  readonly leaseExpiresAtMs: number | null;
  /** Raised by each change; `If-Match`. */
  readonly version: number;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

export const subscriptionDefaults = {
  mode: "NEXT_ON_ERROR",
  format: "data",
  timeoutSeconds: 30,
  delaySeconds: 0,
  maxAgeSeconds: 86_400,
} as const;
