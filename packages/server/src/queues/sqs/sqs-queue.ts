import type { HealthResult } from "@flowcatalyst/foundation";
import { GetQueueAttributesCommand, type Message } from "@aws-sdk/client-sqs";
import { encodeMessage, decodeMessage, describeFaults } from "../../domain/message-codec.ts";
import { defaultPoolCode } from "../../domain/dispatch-pool.ts";
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
  ReceiveRequest,
  ReceivedMessage,
} from "../../ports/queue.ts";
import type { BrokerQueueConfig, BrokerQueueDeps } from "../broker-queue.ts";
import { HeldMessages } from "./held-messages.ts";
import { SqsDeadLetters, type Burial } from "./sqs-dead-letters.ts";
import type { SqsPlaces } from "./sqs-places.ts";
import { SqsPolls, type Arrival } from "./sqs-polls.ts";
import { SqsPublishing } from "./sqs-publishing.ts";
import { sqsLimits } from "./sqs-queue-limits.ts";
import type { SqsService } from "./sqs-service.ts";
import { SqsSettling } from "./sqs-settling.ts";

interface Counts {
  readonly visible: number;
  readonly inFlight: number;
  readonly delayed: number;
}

const countNames = [
  "ApproximateNumberOfMessages",
  "ApproximateNumberOfMessagesNotVisible",
  "ApproximateNumberOfMessagesDelayed",
] as const;

export interface SqsQueueDeps extends BrokerQueueDeps {
  readonly service: SqsService;
  readonly places: SqsPlaces;
}

export interface SqsQueueConfig extends Omit<BrokerQueueConfig, "url"> {
  readonly isFifo: boolean;
}

export class SqsQueue implements QueuePublisher, QueueConsumer, DeadLetters {
  readonly name: string;
  readonly visibilityMs: number;
  readonly parallelReceives: number;
  readonly capabilities: QueueCapabilities;
  readonly #deps: SqsQueueDeps;
  readonly #held: HeldMessages;
  readonly #polls: ReadonlyMap<string, SqsPolls>;
  readonly #publishing: SqsPublishing;
  readonly #settling: SqsSettling;
  readonly #deadLetters: SqsDeadLetters;

