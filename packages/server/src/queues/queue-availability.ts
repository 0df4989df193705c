import type { Clock } from "@flowcatalyst/foundation";

/**
 * Who waits for messages, and when the next held one falls due.
 *
 * One timer serves all rows: it is set to the earliest due time heard of and set again from the database when it fires,
 * so a message that is received and acked costs no timer of its own.
 */
export class QueueAvailability {
  readonly #clock: Clock;
  readonly #onDue: () => void;
  readonly #listeners = new Set<() => void>();
  #armedForMs = Number.POSITIVE_INFINITY;
  #announcements = 0;
  #cancelTimer: () => void = () => undefined;
  #closed = false;

  /** `onDue` is called when the earliest due time is reached; it releases what is due and calls `expect` again. */
  constructor(clock: Clock, onDue: () => void) {
    this.#clock = clock;
    this.#onDue = onDue;
  }

  listen(wake: () => void): () => void {
    this.#listeners.add(wake);
    return () => this.#listeners.delete(wake);
  }

  /** Something became receivable. */
  announce(): void {
    this.#announcements += 1;
    for (const wake of this.#listeners) wake();
  }

  /** Something falls due in `inMs` from now. */
  expect(inMs: number): void {
    const atMs = this.#clock.monotonicMs() + Math.max(inMs, 0);
    if (this.#closed || atMs >= this.#armedForMs) return;
    this.#cancelTimer();
    this.#armedForMs = atMs;
    this.#cancelTimer = this.#clock.setTimer(inMs, () => {
      this.#armedForMs = Number.POSITIVE_INFINITY;
      this.#onDue();
    });
  }

  /** Rises with each announcement: who looks while others work remembers it before looking, and waits from there. */
  get announcements(): number {
    return this.#announcements;
  }

  /**
   * Resolves at the next announcement, after `ms`, on abort, or when closed; never rejects. With `since`, an
   * announcement that came after that count was read resolves it at once.
   */
  wait(ms: number, signal: AbortSignal, since: number = this.#announcements): Promise<void> {
    if (this.#closed || signal.aborted || since !== this.#announcements) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        cancelTimer();
        unlisten();
        signal.removeEventListener("abort", done);
        resolve();
      };
      const cancelTimer = this.#clock.setTimer(ms, done);
      const unlisten = this.listen(done);
      signal.addEventListener("abort", done, { once: true });
    });
  }

  get closed(): boolean {
    return this.#closed;
  }

  close(): void {
    this.#closed = true;
    this.#cancelTimer();
    this.announce();
    this.#listeners.clear();
  }
}
