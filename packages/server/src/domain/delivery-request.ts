/**
 * The HTTP request a delivery is sent as: its headers, its body and its signature.
 *
 * The body is the data itself (format `data`), byte for byte as it was accepted, or a CloudEvents 1.0 JSON envelope
 * around it (format `cloudevents`). Data is never parsed on the way: JSON text is set into the envelope as it stands.
 *
 * Headers of ours come first and cannot be overridden: a subscription's own header is dropped if it bears the name of
 * one of ours (or begins like one, so that none can be forged when we send none), or of one that the connection itself
 * needs. Attribute values that are not visible ASCII are percent-encoded as the CloudEvents HTTP binding does (section
 * 3.1.3.2), since a header could not carry them.
 */
import { deliveryHeaderNames, headerNames, mediaTypes } from "@flowcatalyst/contracts";
import type { DeliveredEvent, JobDelivery } from "./message.ts";
import { legacySignature, standardSignature, type SigningKey } from "./signature.ts";
import { traceparentOf } from "./traceparent.ts";

export interface DeliveryRequest {
  readonly headers: Record<string, string>;
  readonly body: string | Uint8Array;
  readonly signed: boolean;
}

export interface RequestContext {
  readonly nowMs: number;
  /** 1 for the first attempt of the retry budget. */
  readonly attempt: number;
  /** Secrets valid now, newest first; empty: the request is not signed. */
  readonly keys: readonly SigningKey[];
  /** Of the message, for deliveries whose event names none. */
  readonly traceparent: string | null;
  /** `FlowCatalyst/<version>` */
  readonly userAgent: string;
}

const names = deliveryHeaderNames;
const reservedNames: ReadonlySet<string> = new Set([
  ...Object.values(deliveryHeaderNames),
  headerNames.contentType,
  headerNames.traceparent,
  "host",
  "connection",
  "content-length",
  "content-encoding",
  "expect",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
const reservedPrefixes = ["webhook-", "x-flowcatalyst-", "proxy-"] as const;
const visibleAscii = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/;
const cloudEventContentType = `${mediaTypes.cloudEvent}; charset=utf-8`;

export function composeRequest(delivery: JobDelivery, context: RequestContext): DeliveryRequest {
  const { event } = delivery;
  const body = bodyOf(delivery);
  // Of a stand-alone message it is what its sender chose.
  const id = headerText(delivery.jobId);
  const headers: Record<string, string> = {
    [headerNames.contentType]: contentTypeOf(delivery),
    [names.webhookId]: id,
    [names.webhookTimestamp]: String(Math.floor(context.nowMs / 1_000)),
    [names.dispatchJobId]: id,
    [names.attempt]: String(context.attempt),
    [names.userAgent]: context.userAgent,
    [names.acceptEncoding]: "identity",
  };
  if (event !== null) {
    headers[names.eventId] = headerText(event.id);
    headers[names.eventType] = headerText(event.type);
    if (event.correlationId !== null) headers[names.correlationId] = headerText(event.correlationId);
  }
  if (delivery.subscriptionId !== null) headers[names.subscriptionId] = headerText(delivery.subscriptionId);
  if (delivery.clientId !== null) headers[names.clientId] = headerText(delivery.clientId);
  const traceparent = traceparentOf(event) ?? context.traceparent;
  if (traceparent !== null) headers[headerNames.traceparent] = headerText(traceparent);
  const signed = sign(delivery, { headers, body, context });
  addOwnHeaders(headers, delivery.headers);
  return { headers, body, signed };
}

interface Unsigned {
  readonly headers: Record<string, string>;
  readonly body: string | Uint8Array;
  readonly context: RequestContext;
}

function sign(delivery: JobDelivery, { headers, body, context }: Unsigned): boolean {
  const newest = context.keys[0];
  if (newest === undefined) return false;
  const id = headers[names.webhookId] ?? "";
  const timestamp = headers[names.webhookTimestamp] ?? "";
  headers[names.webhookSignature] = standardSignature({ id, timestamp, body }, context.keys);
  if (delivery.legacySignature) {
    const isoTimestamp = new Date(context.nowMs).toISOString();
    headers[names.legacyTimestamp] = isoTimestamp;
    headers[names.legacySignature] = legacySignature({ timestamp: isoTimestamp, body }, newest);
  }
  return true;
}

/** True for a header name that a subscription may not set. */
export function isReservedHeader(name: string): boolean {
  const lower = name.toLowerCase();
  return reservedNames.has(lower) || reservedPrefixes.some((prefix) => lower.startsWith(prefix));
}

function addOwnHeaders(headers: Record<string, string>, own: Readonly<Record<string, string>>): void {
  for (const name in own) {
    const value = own[name];
    if (value !== undefined && !isReservedHeader(name)) headers[name.toLowerCase()] = headerText(value);
  }
}

function headerText(text: string): string {
  return text === "" || visibleAscii.test(text) ? text : percentEncoded(text);
}

/** UTF-8 bytes outside of visible ASCII and the inner space, and the percent sign itself, as %XX. */
function percentEncoded(text: string): string {
  let encoded = "";
  for (const byte of Buffer.from(text, "utf8")) {
    const isPlain = byte > 0x20 && byte < 0x7f && byte !== 0x25;
    encoded += isPlain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded;
}

function contentTypeOf({ format, contentType }: JobDelivery): string {
  return format === "cloudevents" ? cloudEventContentType : headerText(contentType);
}

function bodyOf(delivery: JobDelivery): string | Uint8Array {
  if (delivery.format === "cloudevents") return cloudEventText(delivery);
  if (delivery.payload === null) return "";
  return delivery.payloadKind === "base64" ? Buffer.from(delivery.payload, "base64") : delivery.payload;
}

/** Attribute order is fixed and data comes last, so that equal deliveries have equal bytes. */
function cloudEventText(delivery: JobDelivery): string {
  const attributes = JSON.stringify({
    specversion: "1.0",
    ...(delivery.event === null ? taskAttributes(delivery) : eventAttributes(delivery.event, delivery)),
    datacontenttype: delivery.payload === null ? undefined : delivery.contentType,
  });
  if (delivery.payload === null) return attributes;
  const head = attributes.slice(0, -1);
  switch (delivery.payloadKind) {
    case "json":
      return `${head},"data":${delivery.payload}}`;
    case "text":
      return `${head},"data":${JSON.stringify(delivery.payload)}}`;
    case "base64":
      return `${head},"data_base64":"${delivery.payload}"}`;
  }
}

function eventAttributes(event: DeliveredEvent, delivery: JobDelivery): Record<string, unknown> {
  return {
    ...event.extensions,
    id: event.senderId ?? event.id,
    source: event.source,
    type: event.type,
    subject: event.subject ?? undefined,
    time: new Date(event.timeMs).toISOString(),
    dataschema: event.dataSchema ?? undefined,
    messagegroup: event.messageGroup ?? undefined,
    correlationid: event.correlationId ?? undefined,
    causationid: event.causationId ?? undefined,
    clientid: delivery.clientId ?? undefined,
  };
}

/** A task that names no event is told of as an event of its own. */
function taskAttributes(delivery: JobDelivery): Record<string, unknown> {
  return { id: delivery.jobId, source: "/flowcatalyst/tasks", type: "flowcatalyst.task" };
}
