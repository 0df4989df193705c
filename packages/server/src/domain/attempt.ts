import type { JobId } from "./ids.ts";
import type { FinalStatus } from "./dispatch-job.ts";

/** What came of one HTTP request. */
export type AttemptOutcome =
  | "DELIVERED"
  | "NOT_YET"
  | "REDIRECT"
  | "REJECTED"
  | "GONE"
  | "RATE_LIMITED"
  | "SERVER_ERROR"
  | "NOT_IMPLEMENTED"
  | "TIMEOUT"
  | "CONNECTION_FAILED"
  | "DNS_FAILED"
  | "TLS_FAILED"
  | "BLOCKED_ADDRESS";

/** One HTTP request and what came of it. Its id is `jobId.generation.number`. */
export interface Attempt {
  readonly number: number;
  readonly startedAtMs: number;
  readonly durationMs: number;
  readonly outcome: AttemptOutcome;
  readonly statusCode: number | null;
  /** Counted against the retry budget. */
  readonly burnt: boolean;
  readonly error: string | null;
  /** At most 5,000 characters. */
  readonly responseBody: string | null;
  /** False when no secret was found because none was asked for. */
  readonly signed: boolean;
}

/**
 * What the router says about one job: at most one attempt, and what it means. Applied once per (job, generation,
 * number).
 */
export interface DeliveryReport {
  readonly jobId: JobId;
  readonly generation: number;
  /** Null when nothing was sent (held by a breaker, expired, released). */
  readonly attempt: Attempt | null;
  readonly result: DeliveryResult;
}

export type DeliveryResult =
  | { readonly kind: "delivered" }
  /** Will not get better: FAILED. `pauseSubscription` is the reason to pause with, for a target that is gone. */
  | { readonly kind: "permanent"; readonly error: string; readonly pauseSubscription: string | null }
  /** The stored attempt count and the retry policy decide between another try and FAILED. */
  | { readonly kind: "transient"; readonly error: string }
  /** Not now, and nobody's fault: burns nothing. */
  | { readonly kind: "held"; readonly untilMs: number; readonly error: string | null }
  | { readonly kind: "expired" }
  /** Never tried (stop, lost receipt, fairness): back to PENDING at once, or at `dueAtMs`. */
  | { readonly kind: "released"; readonly dueAtMs: number };

/** What became of a report: what the router does next with the job and with the rest of its run. */
export type ReportVerdict =
  /** Final. `holdsGroup`: the rest of the run was taken back by the store and must not be started. */
  | { readonly kind: "settled"; readonly status: FinalStatus; readonly holdsGroup: boolean }
  /** Still QUEUED, same generation: wait in the router, then try again. */
  | { readonly kind: "wait"; readonly delayMs: number; readonly attemptCount: number }
  /** Back to PENDING with a new generation, the untouched rest of its run too. */
  | { readonly kind: "parked"; readonly untilMs: number }
  /** Nothing changed: an older generation, already final, cancelled, or unknown (`setAside` rows keep the unknown). */
  | { readonly kind: "ignored"; readonly reason: "STALE" | "FINAL" | "UNKNOWN_JOB" };

export const attemptLimits = {
  responseReadMaxBytes: 65_536,
  responseKeptMaxChars: 5_000,
} as const;
