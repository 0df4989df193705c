import type { Msg } from "@nats-io/transport-node";
import { describeError, isCodedError } from "@flowcatalyst/foundation";
import { decodeMessage, describeFaults } from "../../domain/message-codec.ts";
import type { PoolCode } from "../../domain/ids.ts";
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
  ReceivedMessage,
  ReceiveRequest,
} from "../../ports/queue.ts";
import type { BrokerQueueConfig } from "../broker-queue.ts";
import { NatsDeadLetters } from "./nats-dead-letters.ts";
import { NatsLane } from "./nats-lane.ts";
import type { NatsLink } from "./nats-link.ts";
import { laneOfToken, laneToken, type NatsNames } from "./nats-names.ts";
import { NatsPublishing } from "./nats-publishing.ts";
import { natsQueueLimits, type NatsQueueSettings } from "./nats-queue-config.ts";
import { parseReceipt } from "./nats-receipt.ts";
import { NatsSettling } from "./nats-settling.ts";

export interface NatsQueueParts {
  readonly link: NatsLink;
  readonly names: NatsNames;
  readonly settings: NatsQueueSettings;
  readonly capabilities: QueueCapabilities;
}

export class NatsQueue implements QueuePublisher, QueueConsumer, DeadLetters {
  readonly name: string;
  readonly visibilityMs: number;
  readonly parallelReceives: number;
  readonly capabilities: QueueCapabilities;
  readonly #link: NatsLink;
  readonly #names: NatsNames;
  readonly #settings: NatsQueueSettings;
  readonly #publishing: NatsPublishing;
  readonly #settling: NatsSettling;
  readonly #dead: NatsDeadLetters;
  readonly #lanes = new Map<PoolCode, NatsLane>();
  readonly #stopWatching: () => void;
  readonly #closing = new AbortController();
  #questionCount = 0;
  #ready: { readonly lanes: Set<PoolCode>; readonly atMs: number } | null = null;

