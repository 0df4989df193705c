/**
 * The circuit breaker of one target origin, and holds that a target asked for.
 *
 * A target that fails much is left alone for a while: calls to it would mostly fail, burn the retry budget of
 * deliveries and occupy slots. Failures are transport errors, timeouts and 5xx (`domain/response-outcome`).
 *
 * ```mermaid
 * stateDiagram-v2
 *   [*] --> closed
 *   closed --> open: at least 10 calls in the window of 100, half of them failures
 *   open --> halfOpen: 5 s have passed (doubled after each failed probe, at most 60 s)
 *   halfOpen --> open: the probe failed
 *   halfOpen --> closed: 3 probes succeeded, one at a time
 *   open --> closed: reset by an operator
 *   halfOpen --> closed: reset by an operator
 * ```
 *
 * Separately a target is *held* when it answers 429, or 503 with Retry-After, until the time it named. Both mean the
 * same to deliveries: `blockedUntilMs` says when to ask again. What waits burns nothing.
 *
 * The phase changes only in `nextPhase`. Results of calls that were under way when the breaker opened are ignored: they
 * tell of the time before. Times are monotonic milliseconds.
 */
export const breakerLimits = {
  windowCalls: 100,
  minCalls: 10,
  failureShare: 0.5,
  openMinMs: 5_000,
  openMaxMs: 60_000,
  probesToClose: 3,
} as const;

export type BreakerPhase =
  | { readonly kind: "closed" }
  | { readonly kind: "open"; readonly untilMs: number; readonly lengthMs: number }
  | { readonly kind: "halfOpen"; readonly lengthMs: number; readonly successes: number; readonly probing: boolean };

export type BreakerEvent =
  | { readonly kind: "tripped"; readonly nowMs: number }
  | { readonly kind: "probeStarted" }
  | { readonly kind: "probeAbandoned" }
  | { readonly kind: "probeSucceeded" }
  | { readonly kind: "probeFailed"; readonly nowMs: number }
  | { readonly kind: "reset" };

const closed: BreakerPhase = { kind: "closed" };

/** The one transition function. An event that does not fit the phase changes nothing. */
export function nextPhase(phase: BreakerPhase, event: BreakerEvent): BreakerPhase {
  switch (event.kind) {
    case "reset":
      return closed;
    case "tripped":
      return phase.kind === "closed" ? openFor(breakerLimits.openMinMs, event.nowMs) : phase;
    case "probeStarted":
      if (phase.kind === "open") return { kind: "halfOpen", lengthMs: phase.lengthMs, successes: 0, probing: true };
      return phase.kind === "halfOpen" ? { ...phase, probing: true } : phase;
    case "probeAbandoned":
      return phase.kind === "halfOpen" ? { ...phase, probing: false } : phase;
    case "probeSucceeded":
      if (phase.kind !== "halfOpen") return phase;
      if (phase.successes + 1 >= breakerLimits.probesToClose) return closed;
      return { ...phase, successes: phase.successes + 1, probing: false };
    case "probeFailed":
      if (phase.kind !== "halfOpen") return phase;
      return openFor(Math.min(phase.lengthMs * 2, breakerLimits.openMaxMs), event.nowMs);
  }
}

function openFor(lengthMs: number, nowMs: number): BreakerPhase {
  return { kind: "open", lengthMs, untilMs: nowMs + lengthMs };
}

/** How a call was let through, to be given back with its result. */
export type CallTicket = "call" | "probe";
export type CallResult = "success" | "failure" | "abandoned";

/** Wakes whoever found the target blocked. */
export interface CircuitWaiter {
  circuitChanged(): void;
}

export class CircuitBreaker {
  readonly origin: string;
  lastUsedMs: number;
  #phase: BreakerPhase = closed;
  #heldUntilMs = 0;
  #calls = 0;
  #failures = 0;
  /** The last calls, 1 for a failure; made when the first failure comes, since most targets never have one. */
  #window: Uint8Array | null = null;
  #windowAt = 0;
  readonly #waiters = new Set<CircuitWaiter>();

