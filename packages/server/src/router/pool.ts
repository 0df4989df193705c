/**
 * A dispatch pool at work: a budget of calls at once and of calls a minute, and the lines of deliveries that share it.
 *
 * Which delivery is next: a ring of target origins that have something ready, each with a queue of its ready lines;
 * the ring turns by one with every start, so targets take turns whatever their backlogs. Lines of high priority have a
 * ring of their own that goes first. A target that may not start anything now (blocked by its circuit breaker, or at
 * its share of the slots, see target-share) drops out of the ring, and is put back by what lets it go on: the
 * breaker's alarm, or the end of one of its calls. So a start costs the same with one group and target or with a
 * hundred thousand, and what is idle costs nothing: no timer, no task, no visit.
 *
 * Before a start, in this order: the sink takes results, a slot is free, a token is there (it is not taken yet), a
 * line is found, its head still wants to be sent. Only then token and slot are taken. Over-rate deliveries wait for
 * the next token and are never refused.
 *
 * Concurrency, rate and timeout change in place: more slots are used at once, fewer as calls end. The pool knows
 * nothing of queues or stores; what becomes of a delivery is its handler's business.
 */
import type { Clock } from "@flowcatalyst/foundation";
import { jobLimits } from "../domain/dispatch-job.ts";
import type { PoolCode } from "../domain/ids.ts";
import type { Agenda, Appointment } from "./agenda.ts";
import type { CircuitBreakers } from "./circuit-breakers.ts";
import { Deque } from "./deque.ts";
import { Line, type Delivery } from "./in-flight.ts";
import type { PoolMeters } from "./router-metrics.ts";
import { priorities, shareLimits, TargetShare, type Priority } from "./target-share.ts";
import { TokenBucket } from "./token-bucket.ts";

export const poolRunLimits = {
  /** Deliveries buffered for each slot, and at least. */
  bufferPerSlot: 20,
  bufferMinJobs: 50,
  /** A pool is contested for so long after it saw two origins. */
  contestedMs: 60_000,
  /** What a target holds beyond its share of the buffer is given back, for so long and after so long. */
  excessMs: 5_000,
} as const;

/** What a pool is told to be. */
export interface PoolShape {
  readonly concurrency: number;
  readonly rateLimitPerMinute: number | null;
  readonly burst: number | null;
  /** Caps the timeout of each delivery; null: no cap. */
  readonly timeoutSeconds: number | null;
  readonly isSuspended: boolean;
}

/** What happens around a call, outside of the pool. */
export interface PoolHandler {
  /** False while nothing may start: the sink is down, or the router stops. */
  mayStart(): boolean;
  /** True: the head may be called. False: it was dealt with otherwise, and its line is no longer ready. */
  isWanted(delivery: Delivery): boolean;
  call(delivery: Delivery): void;
  /** The target may not be called before then, which is further off than the router waits. */
  holdForTarget(delivery: Delivery, untilMs: number): void;
  release(line: Line, delayMs: number): void;
  /** False: its queue would bring it again at once. */
  mayGiveBack(line: Line): boolean;
  /** The pool could take more than it has, and its queue was left alone because it was full. */
  wantsMore(pool: Pool): void;
}

export interface PoolDeps {
  readonly clock: Clock;
  readonly agenda: Agenda;
  readonly breakers: CircuitBreakers;
  readonly handler: PoolHandler;
  readonly meters: PoolMeters;
}

export class Pool {
  readonly code: PoolCode;
  readonly meters: PoolMeters;
  active = 0;
  buffered = 0;
  bufferedBytes = 0;
  /** Set by the intake that found no room; the pool says when there is some. */
  isStarved = false;
  isDraining = false;
  /** Deliveries of lines that wait here because their queue cannot keep them waiting, or keeps no groups. */
  resting = 0;
  readonly #deps: PoolDeps;
  #shape: PoolShape;
  #bucket: TokenBucket | null = null;
  /** Set while something waits for the next token. */
  #tokenAlarm: Appointment | null = null;
  readonly #lines = new Map<string, Line>();
  readonly #shares = new Map<string, TargetShare>();
  readonly #rings: Readonly<Record<Priority, Deque<TargetShare>>> = { high: new Deque(), normal: new Deque() };
  #lastOrigin: string | null = null;
  #lastOriginAtMs = 0;
  #contestedUntilMs = 0;
  #isPumping = false;

