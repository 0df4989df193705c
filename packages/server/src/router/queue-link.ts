/**
 * The router's side of one queue: what it holds of it, and how it gives it back.
 *
 * Acks and nacks gather and go out in batches as soon as the link is idle, without a timer. An ack that fails is tried
 * again with a growing wait until it succeeds, because its message would otherwise be delivered a second time; the
 * message stays in the table meanwhile, so that a copy is recognised. A nack that fails is let go: the queue brings
 * the message back by itself when its visibility ends.
 *
 * `extendAged` keeps what is held: everything received or extended a while ago is extended, whatever state it is in
 * (waiting, calling, awaiting its record or its ack). A refused extension says that the message is somebody else's
 * now. A queue that suspects so has all of it extended at once.
 */
import { backoffMs, describeError, type Clock, type Random } from "@flowcatalyst/foundation";
import type { QueueConsumer } from "../ports/queue.ts";
import type { InFlightMessage } from "./in-flight.ts";
import type { Warnings } from "./warnings.ts";

export const queueLinkLimits = {
  batchMaxReceipts: 256,
  /** Delays are rounded up to this: those that nearly agree go out in one batch, and acks need not wait for each. */
  delayStepMs: 100,
  /** With more unsent acks than this nothing more is received. */
  maxUnsent: 10_000,
  retry: { baseMs: 100, capMs: 5_000, jitter: "equal" },
} as const;

export interface QueueLinkListener {
  /** A message was given back or acked and is no longer held. */
  readonly settled: () => void;
  /** Their receipts were refused. */
  readonly lost: (messages: ReadonlySet<InFlightMessage>) => void;
}

export interface QueueLinkDeps extends QueueLinkListener {
  readonly consumer: QueueConsumer;
  readonly clock: Clock;
  readonly random: Random;
  readonly warnings: Warnings;
}

export class QueueLink {
  readonly consumer: QueueConsumer;
  readonly messages = new Map<string, InFlightMessage>();
  /** The queue is being removed: what would wait or start of it is given back instead. */
  isLeaving = false;
  readonly #deps: QueueLinkDeps;
  #acks: InFlightMessage[] = [];
  readonly #nacks = new Map<number, InFlightMessage[]>();
  #isSending = false;
  #unsent = 0;
  readonly #abandon = new AbortController();
  readonly #stopDoubting: (() => void) | undefined;

  constructor(deps: QueueLinkDeps) {
    this.#deps = deps;
    this.consumer = deps.consumer;
    this.#stopDoubting = deps.consumer.onDoubt?.(() => void this.extendAged(Number.POSITIVE_INFINITY));
  }

  get isAbandoned(): boolean {
    return this.#abandon.signal.aborted;
  }

  get isBehind(): boolean {
    return this.#unsent > queueLinkLimits.maxUnsent;
  }

  hold(message: InFlightMessage): void {
    this.messages.set(message.key, message);
  }

  ack(message: InFlightMessage): void {
    this.#acks.push(message);
    this.#sendSoon();
  }

  nack(message: InFlightMessage, delayMs: number): void {
    const { delayStepMs } = queueLinkLimits;
    const steppedMs = Math.ceil(Math.max(0, delayMs) / delayStepMs) * delayStepMs;
    const cappedMs = Math.min(steppedMs, this.consumer.capabilities.maxDelayMs);
    const sameDelay = this.#nacks.get(cappedMs);
    if (sameDelay === undefined) this.#nacks.set(cappedMs, [message]);
    else sameDelay.push(message);
    this.#sendSoon();
  }

  /** Sets a message aside with its reason; it is then as good as acked. */
  async deadLetter(message: InFlightMessage, reason: string): Promise<void> {
    this.#unsent++;
    await this.#persist(`set a message aside`, () => this.consumer.deadLetter(message.receipt, reason));
    this.#unsent--;
    this.#let(message);
  }

  /** Stops trying; what was not sent comes back by itself. */
  abandon(): void {
    this.#stopDoubting?.();
    this.#abandon.abort();
  }

