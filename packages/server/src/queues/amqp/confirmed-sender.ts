import { describeError, type Clock } from "@flowcatalyst/foundation";
import type { Delivery, EventContext, Sender, Session } from "rhea";
import { errorText, type AmqpLine, type LiveConnection } from "./amqp-line.ts";
import type { Broker } from "./amqp-broker.ts";
import { amqpQueueLimits as limits } from "./amqp-limits.ts";

/** `refused`: not taken now. `rejected`: this message can never be taken, and why. */
export type SendResult =
  | { readonly kind: "sent" }
  | { readonly kind: "refused"; readonly detail: string }
  | { readonly kind: "rejected"; readonly isTooLarge: boolean; readonly detail: string };

interface Outgoing {
  readonly bytes: Uint8Array;
  readonly answer: PromiseWithResolvers<SendResult>;
  /** Counts against the bounds: its bytes are in memory, here or on their way to the broker. */
  isCounted: boolean;
}

interface SendingLink {
  readonly live: LiveConnection;
  readonly session: Session;
  readonly sender: Sender;
  readonly unconfirmed: Map<number, Outgoing>;
}

/**
 * Sends to one queue, and waits for the broker's word for each message: an accepted message is on its disk.
 *
 * Bounded in messages and bytes; what does not fit is refused. A message that is not confirmed in time is refused too,
 * although the broker may still take it: its sender publishes it again, and it comes twice. What was handed over goes
 * on counting until the broker has answered it or the link is gone, as until then its bytes stay in memory: a broker
 * that takes nothing for hours is sent no more than the bounds.
 *
 * A broker that rejects a message may just be full, so its word is taken as "not now", unless it says that this message
 * is too large or cannot be decoded.
 */
export class ConfirmedSender {
  readonly #clock: Clock;
  readonly #line: AmqpLine;
  readonly #queue: string;
  #link: SendingLink | null = null;
  readonly #waiting = new Set<Outgoing>();
  #counted = 0;
  #countedBytes = 0;

  constructor(clock: Clock, line: AmqpLine, queue: string) {
    this.#clock = clock;
    this.#line = line;
    this.#queue = queue;
  }

  /** Results by position. */
  async send(messages: readonly ((broker: Broker) => Uint8Array)[]): Promise<readonly SendResult[]> {
    const { live } = this.#line;
    if (live === null) {
      const refused: SendResult = { kind: "refused", detail: this.#line.downText };
      return messages.map(() => refused);
    }
    this.#attach(live);
    const call = messages.map((encode) => this.#admit(() => encode(live.broker)));
    this.#pump();
    const late: SendResult = { kind: "refused", detail: `not confirmed in ${limits.confirmMs / 1_000} s` };
    const cancelTimer = this.#clock.setTimer(limits.confirmMs, () => {
      for (const outgoing of call) this.#giveUp(outgoing, late);
    });
    const results = await Promise.all(call.map(({ answer }) => answer.promise));
    cancelTimer();
    return results;
  }

