import { nextDelayMs, presetRetryPolicy, withJitter, type RetryPolicy } from "../domain/retry-policy.ts";

export const standaloneRetryLimits = { maxRemembered: 10_000 } as const;

/** Messages without a platform have no policy of their own. */
export const standaloneRetryPolicy: RetryPolicy = presetRetryPolicy("default", null);

interface Remembered {
  readonly attempts: number;
  /** Monotonic, as it lives no longer than the process; the message is to be left alone until then. */
  readonly dueAtMs: number;
}

/**
 * How often stand-alone messages were tried, and until when they wait: kept in memory, since the queue keeps neither.
 * After a crash the receive count stands in for the attempts. Bounded; the one remembered longest is forgotten first.
 */
export class StandaloneRetries {
  readonly #remembered = new Map<string, Remembered>();

  /** When the message may be tried, if it came back before its time (queues delay in steps); 0: now. */
  dueAtMs(key: string): number {
    return this.#remembered.get(key)?.dueAtMs ?? 0;
  }

  /** Counts a burnt attempt and says how long to wait; null: that was the last one. */
  failed(key: string, receiveCount: number, random: number): number | null {
    const known = this.#remembered.get(key)?.attempts ?? Math.min(receiveCount - 1, standaloneRetryPolicy.maxRetries);
    const attempts = known + 1;
    const delayMs = nextDelayMs(standaloneRetryPolicy, attempts);
    if (delayMs === null) return null;
    this.#remember(key, { attempts, dueAtMs: 0 });
    return withJitter(delayMs, random);
  }

  attempts(key: string): number {
    return this.#remembered.get(key)?.attempts ?? 0;
  }

  waitUntil(key: string, dueAtMs: number): void {
    this.#remember(key, { attempts: this.attempts(key), dueAtMs });
  }

  forget(key: string): void {
    this.#remembered.delete(key);
  }

  #remember(key: string, remembered: Remembered): void {
    this.#remembered.delete(key);
    this.#remembered.set(key, remembered);
    if (this.#remembered.size <= standaloneRetryLimits.maxRemembered) return;
    const oldest = this.#remembered.keys().next().value;
    if (oldest !== undefined) this.#remembered.delete(oldest);
  }
}
