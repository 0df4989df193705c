/**
 * Verifies that a webhook is from the platform: `verifyWebhook(request, secrets)`.
 *
 * A refusal is a value, because it is an expected outcome: answer it with 401. `verifyWebhookOrThrow` is the same for
 * those who would rather catch. What is thrown by both is wrong use, as TypeError: a secret that is none, a body that
 * was parsed before. Answer that with 500, so that the delivery comes again when the program is right.
 *
 * If the request has a signature of Standard Webhooks, that one decides; the older scheme is looked at only where it is
 * the only one. (The older one has room for one signature, so during a rotation it may be of a secret that this
 * receiver does not have yet.) Every secret is tried against every signature, since either side may be first to rotate.
 * Digests are compared in constant time; what is wrong with a request is told apart only by what its sender knows.
 */
import { bytesOf, readRequest, type ReadableRequest, type ReceivedBody } from "./received-body.ts";
import { bytesOfBase64, digestOfHex, isSameDigest, legacyDigest, standardDigest } from "./signature.ts";
import { Webhook, type SignatureScheme } from "./webhook.ts";

/** Headers as web APIs have them, or as Node has them: an object of lower-case names. */
export type ReceivedHeaders = Headers | Readonly<Record<string, string | readonly string[] | undefined>>;

/** A webhook that a framework has taken apart. The body is as it came: bytes, or text that was not changed. */
export interface ReceivedWebhook {
  readonly headers: ReceivedHeaders;
  readonly body: string | Uint8Array | ArrayBuffer;
}

/**
 * The secret (`whsec_…`); several, of which any may have signed, as during a rotation; or a function that finds them by
 * the id of the subscription (null: the request names none), for receivers of many subscriptions. Finding none refuses.
 */
export type SecretSource = string | readonly string[] | ((subscriptionId: string | null) => FoundSecrets);

/** What a function of secrets finds. */
export type FoundSecrets = string | readonly string[] | null | Promise<string | readonly string[] | null>;

/** How a webhook is verified. */
export interface VerifyOptions {
  /** How far the timestamp may be from now, in seconds; 300 if absent. */
  readonly toleranceSeconds?: number;
  /** The time, in Unix milliseconds; now if absent. */
  readonly nowMs?: number;
  /** Schemes that are believed; both if absent. */
  readonly schemes?: readonly SignatureScheme[];
  /** A larger body of a `Request` is refused unread; 2 MiB if absent. */
  readonly maxBodyBytes?: number;
}

/** Why a webhook is refused. */
export type RefusalReason =
  | "MISSING_HEADERS"
  | "BAD_TIMESTAMP"
  | "TOO_OLD"
  | "TOO_NEW"
  | "NO_SECRET"
  | "NO_MATCH"
  | "TOO_LARGE";

/** A webhook that is not believed, and why. */
export interface Refusal {
  readonly kind: "refused";
  readonly reason: RefusalReason;
  /** In a sentence, for a log. */
  readonly message: string;
}

/** What `verifyWebhook` found. */
export type Verification = { readonly kind: "verified"; readonly webhook: Webhook } | Refusal;

/** How far the timestamp may be from now, in seconds, as Standard Webhooks recommends. */
export const webhookToleranceSeconds = 300;

/** The largest body that is read unless told otherwise; deliveries are at most 1 MiB. */
export const webhookMaxBodyBytes = 2 * 1024 * 1024;

const maxSignatures = 32;
const isoTimestamp = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/;

const messages: Readonly<Record<RefusalReason, string>> = {
  MISSING_HEADERS: "the request has no signature of a scheme that is believed here, or no id or timestamp with it",
  BAD_TIMESTAMP: "the timestamp is none",
  TOO_OLD: "the timestamp is too old; if that is unexpected, look at the clock of this machine",
  TOO_NEW: "the timestamp is in the future; if that is unexpected, look at the clock of this machine",
  NO_SECRET: "no secret is known for the subscription that the request names",
  NO_MATCH: "the signature is of another body, id, timestamp or secret",
  TOO_LARGE: "the body is larger than is read here",
};

/** Thrown by `verifyWebhookOrThrow`. */
export class WebhookRefusedError extends Error {
  readonly reason: RefusalReason;

  constructor({ reason, message }: Pick<Refusal, "reason" | "message">) {
    super(`webhook refused: ${message} (${reason})`);
    this.name = "WebhookRefusedError";
    this.reason = reason;
  }
}

/**
 * Verifies a webhook, in either signature scheme. Reads the body of a `Request`; nothing may have read it before.
 *
 * @example
 * ```ts
 * const verification = await verifyWebhook(request, secret);
 * if (verification.kind === "refused") return new Response(verification.message, { status: 401 });
 * console.log(verification.webhook.eventType, verification.webhook.data());
 * ```
 */
export async function verifyWebhook(
  received: ReadableRequest | ReceivedWebhook,
  secrets: SecretSource,
  options: VerifyOptions = {},
): Promise<Verification> {
  const body = isRequest(received) ? await readRequest(received, bodyLimitOf(options)) : bytesOf(received.body);
  return verifyRead({ headers: webHeaders(received.headers), body }, secrets, options);
}

/** `verifyWebhook` for those who catch: answers the webhook, or throws WebhookRefusedError. */
export async function verifyWebhookOrThrow(
  received: ReadableRequest | ReceivedWebhook,
  secrets: SecretSource,
  options: VerifyOptions = {},
): Promise<Webhook> {
  const verification = await verifyWebhook(received, secrets, options);
  if (verification.kind === "refused") throw new WebhookRefusedError(verification);
  return verification.webhook;
}

