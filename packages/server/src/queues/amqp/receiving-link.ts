import type { Clock } from "@flowcatalyst/foundation";
import rhea, { type Delivery, type EventContext, type Receiver, type Session } from "rhea";
import type { ReceiptResult } from "../../ports/queue.ts";
import { errorText, type LiveConnection } from "./amqp-line.ts";
import { amqpQueueLimits as limits } from "./amqp-limits.ts";
import { decodeIncoming, type Incoming } from "./amqp-message.ts";
import { installDeliveryTable, type DeliveryTable } from "./delivery-table.ts";

/** What becomes of a message: it is done; it failed here and comes again; it comes again as if it had never come. */
export type Settlement = "accepted" | "failed" | "unseen";

export interface ReceivingLinkHandlers {
  message(message: Incoming, delivery: Delivery): void;
  /** Nothing more comes, and what was received of it belongs to the broker again. */
  gone(reason: string): void;
  /** A settlement was not confirmed in time. */
  stuck(reason: string): void;
}

export interface ReceivingLinkOptions {
  readonly address: string;
  /** Looks at messages without taking them. */
  readonly browse?: boolean;
}

interface Settling {
  readonly delivery: Delivery;
  readonly position: number;
  readonly call: SettleCall;
  /** By the monotonic clock. */
  readonly atMs: number;
}

interface SettleCall {
  readonly results: ReceiptResult[];
  left: number;
  readonly resolve: (results: readonly ReceiptResult[]) => void;
}

/**
 * One link that messages come through, on a session of its own. It counts the credit that the broker has, and tells
 * when a settlement has reached the broker: an outcome is sent as not settled yet, and the broker answers it settled.
 */
export class ReceivingLink {
  readonly live: LiveConnection;
  readonly #clock: Clock;
  readonly #handlers: ReceivingLinkHandlers;
  readonly #session: Session;
  readonly #receiver: Receiver;
  readonly #deliveries: DeliveryTable;
  readonly #settling = new Map<number, Settling>();
  readonly #stopListening: () => void;
  #cancelTimer: (() => void) | null = null;
  #credit = 0;
  #isGone = false;
  #drained: (() => void) | null = null;

