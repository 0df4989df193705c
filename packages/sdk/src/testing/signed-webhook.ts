import { signLegacyWebhook, signWebhook } from "../webhooks/signature.ts";

/** A webhook to sign, as the platform would. What is absent is filled in. */
export interface WebhookToSign {
  /** The secret; several: the newest first, as during a rotation. */
  readonly secrets: string | readonly string[];
  /** Sent as JSON. */
  readonly data?: unknown;
  /** Sent as it is, in place of `data`. */
  readonly body?: string | Uint8Array;
  readonly contentType?: string;
  /** `webhook-id`; random if absent. Sign the same one twice to try repeats. */
  readonly id?: string;
  readonly eventType?: string;
  readonly eventId?: string;
  readonly subscriptionId?: string;
  readonly clientId?: string;
  readonly correlationId?: string;
  readonly attempt?: number;
  /** When it was signed, in Unix milliseconds; now if absent. */
  readonly signedAtMs?: number;
  /** `standard` if absent. */
  readonly scheme?: "standard" | "legacy" | "both";
  /** More headers; they go before those of the platform. */
  readonly headers?: Readonly<Record<string, string>>;
}

const secretBytes = 24;

/** A new random secret: `whsec_` and base64. */
export function generateWebhookSecret(): string {
  return `whsec_${btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(secretBytes))))}`;
}

/** The request that the platform would send. */
export async function signedRequest(url: string, webhook: WebhookToSign): Promise<Request> {
  const { headers, body } = await signedWebhook(webhook);
  return new Request(url, { method: "POST", headers, body });
}

/** Headers and body that the platform would send, for servers that are called in another way than by a `Request`. */
export async function signedWebhook(
  webhook: WebhookToSign,
): Promise<{ readonly headers: Record<string, string>; readonly body: Uint8Array<ArrayBuffer> }> {
  const body = bodyOf(webhook);
  const atMs = webhook.signedAtMs ?? Date.now();
  const id = webhook.id ?? `job_${crypto.randomUUID()}`;
  const headers: Record<string, string> = {
    ...webhook.headers,
    "content-type": webhook.contentType ?? "application/json",
    "webhook-id": id,
    "x-flowcatalyst-dispatch-job-id": id,
    "x-flowcatalyst-event-id": webhook.eventId ?? `evt_${crypto.randomUUID()}`,
    "x-flowcatalyst-attempt": String(webhook.attempt ?? 1),
    "user-agent": "FlowCatalyst/testing",
    ...named(webhook),
  };
  const secrets = typeof webhook.secrets === "string" ? [webhook.secrets] : webhook.secrets;
  const scheme = webhook.scheme ?? "standard";
  const timestamp = Math.floor(atMs / 1_000);
  if (scheme !== "legacy") {
    const signatures = await Promise.all(secrets.map((secret) => signWebhook(secret, { id, timestamp, body })));
    headers["webhook-timestamp"] = String(timestamp);
    headers["webhook-signature"] = signatures.join(" ");
  }
  if (scheme !== "standard") {
    const isoTimestamp = new Date(atMs).toISOString();
    headers["x-flowcatalyst-timestamp"] = isoTimestamp;
    headers["x-flowcatalyst-signature"] = await signLegacyWebhook(secrets[0] ?? "", { timestamp: isoTimestamp, body });
  }
  return { headers, body };
}

function named({ eventType, subscriptionId, clientId, correlationId }: WebhookToSign): Record<string, string> {
  return {
    ...(eventType === undefined ? {} : { "x-flowcatalyst-event-type": eventType }),
    ...(subscriptionId === undefined ? {} : { "x-flowcatalyst-subscription-id": subscriptionId }),
    ...(clientId === undefined ? {} : { "x-flowcatalyst-client-id": clientId }),
    ...(correlationId === undefined ? {} : { "x-flowcatalyst-correlation-id": correlationId }),
  };
}

function bodyOf({ body, data }: WebhookToSign): Uint8Array<ArrayBuffer> {
  if (body instanceof Uint8Array) return new Uint8Array(body);
  return new TextEncoder().encode(body ?? (data === undefined ? "" : JSON.stringify(data)));
}