/** For adapters, which read the body in their framework's way. */
export async function verifyRead(
  { headers, body }: { readonly headers: Headers; readonly body: ReceivedBody },
  source: SecretSource,
  options: VerifyOptions,
): Promise<Verification> {
  if (body === null) return refused("TOO_LARGE");
  const claim = claimOf(headers, options.schemes ?? ["standard", "legacy"]);
  if (claim === null) return refused("MISSING_HEADERS");
  const signedAtMs = timeOf(claim);
  if (signedAtMs === null) return refused("BAD_TIMESTAMP");
  const nowMs = checkedNumber(options.nowMs ?? Date.now(), "nowMs");
  const toleranceMs = checkedNumber(options.toleranceSeconds ?? webhookToleranceSeconds, "toleranceSeconds") * 1_000;
  if (signedAtMs < nowMs - toleranceMs) return refused("TOO_OLD");
  if (signedAtMs > nowMs + toleranceMs) return refused("TOO_NEW");
  const secrets = await secretsOf(source, headers);
  if (secrets.length === 0) return refused("NO_SECRET");
  if (!(await isSignedWith(secrets, claim, body))) return refused("NO_MATCH");
  return { kind: "verified", webhook: new Webhook({ headers, body, scheme: claim.scheme, signedAtMs }) };
}

/** The largest body that is read. */
export function bodyLimitOf({ maxBodyBytes = webhookMaxBodyBytes }: Pick<VerifyOptions, "maxBodyBytes">): number {
  return checkedNumber(maxBodyBytes, "maxBodyBytes");
}

/** Nothing is more or less than NaN, so it would be no limit at all. */
function checkedNumber(value: number, name: string): number {
  if (typeof value === "number" && !Number.isNaN(value)) return value;
  throw new TypeError(`${name} is no number: is its environment variable set?`);
}

/** What the headers claim. */
type Claim =
  | { readonly scheme: "standard"; readonly id: string; readonly timestamp: string; readonly signature: string }
  | { readonly scheme: "legacy"; readonly timestamp: string; readonly signature: string };

function claimOf(headers: Headers, schemes: readonly SignatureScheme[]): Claim | null {
  const [standard, legacy] = [headers.get("webhook-signature"), headers.get("x-flowcatalyst-signature")];
  if (standard !== null && schemes.includes("standard")) {
    const [id, timestamp] = [headers.get("webhook-id"), headers.get("webhook-timestamp")];
    return id && timestamp && standard ? { scheme: "standard", id, timestamp, signature: standard } : null;
  }
  if (legacy === null || !schemes.includes("legacy")) return null;
  const timestamp = headers.get("x-flowcatalyst-timestamp");
  return timestamp && legacy ? { scheme: "legacy", timestamp, signature: legacy } : null;
}

/** Null when the timestamp is none in the form of its scheme. */
function timeOf(claim: Claim): number | null {
  switch (claim.scheme) {
    case "standard":
      return /^\d{1,12}$/.test(claim.timestamp) ? Number(claim.timestamp) * 1_000 : null;
    case "legacy": {
      const atMs = isoTimestamp.test(claim.timestamp) ? Date.parse(claim.timestamp) : Number.NaN;
      return Number.isNaN(atMs) ? null : atMs;
    }
  }
}

async function isSignedWith(secrets: readonly string[], claim: Claim, body: Uint8Array): Promise<boolean> {
  const given = digestsOf(claim);
  let isSigned = false;
  for (const secret of secrets) {
    const expected = await expectedDigest(secret, claim, body);
    for (const digest of given) isSigned = isSameDigest(digest, expected) || isSigned;
  }
  return isSigned;
}

function expectedDigest(secret: string, claim: Claim, body: Uint8Array): Promise<Uint8Array> {
  switch (claim.scheme) {
    case "standard":
      return standardDigest(secret, { id: claim.id, timestamp: claim.timestamp, body });
    case "legacy":
      return legacyDigest(secret, { timestamp: claim.timestamp, body });
  }
}

function digestsOf({ scheme, signature }: Claim): readonly Uint8Array[] {
  if (scheme === "legacy") return [digestOfHex(signature)].filter((digest) => digest !== null);
  return signature
    .split(" ", maxSignatures)
    .filter((part) => part.startsWith("v1,"))
    .map((part) => bytesOfBase64(part.slice("v1,".length)))
    .filter((digest) => digest !== null);
}

async function secretsOf(source: SecretSource, headers: Headers): Promise<readonly string[]> {
  const isFunction = typeof source === "function";
  const found = isFunction ? ((await source(headers.get("x-flowcatalyst-subscription-id"))) ?? []) : source;
  if (typeof found === "string") return [found];
  // Whoever calls this without types may have given nothing at all.
  const secrets: readonly string[] | null | undefined = found;
  if (secrets === null || secrets === undefined || (!isFunction && secrets.length === 0)) {
    throw new TypeError("no secret was given to verify webhooks with: is its environment variable set?");
  }
  return secrets;
}

function refused(reason: RefusalReason): Refusal {
  return { kind: "refused", reason, message: messages[reason] };
}

function isRequest(received: ReadableRequest | ReceivedWebhook): received is ReadableRequest {
  return "arrayBuffer" in received && typeof received.arrayBuffer === "function";
}

/** Headers of Node, or of anything else, as web APIs have them. */
export function webHeaders(given: ReceivedHeaders): Headers {
  if (given instanceof Headers) return given;
  const headers = new Headers();
  for (const [name, value] of Object.entries(given)) {
    // Pseudo-headers of HTTP/2 are no header names.
    if (value === undefined || name.startsWith(":")) continue;
    for (const one of typeof value === "string" ? [value] : value) headers.append(name, one);
  }
  return headers;
}
