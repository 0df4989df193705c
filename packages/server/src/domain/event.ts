import type { ClientId, EventId, EventPosition } from "./ids.ts";

/** How `data` is kept: `json` is JSON text, `text` is the text itself, `base64` is binary in base64. */
export type DataKind = "json" | "text" | "base64";

/** An immutable fact: CloudEvents 1.0 attributes and ours. Times are epoch milliseconds. */
export interface EventRecord {
  readonly position: EventPosition;
  readonly id: EventId;
  /** Null: of the platform. */
  readonly clientId: ClientId | null;
  /** Any text up to 255 characters; need not be registered. */
  readonly type: string;
  readonly source: string;
  readonly subject: string | null;
  readonly timeMs: number;
  readonly messageGroup: string | null;
  readonly correlationId: string | null;
  readonly causationId: string | null;
  readonly deduplicationId: string | null;
  /** The `id` a CloudEvents sender gave; given back in CloudEvents deliveries. */
  readonly senderId: string | null;
  readonly dataContentType: string;
  readonly dataSchema: string | null;
  readonly dataKind: DataKind;
  /** Exactly what is delivered; never parsed on the way. Null: the event has no data. */
  readonly data: string | null;
  readonly contextData: readonly ContextDatum[];
  /** CloudEvents extension attributes that are not ours, passed on as they came. */
  readonly extensions: Readonly<Record<string, string | number | boolean>>;
  readonly createdAtMs: number;
}

export interface ContextDatum {
  readonly key: string;
  readonly value: string;
}

/** An event before the log has given it its place. */
export type NewEvent = Omit<EventRecord, "position">;

/** What matching looks at: everything but the data, which only filters need. */
export type EventHead = Pick<
  EventRecord,
  "position" | "id" | "clientId" | "type" | "source" | "subject" | "timeMs" | "messageGroup" | "createdAtMs"
> & { readonly dataBytes: number; readonly dataKind: DataKind };

export const eventLimits = {
  typeMaxChars: 255,
  dataMaxBytes: 262_144,
  batchMaxEvents: 1_000,
  batchMaxBytes: 33_554_432,
} as const;
