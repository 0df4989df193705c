import { describeError } from "@flowcatalyst/foundation";
import { defaultPoolCode } from "../../domain/dispatch-pool.ts";
import type { PoolCode } from "../../domain/ids.ts";
import { decodeMessage, describeFaults, encodeMessage } from "../../domain/message-codec.ts";
import type { QueueMessage } from "../../domain/message.ts";
import type {
  DeadLetter,
  DeadLetterKey,
  DeadLetterPage,
  DeadLetters,
  PublishResult,
  QueueCapabilities,
  QueueConsumer,
  QueueMetrics,
  QueuePublisher,
  Receipt,
  ReceiptResult,
  ReceiveRequest,
  ReceivedMessage,
} from "../../ports/queue.ts";
import type { BrokerQueueConfig, BrokerQueueDeps } from "../broker-queue.ts";
import type { AmqpAddress } from "./amqp-address.ts";
import { amqpCapabilities } from "./amqp-broker.ts";
import { AmqpDeadLetters } from "./amqp-dead-letters.ts";
import { amqpQueueLimits as limits } from "./amqp-limits.ts";
import type { AmqpLine } from "./amqp-line.ts";
import {
  bodyBytesOf,
  creationTimeOf,
  encodeForAmqp,
  receiveCountOf,
  shownBodyOf,
  textOf,
  UndecodedMessage,
  type Incoming,
} from "./amqp-message.ts";
import { ConfirmedSender, type SendResult } from "./confirmed-sender.ts";
import { HeldMessages, type Content, type Held } from "./held-messages.ts";
import { LaneIntake, type Arrival } from "./lane-intake.ts";
import { ReceiveCounts } from "./receive-counts.ts";
import type { ReceivingLink, Settlement } from "./receiving-link.ts";
import { SetAside, type Letter } from "./set-aside.ts";

export interface AmqpQueueDeps extends BrokerQueueDeps {
  readonly receiving: AmqpLine;
  readonly publishing: AmqpLine;
}

/** One queue of the broker. */
interface Lane {
  readonly intake: LaneIntake<Content>;
  readonly sender: ConfirmedSender;
}

type Unread = Omit<Arrival<Content>, "content">;

interface Outgoing {
  readonly position: number;
  readonly message: QueueMessage;
  readonly body: Uint8Array;
}

/**
 * The queue on a broker of AMQP 1.0: ActiveMQ Classic, RabbitMQ with its plugin, and whatever else speaks it.
 *
 * **Entities.** A queue of the broker per lane that the URL lists, one for all other lanes, and one for dead letters.
 * Two connections (amqp-line.ts), each made again for ever: one that receives and settles, one that publishes, because
 * a broker short of memory or disk stops reading from who publishes, and settlements must not wait behind that. Every
 * link has a session of its own, since brokers answer what they cannot do by ending the session.
 *
 *     publish ─▶ on the broker's disk ─▶ with us, waiting ─▶ held by its receiver ─ ack ─▶ gone
 *                     ▲                       │                    │ nack, time over, connection lost
 *                     └───────────────────────┴────────────────────┘
 *
 * **Who may hold what.** The broker is given credit for what was asked and for no more (lane-intake.ts). A held message
 * has a receipt; it is live until it is settled, until its visibility ends without being extended, or until its link is
 * gone. Visibility is ours: brokers know none, so a timer gives back what its receiver forgot. After nine minutes a
 * message is given back whatever its receiver says, and its receipt is dead: nothing is unsettled for ten.
 *
 * **Settling.** An ack is sent as accepted but not settled, and answered "done" when the broker has settled it. A nack
 * needs no answer: if it is lost, so is the link, and then everything that was not settled comes again. A lost ack
 * means that the message comes again too. A settlement that is not answered for 30 s ends the connection.
 *
 * **What brokers cannot do** is declared, not imitated (decision record 0023): no delay, so a nacked message is there
 * at once, and waiting is the router's affair; no deduplication; no order within a group of stand-alone messages,
 * although they carry their group for those who use it; no counts. How often a message was received is the broker's
 * count on ActiveMQ; RabbitMQ only tells that it came before, and the process that gave it back remembers how often.
 *
 * **Failures.** A broker that is away: `receive` and the dead letters throw QUEUE_UNAVAILABLE, `publish` answers
 * refused, receipts are dead, `probe` says DOWN and why. One that is silent is noticed after two heartbeats. A message
 * sent and not confirmed is refused although the broker may have it: published again, it comes twice. A body that
 * cannot be read goes to the dead letters, first written there, then accepted here: a crash between the two leaves it
 * in both. The same holds for `deadLetter`. While they take nothing, unreadable messages are kept for a pause and given
 * back, and the others are received (set-aside.ts).
 */
export class AmqpQueue implements QueuePublisher, QueueConsumer, DeadLetters {
  readonly name: string;
  readonly visibilityMs: number;
  readonly parallelReceives: number;
  readonly capabilities: QueueCapabilities;
  readonly #deps: AmqpQueueDeps;
  readonly #maxCredit: number;
  /** What all lanes share that have no queue of their own. */
  readonly #shared: Lane;
  readonly #lanes = new Map<PoolCode, Lane>();
  readonly #held: HeldMessages;
  readonly #counts = new ReceiveCounts(limits.maxRememberedCounts);
  readonly #dead: AmqpDeadLetters;
  readonly #setAside: SetAside;
  readonly #closing = new AbortController();

