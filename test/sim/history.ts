/**
 * What the operator and the faults have done, and since when it must be obeyed.
 *
 * A command takes effect in routers within moments, and after an outage within moments of its end: `graceMs` is
 * generous about that (a router reads its settings again after 10 s at most). What was tried and not answered may or
 * may not hold, so nothing is held against anybody because of it.
 */
export const graceMs = 15_000;

export interface PoolShapeKnown {
  readonly concurrency: number;
  readonly rateLimitPerMinute: number | null;
  readonly burst: number | null;
  readonly fromMs: number;
  /** Replaced by an answered change; infinity while it may be in force. */
  untilMs: number;
}

export class History {
  readonly #elapsedMs: () => number;
  #disturbedUntilMs = Number.NEGATIVE_INFINITY;
  readonly #pausedSince = new Map<string, number>();
  readonly #cancelledSince = new Map<string, number>();
  readonly #pools = new Map<string, PoolShapeKnown[]>();
  /** Jobs an operator has retried, or may have: how often. */
  readonly #touches = new Map<string, number>();
  /** Jobs whose failure an operator has let pass, or may have. */
  readonly passedOver = new Set<string>();

  constructor(elapsedMs: () => number) {
    this.#elapsedMs = elapsedMs;
  }

  /** The disk or a port refuses until then. */
  disturbed(untilMs: number): void {
    this.#disturbedUntilMs = Math.max(this.#disturbedUntilMs, untilMs);
  }

  /** A subscription or `pool:CODE` may not be sent from now on. */
  paused(key: string): void {
    if (!this.#pausedSince.has(key)) this.#pausedSince.set(key, this.#elapsedMs());
  }

  resumed(key: string): void {
    this.#pausedSince.delete(key);
  }

  mustBePaused(key: string): boolean {
    return this.#isObeyed(this.#pausedSince.get(key));
  }

  /** How often the job was cancelled or asked for again. */
  commands(jobId: string): number {
    return this.touches(jobId) + (this.#cancelledSince.has(jobId) ? 1 : 0);
  }

  cancelled(jobId: string): void {
    this.#cancelledSince.set(jobId, this.#elapsedMs());
  }

  isCancelled(jobId: string): boolean {
    return this.#cancelledSince.has(jobId);
  }

  mustBeCancelled(jobId: string): boolean {
    return this.#isObeyed(this.#cancelledSince.get(jobId));
  }

  cancelledJobs(): readonly string[] {
    return [...this.#cancelledSince.keys()];
  }

  touched(jobId: string): void {
    this.#touches.set(jobId, this.touches(jobId) + 1);
    this.#cancelledSince.delete(jobId);
  }

  touches(jobId: string): number {
    return this.#touches.get(jobId) ?? 0;
  }

  /** A change of a pool was sent; `answered` ends what was before. */
  poolSent(code: string, shape: Omit<PoolShapeKnown, "fromMs" | "untilMs">): void {
    const known = this.#pools.get(code) ?? [];
    const { concurrency, rateLimitPerMinute, burst } = shape;
    const untilMs = Number.POSITIVE_INFINITY;
    known.push({ concurrency, rateLimitPerMinute, burst, fromMs: this.#elapsedMs(), untilMs });
    this.#pools.set(code, known);
  }

  poolAnswered(code: string): void {
    for (const shape of (this.#pools.get(code) ?? []).slice(0, -1)) {
      if (shape.untilMs === Number.POSITIVE_INFINITY) shape.untilMs = this.#elapsedMs();
    }
  }

  /** Shapes that may have been in force at some time since then. */
  shapesSince(code: string, sinceMs: number): readonly PoolShapeKnown[] {
    return (this.#pools.get(code) ?? []).filter((shape) => this.#graceEnd(shape.untilMs) >= sinceMs);
  }

  #isObeyed(sinceMs: number | undefined): boolean {
    return sinceMs !== undefined && this.#elapsedMs() > this.#graceEnd(sinceMs);
  }

  #graceEnd(sinceMs: number): number {
    return Math.max(sinceMs, this.#disturbedUntilMs >= sinceMs ? this.#disturbedUntilMs : sinceMs) + graceMs;
  }
}
