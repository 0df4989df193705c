/**
 * Signatures of deliveries, two schemes.
 *
 * Standard Webhooks (standardwebhooks.com, specification 1.0): HMAC-SHA256 over `id.timestamp.body` with the decoded
 * secret, in base64 behind `v1,`; one such signature for each secret that is valid, separated by spaces, so that a
 * receiver may hold either during a rotation. The timestamp is in Unix seconds.
 *
 * The older FlowCatalyst scheme: HMAC-SHA256 over timestamp and body, in lower-case hex, the timestamp in ISO 8601 with
 * milliseconds. It has room for one signature and uses the newest secret.
 *
 * Secrets read `whsec_<base64>`. One without the prefix is taken as base64 too, as other Standard Webhooks libraries
 * do. The older scheme signs with the secret's text as it stands, prefix included, because receivers of that scheme
 * were told to use it so.
 */

/** A secret made ready to sign with: decoding is the expensive part, so a caller keeps this. */
export interface SigningKey {
  /** HMAC state keyed with the decoded secret; copied for each signature. */
  readonly hmac: Bun.CryptoHasher;
  /** HMAC state keyed with the text of the secret, for the older scheme. */
  readonly legacyHmac: Bun.CryptoHasher;
}

export const secretPrefix = "whsec_";

const base64 = /^[A-Za-z0-9+/]+={0,2}$/;

/** Null when the text is not a secret: not base64, or empty. */
export function signingKeyOf(secret: string): SigningKey | null {
  const encoded = secret.startsWith(secretPrefix) ? secret.slice(secretPrefix.length) : secret;
  if (!base64.test(encoded)) return null;
  const key = Buffer.from(encoded, "base64");
  if (key.length === 0) return null;
  return { hmac: new Bun.CryptoHasher("sha256", key), legacyHmac: new Bun.CryptoHasher("sha256", secret) };
}

/** What is signed. `timestamp` is in the form of the scheme. */
export interface SignedContent {
  readonly id: string;
  readonly timestamp: string;
  readonly body: string | Uint8Array;
}

/** The value of `webhook-signature`: one signature for each key, newest first. */
export function standardSignature(content: SignedContent, keys: readonly SigningKey[]): string {
  const head = `${content.id}.${content.timestamp}.`;
  let signatures = "";
  for (const key of keys) {
    const digest = key.hmac.copy().update(head).update(content.body).digest("base64");
    signatures = signatures === "" ? `v1,${digest}` : `${signatures} v1,${digest}`;
  }
  return signatures;
}

/** The value of `x-flowcatalyst-signature`. */
export function legacySignature(content: Omit<SignedContent, "id">, key: SigningKey): string {
  return key.legacyHmac.copy().update(content.timestamp).update(content.body).digest("hex");
}