  constructor(deps: AmqpQueueDeps, config: BrokerQueueConfig, address: AmqpAddress) {
    const { clock, publishing, random } = deps;
    this.#deps = deps;
    this.#maxCredit = address.credit;
    this.name = config.name;
    this.visibilityMs = config.visibilityMs;
    this.parallelReceives = config.parallelReceives;
    this.capabilities = amqpCapabilities(address);
    const prefix = Buffer.from(random.bytes(8)).toString("hex");
    this.#held = new HeldMessages({ clock, prefix, onDue: (due) => void this.#release(due) });
    this.#shared = this.#openLane(address.queue, defaultPoolCode);
    this.#lanes.set(defaultPoolCode, this.#shared);
    for (const lane of address.lanes) this.#lanes.set(lane, this.#openLane(`${address.queue}.${lane}`, lane));
    const sender = new ConfirmedSender(clock, publishing, address.dead);
    this.#dead = new AmqpDeadLetters({ clock, line: deps.receiving, sender }, address.dead);
    this.#setAside = new SetAside({ ...deps, dead: this.#dead, signal: this.#closing.signal });
  }

  async publish(messages: readonly QueueMessage[]): Promise<readonly PublishResult[]> {
    const results: PublishResult[] = messages.map(() => notSent);
    const byLane = new Map<Lane, Outgoing[]>();
    for (const [position, message] of messages.entries()) {
      const body = bodyBytesOf(message);
      const fault = faultOf(message, body);
      if (fault === null) gather(byLane, this.#laneOf(message.lane), { position, message, body });
      else results[position] = fault;
    }
    const nowMs = this.#deps.clock.now();
    await Promise.all(
      [...byLane].map(async ([{ sender }, ofLane]) => {
        const sent = await sender.send(
          ofLane.map(
            ({ message, body }) =>
              () =>
                encodeForAmqp(message, body, nowMs),
          ),
        );
        for (const [at, { position }] of ofLane.entries()) results[position] = publishResult(sent[at]);
      }),
    );
    return results;
  }

  async readyLanes(): Promise<readonly PoolCode[]> {
    return [...this.#lanes.keys()];
  }

  async receive(request: ReceiveRequest, signal: AbortSignal): Promise<readonly ReceivedMessage[]> {
    if (this.#closing.signal.aborted) return [];
    const { intake } = this.#laneOf(request.lane);
    const max = Math.min(request.max, limits.maxBatch);
    const arrivals = await intake.receive({ max, waitMs: request.waitMs }, signal);
    return arrivals.map((arrival) => {
      const { receipt } = this.#held.add(arrival, intake, this.visibilityMs);
      return { ...arrival.content, receipt };
    });
  }

  async ack(receipts: readonly Receipt[]): Promise<readonly ReceiptResult[]> {
    return this.#settle(receipts, "accepted");
  }

  /** No broker can keep a message for later: it comes again at once, whatever the delay. */
  async nack(receipts: readonly Receipt[], _delayMs: number): Promise<readonly ReceiptResult[]> {
    return this.#settle(receipts, "failed");
  }

  async extend(receipts: readonly Receipt[], forMs: number): Promise<readonly ReceiptResult[]> {
    const expired: Held[] = [];
    const results = receipts.map((receipt): ReceiptResult => {
      const held = this.#held.find(receipt);
      if (held === undefined) return "dead";
      if (this.#held.extend(held, forMs)) return "done";
      expired.push(held);
      return "dead";
    });
    if (expired.length > 0) await this.#release(expired);
    return results;
  }

  async deadLetter(receipt: Receipt, reason: string): Promise<ReceiptResult> {
    const held = this.#held.find(receipt);
    if (held === undefined) return "dead";
    const { message } = held.content;
    await this.#putDead({ id: message.id, lane: message.lane, reason, body: encodeMessage(message) });
    const [result] = await this.#settle([receipt], "accepted");
    return result ?? "dead";
  }

  async listDeadLetters(request: { limit: number; after: DeadLetterKey | null }): Promise<DeadLetterPage> {
    return { letters: await this.#dead.list(request.limit), next: null };
  }

  settleDeadLetters(
    keys: readonly DeadLetterKey[],
    decide: (letter: DeadLetter) => Promise<"remove" | "keep">,
  ): Promise<readonly ("removed" | "kept" | "missing")[]> {
    return this.#dead.settle(keys, decide);
  }

  async metrics(): Promise<QueueMetrics> {
    return { visible: null, inFlight: null, delayed: null, dead: null, oldestUnsettledAtMs: null };
  }

  onAvailable(): () => void {
    return () => undefined;
  }

  /** Ends waiting receivers; what was not settled goes back to the broker with the links. */
  close(): void {
    this.#closing.abort();
    for (const { intake } of this.#lanes.values()) intake.close();
    this.#held.clear();
  }

  #laneOf(lane: PoolCode): Lane {
    return this.#lanes.get(lane) ?? this.#shared;
  }

  #openLane(queue: string, lane: PoolCode): Lane {
    const { clock, publishing } = this.#deps;
    return { intake: this.#createIntake(queue, lane), sender: new ConfirmedSender(clock, publishing, queue) };
  }

  #createIntake(queue: string, lane: PoolCode): LaneIntake<Content> {
    const { clock, receiving: line } = this.#deps;
    return new LaneIntake<Content>(
      {
        clock,
        line,
        read: (message, arrival) => this.#read(message, lane, arrival),
        unseen: (arrivals) => {
          for (const { content } of arrivals) this.#counts.remember(content.message.id, content.receiveCount - 1);
        },
        gone: (link) => this.#held.dropLink(link),
      },
      { queue, maxCredit: this.#maxCredit },
    );
  }

  /** What cannot be read goes to the dead letters; so does what makes reading itself fail. */
  #read(message: Incoming, lane: PoolCode, arrival: Unread): Content | Promise<void> {
    let letter: Letter;
    try {
      const read = this.#decode(message, lane, arrival);
      if ("receiveCount" in read) return read;
      letter = read;
    } catch (error) {
      const reason = `MESSAGE_INVALID: it cannot be read: ${describeError(error)}`;
      letter = { id: null, lane: null, reason, body: shownBodyOf(message) };
    }
    return this.#setAside.take(letter, arrival);
  }

  #decode(message: Incoming, lane: PoolCode, arrival: Unread): Content | Letter {
    if (message instanceof UndecodedMessage) throw new Error(`${message.fault} (its bytes are shown in base64)`);
    const text = textOf(message);
    const decoded = decodeMessage(text ?? "", lane);
    if (text !== null && decoded.kind === "message") {
      const told = receiveCountOf(message, arrival.link.live.broker);
      return {
        message: decoded.message,
        receiveCount: this.#counts.next(decoded.message.id, told),
        publishedAtMs: creationTimeOf(message) ?? this.#deps.clock.now(),
      };
    }
    const unread = decoded.kind === "malformed" ? decoded : unreadable;
    const { id, code, faults } = unread;
    const reason = `${code}: ${text === null ? "the body is neither data nor text" : describeFaults(faults)}`;
    return { id, lane: unread.lane, reason, body: shownBodyOf(message) };
  }

  #putDead(letter: Letter): Promise<void> {
    const key = Buffer.from(this.#deps.random.bytes(16)).toString("hex") as DeadLetterKey;
    return this.#dead.put({ ...letter, key, atMs: this.#deps.clock.now() });
  }

  async #settle(receipts: readonly Receipt[], settlement: Settlement): Promise<readonly ReceiptResult[]> {
    const results: ReceiptResult[] = receipts.map(() => "dead");
    const byLink = new Map<ReceivingLink, { position: number; held: Held }[]>();
    for (const [position, receipt] of receipts.entries()) {
      const held = this.#held.find(receipt);
      if (held === undefined) continue;
      this.#held.remove(held);
      gather(byLink, held.link, { position, held });
      const { message, receiveCount } = held.content;
      if (settlement === "accepted") this.#counts.forget(message.id);
      else this.#counts.remember(message.id, receiveCount);
    }
    await Promise.all(
      [...byLink].map(async ([link, ofLink]) => {
        const deliveries = ofLink.map(({ held }) => held.delivery);
        const settled = await link.settle(deliveries, settlement);
        for (const [at, { position, held }] of ofLink.entries()) {
          results[position] = settled[at] ?? "dead";
          held.intake.settled();
        }
      }),
    );
    return results;
  }

  /** Their time is over: others may have them. */
  async #release(due: readonly Held[]): Promise<void> {
    await this.#settle(
      due.map(({ receipt }) => receipt),
      "failed",
    );
  }
}

const unreadable = { id: null, lane: null, code: "MESSAGE_INVALID", faults: [] } as const;

const notSent: PublishResult = { kind: "refused", detail: "not sent" };

function gather<Key, Item>(lists: Map<Key, Item[]>, key: Key, item: Item): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [item]);
  else list.push(item);
}

function faultOf(message: QueueMessage, body: Uint8Array): PublishResult | null {
  if (message.kind === "platform" && message.jobs.length === 0) {
    return { kind: "invalid", code: "MESSAGE_INVALID", detail: "the message has no jobs" };
  }
  if (body.length <= limits.maxMessageBytes) return null;
  const detail = `${body.length} bytes; a message here may have ${limits.maxMessageBytes}`;
  return { kind: "invalid", code: "MESSAGE_TOO_LARGE", detail };
}

function publishResult(result: SendResult | undefined): PublishResult {
  if (result === undefined) return notSent;
  if (result.kind === "sent") return { kind: "published" };
  if (result.kind === "refused") return result;
  const code = result.isTooLarge ? "MESSAGE_TOO_LARGE" : "MESSAGE_INVALID";
  return { kind: "invalid", code, detail: result.detail };
}
