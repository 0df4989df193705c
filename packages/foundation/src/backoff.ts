import type { Random } from "./random.ts";

/** How the computed delay is spread. `full`: anywhere in [0, delay). `equal`: anywhere in [delay/2, delay). */
export type Jitter = "none" | "full" | "equal";

export type BackoffPolicy = {
  /** Delay before the first retry. */
  readonly baseMs: number;
  /** No delay is longer. */
  readonly capMs: number;
  /** Each further retry waits this many times longer; 2 if left out. */
  readonly factor?: number;
  readonly jitter?: Jitter;
};

/**
 * Delay before retry number `retry` (0 is the first): exponential, capped, then spread.
 *
 * `full` jitter is the default: of the usual shapes it brings the fewest calls when many clients fail at once
 * (Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
 */
export function backoffMs(policy: BackoffPolicy, retry: number, random: Random): number {
  const factor = policy.factor ?? 2;
  // A large exponent gives Infinity, which the cap brings back; the power is capped first because 0 times it is NaN.
  const growth = Math.min(Number.MAX_SAFE_INTEGER, factor ** Math.max(0, retry));
  const delayMs = Math.min(policy.capMs, policy.baseMs * growth);
  switch (policy.jitter ?? "full") {
    case "none":
      return delayMs;
    case "full":
      return Math.floor(delayMs * random.next());
    case "equal":
      return Math.floor(delayMs / 2 + (delayMs / 2) * random.next());
  }
}
