/**
 * Time, as everything that waits or stamps is handed it.
 *
 * `now` is the wall clock and may jump either way; only `monotonicMs` may measure a duration. A wait that is aborted
 * ends early and resolves: being told to stop is not a fault, and every loop looks at its signal anyway.
 */
export interface Clock {
  /** Milliseconds since the Unix epoch. May jump. */
  now(): number;
  /** Milliseconds from an arbitrary start, never going back. */
  monotonicMs(): number;
  /** Resolves after `ms`, or as soon as the signal aborts. Never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `fn` once after `ms`; the returned function cancels it (and does nothing after it has fired). */
  setTimer(ms: number, fn: () => void): () => void;
}

/** The longest delay the runtime's timers take (a signed 32-bit number of ms); longer ones are waited for in parts. */
const MAX_TIMER_MS = 2_147_483_647;

/** The clock of the machine. */
export function systemClock(): Clock {
  const setTimer = (ms: number, fn: () => void): (() => void) => {
    let handle: ReturnType<typeof setTimeout>;
    const arm = (leftMs: number): void => {
      const partMs = Math.min(Math.max(leftMs, 0), MAX_TIMER_MS);
      handle = setTimeout(() => (leftMs > partMs ? arm(leftMs - partMs) : fn()), partMs);
    };
    arm(ms);
    return () => clearTimeout(handle);
  };
  return {
    now: () => Date.now(),
    monotonicMs: () => performance.now(),
    sleep: (ms, signal) => sleepWith(setTimer, ms, signal),
    setTimer,
  };
}

function sleepWith(setTimer: Clock["setTimer"], ms: number, signal: AbortSignal | undefined): Promise<void> {
  if (signal?.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      cancel();
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const cancel = setTimer(ms, done);
    signal?.addEventListener("abort", done, { once: true });
  });
}

/** RFC 3339 in UTC with milliseconds, as every time of ours is written. */
export function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}

type FakeTimer = { readonly dueMs: number; readonly order: number; readonly fn: () => void };

/** Start of a FakeClock unless told otherwise: 2026-01-01T00:00:00Z. */
const FAKE_START_MS = Date.UTC(2026, 0, 1);

/**
 * A clock for tests and simulations that moves only when told. Timers fire in order of their due time, equal ones in
 * the order they were set; between two of them everything that was waiting gets its turn, so a chain of timers runs
 * as it would in real time.
 */
export class FakeClock implements Clock {
  #wallOffsetMs: number;
  #elapsedMs = 0;
  #order = 0;
  #timers: FakeTimer[] = [];
  #timerWaiters: { count: number; resolve: () => void }[] = [];

  constructor(startMs: number = FAKE_START_MS) {
    this.#wallOffsetMs = startMs;
  }

  /** Whole milliseconds, as the machine's; only monotonic time has fractions. */
  now(): number {
    return Math.floor(this.#wallOffsetMs + this.#elapsedMs);
  }

  monotonicMs(): number {
    return this.#elapsedMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return sleepWith((delayMs, fn) => this.setTimer(delayMs, fn), ms, signal);
  }

  setTimer(ms: number, fn: () => void): () => void {
    const timer = { dueMs: this.#elapsedMs + Math.max(ms, 0), order: this.#order++, fn };
    this.#timers.push(timer);
    this.#tellTimerWaiters();
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** How many timers are set. */
  get timerCount(): number {
    return this.#timers.length;
  }

  /** Milliseconds until the next timer, or undefined without one: lets a simulation jump from event to event. */
  get nextTimerMs(): number | undefined {
    const next = this.#next();
    return next === undefined ? undefined : next.dueMs - this.#elapsedMs;
  }

  /** Resolves once at least `count` timers are set: the code under test has arrived at its wait. */
  whenTimers(count: number): Promise<void> {
    if (this.#timers.length >= count) return Promise.resolve();
    return new Promise((resolve) => this.#timerWaiters.push({ count, resolve }));
  }

  /** Moves time forward, firing what falls due, and lets everything settle before and after each timer. */
  async advance(ms: number): Promise<void> {
    await settle();
    const endMs = this.#elapsedMs + ms;
    for (let next = this.#next(); next !== undefined && next.dueMs <= endMs; next = this.#next()) {
      this.#fire(next);
      await settle();
    }
    this.#elapsedMs = endMs;
    await settle();
  }

  /** Moves the wall clock only, as a correction of the machine's time would; `monotonicMs` and timers do not notice. */
  jumpWallClock(byMs: number): void {
    this.#wallOffsetMs += byMs;
  }

  #next(): FakeTimer | undefined {
    let first: FakeTimer | undefined;
    for (const timer of this.#timers) {
      const sooner = first === undefined || timer.dueMs < first.dueMs;
      if (sooner || (first !== undefined && timer.dueMs === first.dueMs && timer.order < first.order)) first = timer;
    }
    return first;
  }

  #fire(timer: FakeTimer): void {
    this.#timers = this.#timers.filter((other) => other !== timer);
    this.#elapsedMs = Math.max(this.#elapsedMs, timer.dueMs);
    timer.fn();
  }

  #tellTimerWaiters(): void {
    const ready = this.#timerWaiters.filter((waiter) => this.#timers.length >= waiter.count);
    this.#timerWaiters = this.#timerWaiters.filter((waiter) => !ready.includes(waiter));
    for (const waiter of ready) waiter.resolve();
  }
}

/** One turn of the event loop: every promise that can settle now has settled afterwards. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
