import type { Clock } from "@flowcatalyst/foundation";
import type { Agenda, Appointment } from "./agenda.ts";
import { CircuitBreaker } from "./circuit-breaker.ts";

export const breakerRegistryLimits = {
  /** A breaker that nothing used for so long is dropped. */
  idleMs: 3_600_000,
  /** At most so many; one more drops the one used longest ago of a small sample. */
  maxBreakers: 10_000,
} as const;

/** Candidates looked at when a place is needed: enough to find an old one, few enough to cost nothing. */
const EVICTION_SAMPLE = 16;

/** The breakers of all targets of the process, by origin, shared by all pools. Bounded in number and in age. */
export class CircuitBreakers {
  readonly #clock: Clock;
  readonly #agenda: Agenda;
  readonly #byOrigin = new Map<string, CircuitBreaker>();
  readonly #alarms = new Map<CircuitBreaker, Appointment>();

  constructor(clock: Clock, agenda: Agenda) {
    this.#clock = clock;
    this.#agenda = agenda;
  }

  of(origin: string): CircuitBreaker {
    const known = this.#byOrigin.get(origin);
    if (known !== undefined) return known;
    if (this.#byOrigin.size >= breakerRegistryLimits.maxBreakers) this.#evict();
    const breaker = new CircuitBreaker(origin, this.#clock.monotonicMs());
    this.#byOrigin.set(origin, breaker);
    return breaker;
  }

  find(origin: string): CircuitBreaker | undefined {
    return this.#byOrigin.get(origin);
  }

  all(): Iterable<CircuitBreaker> {
    return this.#byOrigin.values();
  }

  get size(): number {
    return this.#byOrigin.size;
  }

  /** Sees to it that the waiters of a blocked target are woken when its time has come; once however many wait. */
  wakeAt(breaker: CircuitBreaker, untilMs: number): void {
    // A probe under way ends by itself and wakes them.
    if (untilMs === Number.POSITIVE_INFINITY) return;
    const set = this.#alarms.get(breaker);
    if (set !== undefined) {
      if (set.dueMs <= untilMs) return;
      // Left over from a longer hold that an operator lifted.
      set.cancelled = true;
    }
    const alarm = this.#agenda.add(untilMs, () => {
      this.#alarms.delete(breaker);
      breaker.wake();
    });
    this.#alarms.set(breaker, alarm);
  }

  /** Part of the router's sweep. */
  dropIdle(): void {
    const beforeMs = this.#clock.monotonicMs() - breakerRegistryLimits.idleMs;
    for (const [origin, breaker] of this.#byOrigin) {
      if (breaker.lastUsedMs < beforeMs && !breaker.hasWaiters) this.#byOrigin.delete(origin);
    }
  }

  #evict(): void {
    let oldest: CircuitBreaker | undefined;
    let looked = 0;
    for (const breaker of this.#byOrigin.values()) {
      const isOlder = oldest === undefined || breaker.lastUsedMs < oldest.lastUsedMs;
      if (isOlder && !breaker.hasWaiters) oldest = breaker;
      if (++looked >= EVICTION_SAMPLE) break;
    }
    const first = oldest?.origin ?? this.#byOrigin.keys().next().value;
    if (first !== undefined) this.#byOrigin.delete(first);
  }
}
