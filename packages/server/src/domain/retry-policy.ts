/**
 * How often, and when, a delivery is tried again. The policy is the only owner of retries: the router, the breaker and
 * the queue never decide on a further try by themselves.
 *
 * A policy is a list of waits. Retry n waits `delaysMs[n - 1]`; when `maxRetries` allows more retries than the list has
 * waits, its last wait repeats; when it allows fewer, the list is cut. Attempts in all are therefore `maxRetries + 1`.
 * Which retry comes next is computed from the number of burnt attempts that is *stored* with the job, never from a
 * counter in memory, so a restart changes nothing.
 *
 * Waits above ten seconds get a jitter of 0 to +20 %, so that jobs which failed together do not come back together;
 * shorter ones stay exact, because they are spent in the router with the group's order held.
 */
export interface RetryPolicy {
  /** The wait before retry n is `delaysMs[n - 1]`; the last one repeats while `maxRetries` allows more. */
  readonly delaysMs: readonly number[];
  /** Retries after the first attempt; attempts in all are one more. */
  readonly maxRetries: number;
}

export type RetryPresetName = "fast" | "default" | "standard-webhooks";

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_SECONDS = 86_400;

const defaultDelaysMs = [SECOND_MS, 2 * SECOND_MS, MINUTE_MS, 5 * MINUTE_MS, 15 * MINUTE_MS, HOUR_MS] as const;

/** Named policies. `standard-webhooks` is the schedule the Standard Webhooks specification gives as its example. */
export const retryPresets: Readonly<Record<RetryPresetName, RetryPreset>> = {
  fast: { delaysMs: defaultDelaysMs.slice(0, 2), maxAgeSeconds: DAY_SECONDS },
  default: { delaysMs: defaultDelaysMs, maxAgeSeconds: DAY_SECONDS },
  "standard-webhooks": {
    delaysMs: [5 * SECOND_MS, 5 * MINUTE_MS, 30 * MINUTE_MS, 2 * HOUR_MS, 5 * HOUR_MS, 10 * HOUR_MS, 10 * HOUR_MS],
    maxAgeSeconds: 3 * DAY_SECONDS,
  },
};

export interface RetryPreset {
  readonly delaysMs: readonly number[];
  /** The age limit a subscription gets with this preset when it names none itself. */
  readonly maxAgeSeconds: number;
}

export const retryLimits = {
  maxRetries: 100,
  /** Delays a policy may list. */
  maxDelays: 50,
  delayMaxMs: 7 * 24 * HOUR_MS,
  /** Waits above this get jitter. */
  jitterFromMs: 10 * SECOND_MS,
  jitterMaxShare: 0.2,
} as const;

/** True when the text names a preset. */
export function isRetryPresetName(text: string): text is RetryPresetName {
  return Object.hasOwn(retryPresets, text);
}

/** The policy of a list of waits; `maxRetries` null means one retry per wait. */
export function retryPolicyOf(delaysMs: readonly number[], maxRetries: number | null): RetryPolicy {
  return { delaysMs, maxRetries: maxRetries ?? delaysMs.length };
}

/** The policy of a preset, cut or continued to `maxRetries` if that is given. */
export function presetRetryPolicy(name: RetryPresetName, maxRetries: number | null): RetryPolicy {
  return retryPolicyOf(retryPresets[name].delaysMs, maxRetries);
}

/**
 * The wait before the next try after `burntAttempts` burnt ones, without jitter; null when none is left. Zero burnt
 * attempts count as one: whoever asks has a failure at hand.
 */
export function nextDelayMs(policy: RetryPolicy, burntAttempts: number): number | null {
  const retry = Math.max(burntAttempts, 1);
  if (retry > policy.maxRetries) return null;
  return policy.delaysMs[Math.min(retry, policy.delaysMs.length) - 1] ?? null;
}

/** Adds 0 to +20 % to a wait above ten seconds. `random` is uniform in [0, 1). */
export function withJitter(delayMs: number, random: number): number {
  if (delayMs <= retryLimits.jitterFromMs) return delayMs;
  return Math.round(delayMs * (1 + retryLimits.jitterMaxShare * random));
}

/** The sum of all waits, without jitter: how long a delivery may go on failing before it has failed. */
export function retryDurationMs(policy: RetryPolicy): number {
  let totalMs = 0;
  for (let retry = 1; retry <= policy.maxRetries; retry++) totalMs += nextDelayMs(policy, retry) ?? 0;
  return totalMs;
}

export type RetryPolicyFault =
  | { readonly kind: "retriesOutOfRange"; readonly maxRetries: number }
  | { readonly kind: "tooManyDelays"; readonly count: number }
  | { readonly kind: "delayOutOfRange"; readonly index: number; readonly delayMs: number }
  /** `maxRetries` asks for retries, and there is no wait to take. */
  | { readonly kind: "noDelays" }
  /** It could not be finished before the delivery expires. */
  | { readonly kind: "longerThanMaxAge"; readonly durationMs: number; readonly maxAgeSeconds: number };

/** What is wrong with a policy for deliveries of this age limit; null: nothing. */
export function retryPolicyFault(policy: RetryPolicy, maxAgeSeconds: number): RetryPolicyFault | null {
  const { delaysMs, maxRetries } = policy;
  if (!Number.isInteger(maxRetries) || maxRetries < 0 || maxRetries > retryLimits.maxRetries) {
    return { kind: "retriesOutOfRange", maxRetries };
  }
  if (delaysMs.length > retryLimits.maxDelays) return { kind: "tooManyDelays", count: delaysMs.length };
  const index = delaysMs.findIndex((ms) => !Number.isInteger(ms) || ms < 0 || ms > retryLimits.delayMaxMs);
  if (index >= 0) return { kind: "delayOutOfRange", index, delayMs: delaysMs[index] ?? Number.NaN };
  if (maxRetries > 0 && delaysMs.length === 0) return { kind: "noDelays" };
  const durationMs = retryDurationMs(policy);
  return durationMs > maxAgeSeconds * SECOND_MS ? { kind: "longerThanMaxAge", durationMs, maxAgeSeconds } : null;
}
