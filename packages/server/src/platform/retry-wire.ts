import type { RetryIn, RetryOut } from "@flowcatalyst/contracts";
import { CodedError } from "@flowcatalyst/foundation";
import {
  presetRetryPolicy,
  retryPolicyFault,
  retryPolicyOf,
  retryPresets,
  type RetryPolicy,
  type RetryPolicyFault,
} from "../domain/retry-policy.ts";

/** What a request says of retrying: a preset or a list of waits, cut or continued to `maxRetries`. */
export interface RetryWish {
  readonly retry: RetryIn | null;
  readonly maxRetries: number | null;
  /** Null: the preset's own, else the default given. */
  readonly maxAgeSeconds: number | null;
}

export interface RetryDecision {
  readonly retry: RetryPolicy;
  readonly maxAgeSeconds: number;
}

/** Throws RETRY_POLICY_INVALID, e.g. for a policy that could not be finished before the delivery expires. */
export function decideRetry(wish: RetryWish, defaultMaxAgeSeconds: number): RetryDecision {
  const retry = policyOf(wish);
  const presetAge = typeof wish.retry === "string" ? retryPresets[wish.retry].maxAgeSeconds : defaultMaxAgeSeconds;
  const maxAgeSeconds = wish.maxAgeSeconds ?? presetAge;
  const fault = retryPolicyFault(retry, maxAgeSeconds);
  if (fault === null) return { retry, maxAgeSeconds };
  const { path, message } = faultText(fault);
  throw new CodedError("RETRY_POLICY_INVALID", { message: `${path} ${message}.`, errors: [{ path, message }] });
}

export function retryOut(retry: RetryPolicy): RetryOut {
  return { delaysSeconds: retry.delaysMs.map((ms) => ms / 1_000), maxRetries: retry.maxRetries };
}

function policyOf({ retry, maxRetries }: RetryWish): RetryPolicy {
  if (retry === null) return presetRetryPolicy("default", maxRetries);
  if (typeof retry === "string") return presetRetryPolicy(retry, maxRetries);
  const delaysMs = retry.delaysSeconds.map((seconds) => Math.round(seconds * 1_000));
  return retryPolicyOf(delaysMs, maxRetries ?? retry.maxRetries ?? null);
}

function faultText(fault: RetryPolicyFault): { readonly path: string; readonly message: string } {
  switch (fault.kind) {
    case "retriesOutOfRange":
      return { path: "maxRetries", message: `is out of range: ${fault.maxRetries}` };
    case "tooManyDelays":
      return { path: "retry.delaysSeconds", message: `has too many items: ${fault.count}` };
    case "delayOutOfRange":
      return { path: `retry.delaysSeconds[${fault.index}]`, message: `is out of range: ${fault.delayMs / 1_000}` };
    case "noDelays":
      return { path: "retry.delaysSeconds", message: "must name a wait, because maxRetries asks for retries" };
    case "longerThanMaxAge": {
      const seconds = Math.ceil(fault.durationMs / 1_000);
      return { path: "retry", message: `takes ${seconds} s, longer than maxAgeSeconds (${fault.maxAgeSeconds})` };
    }
  }
}
