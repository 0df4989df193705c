/**
 * The two signature schemes of deliveries, by WebCrypto alone.
 *
 * Standard Webhooks (standardwebhooks.com): HMAC-SHA256 of `id.timestamp.body` under the decoded secret, in base64
 * behind `v1,`; the timestamp in Unix seconds.
 *
 * The older FlowCatalyst scheme: HMAC-SHA256 of timestamp and body under the text of the secret, prefix included, in
 * lower-case hex; the timestamp in ISO 8601.
 */

/** What the standard scheme signs. `timestamp` is in Unix seconds. */
export interface StandardContent {
  readonly id: string;
  readonly timestamp: number;
  readonly body: string | Uint8Array;
}

/** What the older scheme signs. `timestamp` is ISO 8601, e.g. `2026-01-01T00:00:00.000Z`. */
export interface LegacyContent {
  readonly timestamp: string;
  readonly body: string | Uint8Array;
}

const encoder = new TextEncoder();
const base64 = /^[A-Za-z0-9+/]+={0,2}$/;
const digestBytes = 32;

/** The value of `webhook-signature`: `v1,` and base64. */
export async function signWebhook(secret: string, content: StandardContent): Promise<string> {
  const digest = await standardDigest(secret, { ...content, timestamp: String(content.timestamp) });
  return `v1,${btoa(String.fromCharCode(...digest))}`;
}

/** The value of `x-flowcatalyst-signature`, of the older scheme: lower-case hex. */
export async function signLegacyWebhook(secret: string, content: LegacyContent): Promise<string> {
  const digest = await legacyDigest(secret, content);
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function standardDigest(
  secret: string,
  { id, timestamp, body }: Omit<StandardContent, "timestamp"> & { readonly timestamp: string },
): Promise<Uint8Array> {
  return hmac(keyOf(secret), joined(`${id}.${timestamp}.`, body));
}

export function legacyDigest(secret: string, { timestamp, body }: LegacyContent): Promise<Uint8Array> {
  keyOf(secret);
  return hmac(encoder.encode(secret), joined(timestamp, body));
}

/** Null when it is no base64. */
export function bytesOfBase64(text: string): Uint8Array<ArrayBuffer> | null {
  if (!base64.test(text)) return null;
  try {
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  } catch {
    return null;
  }
}

/** Null when it is not the hex of a digest. */
export function digestOfHex(text: string): Uint8Array | null {
  if (!/^[0-9a-f]{64}$/i.test(text)) return null;
  return Uint8Array.from({ length: digestBytes }, (_, at) => Number.parseInt(text.slice(2 * at, 2 * at + 2), 16));
}

/** Takes as long for digests that differ at once as for equal ones. */
export function isSameDigest(given: Uint8Array, expected: Uint8Array): boolean {
  let difference = given.length ^ expected.length;
  for (let at = 0; at < digestBytes; at += 1) difference |= (given[at] ?? 0) ^ (expected[at] ?? 0);
  return difference === 0;
}

/** The bytes of a secret. Throws TypeError when it is none. */
function keyOf(secret: string): Uint8Array<ArrayBuffer> {
  const bytes = typeof secret === "string" ? bytesOfBase64(secret.replace(/^whsec_/, "")) : null;
  if (bytes === null) {
    throw new TypeError(
      "a signing secret is whsec_ followed by base64, as `flowcatalyst subscriptions secret` prints it",
    );
  }
  return bytes;
}

async function hmac(key: Uint8Array<ArrayBuffer>, signed: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const imported = await crypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", imported, signed));
}

function joined(head: string, body: string | Uint8Array): Uint8Array<ArrayBuffer> {
  const [first, second] = [encoder.encode(head), typeof body === "string" ? encoder.encode(body) : body];
  const bytes = new Uint8Array(first.length + second.length);
  bytes.set(first);
  bytes.set(second, first.length);
  return bytes;
}
