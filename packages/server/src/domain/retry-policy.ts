/** How often and when a delivery is tried again. The retry policy is the one owner of retries. */
export interface RetryPolicy {
  /** The wait before retry n is `delaysMs[n]`; the last one repeats while `maxRetries` allows more. */
  readonly delaysMs: readonly number[];
  /** Retries after the first attempt; attempts in all are one more. */
  readonly maxRetries: number;
}
