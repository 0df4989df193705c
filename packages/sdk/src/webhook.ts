/**
 * Signs and verifies webhooks by the Standard Webhooks scheme (https://www.standardwebhooks.com), with WebCrypto only.
 *
 * `webhook-signature` holds one or more `v1,<base64>` separated by spaces: HMAC-SHA256 of `id.timestamp.body` under a
 * secret written `whsec_<base64>`. More than one is sent while a secret is being rotated; one that verifies is enough.
 */
export interface WebhookHeaders {
  readonly id: string;
  /** Unix seconds. */
  readonly timestamp: string;
  readonly signature: string;
}

export type Verification =
  | { readonly kind: "verified" }
  | {
      readonly kind: "refused";
      readonly reason: "MISSING_HEADERS" | "BAD_TIMESTAMP" | "TOO_OLD" | "TOO_NEW" | "NO_MATCH";
    };

/** How far the timestamp may be from now, in seconds, as the scheme recommends. */
export const webhookToleranceSeconds = 300;

export async function signWebhook(
  secret: string,
  message: { readonly id: string; readonly timestamp: number; readonly body: string | Uint8Array },
): Promise<string> {
  const key = await importKey(secret, "sign");
  const signed = signedBytes(message.id, String(message.timestamp), message.body);
  return `v1,${toBase64(new Uint8Array(await crypto.subtle.sign("HMAC", key, signed)))}`;
}

/**
 * Verifies a received body, exactly as it came, against the secrets that may have signed it. Give the bytes when the
 * body may be something else than text: decoding would change them. The comparison takes constant time.
 */
export async function verifyWebhook(
  body: string | Uint8Array,
  headers: Headers | WebhookHeaders,
  options: { readonly secrets: readonly string[]; readonly nowMs?: number; readonly toleranceSeconds?: number },
): Promise<Verification> {
  const { id, timestamp, signature } = headers instanceof Headers ? fromHeaders(headers) : headers;
  if (id === "" || timestamp === "" || signature === "") return { kind: "refused", reason: "MISSING_HEADERS" };
  const seconds = Number(timestamp);
  if (!Number.isInteger(seconds)) return { kind: "refused", reason: "BAD_TIMESTAMP" };
  const nowSeconds = (options.nowMs ?? Date.now()) / 1000;
  const tolerance = options.toleranceSeconds ?? webhookToleranceSeconds;
  if (seconds < nowSeconds - tolerance) return { kind: "refused", reason: "TOO_OLD" };
  if (seconds > nowSeconds + tolerance) return { kind: "refused", reason: "TOO_NEW" };
  const signed = signedBytes(id, timestamp, body);
  const candidates = signature.split(" ").filter((part) => part.startsWith("v1,"));
  for (const secret of options.secrets) {
    const key = await importKey(secret, "verify");
    for (const candidate of candidates) {
      const bytes = fromBase64(candidate.slice(3));
      // The platform's verify compares in constant time.
      if (bytes !== null && (await crypto.subtle.verify("HMAC", key, bytes, signed))) return { kind: "verified" };
    }
  }
  return { kind: "refused", reason: "NO_MATCH" };
}

function signedBytes(id: string, timestamp: string, body: string | Uint8Array): Uint8Array<ArrayBuffer> {
  const encoder = new TextEncoder();
  const head = encoder.encode(`${id}.${timestamp}.`);
  const content = typeof body === "string" ? encoder.encode(body) : body;
  const bytes = new Uint8Array(head.length + content.length);
  bytes.set(head);
  bytes.set(content, head.length);
  return bytes;
}

function fromHeaders(headers: Headers): WebhookHeaders {
  return {
    id: headers.get("webhook-id") ?? "",
    timestamp: headers.get("webhook-timestamp") ?? "",
    signature: headers.get("webhook-signature") ?? "",
  };
}

function importKey(secret: string, usage: "sign" | "verify"): Promise<CryptoKey> {
  const bytes = fromBase64(secret.startsWith("whsec_") ? secret.slice(6) : secret);
  if (bytes === null || bytes.length === 0) throw new TypeError("a signing secret is whsec_ followed by base64");
  return crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, [usage]);
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> | null {
  try {
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  } catch {
    return null;
  }
}

function toBase64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}