  #admit(encode: () => Uint8Array): Outgoing {
    const answer = Promise.withResolvers<SendResult>();
    let bytes: Uint8Array = noBytes;
    try {
      bytes = encode();
    } catch (error) {
      answer.resolve({ kind: "rejected", isTooLarge: false, detail: `it cannot be encoded: ${describeError(error)}` });
      return { bytes, answer, isCounted: false };
    }
    const outgoing: Outgoing = { bytes, answer, isCounted: true };
    if (this.#counted >= limits.maxUnconfirmed || this.#countedBytes >= limits.maxUnconfirmedBytes) {
      outgoing.isCounted = false;
      answer.resolve({ kind: "refused", detail: "too much waits for the broker to confirm it" });
      return outgoing;
    }
    this.#counted += 1;
    this.#countedBytes += bytes.length;
    this.#waiting.add(outgoing);
    return outgoing;
  }

  /** A late word of the broker changes nothing; until it comes, what was handed over counts. */
  #giveUp(outgoing: Outgoing, result: SendResult): void {
    outgoing.answer.resolve(result);
    if (this.#waiting.delete(outgoing)) this.#uncount(outgoing);
  }

  #answer(outgoing: Outgoing, result: SendResult): void {
    outgoing.answer.resolve(result);
    this.#uncount(outgoing);
  }

  #uncount(outgoing: Outgoing): void {
    if (!outgoing.isCounted) return;
    outgoing.isCounted = false;
    this.#counted -= 1;
    this.#countedBytes -= outgoing.bytes.length;
  }

  #attach(live: LiveConnection): void {
    if (this.#link !== null) return;
    const session = live.createSession();
    const sender = session.attach_sender({ target: { address: live.broker.addressOf(this.#queue), durable: 2 } });
    const link: SendingLink = { live, session, sender, unconfirmed: new Map() };
    this.#link = link;
    const end = (why: string, error: unknown): void => this.#end(link, errorText(error) ?? why);
    sender.on("sendable", () => this.#pump());
    sender.on("accepted", ({ delivery }: EventContext) => this.#confirm(link, delivery, { kind: "sent" }));
    sender.on("released", ({ delivery }: EventContext) => this.#confirm(link, delivery, notNow));
    sender.on("modified", ({ delivery }: EventContext) => this.#confirm(link, delivery, notNow));
    sender.on("rejected", ({ delivery }: EventContext) =>
      this.#confirm(link, delivery, rejection(delivery?.remote_state?.["error"])),
    );
    // Comes after the outcome, if there is one.
    sender.on("settled", ({ delivery }: EventContext) => this.#confirm(link, delivery, notNow));
    sender.on("sender_error", () => end("refused", sender.error));
    sender.on("sender_close", () => end("the broker closed the link", sender.error));
    session.on("session_error", () => end("refused", session.error));
    session.on("session_close", () => end("the broker ended the session", session.error));
    live.onLost(() => end("the connection was lost", null));
  }

  #confirm({ unconfirmed }: SendingLink, delivery: Delivery | undefined, result: SendResult): void {
    const outgoing = delivery === undefined ? undefined : unconfirmed.get(delivery.id);
    if (delivery === undefined || outgoing === undefined) return;
    unconfirmed.delete(delivery.id);
    this.#answer(outgoing, result);
  }

  /** Hands over as much as the broker has given credit for. */
  #pump(): void {
    const link = this.#link;
    if (link === null) return;
    for (const outgoing of this.#waiting) {
      if (!link.sender.sendable()) return;
      this.#waiting.delete(outgoing);
      const { buffer, byteOffset, length } = outgoing.bytes;
      const delivery = link.sender.send(Buffer.from(buffer, byteOffset, length), undefined, encodedFormat);
      link.unconfirmed.set(delivery.id, outgoing);
    }
  }

  #end(link: SendingLink, reason: string): void {
    if (this.#link !== link) return;
    this.#link = null;
    const detail = `the queue ${this.#queue} takes nothing: ${reason}`;
    const open = [...link.unconfirmed.values(), ...this.#waiting];
    this.#waiting.clear();
    for (const outgoing of open) this.#answer(outgoing, { kind: "refused", detail });
  }
}

/** Told the format, the library takes a message as it is encoded already. */
const encodedFormat = 0;
const noBytes = new Uint8Array(0);
const notNow: SendResult = { kind: "refused", detail: "the broker does not take it now" };

/** Only these say that the same message will never be taken. */
const sizeConditions = ["amqp:link:message-size-exceeded"];
const decodeConditions = ["amqp:decode-error"];

function rejection(error: unknown): SendResult {
  const detail = errorText(error) ?? "the broker rejects it";
  const condition = typeof error === "object" && error !== null ? String(Reflect.get(error, "condition")) : "";
  const isTooLarge = sizeConditions.includes(condition);
  if (isTooLarge || decodeConditions.includes(condition)) return { kind: "rejected", isTooLarge, detail };
  return { kind: "refused", detail };
}
