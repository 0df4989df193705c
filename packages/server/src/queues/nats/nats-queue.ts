import type { Msg } from "@nats-io/transport-node";
import { describeError } from "@flowcatalyst/foundation";
import type { DecodedMessage } from "../../domain/decoded-message.ts";
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
import { readNatsMetrics } from "./nats-metrics.ts";
import { NatsPublishing } from "./nats-publishing.ts";
import { natsQueueLimits, type NatsQueueSettings } from "./nats-queue-config.ts";
import { parseReceipt } from "./nats-receipt.ts";
import { NatsSettling } from "./nats-settling.ts";
import { NatsStrays } from "./nats-strays.ts";
import { ensureStreams } from "./nats-streams.ts";

export interface NatsQueueParts {
  readonly link: NatsLink;
  readonly names: NatsNames;
  readonly settings: NatsQueueSettings;
  readonly capabilities: QueueCapabilities;
}

/**
 * The queue on NATS JetStream: a stream whose messages go when they are acked, a subject of it for each lane, and a
 * durable consumer for each subject that routers ask for messages. Any number of publishers and routers may share it.
 *
 * **Entities.** The stream `NAME` (work queue, on disk, refusing when full) holds `name.lane.<token>`, one subject a
 * lane (nats-names.ts). The consumer of a lane bears the lane's token; it is made or verified with the first question
 * (nats-lane.ts), and the server removes it when nobody has asked for an hour. Its messages stay in the stream, and the
 * next consumer gives them out, those that were in flight included. `NAME-DEAD` holds at most 100,000 dead letters.
 *
 *     publish ─▶ WAITING ──a question──▶ IN FLIGHT ── ack ─▶ gone
 *                   ▲                      │  │ └── dead letter: written to NAME-DEAD, then acked
 *                   └── nack, ack wait over┘  └── nack with delay: in flight for the server, until the delay is over
 *
 * **Receiving** holds nothing in advance: a question is for as many messages as the router has room for, comes back
 * with what is there now or with the first that comes, and is ended by the server (pull-question.ts). What arrives for
 * a question that was aborted is kept for the next one, a second at most, and then given back.
 *
 * **Unsettled messages** of a lane are at most 200,000 (`max_ack_pending`), delayed ones included; then the lane gives
 * nothing new until some are settled, and whoever asks is told (nats-lane-room.ts). A router holds at most 20 messages
 * for each call a pool may make at once, so what routers hold is bounded by their pools, 20,000 for ten routers with a
 * pool of a hundred. The rest is for delayed ones: a target that is down has its messages come again later, and those
 * of the healthy targets beside it must not wait for them. Each costs the server some memory; it walks through all
 * of a consumer's unsettled messages when one comes back, and writes them down together, so there is a limit.
 *
 * **Guarantees.** What was answered as published is in the server's file. An ack is done when the server has taken it
 * (nats-settling.ts). A message that is neither acked nor nacked comes again after the visibility, which is the
 * consumer's ack wait; extending starts the ack wait anew, whatever time is asked for. Publishing again within the
 * stream's window is recognised by the id. Nothing is said of order or of groups: decision 0021 says why, and what
 * order remains.
 *
 * **Failures.** Server away: publishing is refused at once, everything else throws QUEUE_UNAVAILABLE, the connection is
 * made again for ever with a growing pause (100 ms to 5 s). Server silent: an answer is waited for 5 s, and pings find
 * out within 30 s. Server killed: its files are as the kernel has them, so what was published is there; the last acks
 * and deliveries may be forgotten, and those messages come again. Power lost: what was not yet flushed
 * (`sync_interval`, two minutes unless set) may be gone; the guide says what to set. A consumer that was removed: the
 * next question makes it again, at the latest when one was left without an answer (30 s). A body that cannot be read
 * goes to the dead letters while the rest of its batch is delivered; if that fails it comes again after 30 s.
 */
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
  readonly #strays: NatsStrays;
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
    this.#settling = new NatsSettling(link, names, config.visibilityMs);
    this.#dead = new NatsDeadLetters({ link, names, ensureStreams: () => ensureStreams(link, names, settings) });
    this.#strays = new NatsStrays({ link, names, dead: this.#dead });
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
    const decoded = decode(stored);
    const id = decoded.kind === "message" ? decoded.message.id : decoded.id;
    const { seq, publishedAtMs } = parts;
    const lane = this.#laneOf(stored.subject);
    await this.#dead.write({ seq, publishedAtMs, id, lane, reason, body: stored.data });
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

  metrics(): Promise<QueueMetrics> {
    return this.#link.call(() => readNatsMetrics(this.#link, this.#names, this.#dead));
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
    const unreadable: Promise<void>[] = [];
    for (const raw of messages) {
      const receipt = (raw.reply ?? "") as Receipt;
      const parts = parseReceipt(receipt);
      if (parts === null) continue;
      const decoded = decode(raw, lane);
      const { receiveCount, publishedAtMs, seq } = parts;
      if (decoded.kind === "message") {
        this.#settling.hold(seq, receipt);
        received.push({ message: decoded.message, receipt, receiveCount, publishedAtMs });
        continue;
      }
      const reason = `${decoded.code}: ${describeFaults(decoded.faults)}`;
      const { id } = decoded;
      unreadable.push(this.#setAside(raw, { seq, publishedAtMs, id, lane: decoded.lane ?? lane, reason }));
    }
    // Together: where dead letters are not taken now, the rest of the batch waits for one time limit, not for each.
    await Promise.all(unreadable);
    return received;
  }

  /** Never rejects, whatever is wrong: what cannot be set aside now comes again later, and the batch goes on. */
  async #setAside(raw: Msg, letter: Omit<Parameters<NatsDeadLetters["write"]>[0], "body">): Promise<void> {
    try {
      await this.#dead.write({ ...letter, body: raw.data });
      await this.#settling.ack([(raw.reply ?? "") as Receipt]);
    } catch (error) {
      const told = { error: describeError(error), seq: letter.seq };
      this.#link.deps.logger.warn(told, "a message that cannot be read stays on the queue");
      this.#settling.giveBack([raw], natsQueueLimits.stuckDelayMs);
    }
  }

  async #lanesWithMessages(): Promise<Set<PoolCode>> {
    const { streams } = this.#link.manager;
    const question = { subjects_filter: this.#names.laneSubjects, deleted_details: false };
    const { state } = await this.#link.call(() => streams.info(this.#names.stream, question));
    const lanes = new Set<PoolCode>();
    const strays: string[] = [];
    for (const subject of Object.keys(state.subjects ?? {})) {
      const lane = this.#laneOf(subject);
      if (lane === null) strays.push(subject);
      else lanes.add(lane);
    }
    // Nobody waits for it, and it never rejects.
    void this.#strays.setAside(strays);
    return lanes;
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

/** What the codec does not survive is set aside like everything else that cannot be read. */
function decode(stored: { string(): string }, lane?: PoolCode): DecodedMessage {
  try {
    return decodeMessage(stored.string(), lane);
  } catch (error) {
    const faults = [{ path: "", message: `cannot be read: ${describeError(error)}` }];
    return { kind: "malformed", code: "MESSAGE_INVALID", faults, id: null, lane: null };
  }
}
