/**
 * What an answer of a target means. This is the one table of outcomes; the router acts on it and the store records it.
 *
 * | answer                                   | outcome                        | burnt | breaker failure |
 * |------------------------------------------|--------------------------------|-------|-----------------|
 * | 2xx without `ack: false`                 | delivered                      | yes   | no              |
 * | 2xx with `ack: false` [`delaySeconds`]   | held: wait, 30 s unless told   | no    | no              |
 * | 3xx                                      | permanent: nothing is followed | yes   | no              |
 * | 4xx but 408, 410, 425, 429               | permanent, CONFIGURATION       | yes   | no              |
 * | 410                                      | permanent, subscription paused | yes   | no              |
 * | 429; 503 with Retry-After                | held, and the target with it   | no    | no              |
 * | 408, 425                                 | transient                      | yes   | no              |
 * | 5xx but 501                              | transient                      | yes   | yes             |
 * | 501                                      | permanent, CRITICAL            | yes   | no              |
 * | connection, DNS, TLS failure, timeout    | transient                      | yes   | yes             |
 * | forbidden address                        | permanent, SECURITY            | yes   | no              |
 *
 * Burnt attempts count against the retry budget. A breaker failure says that the target is unwell, rather than that it
 * disagrees with us.
 */
import { attemptLimits, type AttemptOutcome } from "./attempt.ts";
import { retryAfterMs } from "./retry-after.ts";

/** What came back from one call, or kept it from being made. */
export type Answer =
  | {
      readonly kind: "response";
      readonly status: number;
      readonly retryAfter: string | null;
      readonly body: string;
    }
  | { readonly kind: "timeout" }
  | { readonly kind: "connectionFailed"; readonly detail: string }
  | { readonly kind: "tlsFailed"; readonly detail: string }
  | { readonly kind: "dnsFailed"; readonly detail: string }
  | { readonly kind: "blockedAddress"; readonly address: string; readonly range: string };

export type OutcomeMeaning =
  | { readonly kind: "delivered" }
  | { readonly kind: "permanent"; readonly pauseSubscription: string | null }
  | { readonly kind: "transient" }
  /** Not now. `holdsTarget`: nothing may be sent to the target meanwhile, not only this delivery. */
  | { readonly kind: "held"; readonly delayMs: number; readonly holdsTarget: boolean };

export interface OutcomeWarning {
  readonly category: "CONFIGURATION" | "SECURITY";
  readonly severity: "WARN" | "ERROR" | "CRITICAL";
}

export interface ResponseOutcome {
  readonly outcome: AttemptOutcome;
  readonly meaning: OutcomeMeaning;
  readonly burnt: boolean;
  readonly breakerFailure: boolean;
  readonly statusCode: number | null;
  /** Null when delivered. */
  readonly error: string | null;
  /** What is kept of the response; null when it was empty. */
  readonly responseBody: string | null;
  readonly warning: OutcomeWarning | null;
}

/** Waits a target asks for with `ack: false`. */
export const notYetLimits = { defaultSeconds: 30, minSeconds: 1, maxSeconds: 43_200 } as const;

/** Why a subscription is paused whose target answered 410. */
export const targetGoneReason = "TARGET_GONE";

const delivered: OutcomeMeaning = { kind: "delivered" };
const transient: OutcomeMeaning = { kind: "transient" };
const permanent: OutcomeMeaning = { kind: "permanent", pauseSubscription: null };
const gone: OutcomeMeaning = { kind: "permanent", pauseSubscription: targetGoneReason };

export function classifyAnswer(answer: Answer, nowMs: number): ResponseOutcome {
  switch (answer.kind) {
    case "response":
      return classifyResponse(answer, nowMs);
    case "timeout":
      return noResponse("TIMEOUT", "no answer within the timeout");
    case "connectionFailed":
      return noResponse("CONNECTION_FAILED", answer.detail);
    case "tlsFailed":
      return noResponse("TLS_FAILED", answer.detail);
    case "dnsFailed":
      return noResponse("DNS_FAILED", answer.detail);
    case "blockedAddress":
      return {
        outcome: "BLOCKED_ADDRESS",
        meaning: permanent,
        burnt: true,
        breakerFailure: false,
        statusCode: null,
        error: `${answer.address} is ${answer.range}, and webhooks may not go there`,
        responseBody: null,
        warning: { category: "SECURITY", severity: "ERROR" },
      };
  }
}

