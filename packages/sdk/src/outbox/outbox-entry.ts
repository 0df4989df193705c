import type { AnyEvents } from "../event-types.ts";
import type { CreateAuditLog } from "../generated/audit-logs.ts";
import type { CreateEvent } from "../generated/events.ts";
import type { CreateDispatchJob } from "../generated/jobs.ts";

/**
 * What an application puts into its outbox. The members are those of the platform's requests (`POST /api/events`,
 * `/api/dispatch/jobs`, `/api/audit-logs/batch`); times may be given as `Date`.
 */

/** An event; with a map of event types, its `data` is that of its `type`. */
export type OutboxEvent<Events extends object = AnyEvents> = {
  readonly [Type in keyof Events & string]: OutboxEventCommon & { readonly type: Type } & DataMember<Events[Type]>;
}[keyof Events & string];

/** Data that may be undefined may be left out. */
type DataMember<Data> = undefined extends Data ? { readonly data?: Data } : { readonly data: Data };

/** What all events have beside their type and data. */
export interface OutboxEventCommon extends Omit<CreateEvent, "type" | "data" | "source" | "time"> {
  /** Who says so; the outbox's own `source` if absent. */
  readonly source?: string;
  /** When it happened; the time of `enqueue` if absent. */
  readonly time?: Date | string | null;
  /** The same one again within 168 h makes no second event; the row's id if absent. */
  readonly deduplicationId?: string | null;
  /** The outbox's own `clientId` if absent. */
  readonly clientId?: string | null;
}

/** A dispatch job: one request to one target, without an event. */
export interface OutboxJob extends Omit<CreateDispatchJob, "scheduledFor"> {
  readonly scheduledFor?: Date | string | null;
  /** The same one again makes no second job; the row's id if absent. */
  readonly idempotencyKey?: string | null;
  /** The outbox's own `clientId` if absent. */
  readonly clientId?: string | null;
}

/** An audit log: who did what to which entity. */
export interface OutboxAuditLog extends Omit<CreateAuditLog, "id" | "performedAt"> {
  /** When it was done; the time of `enqueue` if absent. */
  readonly performedAt?: Date | string | null;
  /** The outbox's own `clientId` if absent. */
  readonly clientId?: string | null;
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