  /** Extends all that would become visible within `withinMs`. */
  async extendAged(withinMs: number): Promise<void> {
    const beforeMs = this.#deps.clock.monotonicMs() + withinMs;
    const aged: InFlightMessage[] = [];
    for (const message of this.messages.values()) if (message.visibleAtMs <= beforeMs) aged.push(message);
    for (let from = 0; from < aged.length; from += queueLinkLimits.batchMaxReceipts) {
      await this.#extend(aged.slice(from, from + queueLinkLimits.batchMaxReceipts));
    }
  }

  async #extend(messages: readonly InFlightMessage[]): Promise<void> {
    const { clock, lost, warnings } = this.#deps;
    const { visibilityMs } = this.consumer;
    const receipts = messages.map((message) => message.receipt);
    const visibleAtMs = clock.monotonicMs() + visibilityMs;
    try {
      const results = await this.consumer.extend(receipts, visibilityMs);
      const refused = new Set<InFlightMessage>();
      messages.forEach((message, at) => {
        // A copy may have brought another receipt meanwhile; then this answer is not about the message any more.
        if (message.receipt !== receipts[at]) return;
        if (results[at] === "dead") refused.add(message);
        else message.visibleAtMs = visibleAtMs;
      });
      if (refused.size > 0) lost(refused);
    } catch (error) {
      const message = `messages cannot be kept: ${describeError(error)}`;
      warnings.add({ category: "QUEUE", severity: "ERROR", message, source: this.consumer.name });
    }
  }

  #sendSoon(): void {
    this.#unsent++;
    if (this.#isSending) return;
    this.#isSending = true;
    setImmediate(() => void this.#send());
  }

  async #send(): Promise<void> {
    while (this.#acks.length > 0 || this.#nacks.size > 0) {
      if (this.#acks.length > 0) await this.#sendAcks();
      for (const delayMs of this.#nacks.keys()) await this.#sendNacks(delayMs);
    }
    this.#isSending = false;
  }

  async #sendAcks(): Promise<void> {
    const batch = this.#acks.slice(0, queueLinkLimits.batchMaxReceipts);
    this.#acks = this.#acks.slice(batch.length);
    await this.#persist("ack messages", () => this.consumer.ack(batch.map((message) => message.receipt)));
    this.#unsent -= batch.length;
    for (const message of batch) this.#let(message);
  }

  async #sendNacks(delayMs: number): Promise<void> {
    const messages = this.#nacks.get(delayMs) ?? [];
    this.#nacks.delete(delayMs);
    for (let from = 0; from < messages.length; from += queueLinkLimits.batchMaxReceipts) {
      const batch = messages.slice(from, from + queueLinkLimits.batchMaxReceipts);
      try {
        const receipts = batch.map((message) => message.receipt);
        await this.consumer.nack(receipts, delayMs);
      } catch (error) {
        this.#warn("give messages back", error);
      }
      this.#unsent -= batch.length;
      for (const message of batch) this.#let(message);
    }
  }

  /** Tries until it succeeds, or until the router stops for good. */
  async #persist(what: string, attempt: () => Promise<unknown>): Promise<void> {
    for (let failures = 0; !this.#abandon.signal.aborted; failures++) {
      try {
        await attempt();
        return;
      } catch (error) {
        this.#warn(what, error);
        const delayMs = backoffMs(queueLinkLimits.retry, failures, this.#deps.random);
        await this.#deps.clock.sleep(delayMs, this.#abandon.signal);
      }
    }
  }

  #warn(what: string, error: unknown): void {
    const message = `the queue cannot ${what}: ${describeError(error)}`;
    this.#deps.warnings.add({ category: "QUEUE", severity: "ERROR", message, source: this.consumer.name });
  }

  #let(message: InFlightMessage): void {
    if (this.messages.get(message.key) === message) this.messages.delete(message.key);
    this.#deps.settled();
  }
}