type Response = Extract<Answer, { kind: "response" }>;

function classifyResponse(answer: Response, nowMs: number): ResponseOutcome {
  const { status } = answer;
  if (status >= 200 && status < 300) return classifySuccess(answer);
  if (status === 429 || (status === 503 && answer.retryAfter !== null)) {
    const delayMs = retryAfterMs(answer.retryAfter, nowMs);
    const meaning: OutcomeMeaning = { kind: "held", delayMs, holdsTarget: true };
    return { ...failed(answer, "RATE_LIMITED", meaning), burnt: false };
  }
  if (status === 501) {
    return { ...failed(answer, "NOT_IMPLEMENTED", permanent), warning: warningOf("CRITICAL") };
  }
  if (status >= 500) return { ...failed(answer, "SERVER_ERROR", transient), breakerFailure: true };
  if (status === 408 || status === 425) return failed(answer, "SERVER_ERROR", transient);
  if (status === 410) return { ...failed(answer, "GONE", gone), warning: warningOf("WARN") };
  if (status >= 400) return { ...failed(answer, "REJECTED", permanent), warning: warningOf("WARN") };
  return failed(answer, "REDIRECT", permanent);
}

function classifySuccess({ status, body }: Response): ResponseOutcome {
  const waitSeconds = mayCarryAck(body) ? notYetSeconds(body) : null;
  const isDelivered = waitSeconds === null;
  return {
    outcome: isDelivered ? "DELIVERED" : "NOT_YET",
    meaning: isDelivered ? delivered : { kind: "held", delayMs: waitSeconds * 1_000, holdsTarget: false },
    burnt: isDelivered,
    breakerFailure: false,
    statusCode: status,
    error: isDelivered ? null : `the target asked to come again in ${waitSeconds} s`,
    responseBody: kept(body),
    warning: null,
  };
}

/** Most answers are empty or a word; only what could hold the member is parsed (a name may be written with escapes). */
function mayCarryAck(body: string): boolean {
  return body.length > 2 && (body.includes("ack") || body.includes("\\u"));
}

/** Seconds to wait when the body says `ack: false`; null when it does not. */
function notYetSeconds(body: string): number | null {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    return null;
  }
  if (typeof parsed !== "object" || parsed === null || !("ack" in parsed) || parsed.ack !== false) return null;
  const asked: unknown = "delaySeconds" in parsed ? parsed.delaySeconds : undefined;
  if (typeof asked !== "number" || !Number.isFinite(asked)) return notYetLimits.defaultSeconds;
  return Math.min(Math.max(Math.ceil(asked), notYetLimits.minSeconds), notYetLimits.maxSeconds);
}

function failed(answer: Response, outcome: AttemptOutcome, meaning: OutcomeMeaning): ResponseOutcome {
  return {
    outcome,
    meaning,
    burnt: true,
    breakerFailure: false,
    statusCode: answer.status,
    error: `the target answered ${answer.status}`,
    responseBody: kept(answer.body),
    warning: null,
  };
}

function noResponse(outcome: AttemptOutcome, error: string): ResponseOutcome {
  return {
    outcome,
    meaning: transient,
    burnt: true,
    breakerFailure: true,
    statusCode: null,
    error,
    responseBody: null,
    warning: null,
  };
}

function warningOf(severity: OutcomeWarning["severity"]): OutcomeWarning {
  return { category: "CONFIGURATION", severity };
}

function kept(body: string): string | null {
  if (body.length === 0) return null;
  return body.length > attemptLimits.responseKeptMaxChars ? body.slice(0, attemptLimits.responseKeptMaxChars) : body;
}
