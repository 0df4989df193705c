/**
 * What one target origin has of one pool: its lines that are ready, its calls under way, its place in the buffer.
 *
 * Fairness between targets is decided here. In a pool that several origins use, a target may hold half of the slots
 * freely. What goes beyond is *earned*: an answer that comes while more is waiting allows one call more than were
 * under way just then. So a target that answers climbs to all the slots within one round trip, and one that stops
 * answering, or never did, gets no further than it was, without anything having to notice that it hangs. A failure, an
 * empty queue and a call older than 2 s take the allowance back to half. (What a target holds beyond half when it
 * begins to hang stays with it until those calls end: a call cannot be taken back.)
 *
 * A share exists only while the target has something in the pool; nothing is remembered beyond that, and nothing needs
 * to be: a new share starts at half.
 */
import { Deque } from "./deque.ts";
import type { CircuitBreaker, CircuitWaiter } from "./circuit-breaker.ts";
import type { Delivery, Line } from "./in-flight.ts";
import type { Pool } from "./pool.ts";

export const shareLimits = {
  /** A call under way for longer makes its target suspect. */
  slowCallMs: 2_000,
  /** Of the slots of a contested pool, what a target holds without having earned it. */
  unearnedSlots: 0.5,
  /** Of the buffer of a contested pool, what one target may fill. */
  bufferShare: 0.25,
} as const;

/** Lines of high priority go first. */
export const priorities = ["high", "normal"] as const;
export type Priority = (typeof priorities)[number];

export class TargetShare implements CircuitWaiter {
  readonly origin: string;
  readonly pool: Pool;
  readonly breaker: CircuitBreaker;
  readonly ready: Readonly<Record<Priority, Deque<Line>>> = { high: new Deque(), normal: new Deque() };
  /** Whether it stands in the pool's ring; it does not while it may not start anything. */
  readonly inRing: Record<Priority, boolean> = { high: false, normal: false };
  /** Deliveries in the pool's buffer, waiting, calling and awaiting their record. */
  buffered = 0;
  active = 0;
  /** Calls at once that answers have earned it. */
  #earned = 0;
  #lastFailed = false;
  #oldestCall: Delivery | null = null;
  #newestCall: Delivery | null = null;

  constructor(pool: Pool, breaker: CircuitBreaker) {
    this.pool = pool;
    this.breaker = breaker;
    this.origin = breaker.origin;
  }

  get hasReady(): boolean {
    return this.ready.high.size + this.ready.normal.size > 0;
  }

  get isIdle(): boolean {
    return this.buffered === 0 && this.active === 0;
  }

  isSuspect(nowMs: number): boolean {
    if (this.#lastFailed) return true;
    return this.#oldestCall !== null && nowMs - this.#oldestCall.callStartedMs > shareLimits.slowCallMs;
  }

  /** Whether one more call may start in a contested pool; asked again when one of its calls ends. */
  mayStart(slots: number, nowMs: number): boolean {
    if (this.active < unearnedSlots(slots)) return true;
    if (this.isSuspect(nowMs)) return false;
    return this.active < this.#earned;
  }

  callBegan(delivery: Delivery, nowMs: number): void {
    this.active++;
    delivery.isCalling = true;
    delivery.callStartedMs = nowMs;
    delivery.olderCall = this.#newestCall;
    if (this.#newestCall === null) this.#oldestCall = delivery;
    else this.#newestCall.newerCall = delivery;
    this.#newestCall = delivery;
  }

  callEnded(delivery: Delivery, hasFailed: boolean): void {
    this.#earned = hasFailed || !this.hasReady ? 0 : this.active + 1;
    this.active--;
    delivery.isCalling = false;
    if (delivery.olderCall === null) this.#oldestCall = delivery.newerCall;
    else delivery.olderCall.newerCall = delivery.newerCall;
    if (delivery.newerCall === null) this.#newestCall = delivery.olderCall;
    else delivery.newerCall.olderCall = delivery.olderCall;
    delivery.olderCall = null;
    delivery.newerCall = null;
    this.#lastFailed = hasFailed;
  }

  circuitChanged(): void {
    this.pool.shareChanged(this);
    this.pool.pump();
  }
}

function unearnedSlots(slots: number): number {
  return Math.max(1, Math.floor(slots * shareLimits.unearnedSlots));
}
