import type { Clock } from "@flowcatalyst/foundation";
import type { Delivery, EventContext, Sender, Session } from "rhea";
import { errorText, type AmqpLine, type LiveConnection } from "./amqp-line.ts";
import type { Broker } from "./amqp-broker.ts";
import { amqpQueueLimits as limits } from "./amqp-limits.ts";

/** `refused`: not taken now. `rejected`: the broker does not want it, and says why. */
export type SendResult =
  | { readonly kind: "sent" }
  | { readonly kind: "refused"; readonly detail: string }
  | { readonly kind: "rejected"; readonly detail: string };

interface Outgoing {
  readonly bytes: Uint8Array;
  readonly answer: PromiseWithResolvers<SendResult>;
  /** Not answered yet: a late word of the broker changes nothing. */
  isOpen: boolean;
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
 * although the broker may still take it: its sender publishes it again, and it comes twice.
 */
export class ConfirmedSender {
  readonly #clock: Clock;
  readonly #line: AmqpLine;
  readonly #queue: string;
  #link: SendingLink | null = null;
  readonly #waiting = new Set<Outgoing>();
  #open = 0;
  #openBytes = 0;

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
    const call = messages.map((encode) => this.#admit(encode(live.broker)));
    this.#pump();
    const late: SendResult = { kind: "refused", detail: `not confirmed in ${limits.confirmMs / 1_000} s` };
    const cancelTimer = this.#clock.setTimer(limits.confirmMs, () => {
      for (const outgoing of call) this.#answer(outgoing, late);
    });
    const results = await Promise.all(call.map(({ answer }) => answer.promise));
    cancelTimer();
    return results;
  }

  #admit(bytes: Uint8Array): Outgoing {
    const outgoing: Outgoing = { bytes, answer: Promise.withResolvers<SendResult>(), isOpen: true };
    const isFull = this.#open >= limits.maxUnconfirmed || this.#openBytes >= limits.maxUnconfirmedBytes;
    this.#open += 1;
    this.#openBytes += bytes.length;
    if (isFull) this.#answer(outgoing, { kind: "refused", detail: "too much waits for the broker to confirm it" });
    else this.#waiting.add(outgoing);
    return outgoing;
  }

  #answer(outgoing: Outgoing, result: SendResult): void {
    if (!outgoing.isOpen) return;
    outgoing.isOpen = false;
    this.#waiting.delete(outgoing);
    this.#open -= 1;
    this.#openBytes -= outgoing.bytes.length;
    outgoing.answer.resolve(result);
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
    sender.on("rejected", ({ delivery }: EventContext) => {
      const detail = errorText(delivery?.remote_state?.["error"]) ?? "the broker rejects it";
      this.#confirm(link, delivery, { kind: "rejected", detail });
    });
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
const notNow: SendResult = { kind: "refused", detail: "the broker does not take it now" };
