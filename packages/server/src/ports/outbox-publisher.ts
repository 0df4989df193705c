import type { OutboxRowId } from "../domain/outbox-row.ts";

/** Where the processor sends rows: batches of one type to the platform, or messages to the router. */
export interface OutboxPublisher {
  /** One request. Never throws for what the other side says or does not say: that is an outcome. */
  publish(batch: OutboxBatch, signal: AbortSignal): Promise<PublishOutcome>;
}

export type OutboxKind = "EVENT" | "DISPATCH_JOB" | "AUDIT_LOG" | "ROUTER_MESSAGE";

export interface OutboxBatch {
  readonly kind: OutboxKind;
  /** Each the JSON text of one item, complete with its deduplication id. */
  readonly items: readonly OutboxItem[];
}

export interface OutboxItem {
  readonly id: OutboxRowId;
  readonly json: string;
}

export type PublishOutcome =
  /** By position of the items. */
  | { readonly kind: "answered"; readonly results: readonly ItemOutcome[] }
  /** The batch as a whole was refused for what is in it: 400, 413, 422. With a single item, it is that item's fault. */
  | { readonly kind: "refused"; readonly status: number; readonly error: string }
  /** 403 for the whole request. */
  | { readonly kind: "forbidden"; readonly error: string }
  /** 401. */
  | { readonly kind: "unauthorized"; readonly error: string }
  /** 500 and other answers nobody expects. */
  | { readonly kind: "faulty"; readonly status: number; readonly error: string }
  /** No answer in time, no connection, 404, 429, 502, 503, 504, no API: nothing is known of the items. */
  | { readonly kind: "unreachable"; readonly error: string; readonly retryAfterMs: number | null };

export type ItemOutcome =
  | { readonly kind: "done" }
  | { readonly kind: "badRequest" | "forbidden" | "internalError"; readonly error: string };
