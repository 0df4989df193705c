import type { Msg } from "@nats-io/transport-node";
import { isCodedError } from "@flowcatalyst/foundation";
import type { Receipt, ReceiptResult } from "../../ports/queue.ts";
import { isMissing, type NatsLink } from "./nats-link.ts";
import type { NatsNames } from "./nats-names.ts";
import { natsQueueLimits } from "./nats-queue-config.ts";
import { parseReceipt, type ReceiptParts } from "./nats-receipt.ts";
import { isNoResponders } from "./pub-ack.ts";

const encoder = new TextEncoder();
const NS_PER_MS = 1_000_000;
const ackText = encoder.encode("+ACK");
const nackText = encoder.encode("-NAK");
const keepText = encoder.encode("+WPI");

interface Held {
  readonly receipt: Receipt;
  /** When the server gives it to others, unless it is extended. */
  untilMs: number;
}

interface Entry {
  readonly receipt: Receipt;
  readonly parts: ReceiptParts | null;
}

/**
 * What is received and not settled, and how the server is told.
 *
 * A batch is written in one go, and only the last of each lane asks for an answer: a consumer takes what it is told in
 * the order it was sent, so that answer says that all before it were taken as well. An ack costs the server no answer
 * and us no round trip of its own, and is nevertheless certain when the call is over.
 */
export class NatsSettling {
  readonly #link: NatsLink;
  readonly #names: NatsNames;
  readonly #visibilityMs: number;
  /** By place in the stream, so that a message that came again is there once. */
  readonly #held = new Map<number, Held>();
  #lookAtMs: number;

  constructor(link: NatsLink, names: NatsNames, visibilityMs: number) {
    this.#link = link;
    this.#names = names;
    this.#visibilityMs = visibilityMs;
    this.#lookAtMs = this.#nowMs + visibilityMs;
  }

  hold(seq: number, receipt: Receipt): void {
    this.#forgetOld();
    this.#held.set(seq, { receipt, untilMs: this.#nowMs + this.#visibilityMs });
  }

  async ack(receipts: readonly Receipt[]): Promise<readonly ReceiptResult[]> {
    const entries = readAll(receipts);
    const results = await this.#tell(entries, ackText);
    // Whichever of its receipts it was: the message is no more.
    for (const { parts } of entries) if (parts !== null) this.#held.delete(parts.seq);
    return results;
  }

  async nack(receipts: readonly Receipt[], delayMs: number): Promise<readonly ReceiptResult[]> {
    const waitMs = Math.min(Math.max(Math.round(delayMs), 0), natsQueueLimits.maxDelayMs);
    const entries = readAll(receipts);
    const results = await this.#tell(entries, nackTextOf(waitMs));
    this.#forget(entries);
    return results;
  }

  async extend(receipts: readonly Receipt[]): Promise<readonly ReceiptResult[]> {
    const entries = readAll(receipts);
    const untilMs = this.#nowMs + this.#visibilityMs;
    const results = await this.#tell(entries, keepText);
    entries.forEach(({ parts }, at) => {
      const held = parts === null ? undefined : this.#held.get(parts.seq);
      if (held !== undefined && results[at] === "done") held.untilMs = untilMs;
    });
    return results;
  }

  /** Without an answer: what is lost on the way comes back when its time is over. */
  giveBack(messages: readonly Msg[], delayMs = 0): void {
    if (!this.#link.isUp) return;
    const text = nackTextOf(delayMs);
    for (const { reply } of messages) if (reply !== undefined) this.#link.connection.publish(reply, text);
  }

  /**
   * As far as the server can be reached; the rest comes back when its time is over. What had its time may be with
   * somebody else, and the server would take it from there by whichever receipt.
   */
  async giveBackHeld(): Promise<void> {
    const nowMs = this.#nowMs;
    const receipts = [...this.#held.values()].filter(({ untilMs }) => untilMs > nowMs).map(({ receipt }) => receipt);
    if (receipts.length === 0 || !this.#link.isUp) return;
    await this.nack(receipts, 0).catch((error: unknown) => {
      if (!isCodedError(error, "QUEUE_UNAVAILABLE")) throw error;
    });
  }

  async #tell(entries: readonly Entry[], text: Uint8Array): Promise<readonly ReceiptResult[]> {
    if (entries.length === 0) return [];
    this.#link.requireUp();
    const { connection, replies } = this.#link;
    const lastOf = new Map<string, number>();
    entries.forEach(({ parts }, at) => {
      if (parts !== null) lastOf.set(parts.consumer, at);
    });
    const consumers = [...lastOf.keys()];
    const batch = replies.expect(consumers.length, natsQueueLimits.answerWithinMs);
    entries.forEach(({ receipt, parts }, at) => {
      if (parts === null) return;
      if (lastOf.get(parts.consumer) !== at) connection.publish(receipt, text);
      else connection.publish(receipt, text, { reply: batch.subjectOf(consumers.indexOf(parts.consumer)) });
    });
    const answers = await batch.answers;
    const gone = new Set<string>();
    for (const [at, consumer] of consumers.entries()) {
      if (!(await this.#isTaken(answers[at] ?? null, consumer))) gone.add(consumer);
    }
    return entries.map(({ parts }) => (parts === null || gone.has(parts.consumer) ? "dead" : "done"));
  }

  /** False: the consumer is no more, because nobody had asked for its lane for long; what it held comes again. */
  async #isTaken(answer: Msg | null, consumer: string): Promise<boolean> {
    this.#link.requireUp();
    if (answer === null) throw this.#link.unavailable("no answer in time");
    if (!isNoResponders(answer)) return true;
    try {
      await this.#link.call(() => this.#link.manager.consumers.info(this.#names.stream, consumer));
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
    throw this.#link.unavailable("the lane has no leader now");
  }

  #forget(entries: readonly Entry[]): void {
    for (const { receipt, parts } of entries) {
      if (parts !== null && this.#held.get(parts.seq)?.receipt === receipt) this.#held.delete(parts.seq);
    }
  }

  /** What its receiver neither settles nor extends comes again, here or elsewhere. */
  #forgetOld(): void {
    const nowMs = this.#nowMs;
    if (nowMs < this.#lookAtMs) return;
    this.#lookAtMs = nowMs + this.#visibilityMs;
    for (const [seq, { untilMs }] of this.#held) if (untilMs < nowMs) this.#held.delete(seq);
  }

  get #nowMs(): number {
    return this.#link.deps.clock.monotonicMs();
  }
}

function nackTextOf(delayMs: number): Uint8Array {
  return delayMs === 0 ? nackText : encoder.encode(`-NAK {"delay":${delayMs * NS_PER_MS}}`);
}

function readAll(receipts: readonly Receipt[]): readonly Entry[] {
  return receipts.map((receipt) => ({ receipt, parts: parseReceipt(receipt) }));
}
