import type { AttemptOutcome } from "../domain/attempt.ts";

/** Outcomes are stored as their place in this list: append only. */
const outcomes: readonly AttemptOutcome[] = [
  "DELIVERED",
  "NOT_YET",
  "REDIRECT",
  "REJECTED",
  "GONE",
  "RATE_LIMITED",
  "SERVER_ERROR",
  "NOT_IMPLEMENTED",
  "TIMEOUT",
  "CONNECTION_FAILED",
  "DNS_FAILED",
  "TLS_FAILED",
  "BLOCKED_ADDRESS",
];

const codes = new Map(outcomes.map((outcome, code) => [outcome, code]));

export function outcomeCode(outcome: AttemptOutcome): number {
  return codes.get(outcome) ?? 0;
}

export function outcomeName(code: number): AttemptOutcome {
  const outcome = outcomes[code];
  if (outcome === undefined) throw new Error(`Not an attempt outcome: ${code}`);
  return outcome;
}
