import { timingSafeEqual } from "node:crypto";
import { deliveryHeaderNames as names } from "@flowcatalyst/contracts";
import { legacySignature, signingKeyOf, standardSignature, type SigningKey } from "../domain/signature.ts";

/**
 * What the signature of a received webhook is worth. `unverifiable`: signed, but not for a subscription, so this
 * receiver does not know the secret.
 */
export type SignatureState = "verified" | "invalid" | "unsigned" | "unverifiable";

export interface ReceivedSignatureDeps {
  /** Secrets valid now for a ref, newest first. */
  readonly secrets: (ref: string) => Promise<readonly string[]>;
  readonly clock: { now(): number };
}

/** How far the timestamp may be from now, as Standard Webhooks recommends. */
const toleranceMs = 300_000;
const msPerSecond = 1_000;

/** Verifies both schemes: whichever is there must be right. */
export function createSignatureCheck(
  deps: ReceivedSignatureDeps,
): (headers: Headers, body: Uint8Array) => Promise<SignatureState> {
  return async (headers, body) => {
    if (!headers.has(names.webhookSignature) && !headers.has(names.legacySignature)) return "unsigned";
    const subscription = headers.get(names.subscriptionId);
    if (subscription === null) return "unverifiable";
    const secrets = await deps.secrets(`subscription:${subscription}`);
    const keys = secrets.map(signingKeyOf).filter((key) => key !== null);
    const received = { headers, body, keys, nowMs: deps.clock.now() };
    return isStandardRight(received) && isLegacyRight(received) ? "verified" : "invalid";
  };
}

interface Received {
  readonly headers: Headers;
  /** As it came: a text could have lost bytes. */
  readonly body: Uint8Array;
  readonly keys: readonly SigningKey[];
  readonly nowMs: number;
}

function isStandardRight({ headers, body, keys, nowMs }: Received): boolean {
  const signatures = headers.get(names.webhookSignature);
  if (signatures === null) return true;
  const id = headers.get(names.webhookId) ?? "";
  const timestamp = headers.get(names.webhookTimestamp) ?? "";
  if (!isRecent(Number(timestamp) * msPerSecond, nowMs)) return false;
  const content = { id, timestamp, body };
  return keys.some((key) => {
    const expected = standardSignature(content, [key]);
    return signatures.split(" ").some((given) => isSame(given, expected));
  });
}

function isLegacyRight({ headers, body, keys, nowMs }: Received): boolean {
  const given = headers.get(names.legacySignature);
  if (given === null) return true;
  const timestamp = headers.get(names.legacyTimestamp) ?? "";
  if (!isRecent(Date.parse(timestamp), nowMs)) return false;
  return keys.some((key) => isSame(given, legacySignature({ timestamp, body }, key)));
}

function isRecent(atMs: number, nowMs: number): boolean {
  return Math.abs(nowMs - atMs) <= toleranceMs;
}

/** Takes as long for a wrong signature as for a right one. */
function isSame(given: string, expected: string): boolean {
  const [one, other] = [Buffer.from(given), Buffer.from(expected)];
  return one.length === other.length && timingSafeEqual(one, other);
}
