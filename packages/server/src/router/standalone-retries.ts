import { nextDelayMs, presetRetryPolicy, withJitter, type RetryPolicy } from "../domain/retry-policy.ts";

/** The retries of the policy take 81 minutes: 20 messages a second may fail, and each ends after its last try. */
export const standaloneRetryLimits = { maxRemembered: 100_000 } as const;

/** Messages without a platform have no policy of their own. */
export const standaloneRetryPolicy: RetryPolicy = presetRetryPolicy("default", null);

interface Remembered {
  readonly attempts: number;
  /** Monotonic, as it lives no longer than the process; the message is to be left alone until then. */
  readonly dueAtMs: number;
}

/**
 * How often stand-alone messages were tried, and until when they wait: kept in memory, since the queue keeps neither.
 * After a crash the receive count stands in for the attempts, but never for the last one: a message that was given back
 * untouched was received too. For those of this process the count at the first of them is kept. Bounded; the one
 * remembered longest is forgotten first.
 */
export class StandaloneRetries {
  readonly #remembered = new Map<string, Remembered>();

  /** Received and given back untouched: attempts before that, as far as anybody can tell. */
  readonly #untouched = new Map<string, number>();

  /** When the message may be tried, if it came back before its time (queues delay in steps); 0: now. */
  dueAtMs(key: string): number {
    return this.#remembered.get(key)?.dueAtMs ?? 0;
  }

  /** Counts a burnt attempt and says how long to wait; null: that was the last one. */
  failed(key: string, receiveCount: number, random: number): number | null {
    const known = this.#remembered.get(key)?.attempts ?? this.#untouched.get(key) ?? standIn(receiveCount);
    const attempts = known + 1;
    const delayMs = nextDelayMs(standaloneRetryPolicy, attempts);
    if (delayMs === null) return null;
    this.#remember(key, { attempts, dueAtMs: 0 });
    return withJitter(delayMs, random);
  }

  attempts(key: string): number {
    return this.#remembered.get(key)?.attempts ?? this.#untouched.get(key) ?? 0;
  }

  waitUntil(key: string, dueAtMs: number): void {
    this.#remember(key, { attempts: this.attempts(key), dueAtMs });
  }

  /** It goes back without having been tried. */
  givenBack(key: string, receiveCount: number): void {
    if (this.#remembered.has(key) || this.#untouched.has(key)) return;
    this.#untouched.set(key, standIn(receiveCount));
    forgetFirst(this.#untouched);
  }

  forget(key: string): void {
    this.#remembered.delete(key);
    this.#untouched.delete(key);
  }

  #remember(key: string, remembered: Remembered): void {
    this.#remembered.delete(key);
    this.#remembered.set(key, remembered);
    forgetFirst(this.#remembered);
  }
}

function standIn(receiveCount: number): number {
  return Math.min(receiveCount - 1, standaloneRetryPolicy.maxRetries - 1);
}

function forgetFirst(map: Map<string, unknown>): void {
  if (map.size <= standaloneRetryLimits.maxRemembered) return;
  const oldest = map.keys().next().value;
  if (oldest !== undefined) map.delete(oldest);
}
