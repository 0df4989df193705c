import type { ContextDatum, DataKind, EventHead, EventRecord, NewEvent } from "../../domain/event.ts";
import type { ClientId, EventId, EventPosition } from "../../domain/ids.ts";

/** A row of `events`, as SQLite gives it. */
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
  readonly data_kind: DataKind;
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
    dataKind: row.data_kind,
    data: row.data,
    contextData: row.context_data === null ? [] : (JSON.parse(row.context_data) as ContextDatum[]),
    extensions: row.extensions === null ? {} : (JSON.parse(row.extensions) as EventRecord["extensions"]),
    createdAtMs: row.created_at_ms,
  };
}

/** The parameters of `insertEvent`, in its order. */
export type EventParams = [
  position: number,
  id: string,
  clientId: string | null,
  type: string,
  source: string,
  subject: string | null,
  timeMs: number,
  messageGroup: string | null,
  correlationId: string | null,
  causationId: string | null,
  deduplicationId: string | null,
  senderId: string | null,
  dataContentType: string,
  dataSchema: string | null,
  dataKind: string,
  dataBytes: number,
  contextData: string | null,
  extensions: string | null,
  createdAtMs: number,
  data: string | null,
];

/** All columns in the order of the table, `data_bytes` among them. */
export const insertEvent = "INSERT INTO events VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)";

export function toEventParams(event: NewEvent, position: EventPosition, dataBytes: number): EventParams {
  return [
    position,
    event.id,
    event.clientId,
    event.type,
    event.source,
    event.subject,
    event.timeMs,
    event.messageGroup,
    event.correlationId,
    event.causationId,
    event.deduplicationId,
    event.senderId,
    event.dataContentType,
    event.dataSchema,
    event.dataKind,
    dataBytes,
    event.contextData.length === 0 ? null : JSON.stringify(event.contextData),
    hasKeys(event.extensions) ? JSON.stringify(event.extensions) : null,
    event.createdAtMs,
    event.data,
  ];
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
  readonly data_kind: DataKind;
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
    dataKind: row.data_kind,
  };
}

function hasKeys(record: Readonly<Record<string, unknown>>): boolean {
  for (const key in record) if (Object.hasOwn(record, key)) return true;
  return false;
}
