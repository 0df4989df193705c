import { CodedError, type Clock } from "@flowcatalyst/foundation";
import { defaultPoolCode } from "../domain/dispatch-pool.ts";
import type { MessageId, PoolCode } from "../domain/ids.ts";
import type { QueueMessage, StandaloneMessage } from "../domain/message.ts";
import type {
  QueueCapabilities,
  QueueConsumer,
  QueueMetrics,
  ReceivedMessage,
  ReceiveRequest,
  Receipt,
  ReceiptResult,
} from "../ports/queue.ts";
import { standaloneDefaults } from "./router.fixture.ts";

export interface ScriptedQueueOptions {
  readonly name?: string;
  readonly capabilities?: Partial<QueueCapabilities>;
  readonly parallelReceives?: number;
  readonly visibilityMs?: number;
  /** It has ids of its own, and does not keep those of senders apart. */
  readonly hasBrokerIds?: boolean;
  /** From its receipt on a message is extended for so long at most. */
  readonly extendsForMs?: number;
  /** Lanes that can be received from by themselves, where some are listed. */
  readonly listed?: readonly string[];
}

interface Held {
  readonly message: QueueMessage;
  readonly brokerId: string;
  readonly lane: PoolCode;
  readonly publishedAtMs: number;
  receiveCount: number;
  receipt: Receipt | null;
  receivedAtMs: number;
  /** Until when nobody gets it. */
  hiddenUntilMs: number;
}

/** A broker as its declared capabilities make it, in memory and on the clock of the test: first in, first out. */
export class ScriptedQueue implements QueueConsumer {
  readonly name: string;
  readonly capabilities: QueueCapabilities;
  readonly visibilityMs: number;
  readonly parallelReceives: number;
  readonly counts = { receives: 0, received: 0, acks: 0, nacks: 0, extensions: 0 };
  readonly dead: { readonly id: MessageId; readonly reason: string }[] = [];
  readonly failing = new Set<string>();
  /** Questions that wait now, by lane. */
  readonly open = new Map<string, number>();
  /** What readyLanes names besides lanes with messages. */
  named: readonly string[] = [];
  readonly #clock: Clock;
  readonly #options: ScriptedQueueOptions;
  #held: Held[] = [];
  #waiting: (() => void)[] = [];
  #lastId = 0;

  constructor(clock: Clock, options: ScriptedQueueOptions = {}) {
    this.#clock = clock;
    this.#options = options;
    this.name = options.name ?? "broker";
    this.visibilityMs = options.visibilityMs ?? 60_000;
    this.parallelReceives = options.parallelReceives ?? 1;
    this.capabilities = { ...brokerCapabilities, ...options.capabilities };
  }

