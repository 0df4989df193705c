/**
 * What an application puts into its outbox. The members are those of the platform's requests (`POST /api/events`,
 * `/api/dispatch/jobs`, `/api/audit-logs/batch`); times may be given as `Date`.
 */

/** Data by event type: `{ "order.created": { orderId: string } }`. */
export type OutboxEventTypes = Readonly<Record<string, unknown>>;

/** An event; with a map of event types, its `data` is that of its `type`. */
export type OutboxEvent<Events extends OutboxEventTypes = OutboxEventTypes> = string extends keyof Events
  ? OutboxEventCommon & { readonly type: string; readonly data?: unknown }
  : {
      [Type in keyof Events & string]: OutboxEventCommon & { readonly type: Type; readonly data: Events[Type] };
    }[keyof Events & string];

/** What all events have beside their type and data. */
export interface OutboxEventCommon {
  /** Who says so; the outbox's own `source` if absent. */
  readonly source?: string;
  readonly subject?: string | null;
  /** When it happened; the time of `enqueue` if absent. */
  readonly time?: Date | string | null;
  readonly dataContentType?: string | null;
  readonly dataSchema?: string | null;
  /** Order is kept among the entries of one group. */
  readonly messageGroup?: string | null;
  readonly correlationId?: string | null;
  readonly causationId?: string | null;
  /** The same one again within 168 h makes no second event; the row's id if absent. */
  readonly deduplicationId?: string | null;
  /** The outbox's own `clientId` if absent. */
  readonly clientId?: string | null;
  readonly contextData?: readonly { readonly key: string; readonly value: string }[] | null;
}

/** A dispatch job: one request to one target, without an event. */
export interface OutboxJob {
  readonly targetUrl: string;
  /** Text is sent as it is, anything else as JSON. */
  readonly payload: unknown;
  readonly contentType?: string | null;
  readonly eventId?: string | null;
  readonly subscriptionId?: string | null;
  readonly code?: string | null;
  /** The outbox's own `clientId` if absent. */
  readonly clientId?: string | null;
  /** Order is kept among the entries of one group. */
  readonly messageGroup?: string | null;
  readonly mode?: "IMMEDIATE" | "NEXT_ON_ERROR" | "BLOCK_ON_ERROR" | null;
  readonly dispatchPoolId?: string | null;
  readonly scheduledFor?: Date | string | null;
  /** The same one again makes no second job; the row's id if absent. */
  readonly idempotencyKey?: string | null;
  readonly headers?: Readonly<Record<string, string>> | null;
  readonly metadata?: Readonly<Record<string, string>> | null;
  readonly timeoutSeconds?: number | null;
  readonly maxRetries?: number | null;
  readonly retry?: unknown;
  readonly maxAgeSeconds?: number | null;
  readonly secretRef?: string | null;
  readonly legacySignature?: boolean | null;
}

/** An audit log: who did what to which entity. */
export interface OutboxAuditLog {
  readonly entityType: string;
  readonly entityId: string;
  readonly operation: string;
  /** Whom people would name. */
  readonly performedBy?: string | null;
  readonly principalId?: string | null;
  /** When it was done; the time of `enqueue` if absent. */
  readonly performedAt?: Date | string | null;
  /** The outbox's own `clientId` if absent. */
  readonly clientId?: string | null;
  readonly data?: unknown;
}

/** Of a row: what the outbox processor makes of it. */
export type OutboxRowType = "EVENT" | "DISPATCH_JOB" | "AUDIT_LOG";

/** A row as a driver inserts it. What is not here (`status`, `created_at` and so on) the database's defaults set. */
export interface OutboxRow {
  readonly id: string;
  readonly type: OutboxRowType;
  readonly messageGroup: string | null;
  /** JSON of an object. */
  readonly payload: string;
  readonly clientId: string | null;
  /** Bytes of the payload in UTF-8. */
  readonly payloadSize: number;
}
