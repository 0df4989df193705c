/**
 * Warnings: what an operator should know and no answer to a request could say. Bounded: the last 1,000, at most 8 h
 * old. The same warning (category, source and message) is kept once, with a count and the time it was last seen; it is
 * new again after it was acknowledged. New ones are also logged, at most 20 a second.
 */
import type { Clock, Logger } from "@flowcatalyst/foundation";

export type WarningSeverity = "INFO" | "WARN" | "ERROR" | "CRITICAL";
export type WarningCategory =
  | "ROUTING"
  | "POOL_CAPACITY"
  | "CONFIGURATION"
  | "SECURITY"
  | "SECRET"
  | "SINK"
  | "QUEUE"
  | "CONTROL"
  | "STANDBY"
  | "MESSAGE";

export interface NewWarning {
  readonly category: WarningCategory;
  readonly severity: WarningSeverity;
  readonly message: string;
  /** Where it comes from: a pool, a target origin, a queue. */
  readonly source: string;
}

export interface Warning extends NewWarning {
  readonly id: string;
  readonly firstAtMs: number;
  readonly lastAtMs: number;
  readonly count: number;
  readonly acknowledged: boolean;
}

export const warningLimits = {
  maxWarnings: 1_000,
  maxAgeMs: 8 * 3_600_000,
  /** With thousands of targets in trouble nearly every warning is new; what is above is counted. */
  logsPerSecond: 20,
} as const;

const MS_PER_SECOND = 1_000;

export class Warnings {
  readonly #clock: Clock;
  readonly #logger: Logger;
  /** In order of when they were last seen, so that the oldest is first. */
  readonly #byKey = new Map<string, Warning>();
  #lastId = 0;
  #logSecondBeganMs = Number.NEGATIVE_INFINITY;
  #loggedInSecond = 0;
  #notLogged = 0;

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock;
    this.#logger = logger;
  }

  add(warning: NewWarning): void {
    const nowMs = this.#clock.now();
    const key = `${warning.category}\n${warning.source}\n${warning.message}`;
    const known = this.#byKey.get(key);
    this.#byKey.delete(key);
    if (known !== undefined && !known.acknowledged) {
      this.#byKey.set(key, { ...known, severity: warning.severity, lastAtMs: nowMs, count: known.count + 1 });
      return;
    }
    const id = `wrn_${(++this.#lastId).toString(36)}`;
    this.#byKey.set(key, { ...warning, id, firstAtMs: nowMs, lastAtMs: nowMs, count: 1, acknowledged: false });
    this.#trim(nowMs);
    this.#log(warning);
  }

  /** Newest first. */
  list(): readonly Warning[] {
    this.#trim(this.#clock.now());
    return [...this.#byKey.values()].reverse();
  }

  get unacknowledged(): number {
    return this.list().filter((warning) => !warning.acknowledged).length;
  }

  unacknowledgedBySeverity(): Readonly<Record<WarningSeverity, number>> {
    const counts: Record<WarningSeverity, number> = { INFO: 0, WARN: 0, ERROR: 0, CRITICAL: 0 };
    for (const { acknowledged, severity } of this.list()) if (!acknowledged) counts[severity] += 1;
    return counts;
  }

  /** Null: there is no such warning (any more). */
  acknowledge(id: string): Warning | null {
    for (const [key, warning] of this.#byKey) {
      if (warning.id !== id) continue;
      const acknowledged = { ...warning, acknowledged: true };
      this.#byKey.set(key, acknowledged);
      return acknowledged;
    }
    return null;
  }

  #log({ category, severity, message, source }: NewWarning): void {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#logSecondBeganMs >= MS_PER_SECOND) {
      this.#logSecondBeganMs = nowMs;
      this.#loggedInSecond = 0;
    }
    if (this.#loggedInSecond >= warningLimits.logsPerSecond) {
      this.#notLogged += 1;
      return;
    }
    this.#loggedInSecond += 1;
    const leftOut = this.#notLogged === 0 ? {} : { notLogged: this.#notLogged };
    this.#notLogged = 0;
    this.#logger.warn({ category, severity, source, warning: message, ...leftOut }, "router warning");
  }

  #trim(nowMs: number): void {
    for (const [key, warning] of this.#byKey) {
      const isOld = nowMs - warning.lastAtMs > warningLimits.maxAgeMs;
      if (!isOld && this.#byKey.size <= warningLimits.maxWarnings) return;
      this.#byKey.delete(key);
    }
  }
}
