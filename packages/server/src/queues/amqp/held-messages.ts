import type { Clock } from "@flowcatalyst/foundation";
import type { QueueMessage } from "../../domain/message.ts";
import type { Receipt } from "../../ports/queue.ts";
import { amqpQueueLimits as limits } from "./amqp-limits.ts";
import type { Arrival, LaneIntake } from "./lane-intake.ts";
import type { ReceivingLink } from "./receiving-link.ts";

/** What comes of reading an arrival. */
export interface Content {
  readonly message: QueueMessage;
  readonly receiveCount: number;
  readonly publishedAtMs: number;
}

/** A message in the hands of its receiver. */
export interface Held extends Arrival<Content> {
  readonly receipt: Receipt;
  readonly intake: LaneIntake<Content>;
  /** By the monotonic clock; then it is given back. */
  untilMs: number;
}

/**
 * What this consumer has given to its receiver and is not settled: who asks with a receipt finds it here or is told
 * that the receipt is dead. One timer serves all of it, set to when the first falls due.
 */
export class HeldMessages {
  readonly #clock: Clock;
  readonly #onDue: (due: readonly Held[]) => void;
  /** Tells receipts of this consumer from those of all others. */
  readonly #prefix: string;
  readonly #held = new Map<string, Held>();
  readonly #byLink = new Map<ReceivingLink, Set<Receipt>>();
  #last = 0;
  #armedForMs = Number.POSITIVE_INFINITY;
  #cancelTimer: () => void = () => undefined;

  constructor(deps: { clock: Clock; prefix: string; onDue: (due: readonly Held[]) => void }) {
    this.#clock = deps.clock;
    this.#prefix = deps.prefix;
    this.#onDue = deps.onDue;
  }

  add(arrival: Arrival<Content>, intake: LaneIntake<Content>, visibilityMs: number): Held {
    const receipt = `${this.#prefix}.${++this.#last}` as Receipt;
    const untilMs = Math.min(this.#clock.monotonicMs() + visibilityMs, arrival.atMs + limits.holdMaxMs);
    const held: Held = { ...arrival, receipt, intake, untilMs };
    this.#held.set(receipt, held);
    const ofLink = this.#byLink.get(arrival.link) ?? new Set();
    this.#byLink.set(arrival.link, ofLink.add(receipt));
    this.#arm(untilMs);
    return held;
  }

  find(receipt: Receipt): Held | undefined {
    return this.#held.get(receipt);
  }

  /** From now on its receipt is dead. */
  remove(held: Held): void {
    this.#held.delete(held.receipt);
    this.#byLink.get(held.link)?.delete(held.receipt);
  }

  /** Puts off when it is given back. False: it was held for as long as anything may be. */
  extend(held: Held, forMs: number): boolean {
    const nowMs = this.#clock.monotonicMs();
    const lastMs = held.atMs + limits.holdMaxMs;
    if (nowMs >= lastMs) return false;
    held.untilMs = Math.min(nowMs + forMs, lastMs);
    this.#arm(held.untilMs);
    return true;
  }

  dropLink(link: ReceivingLink): void {
    for (const receipt of this.#byLink.get(link) ?? []) this.#held.delete(receipt);
    this.#byLink.delete(link);
  }

  clear(): void {
    this.#cancelTimer();
    this.#held.clear();
    this.#byLink.clear();
  }

  #arm(atMs: number): void {
    if (atMs >= this.#armedForMs) return;
    this.#cancelTimer();
    this.#armedForMs = atMs;
    this.#cancelTimer = this.#clock.setTimer(atMs - this.#clock.monotonicMs(), () => this.#look());
  }

  #look(): void {
    this.#armedForMs = Number.POSITIVE_INFINITY;
    const nowMs = this.#clock.monotonicMs();
    const due = [...this.#held.values()].filter(({ untilMs }) => untilMs <= nowMs);
    let nextMs = Number.POSITIVE_INFINITY;
    for (const { untilMs } of this.#held.values()) if (untilMs > nowMs) nextMs = Math.min(nextMs, untilMs);
    // Not more often than every so often: with thousands held, each falls due at a time of its own.
    if (nextMs < Number.POSITIVE_INFINITY) this.#arm(Math.max(nextMs, nowMs + lookAtMostEveryMs));
    if (due.length > 0) this.#onDue(due);
  }
}

const lookAtMostEveryMs = 100;