  constructor({ link, names, settings, capabilities }: NatsQueueParts, config: BrokerQueueConfig) {
    this.name = config.name;
    this.visibilityMs = config.visibilityMs;
    this.parallelReceives = config.parallelReceives;
    this.capabilities = capabilities;
    this.#link = link;
    this.#names = names;
    this.#settings = settings;
    this.#publishing = new NatsPublishing(link, names, capabilities.maxMessageBytes);
    this.#settling = new NatsSettling(link, names);
    this.#dead = new NatsDeadLetters(link, names);
    this.#stopWatching = link.onDown(() => {
      for (const lane of this.#lanes.values()) lane.lose();
    });
  }

  async publish(messages: readonly QueueMessage[]): Promise<readonly PublishResult[]> {
    const results = await this.#publishing.publish(messages);
    results.forEach(({ kind }, at) => {
      const message = messages[at];
      if (kind === "published" && message !== undefined) this.#ready?.lanes.add(message.lane);
    });
    return results;
  }

  async readyLanes(): Promise<readonly PoolCode[]> {
    const nowMs = this.#link.deps.clock.monotonicMs();
    if (this.#ready === null || nowMs - this.#ready.atMs > natsQueueLimits.readyLanesMaxAgeMs) {
      this.#ready = { lanes: await this.#lanesWithMessages(), atMs: nowMs };
    }
    const lanes = new Set(this.#ready.lanes);
    for (const [lane, { isWaitedFor }] of this.#lanes) if (isWaitedFor) lanes.add(lane);
    return [...lanes];
  }

  async receive({ lane, max, waitMs }: ReceiveRequest, signal: AbortSignal): Promise<readonly ReceivedMessage[]> {
    const { clock } = this.#link.deps;
    const untilMs = clock.monotonicMs() + waitMs;
    const ended = AbortSignal.any([signal, this.#closing.signal]);
    const place = this.#lane(lane);
    if (place === null) return [];
    const most = Math.min(max, natsQueueLimits.maxBatch);
    for (;;) {
      const leftMs = Math.max(0, untilMs - clock.monotonicMs());
      const messages = await place.receive({ max: most, waitMs: leftMs }, ended);
      const received = await this.#read(messages, lane);
      // A batch of nothing but bodies that cannot be read: what is behind them is asked for.
      if (received.length > 0 || messages.length === 0) return received;
    }
  }

  ack(receipts: readonly Receipt[]): Promise<readonly ReceiptResult[]> {
    return this.#settling.ack(receipts);
  }

  nack(receipts: readonly Receipt[], delayMs: number): Promise<readonly ReceiptResult[]> {
    return this.#settling.nack(receipts, delayMs);
  }

  extend(receipts: readonly Receipt[]): Promise<readonly ReceiptResult[]> {
    return this.#settling.extend(receipts);
  }

  async deadLetter(receipt: Receipt, reason: string): Promise<ReceiptResult> {
    const parts = parseReceipt(receipt);
    if (parts === null) return "dead";
    const { streams } = this.#link.manager;
    const stored = await this.#link.call(() => streams.getMessage(this.#names.stream, { seq: parts.seq }));
    if (stored === null) return "dead";
    const decoded = decodeMessage(stored.string());
    const id = decoded.kind === "message" ? decoded.message.id : decoded.id;
    await this.#dead.write({ seq: parts.seq, id, lane: this.#laneOf(stored.subject), reason, body: stored.data });
    const [result] = await this.#settling.ack([receipt]);
    return result ?? "dead";
  }

  listDeadLetters(request: { limit: number; after: DeadLetterKey | null }): Promise<DeadLetterPage> {
    return this.#dead.list(request);
  }

  async settleDeadLetters(
    keys: readonly DeadLetterKey[],
    decide: (letter: DeadLetter) => Promise<"remove" | "keep">,
  ): Promise<readonly ("removed" | "kept" | "missing")[]> {
    const results: ("removed" | "kept" | "missing")[] = [];
    for (const key of keys) {
      const letter = await this.#dead.read(key);
      if (letter === null) results.push("missing");
      else if ((await decide(letter)) === "keep") results.push("kept");
      else results.push((await this.#dead.remove(key)) ? "removed" : "missing");
    }
    return results;
  }

  async metrics(): Promise<QueueMetrics> {
    const { consumers, streams } = this.#link.manager;
    return this.#link.call(async () => {
      let inFlight = 0;
      for await (const consumer of consumers.list(this.#names.stream)) inFlight += consumer.num_ack_pending;
      const { state } = await streams.info(this.#names.stream);
      return {
        visible: Math.max(0, state.messages - inFlight),
        inFlight,
        delayed: 0,
        dead: await this.#dead.count(),
        oldestUnsettledAtMs: state.messages === 0 ? null : Math.floor(Date.parse(String(state.first_ts))),
      };
    });
  }

  onAvailable(): () => void {
    return () => undefined;
  }

  /** Ends whoever waits and gives back what was received and not settled; the connection is closed by its owner. */
  async close(): Promise<void> {
    this.#stopWatching();
    this.#closing.abort();
    for (const lane of this.#lanes.values()) this.#settling.giveBack(lane.close());
    await this.#settling.giveBackHeld();
  }

  async #read(messages: readonly Msg[], lane: PoolCode): Promise<readonly ReceivedMessage[]> {
    const received: ReceivedMessage[] = [];
    for (const raw of messages) {
      const receipt = (raw.reply ?? "") as Receipt;
      const parts = parseReceipt(receipt);
      if (parts === null) continue;
      const decoded = decodeMessage(raw.string());
      if (decoded.kind === "message") {
        const { receiveCount, publishedAtMs, seq } = parts;
        this.#settling.hold(seq, receipt);
        received.push({ message: decoded.message, receipt, receiveCount, publishedAtMs });
        continue;
      }
      const reason = `${decoded.code}: ${describeFaults(decoded.faults)}`;
      await this.#setAside(raw, { seq: parts.seq, id: decoded.id, lane: decoded.lane ?? lane, reason });
    }
    return received;
  }

  /** What cannot be set aside now comes again; the rest of the batch is not to wait for it. */
  async #setAside(raw: Msg, letter: Omit<Parameters<NatsDeadLetters["write"]>[0], "body">): Promise<void> {
    try {
      await this.#dead.write({ ...letter, body: raw.data });
      await this.#settling.ack([(raw.reply ?? "") as Receipt]);
    } catch (error) {
      if (!isCodedError(error, "QUEUE_UNAVAILABLE")) throw error;
      this.#link.deps.logger.warn({ error: describeError(error) }, "a message that cannot be read stays on the queue");
    }
  }

  async #lanesWithMessages(): Promise<Set<PoolCode>> {
    const { streams } = this.#link.manager;
    const question = { subjects_filter: this.#names.laneSubjects, deleted_details: false };
    const { state } = await this.#link.call(() => streams.info(this.#names.stream, question));
    const lanes = Object.keys(state.subjects ?? {}).map((subject) => this.#laneOf(subject));
    return new Set(lanes.filter((lane) => lane !== null));
  }

  #laneOf(subject: string): PoolCode | null {
    return laneOfToken(subject.slice(this.#names.lanePrefix.length));
  }

  /** Null: no such lane can be on NATS. */
  #lane(lane: PoolCode): NatsLane | null {
    const known = this.#lanes.get(lane);
    if (known !== undefined) return known;
    const token = laneToken(lane);
    if (token === null) return null;
    if (this.#lanes.size >= natsQueueLimits.maxLanes) this.#forgetIdleLanes();
    const { maxAckPending, consumerIdleMs } = this.#settings;
    const place = new NatsLane({
      link: this.#link,
      names: this.#names,
      token,
      consumer: { visibilityMs: this.visibilityMs, maxAckPending, idleMs: consumerIdleMs },
      nextReplySubject: () => `${this.#link.inbox}.q.${++this.#questionCount}`,
      giveBack: (messages) => this.#settling.giveBack(messages),
    });
    this.#lanes.set(lane, place);
    return place;
  }

  #forgetIdleLanes(): void {
    for (const [lane, place] of this.#lanes) {
      if (place.isWaitedFor) continue;
      this.#settling.giveBack(place.close());
      this.#lanes.delete(lane);
    }
  }
}