  constructor(deps: SqsQueueDeps, config: SqsQueueConfig) {
    const { service, places, clock, random } = deps;
    this.#deps = deps;
    this.name = config.name;
    this.visibilityMs = config.visibilityMs;
    this.parallelReceives = config.parallelReceives;
    this.capabilities = sqsCapabilities(config.isFifo, places);
    this.#held = new HeldMessages(clock, config.visibilityMs);
    this.#publishing = new SqsPublishing(
      { service, urlOf: (lane) => this.#urlOf(lane) },
      {
        isFifo: config.isFifo,
        maxMessageBytes: this.capabilities.maxMessageBytes,
        batchLimitBytes: places.messageLimitBytes,
      },
    );
    this.#settling = new SqsSettling({ service, held: this.#held, clock, random });
    this.#deadLetters = new SqsDeadLetters({ service, places, clock });
    const visibilitySeconds = Math.ceil(config.visibilityMs / 1_000);
    const urls = [places.shared, ...places.byLane.values()];
    this.#polls = new Map(
      urls.map((url) => {
        const giveBack = (messages: readonly Message[]): Promise<void> => this.#giveBack(url, messages);
        return [
          url,
          new SqsPolls({ service, clock, random, giveBack }, { url, isFifo: config.isFifo, visibilitySeconds }),
        ];
      }),
    );
  }

  async publish(messages: readonly QueueMessage[]): Promise<readonly PublishResult[]> {
    return this.#publishing.publish(messages);
  }

  async readyLanes(): Promise<readonly PoolCode[]> {
    return [defaultPoolCode, ...this.#deps.places.byLane.keys()];
  }

  /** A batch of nothing but what cannot be read calls for another one. */
  async receive(request: ReceiveRequest, signal: AbortSignal): Promise<readonly ReceivedMessage[]> {
    const { clock, service } = this.#deps;
    const url = this.#urlOf(request.lane);
    const polls = this.#polls.get(url);
    if (polls === undefined) return [];
    const ends = AbortSignal.any([signal, service.closed]);
    const giveUpAtMs = clock.monotonicMs() + request.waitMs;
    for (;;) {
      const waitMs = Math.max(0, giveUpAtMs - clock.monotonicMs());
      const arrival = await polls.ask({ max: request.max, waitMs }, ends);
      if (arrival.messages.length === 0) return [];
      const received = await this.#take(url, arrival);
      if (received.length > 0) return received;
    }
  }

  ack(receipts: readonly Receipt[]): Promise<readonly ReceiptResult[]> {
    return this.#settling.ack(receipts);
  }

  nack(receipts: readonly Receipt[], delayMs: number): Promise<readonly ReceiptResult[]> {
    return this.#settling.nack(receipts, delayMs);
  }

  extend(receipts: readonly Receipt[], forMs: number): Promise<readonly ReceiptResult[]> {
    return this.#settling.extend(receipts, forMs);
  }

  async deadLetter(receipt: Receipt, reason: string): Promise<ReceiptResult> {
    const message = this.#held.get(receipt)?.message;
    if (message === undefined) return "dead";
    const { id, lane } = message;
    await this.#deadLetters.bury({ receipt, body: encodeMessage(message), id, lane, reason });
    const [result] = await this.#settling.ack([receipt]);
    return result ?? "dead";
  }

  listDeadLetters(request: { readonly limit: number }): Promise<DeadLetterPage> {
    return this.#deadLetters.listDeadLetters(request);
  }

  settleDeadLetters(
    keys: readonly DeadLetterKey[],
    decide: (letter: DeadLetter) => Promise<"remove" | "keep">,
  ): Promise<readonly ("removed" | "kept" | "missing")[]> {
    return this.#deadLetters.settleDeadLetters(keys, decide);
  }

  async metrics(): Promise<QueueMetrics> {
    const { places } = this.#deps;
    const urls = [...new Set([places.dead, ...this.#polls.keys()])];
    const [dead, ...queues] = await Promise.all(urls.map((url) => this.#counts(url)));
    const sumOf = (countOf: (counts: Counts) => number): number => queues.reduce((sum, each) => sum + countOf(each), 0);
    return {
      visible: sumOf(({ visible }) => visible),
      inFlight: sumOf(({ inFlight }) => inFlight),
      delayed: sumOf(({ delayed }) => delayed),
      dead: dead === undefined ? 0 : dead.visible + dead.inFlight + dead.delayed,
      oldestUnsettledAtMs: null,
    };
  }

  /** Nobody is called: whoever wants to know keeps a question open. */
  onAvailable(): () => void {
    return () => undefined;
  }

  probe(): HealthResult {
    return this.#deps.service.probe();
  }

  async close(): Promise<void> {
    const { service } = this.#deps;
    service.stopWaiting();
    const polls = [...this.#polls.values()];
    await Promise.all(polls.map((each) => each.whenQuiet(sqsLimits.closeGraceMs)));
    await Promise.all(polls.map((each) => each.release()));
    // What cannot be given back comes back by itself when its visibility ends.
    await this.#settling.nack(this.#held.all(), 0).catch(() => undefined);
    service.close();
  }

  #urlOf(lane: PoolCode): string {
    const { places } = this.#deps;
    return places.byLane.get(lane) ?? places.shared;
  }

  async #take(url: string, { messages, askedAtMs }: Arrival): Promise<readonly ReceivedMessage[]> {
    const received: ReceivedMessage[] = [];
    const unreadable: Promise<void>[] = [];
    for (const message of messages) {
      const decoded = decodeMessage(message.Body ?? "");
      if (decoded.kind === "malformed") {
        const reason = `${decoded.code}: ${describeFaults(decoded.faults)}`;
        unreadable.push(this.#setAside(url, message, { ...decoded, reason }));
        continue;
      }
      const receipt = receiptOf(message);
      this.#held.hold({
        receipt,
        url,
        message: decoded.message,
        receivedAtMs: askedAtMs,
        untilMs: askedAtMs + this.visibilityMs,
      });
      const { ApproximateReceiveCount: count, SentTimestamp: sent } = message.Attributes ?? {};
      received.push({
        message: decoded.message,
        receipt,
        receiveCount: Number(count ?? 1),
        publishedAtMs: Number(sent ?? this.#deps.clock.now()),
      });
    }
    await Promise.all(unreadable);
    return received;
  }

  /** What cannot be set aside now comes back, and is tried again. */
  async #setAside(url: string, message: Message, burial: Pick<Burial, "id" | "lane" | "reason">): Promise<void> {
    const receipt = receiptOf(message);
    try {
      const { id, lane, reason } = burial;
      await this.#deadLetters.bury({ receipt, body: message.Body ?? "", id, lane, reason });
      await this.#settling.remove([{ url, receipt }]);
    } catch (error) {
      this.#deps.logger.error({ error, queue: this.name }, "a message that cannot be read cannot be set aside");
    }
  }

  async #giveBack(url: string, messages: readonly Message[]): Promise<void> {
    try {
      await this.#settling.show(messages.map((message) => ({ url, receipt: receiptOf(message) })));
    } catch (error) {
      this.#deps.logger.debug(
        { error, queue: this.name },
        "messages come back when their visibility ends, not at once",
      );
    }
  }

  async #counts(url: string): Promise<Counts> {
    const { service } = this.#deps;
    const command = new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: [...countNames] });
    const { Attributes: attributes } = await service.call((options) => service.client.send(command, options));
    const [visible = 0, inFlight = 0, delayed = 0] = countNames.map((name) => Number(attributes?.[name] ?? 0));
    return { visible, inFlight, delayed };
  }
}

export function sqsCapabilities(isFifo: boolean, places: SqsPlaces): QueueCapabilities {
  return {
    grouping: isFifo ? "strict" : "none",
    priority: false,
    sharedBatches: false,
    lanes: places.byLane.size > 0 ? "listed" : "none",
    longPoll: true,
    deadReceiptRefused: false,
    redelivery: "visibility",
    maxDelayMs: sqsLimits.maxHiddenSeconds * 1_000,
    dedupWindowMs: isFifo ? sqsLimits.dedupWindowMs : 0,
    reportsDuplicates: false,
    maxMessageBytes: places.messageLimitBytes - sqsLimits.attributesBytes,
    maxBatch: sqsLimits.maxBatch,
    reportsOldest: false,
    counts: "delayedAsInFlight",
    givesUpAbandoned: false,
    pagesDeadLetters: false,
    carriesReferences: false,
  };
}

function receiptOf({ ReceiptHandle: handle = "" }: Message): Receipt {
  return handle as Receipt;
}
