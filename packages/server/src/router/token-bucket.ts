const MS_PER_MINUTE = 60_000;

/**
 * The rate limit of a pool: `perMinute` tokens flow in evenly, at most `burst` are kept. A call takes one before it
 * takes a slot; when none is left, calls wait for the next and are never refused. Times are monotonic milliseconds.
 *
 * Over any window of w milliseconds at most `burst + w * perMinute / 60,000` tokens are given out.
 */
export class TokenBucket {
  #perMs: number;
  #burst: number;
  #tokens: number;
  #asOfMs: number;

  constructor(limits: { readonly perMinute: number; readonly burst: number }, nowMs: number) {
    this.#perMs = limits.perMinute / MS_PER_MINUTE;
    this.#burst = limits.burst;
    this.#tokens = limits.burst;
    this.#asOfMs = nowMs;
  }

  /** Changes the limits in place; what was saved up stays, within the new burst. */
  reshape(limits: { readonly perMinute: number; readonly burst: number }, nowMs: number): void {
    this.#refill(nowMs);
    this.#perMs = limits.perMinute / MS_PER_MINUTE;
    this.#burst = limits.burst;
    this.#tokens = Math.min(this.#tokens, this.#burst);
  }

  /** Milliseconds until a token is there; 0: now. */
  waitMs(nowMs: number): number {
    this.#refill(nowMs);
    return this.#tokens >= 1 ? 0 : (1 - this.#tokens) / this.#perMs;
  }

  /** Takes a token; call it only when `waitMs` is 0. */
  take(): void {
    this.#tokens -= 1;
  }

  #refill(nowMs: number): void {
    if (nowMs <= this.#asOfMs) return;
    this.#tokens = Math.min(this.#burst, this.#tokens + (nowMs - this.#asOfMs) * this.#perMs);
    this.#asOfMs = nowMs;
    // Adding many small parts may end a hair below a whole token; without this a wait of 0 ms could repeat.
    const whole = Math.round(this.#tokens);
    if (Math.abs(this.#tokens - whole) < 1e-9) this.#tokens = whole;
  }
}