  constructor(
    { clock, live }: { clock: Clock; live: LiveConnection },
    options: ReceivingLinkOptions,
    handlers: ReceivingLinkHandlers,
  ) {
    this.live = live;
    this.#clock = clock;
    this.#handlers = handlers;
    this.#session = live.createSession();
    this.#deliveries = installDeliveryTable(this.#session);
    this.#receiver = this.#session.attach_receiver({
      source: {
        address: options.address,
        durable: 2,
        ...(options.browse === true ? { distribution_mode: "copy" } : {}),
      },
      credit_window: 0,
      autoaccept: false,
      autosettle: false,
    });
    this.#receiver.on("message", (context: EventContext) => this.#onMessage(context));
    this.#receiver.on("settled", (context: EventContext) => this.#onSettled(context.delivery));
    this.#receiver.on("receiver_drained", () => this.#onDrained());
    const end = (why: string, error: unknown): void => this.#end(errorText(error) ?? why);
    this.#receiver.on("receiver_error", (context: EventContext) => end("refused", context.receiver?.error));
    this.#receiver.on("receiver_close", () => end("the broker closed the link", this.#receiver.error));
    this.#session.on("session_error", (context: EventContext) => end("refused", context.session?.error));
    this.#session.on("session_close", () => end("the broker ended the session", this.#session.error));
    this.#stopListening = live.onLost(() => this.#end("the connection was lost"));
  }

  get isGone(): boolean {
    return this.#isGone;
  }

  /** Messages that the broker may still send. */
  get credit(): number {
    return this.#credit;
  }

  get unsettled(): number {
    return this.#deliveries.size;
  }

  addCredit(more: number): void {
    if (this.#isGone || more <= 0) return;
    this.#credit += more;
    this.#receiver.drain = false;
    this.#receiver.add_credit(more);
  }

  /** Uses the credit up: the broker sends what it has at once, and says that there is no more. */
  drain(): Promise<void> {
    if (this.#isGone || this.#credit === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#drained = resolve;
      this.#receiver.drain_credit();
    });
  }

  /** Results by position, when the broker has answered; `dead` if it was lost before. */
  settle(deliveries: readonly Delivery[], settlement: Settlement): Promise<readonly ReceiptResult[]> {
    if (this.#isGone || deliveries.length === 0) return Promise.resolve(deliveries.map(() => "dead"));
    if (settlement !== "accepted") return Promise.resolve(this.#giveBack(deliveries, settlement));
    const { promise, resolve } = Promise.withResolvers<readonly ReceiptResult[]>();
    const call: SettleCall = { results: deliveries.map(() => "dead"), left: deliveries.length, resolve };
    const atMs = this.#clock.monotonicMs();
    for (const [position, delivery] of deliveries.entries()) {
      this.#settling.set(delivery.id, { delivery, position, call, atMs });
      delivery.update(false, accepted);
    }
    this.#cancelTimer ??= this.#clock.setTimer(limits.settleMs, () => this.#onTimer());
    return promise;
  }

  /** Nobody answers this on ActiveMQ, and nobody need: if it is lost, so is the link, and the message comes back. */
  #giveBack(deliveries: readonly Delivery[], settlement: "failed" | "unseen"): readonly ReceiptResult[] {
    const state = settlement === "failed" && this.live.broker.countsDeliveries ? failed : released;
    for (const delivery of deliveries) {
      delivery.update(true, state);
      this.#deliveries.forget(delivery);
    }
    return deliveries.map(() => "done");
  }

  /** What was not settled belongs to the broker again. */
  close(): void {
    if (this.#isGone) return;
    this.#receiver.close();
    this.#session.close();
    this.#end("closed");
  }

  /** The library hands the bytes over as they came: see delivery-table.ts. */
  #onMessage({ message, delivery }: EventContext): void {
    const bytes: unknown = message;
    if (!Buffer.isBuffer(bytes) || delivery === undefined || this.#isGone) return;
    this.#credit -= 1;
    this.#handlers.message(decodeIncoming(bytes), delivery);
  }

  #onDrained(): void {
    this.#credit = 0;
    this.#drained?.();
    this.#drained = null;
  }

  #onSettled(delivery: Delivery | undefined): void {
    const settling = delivery === undefined ? undefined : this.#settling.get(delivery.id);
    if (settling === undefined) return;
    this.#deliveries.forget(settling.delivery);
    this.#finish(settling, "done");
  }

  #finish({ delivery, position, call }: Settling, result: ReceiptResult): void {
    this.#settling.delete(delivery.id);
    call.results[position] = result;
    call.left -= 1;
    if (call.left === 0) call.resolve(call.results);
    if (this.#settling.size > 0) return;
    this.#cancelTimer?.();
    this.#cancelTimer = null;
  }

  /** The first of them is the oldest: one that waits too long is a fault, however many after it were answered. */
  #onTimer(): void {
    this.#cancelTimer = null;
    const oldest = this.#settling.values().next().value;
    if (oldest === undefined) return;
    const leftMs = oldest.atMs + limits.settleMs - this.#clock.monotonicMs();
    if (leftMs > 0) this.#cancelTimer = this.#clock.setTimer(leftMs, () => this.#onTimer());
    else this.#handlers.stuck("it does not confirm settlements");
  }

  #end(reason: string): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#stopListening();
    this.#onDrained();
    for (const settling of this.#settling.values()) this.#finish(settling, "dead");
    this.#handlers.gone(reason);
  }
}

/** The library makes the outcomes of a delivery itself only together with settling it. */
const accepted = outcome(0x24, []);
const released = outcome(0x26, []);
const failed = outcome(0x27, [true]);

function outcome(code: number, fields: readonly boolean[]): unknown {
  const { types } = rhea;
  return types.described_nc(types.wrap_ulong(code), types.wrap_list([...fields]));
}
