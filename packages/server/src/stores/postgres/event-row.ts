import type { ContextDatum, DataKind, EventHead, EventRecord, NewEvent } from "../../domain/event.ts";
import type { ClientId, EventId, EventPosition } from "../../domain/ids.ts";

/**
 * How the data is stored. Text in PostgreSQL cannot hold a NUL, and text data may have one: such a text is stored as
 * the base64 of its UTF-8. JSON never has one, except as an escape.
 */
export type StoredDataKind = DataKind | "text64";

/** A row of `events`, as PostgreSQL gives it. */
export interface EventRow {
  readonly position: EventPosition;
  readonly id: EventId;
  readonly client_id: ClientId | null;
  readonly type: string;
  readonly source: string;
  readonly subject: string | null;
  readonly time_ms: number;
  readonly message_group: string | null;
  readonly correlation_id: string | null;
  readonly causation_id: string | null;
  readonly deduplication_id: string | null;
  readonly sender_id: string | null;
  readonly data_content_type: string;
  readonly data_schema: string | null;
  readonly data_kind: StoredDataKind;
  readonly context_data: string | null;
  readonly extensions: string | null;
  readonly created_at_ms: number;
  readonly data: string | null;
}

export const eventColumns = `position, id, client_id, type, source, subject, time_ms, message_group, correlation_id,
  causation_id, deduplication_id, sender_id, data_content_type, data_schema, data_kind, context_data, extensions,
  created_at_ms, data`;

export function toEventRecord(row: EventRow): EventRecord {
  return {
    position: row.position,
    id: row.id,
    clientId: row.client_id,
    type: row.type,
    source: row.source,
    subject: row.subject,
    timeMs: row.time_ms,
    messageGroup: row.message_group,
    correlationId: row.correlation_id,
    causationId: row.causation_id,
    deduplicationId: row.deduplication_id,
    senderId: row.sender_id,
    dataContentType: row.data_content_type,
    dataSchema: row.data_schema,
    dataKind: dataKindOf(row.data_kind),
    data: dataOf(row),
    contextData: row.context_data === null ? [] : (JSON.parse(row.context_data) as ContextDatum[]),
    extensions: row.extensions === null ? {} : (JSON.parse(row.extensions) as EventRecord["extensions"]),
    createdAtMs: row.created_at_ms,
  };
}

export interface StoredData {
  readonly data_kind: StoredDataKind;
  readonly data: string | null;
}

export function dataKindOf(stored: StoredDataKind): DataKind {
  return stored === "text64" ? "text" : stored;
}

/** The data as it was given. */
export function dataOf({ data_kind: kind, data }: StoredData): string | null {
  return kind === "text64" && data !== null ? Buffer.from(data, "base64").toString() : data;
}

function toStoredData(event: Pick<NewEvent, "dataKind" | "data">): StoredData {
  const { dataKind, data } = event;
  if (dataKind !== "text" || data === null || !data.includes("\0")) return { data_kind: dataKind, data };
  return { data_kind: "text64", data: Buffer.from(data).toString("base64") };
}

/** What `json_to_recordset` is told about the rows of `toNewRow`; all columns but the position. */
export const newRowTypes = `id text, client_id text, type text, source text, subject text, time_ms bigint,
  message_group text, correlation_id text, causation_id text, deduplication_id text, sender_id text,
  data_content_type text, data_schema text, data_kind text, data_bytes integer, context_data text, extensions text,
  created_at_ms bigint, data text`;

export const newRowColumns = `id, client_id, type, source, subject, time_ms, message_group, correlation_id,
  causation_id, deduplication_id, sender_id, data_content_type, data_schema, data_kind, data_bytes, context_data,
  extensions, created_at_ms, data`;

/** What is undefined is left out of the JSON, and is NULL in the row. */
export function toNewRow(event: NewEvent, dataBytes: number): object {
  const { data_kind, data } = toStoredData(event);
  return {
    id: event.id,
    client_id: event.clientId ?? undefined,
    type: event.type,
    source: event.source,
    subject: event.subject ?? undefined,
    time_ms: event.timeMs,
    message_group: event.messageGroup ?? undefined,
    correlation_id: event.correlationId ?? undefined,
    causation_id: event.causationId ?? undefined,
    deduplication_id: event.deduplicationId ?? undefined,
    sender_id: event.senderId ?? undefined,
    data_content_type: event.dataContentType,
    data_schema: event.dataSchema ?? undefined,
    data_kind,
    data_bytes: dataBytes,
    context_data: event.contextData.length === 0 ? undefined : JSON.stringify(event.contextData),
    extensions: hasKeys(event.extensions) ? JSON.stringify(event.extensions) : undefined,
    created_at_ms: event.createdAtMs,
    data: data ?? undefined,
  };
}

export interface EventHeadRow {
  readonly position: EventPosition;
  readonly id: EventId;
  readonly client_id: ClientId | null;
  readonly type: string;
  readonly source: string;
  readonly subject: string | null;
  readonly time_ms: number;
  readonly message_group: string | null;
  readonly created_at_ms: number;
  readonly data_bytes: number;
  readonly data_kind: StoredDataKind;
}

export const eventHeadColumns = `position, id, client_id, type, source, subject, time_ms, message_group, created_at_ms,
  data_bytes, data_kind`;

export function toEventHead(row: EventHeadRow): EventHead {
  return {
    position: row.position,
    id: row.id,
    clientId: row.client_id,
    type: row.type,
    source: row.source,
    subject: row.subject,
    timeMs: row.time_ms,
    messageGroup: row.message_group,
    createdAtMs: row.created_at_ms,
    dataBytes: row.data_bytes,
    dataKind: dataKindOf(row.data_kind),
  };
}

function hasKeys(record: Readonly<Record<string, unknown>>): boolean {
  for (const key in record) if (Object.hasOwn(record, key)) return true;
  return false;
}