  publish(message: QueueMessage): void {
    this.#held.push({
      message,
      brokerId: `b${++this.#lastId}`,
      lane: this.#laneOf(message.lane),
      publishedAtMs: this.#clock.now(),
      receiveCount: 0,
      receipt: null,
      receivedAtMs: 0,
      hiddenUntilMs: 0,
    });
    this.#tell();
  }

  publishStandalone(message: Partial<Omit<StandaloneMessage, "id">> & { readonly id: string }): void {
    this.publish({ ...standaloneDefaults, ...message, id: message.id as MessageId });
  }

  /** Messages neither acked nor set aside. */
  get size(): number {
    return this.#held.length;
  }

  get inFlight(): number {
    return this.#held.filter(({ receipt }) => receipt !== null).length;
  }

  async readyLanes(): Promise<readonly PoolCode[]> {
    if (this.failing.has("readyLanes")) throw new CodedError("QUEUE_UNAVAILABLE");
    const lanes = new Set(this.#held.map(({ lane }) => lane));
    for (const lane of this.named) lanes.add(lane as PoolCode);
    return [...lanes];
  }

  async receive({ lane, max, waitMs }: ReceiveRequest, signal: AbortSignal): Promise<readonly ReceivedMessage[]> {
    this.counts.receives++;
    const untilMs = this.#clock.monotonicMs() + waitMs;
    this.open.set(lane, (this.open.get(lane) ?? 0) + 1);
    try {
      for (;;) {
        if (this.failing.has(lane)) throw new CodedError("QUEUE_UNAVAILABLE");
        if (signal.aborted) return [];
        const batch = this.#take(lane, Math.min(max, this.capabilities.maxBatch));
        const leftMs = untilMs - this.#clock.monotonicMs();
        if (batch.length > 0 || leftMs <= 0) return batch;
        await this.#untilTold(leftMs, signal);
      }
    } finally {
      const left = (this.open.get(lane) ?? 1) - 1;
      if (left === 0) this.open.delete(lane);
      else this.open.set(lane, left);
    }
  }

  ack(receipts: readonly Receipt[]): Promise<readonly ReceiptResult[]> {
    this.counts.acks += receipts.length;
    return this.#settle(receipts, (held) => this.#remove(held));
  }

  nack(receipts: readonly Receipt[], delayMs: number): Promise<readonly ReceiptResult[]> {
    this.counts.nacks += receipts.length;
    const waitMs = Math.min(delayMs, this.capabilities.maxDelayMs);
    return this.#settle(receipts, (held) => {
      held.receipt = null;
      held.hiddenUntilMs = this.#clock.monotonicMs() + waitMs;
    });
  }

  extend(receipts: readonly Receipt[], forMs: number): Promise<readonly ReceiptResult[]> {
    this.counts.extensions += receipts.length;
    const nowMs = this.#clock.monotonicMs();
    const mostMs = this.#options.extendsForMs ?? Number.POSITIVE_INFINITY;
    return this.#settle(receipts, (held) => {
      if (nowMs - held.receivedAtMs < mostMs) {
        held.hiddenUntilMs = nowMs + forMs;
        return;
      }
      held.receipt = null;
      held.hiddenUntilMs = 0;
      return "dead";
    });
  }

  async deadLetter(receipt: Receipt, reason: string): Promise<ReceiptResult> {
    const [result] = await this.#settle([receipt], (held) => {
      this.dead.push({ id: held.message.id, reason });
      this.#remove(held);
    });
    return result ?? "dead";
  }

  async metrics(): Promise<QueueMetrics> {
    const inFlight = this.#held.filter(({ receipt }) => receipt !== null).length;
    const rest = { delayed: 0, dead: this.dead.length, oldestUnsettledAtMs: null };
    return { visible: this.#held.length - inFlight, inFlight, ...rest };
  }

  onAvailable(): () => void {
    return () => undefined;
  }

  #laneOf(lane: PoolCode): PoolCode {
    const { lanes } = this.capabilities;
    const isOwn = lanes === "all" || (lanes === "listed" && this.#options.listed?.includes(lane) === true);
    return isOwn ? lane : defaultPoolCode;
  }

  #take(lane: PoolCode, max: number): ReceivedMessage[] {
    const nowMs = this.#clock.monotonicMs();
    const batch: ReceivedMessage[] = [];
    for (const held of this.#held) {
      if (batch.length >= max) break;
      if (held.lane !== lane || held.hiddenUntilMs > nowMs) continue;
      held.receiveCount++;
      held.receipt = `${held.brokerId}/${held.receiveCount}` as Receipt;
      held.receivedAtMs = nowMs;
      held.hiddenUntilMs = nowMs + this.visibilityMs;
      const { message, receipt, receiveCount, publishedAtMs, brokerId } = held;
      const ids = this.#options.hasBrokerIds === true ? { brokerId } : {};
      batch.push({ message, receipt, receiveCount, publishedAtMs, ...ids });
    }
    this.counts.received += batch.length;
    return batch;
  }

  async #settle(
    receipts: readonly Receipt[],
    settle: (held: Held) => ReceiptResult | void,
  ): Promise<readonly ReceiptResult[]> {
    const results = receipts.map((receipt): ReceiptResult => {
      const held = this.#held.find((one) => one.receipt === receipt);
      return held === undefined ? "dead" : (settle(held) ?? "done");
    });
    this.#tell();
    return results;
  }

  #remove(held: Held): void {
    this.#held = this.#held.filter((one) => one !== held);
  }

  #tell(): void {
    for (const told of this.#waiting.splice(0)) told();
  }

  /** Told of a change, or when something comes out of hiding. */
  async #untilTold(mostMs: number, signal: AbortSignal): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    const hidden = this.#held.map(({ hiddenUntilMs }) => hiddenUntilMs - nowMs).filter((ms) => ms > 0);
    const told = Promise.withResolvers<void>();
    this.#waiting.push(told.resolve);
    const stop = (): void => told.resolve();
    signal.addEventListener("abort", stop, { once: true });
    const cancel = this.#clock.setTimer(Math.min(mostMs, ...hidden), told.resolve);
    await told.promise;
    cancel();
    signal.removeEventListener("abort", stop);
    this.#waiting = this.#waiting.filter((one) => one !== told.resolve);
  }
}

const brokerCapabilities: QueueCapabilities = {
  grouping: "none",
  priority: false,
  sharedBatches: false,
  lanes: "none",
  longPoll: true,
  deadReceiptRefused: true,
  redelivery: "visibility",
  maxDelayMs: 0,
  reportsDuplicates: false,
  dedupWindowMs: 0,
  maxMessageBytes: 262_144,
  maxBatch: 10,
  reportsOldest: false,
  counts: "all",
  givesUpAbandoned: false,
  pagesDeadLetters: false,
  carriesReferences: false,
};
