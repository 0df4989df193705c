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

/**
 * A queue on Amazon SQS, or on what speaks as it does: any number of publishers and consumers, in any number of
 * processes.
 *
 * **Entities.** A queue of ours is several queues of SQS: one whose name the URL has, for all lanes; one more for each
 * lane that the URL lists; and one for dead letters. All are found (or made, if that was asked for) when it is opened.
 * The body of a message is the message as text. There is no connection: each call is a request by itself.
 *
 * **States of a message**, all of them kept by SQS:
 *
 *     publish ─▶ visible ── receive ─▶ hidden, for its visibility ── ack ─▶ gone
 *                  ▲                     │        ▲        │
 *                  │ nack, end of time   │        └────────┘ extend; nack with a delay: hidden for that long
 *                  └─────────────────────┘        └──▶ dead letter: sent to the other queue, then deleted here
 *
 * A receipt is the handle that SQS gave. What is held here for it is the message, for the dead letters, and the time of
 * the receipt, because SQS hides a message for 12 hours from its receipt at most: a longer delay is cut, and a message
 * that would have to be kept for longer is let go as if its receipt were dead.
 *
 * **Order.** A queue whose name ends in `.fifo` has groups: SQS gives nobody the next of a group while one of it is
 * hidden, for whatever reason, and what becomes visible again stands where it stood. A message without a group is a
 * group by itself. Order is that of publishing, and holds among the messages of one lane; publishing sees to it that
 * messages of one call keep theirs (sqs-publishing.ts). A queue of the standard kind knows no groups, and none is
 * declared.
 *
 * **Duplicates.** A FIFO queue takes an id once in five minutes, and swallows what it knows: it answers as if it had
 * taken it, and so does `publish`. Queues made here look for duplicates within each group, which is what SQS asks in
 * return for a throughput that is not that of one queue but of each group (decision 0022). A standard queue takes all,
 * and may give out one message twice.
 *
 * **Receiving** keeps polls of up to 20 s open, each holding a connection, and cuts none of them off (sqs-polls.ts).
 *
 * **Guarantees and failures.** What is answered as published SQS has stored in several places. Without an answer a
 * message is `refused`, and may have been taken all the same: a FIFO queue knows it when it comes again. The SDK makes
 * failed calls again, three times with growing waits, also when SQS says that calls are too many; then receiving and
 * settling throw QUEUE_UNAVAILABLE, their callers go on trying, and the probe says DOWN until a call succeeds. A crash
 * leaves what it held hidden until its visibility ends. An entry that fails while the others of its batch do not is
 * sent again by itself; one that SQS will never accept has a receipt that is dead.
 *
 * A body that cannot be read goes to the dead letters, and the rest of its batch is delivered. A message is never given
 * up for being received often: SQS counts receives that ended in a nack as well, so its count proves nothing. An
 * operator may set a redrive policy that does; where it leads to the same dead-letter queue, such letters are listed
 * too.
 *
 * **Counts** are SQS's own, approximate and up to a minute old. They do not tell a message that was nacked with a delay
 * from one in flight, nor how old the oldest is.
 */
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
    this.#deadLetters = new SqsDeadLetters({ service, places, logger: deps.logger });
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
    const { clock } = this.#deps;
    const url = this.#urlOf(request.lane);
    const polls = this.#polls.get(url);
    if (polls === undefined) return [];
    const giveUpAtMs = clock.monotonicMs() + request.waitMs;
    for (;;) {
      const waitMs = Math.max(0, giveUpAtMs - clock.monotonicMs());
      const arrival = await polls.ask({ max: request.max, waitMs }, signal);
      if (arrival.messages.length === 0) return [];
      const received = await this.#take(url, request.lane, arrival);
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
    const held = this.#held.get(receipt);
    if (held === undefined) return "dead";
    const { id, lane } = held.message;
    await this.#deadLetters.bury({
      brokerId: held.brokerId,
      body: held.body ?? encodeMessage(held.message),
      id,
      lane,
      reason,
    });
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
    await Promise.all([...this.#polls.values()].map((polls) => polls.close()));
    // What cannot be given back comes back by itself when its visibility ends.
    await this.#settling.nack(this.#held.all(), 0).catch(() => undefined);
    this.#deps.service.close();
  }

  #urlOf(lane: PoolCode): string {
    const { places } = this.#deps;
    return places.byLane.get(lane) ?? places.shared;
  }

  async #take(url: string, lane: PoolCode, { messages, askedAtMs }: Arrival): Promise<readonly ReceivedMessage[]> {
    const received: ReceivedMessage[] = [];
    const unreadable: Promise<void>[] = [];
    const { maxMessageBytes } = this.capabilities;
    for (const message of messages) {
      const { Body: body = "" } = message;
      const decoded = decodeMessage(body, lane);
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
        brokerId: brokerIdOf(message),
        body: Buffer.byteLength(body) > maxMessageBytes ? body : null,
        receivedAtMs: askedAtMs,
        untilMs: askedAtMs + this.visibilityMs,
      });
      const { ApproximateReceiveCount: count, SentTimestamp: sent } = message.Attributes ?? {};
      received.push({
        message: decoded.message,
        receipt,
        brokerId: brokerIdOf(message),
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
      await this.#deadLetters.bury({ brokerId: brokerIdOf(message), body: message.Body ?? "", id, lane, reason });
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

function brokerIdOf({ MessageId: id, ReceiptHandle: handle = "" }: Message): string {
  return id ?? handle;
}

function receiptOf({ ReceiptHandle: handle = "" }: Message): Receipt {
  return handle as Receipt;
}