  constructor(code: PoolCode, shape: PoolShape, deps: PoolDeps) {
    this.code = code;
    this.#deps = deps;
    this.meters = deps.meters;
    this.#shape = shape;
    this.reshape(shape);
  }

  get shape(): PoolShape {
    return this.#shape;
  }

  get bufferMaxJobs(): number {
    return Math.max(this.#shape.concurrency * poolRunLimits.bufferPerSlot, poolRunLimits.bufferMinJobs);
  }

  /** Deliveries it can still take. */
  get room(): number {
    return Math.max(0, this.bufferMaxJobs - this.buffered);
  }

  get rateLimitWaits(): number {
    return this.meters.rateLimitWaits.value;
  }

  reshape(shape: PoolShape): void {
    this.#shape = shape;
    const nowMs = this.#deps.clock.monotonicMs();
    if (shape.rateLimitPerMinute === null) this.#bucket = null;
    else {
      const limits = {
        perMinute: Math.max(1, shape.rateLimitPerMinute),
        burst: Math.max(1, shape.burst ?? shape.concurrency),
      };
      if (this.#bucket === null) this.#bucket = new TokenBucket(limits, nowMs);
      else this.#bucket.reshape(limits, nowMs);
    }
    this.#dropTokenAlarm();
    // Shares at their cap have left the ring; with another number of slots the cap is another.
    for (const share of this.#shares.values()) this.shareChanged(share);
  }

  /** True when one more of the target would be more than its part of a contested buffer, and the target is not well. */
  isExcess(origin: string, groupKey: string | null, besides = 0): boolean {
    const share = this.#shares.get(origin);
    if (share === undefined || (groupKey !== null && this.#lines.has(groupKey))) return false;
    const nowMs = this.#deps.clock.monotonicMs();
    return this.#isContested(nowMs) && share.buffered + besides >= this.#bufferPart() && share.isSuspect(nowMs);
  }

  /** Whether the line may wait here with all that stands in it: what rests may not fill the pool. */
  mayRest(line: Line): boolean {
    return this.resting + line.length <= this.#bufferPart();
  }

  /** How much longer a group rests to which nothing more may be added; null: it may. */
  restIsFullForMs(groupKey: string): number | null {
    const line = this.#lines.get(groupKey);
    if (line === undefined || line.resting === 0 || this.resting < this.#bufferPart()) return null;
    return Math.max(0, line.restsUntilMs - this.#deps.clock.monotonicMs());
  }

  /** Takes a delivery in, behind those of its group. Call `pump` after the last one. */
  add(delivery: Delivery, groupKey: string | null, isHighPriority: boolean): void {
    const share = this.#shareOf(delivery.origin);
    delivery.share = share;
    share.buffered++;
    this.buffered++;
    this.bufferedBytes += delivery.bytes;
    this.#noteOrigin(delivery.origin, delivery.admittedAtMs);
    const known = groupKey === null ? undefined : this.#lines.get(groupKey);
    if (known !== undefined) {
      known.append(delivery);
      if (known.resting > 0) {
        known.resting++;
        this.resting++;
      }
      return;
    }
    const line = new Line(this, groupKey, isHighPriority);
    line.append(delivery);
    if (groupKey !== null) this.#lines.set(groupKey, line);
    this.#makeReady(line);
  }

  /** Starts what may start. */
  pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    try {
      const { handler, clock } = this.#deps;
      while (this.active < this.#shape.concurrency && handler.mayStart()) {
        const nowMs = clock.monotonicMs();
        if (this.#mustAwaitToken(nowMs)) return;
        const line = this.#next(nowMs);
        if (line === null) {
          this.#askForMore();
          return;
        }
        if (line.head !== null && handler.isWanted(line.head)) this.#start(line, nowMs);
      }
    } finally {
      this.#isPumping = false;
    }
  }

  /** The call is over; its slot is free. The line waits for `advance`, `await` or `remove`. */
  callEnded(delivery: Delivery, hasFailed: boolean): void {
    const { share } = delivery;
    this.active--;
    if (share === null) return;
    share.callEnded(delivery, hasFailed);
    this.shareChanged(share);
  }

  /** The head is done with; the next of the line may start, if there is one. */
  advance(line: Line): void {
    line.shift();
    if (line.head === null) this.remove(line);
    else this.#makeReady(line);
  }

  /** The head is to be tried again after a wait. The slot is free meanwhile, the group is not. */
  await(line: Line, delayMs: number): void {
    line.state = "waiting";
    this.#deps.agenda.add(this.#deps.clock.monotonicMs() + delayMs, () => {
      if (line.state !== "waiting") return;
      this.#endRest(line);
      this.#makeReady(line);
      this.pump();
    });
  }

  /** The head waits here instead of on its queue, and with it all that stands behind it. */
  rest(line: Line, delayMs: number): void {
    line.resting = line.length;
    line.restsUntilMs = this.#deps.clock.monotonicMs() + delayMs;
    this.resting += line.resting;
    this.await(line, delayMs);
  }

  /** Nothing of the line is the pool's business any more, but for the buffer that its deliveries still occupy. */
  remove(line: Line): void {
    line.state = "gone";
    this.#endRest(line);
    if (line.key !== null && this.#lines.get(line.key) === line) this.#lines.delete(line.key);
  }

  /** A delivery has left the pipeline. */
  settled(delivery: Delivery): void {
    this.buffered--;
    this.bufferedBytes -= delivery.bytes;
    const { share } = delivery;
    if (share !== null) {
      share.buffered--;
      if (share.isIdle) this.#drop(share);
    }
    if (this.isStarved && this.buffered * 2 <= this.bufferMaxJobs) this.#askForMore();
  }

  /** Puts a target back into the rings it has something ready for. */
  shareChanged(share: TargetShare): void {
    for (const priority of priorities) {
      if (share.inRing[priority] || share.ready[priority].size === 0) continue;
      share.inRing[priority] = true;
      this.#rings[priority].push(share);
    }
  }

  /**
   * Gives back what targets hold beyond their part of a full, contested buffer: the newest first, and only what has
   * waited a while, so that a burst for a healthy target is worked off rather than sent away.
   */
  shedExcess(): void {
    const nowMs = this.#deps.clock.monotonicMs();
    if (!this.#isContested(nowMs)) return;
    for (const share of this.#shares.values()) {
      let excess = share.buffered - this.#bufferPart();
      if (excess <= 0) continue;
      for (const line of share.ready.normal.newestFirst()) {
        if (excess <= 0) break;
        const { head } = line;
        if (line.state !== "ready" || head === null || nowMs - head.admittedAtMs < poolRunLimits.excessMs) continue;
        if (!this.#deps.handler.mayGiveBack(line)) continue;
        for (let at: Delivery | null = head; at !== null; at = at.next) excess--;
        this.#deps.handler.release(line, poolRunLimits.excessMs);
      }
    }
  }

  #endRest(line: Line): void {
    this.resting -= line.resting;
    line.resting = 0;
  }

  #start(line: Line, nowMs: number): void {
    const { head } = line;
    if (head === null || head.share === null) return;
    this.#bucket?.take();
    this.active++;
    line.state = "calling";
    head.share.callBegan(head, nowMs);
    head.ticket = head.share.breaker.begin(nowMs);
    this.#deps.handler.call(head);
  }

  /** The next line whose head may be called; targets that may not start anything drop out on the way. */
  #next(nowMs: number): Line | null {
    const isContested = this.#isContested(nowMs);
    for (const priority of priorities) {
      const ring = this.#rings[priority];
      for (let share = ring.shift(); share !== undefined; share = ring.shift()) {
        share.inRing[priority] = false;
        const blockedUntilMs = share.breaker.blockedUntilMs(nowMs);
        if (blockedUntilMs > 0) {
          this.#setAside(share, blockedUntilMs, nowMs);
          continue;
        }
        if (isContested && !share.mayStart(this.#shape.concurrency, nowMs)) continue;
        const line = takeReady(share.ready[priority]);
        this.shareChanged(share);
        if (line !== null) return line;
      }
    }
    return null;
  }

  #setAside(share: TargetShare, blockedUntilMs: number, nowMs: number): void {
    share.breaker.await(share);
    this.#deps.breakers.wakeAt(share.breaker, blockedUntilMs);
    const isLong = blockedUntilMs !== Number.POSITIVE_INFINITY && blockedUntilMs - nowMs > jobLimits.routerWaitMaxMs;
    if (!isLong) return;
    for (const priority of priorities) {
      for (let line = takeReady(share.ready[priority]); line !== null; line = takeReady(share.ready[priority])) {
        if (line.head !== null) this.#deps.handler.holdForTarget(line.head, blockedUntilMs);
      }
    }
  }

  #makeReady(line: Line): void {
    const share = line.head?.share;
    if (share === null || share === undefined) return;
    line.state = "ready";
    share.ready[line.isHighPriority ? "high" : "normal"].push(line);
    this.shareChanged(share);
  }

  #mustAwaitToken(nowMs: number): boolean {
    if (this.#bucket === null || this.#rings.high.size + this.#rings.normal.size === 0) return false;
    const waitMs = this.#bucket.waitMs(nowMs);
    if (waitMs === 0) return false;
    if (this.#tokenAlarm === null) {
      this.meters.rateLimitWaits.inc();
      this.#tokenAlarm = this.#deps.agenda.add(nowMs + waitMs, () => {
        this.#tokenAlarm = null;
        this.pump();
      });
    }
    return true;
  }

  /** With another rate the next token comes at another time; the pump that follows a change sets the alarm anew. */
  #dropTokenAlarm(): void {
    if (this.#tokenAlarm !== null) this.#tokenAlarm.cancelled = true;
    this.#tokenAlarm = null;
  }

  #askForMore(): void {
    if (!this.isStarved || this.room === 0) return;
    this.isStarved = false;
    this.#deps.handler.wantsMore(this);
  }

  #bufferPart(): number {
    return Math.max(1, Math.floor(this.bufferMaxJobs * shareLimits.bufferShare));
  }

  #isContested(nowMs: number): boolean {
    return nowMs < this.#contestedUntilMs;
  }

  /** Contested until the older of the last two origins was seen a minute ago. */
  #noteOrigin(origin: string, nowMs: number): void {
    if (this.#lastOrigin !== null && origin !== this.#lastOrigin) {
      const untilMs = this.#lastOriginAtMs + poolRunLimits.contestedMs;
      this.#contestedUntilMs = Math.max(this.#contestedUntilMs, untilMs);
    }
    this.#lastOrigin = origin;
    this.#lastOriginAtMs = nowMs;
  }

  #shareOf(origin: string): TargetShare {
    const known = this.#shares.get(origin);
    if (known !== undefined) return known;
    const share = new TargetShare(this, this.#deps.breakers.of(origin));
    this.#shares.set(origin, share);
    return share;
  }

  #drop(share: TargetShare): void {
    share.breaker.forget(share);
    if (this.#shares.get(share.origin) === share) this.#shares.delete(share.origin);
  }
}

/** Lines that were released while they stood in the queue are passed over. */
function takeReady(ready: Deque<Line>): Line | null {
  for (let line = ready.shift(); line !== undefined; line = ready.shift()) {
    if (line.state === "ready") return line;
  }
  return null;
}