  constructor(origin: string, nowMs: number) {
    this.origin = origin;
    this.lastUsedMs = nowMs;
  }

  get phase(): BreakerPhase {
    return this.#phase;
  }

  get heldUntilMs(): number {
    return this.#heldUntilMs;
  }

  get calls(): number {
    return this.#calls;
  }

  get failures(): number {
    return this.#failures;
  }

  get hasWaiters(): boolean {
    return this.#waiters.size > 0;
  }

  /** When the target may be called: 0 for now, infinity while a probe is under way (waiters are told of its end). */
  blockedUntilMs(nowMs: number): number {
    const phase = this.#phase;
    if (phase.kind === "closed") return this.#heldUntilMs > nowMs ? this.#heldUntilMs : 0;
    if (phase.kind === "halfOpen" && phase.probing) return Number.POSITIVE_INFINITY;
    const openUntilMs = phase.kind === "open" ? phase.untilMs : 0;
    const untilMs = Math.max(openUntilMs, this.#heldUntilMs);
    return untilMs > nowMs ? untilMs : 0;
  }

  /** Lets one call through; ask `blockedUntilMs` first. */
  begin(nowMs: number): CallTicket {
    this.lastUsedMs = nowMs;
    if (this.#phase.kind === "closed") return "call";
    this.#phase = nextPhase(this.#phase, { kind: "probeStarted" });
    return "probe";
  }

  end(ticket: CallTicket, result: CallResult, nowMs: number): void {
    if (ticket === "probe") {
      this.#endProbe(result, nowMs);
      return;
    }
    if (result === "abandoned" || this.#phase.kind !== "closed") return;
    this.#count(result === "failure");
    const isBad = this.#failures >= this.#calls * breakerLimits.failureShare;
    if (result === "failure" && isBad && this.#calls >= breakerLimits.minCalls) {
      this.#phase = nextPhase(this.#phase, { kind: "tripped", nowMs });
    }
  }

  /** The target asked to be left alone until then. */
  hold(untilMs: number): void {
    this.#heldUntilMs = Math.max(this.#heldUntilMs, untilMs);
  }

  /** An operator's word: closed, nothing counted, nothing held. */
  reset(): void {
    this.#phase = nextPhase(this.#phase, { kind: "reset" });
    this.#heldUntilMs = 0;
    this.#forgetCalls();
    this.wake();
  }

  await(waiter: CircuitWaiter): void {
    this.#waiters.add(waiter);
  }

  forget(waiter: CircuitWaiter): void {
    this.#waiters.delete(waiter);
  }

  wake(): void {
    if (this.#waiters.size === 0) return;
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const waiter of waiters) waiter.circuitChanged();
  }

  #endProbe(result: CallResult, nowMs: number): void {
    if (result === "success") this.#phase = nextPhase(this.#phase, { kind: "probeSucceeded" });
    else if (result === "failure") this.#phase = nextPhase(this.#phase, { kind: "probeFailed", nowMs });
    else this.#phase = nextPhase(this.#phase, { kind: "probeAbandoned" });
    if (this.#phase.kind === "closed") this.#forgetCalls();
    this.wake();
  }

  #forgetCalls(): void {
    this.#calls = 0;
    this.#failures = 0;
    this.#window = null;
  }

  #count(isFailure: boolean): void {
    if (this.#window === null) {
      if (!isFailure) {
        if (this.#calls < breakerLimits.windowCalls) this.#calls++;
        return;
      }
      this.#window = new Uint8Array(breakerLimits.windowCalls);
      this.#windowAt = this.#calls % breakerLimits.windowCalls;
    }
    if (this.#calls < breakerLimits.windowCalls) this.#calls++;
    else this.#failures -= this.#window[this.#windowAt] ?? 0;
    this.#window[this.#windowAt] = isFailure ? 1 : 0;
    if (isFailure) this.#failures++;
    this.#windowAt = (this.#windowAt + 1) % breakerLimits.windowCalls;
    if (this.#failures === 0) this.#window = null;
  }
}
