import { bytesOfBase64 } from "./signature.ts";

/** `standard`: Standard Webhooks. `legacy`: the older `x-flowcatalyst-signature`. */
export type SignatureScheme = "standard" | "legacy";

/** A CloudEvents 1.0 envelope in JSON, as subscriptions of the format `cloudevents` are sent it. */
export interface CloudEventEnvelope {
  readonly specversion: string;
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly subject?: string;
  readonly time?: string;
  readonly datacontenttype?: string;
  readonly dataschema?: string;
  readonly data?: unknown;
  readonly data_base64?: string;
  readonly [attribute: string]: unknown;
}

/** What is needed to make a `Webhook` of a request whose signature verified. */
export interface WebhookParts {
  readonly headers: Headers;
  readonly body: Uint8Array;
  readonly scheme: SignatureScheme;
  readonly signedAtMs: number;
}

const json = /^application\/(?:[^;]+\+)?json\b/i;
const text = /^text\//i;

/**
 * A delivery whose signature verified.
 *
 * The signature covers the body, the time and (standard scheme) the id. What comes from other headers, `eventType`
 * among them, is as trustworthy as the connection; where that is not enough, use the format `cloudevents`, whose
 * envelope is part of the body. Header values that are not visible ASCII come percent-encoded, and stay so here.
 */
export class Webhook {
  /** `webhook-id`: the same on every attempt of one delivery. Keep it to recognise repeats. */
  readonly id: string;
  /** When this attempt was signed. */
  readonly signedAt: Date;
  /** The scheme that verified. In the older one the id is not signed. */
  readonly scheme: SignatureScheme;
  readonly eventId: string | null;
  readonly eventType: string | null;
  readonly subscriptionId: string | null;
  readonly jobId: string | null;
  readonly clientId: string | null;
  readonly correlationId: string | null;
  /** 1 for the first attempt of the retry budget. */
  readonly attempt: number | null;
  readonly contentType: string;
  readonly headers: Headers;
  /** As it came. */
  readonly body: Uint8Array;

  constructor({ headers, body, scheme, signedAtMs }: WebhookParts) {
    const attempt = Number(headers.get("x-flowcatalyst-attempt") ?? "");
    this.jobId = headers.get("x-flowcatalyst-dispatch-job-id");
    this.id = headers.get("webhook-id") ?? this.jobId ?? "";
    this.signedAt = new Date(signedAtMs);
    this.scheme = scheme;
    this.eventId = headers.get("x-flowcatalyst-event-id");
    this.eventType = headers.get("x-flowcatalyst-event-type");
    this.subscriptionId = headers.get("x-flowcatalyst-subscription-id");
    this.clientId = headers.get("x-flowcatalyst-client-id");
    this.correlationId = headers.get("x-flowcatalyst-correlation-id");
    this.attempt = Number.isInteger(attempt) && attempt > 0 ? attempt : null;
    this.contentType = headers.get("content-type") ?? "";
    this.headers = headers;
    this.body = body;
  }

  /** The body as text. */
  text(): string {
    return new TextDecoder().decode(this.body);
  }

  /** The body as JSON. Throws SyntaxError when it is none. */
  json(): unknown {
    return JSON.parse(this.text());
  }

  /** The envelope, or null when the body is none (format `data`). */
  cloudEvent(): CloudEventEnvelope | null {
    if (!this.contentType.toLowerCase().startsWith("application/cloudevents+json")) return null;
    const envelope = this.json();
    return isEnvelope(envelope) ? envelope : null;
  }

  /**
   * The event's data, whatever the format of the subscription: parsed if it is JSON, a string if it is text, else the
   * bytes; undefined if the event has none. Check it, e.g. with a schema, before you rely on its shape.
   */
  data(): unknown {
    const envelope = this.cloudEvent();
    if (envelope !== null) {
      return envelope.data_base64 === undefined ? envelope.data : (bytesOfBase64(envelope.data_base64) ?? undefined);
    }
    if (this.body.length === 0) return undefined;
    if (json.test(this.contentType)) return this.json();
    return text.test(this.contentType) ? this.text() : this.body;
  }
}

function isEnvelope(value: unknown): value is CloudEventEnvelope {
  if (typeof value !== "object" || value === null) return false;
  const members = ["specversion", "id", "source", "type"] as const;
  const isText = (member: string): boolean => typeof Reflect.get(value, member) === "string";
  const base64 = Reflect.get(value, "data_base64") as unknown;
  return members.every(isText) && (base64 === undefined || typeof base64 === "string");
}
