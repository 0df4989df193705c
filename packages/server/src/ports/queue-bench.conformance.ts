import { expect, test } from "bun:test";
import type { GroupKey, JobId, MessageId, PoolCode } from "../domain/ids.ts";
import type { PlatformMessage, QueueMessage, StandaloneMessage } from "../domain/message.ts";
import type {
  DeadLetter,
  DeadLetters,
  QueueCapabilities,
  QueueConsumer,
  QueuePublisher,
  ReceivedMessage,
  Receipt,
} from "./queue.ts";
import { recordedCase, writeMatrixLine } from "./queue-matrix.fixture.ts";

/** What a queue brings to the suite: itself, time, and the accidents of its kind. */
export interface QueueBench {
  readonly queue: ConformingQueue;
  /** How long a received message stays invisible, as the bench set it up. */
  readonly visibilityMs: number;
  /**
   * How long a message may take from its publishing until it can be received: a case asks again until it has as many as
   * it asked for, or nothing has come for so long. 0: everything is there at once, and one question gets it.
   */
  readonly promptMs: number;
  /** Lets this much time pass for the queue. */
  passTime(ms: number): Promise<void>;
  /**
   * The consumer dies without a word and another one takes its place: killed broker, killed process, new connection.
   */
  crash(): Promise<ConformingQueue>;
  /** Puts a body on the queue as a stranger could. */
  putRaw(lane: PoolCode, body: string): Promise<void>;
  close(): Promise<void>;
}

export type ConformingQueue = QueuePublisher & QueueConsumer & DeadLetters;

export const defaultLane = "DEFAULT-POOL" as PoolCode;
export const otherLane = "OTHER" as PoolCode;

/** What the cases share: the bench of the case that runs, and the cases of each suite. */
export class QueueCases {
  readonly #adapter: string;
  /** As the suite was told, for what depends on them while no case runs. */
  readonly capabilities: QueueCapabilities;
  readonly #setup: () => Promise<QueueBench>;
  readonly #timeoutMs: number;
  readonly #suites = new Map<string, string[] | null>();
  #suite = "";
  #bench: QueueBench | undefined;
  #queue: ConformingQueue | undefined;

  constructor(
    adapter: { readonly name: string; readonly capabilities: QueueCapabilities },
    setup: () => Promise<QueueBench>,
    timeoutMs: number,
  ) {
    this.#adapter = adapter.name;
    this.capabilities = adapter.capabilities;
    this.#setup = setup;
    this.#timeoutMs = timeoutMs;
  }

  async open(): Promise<void> {
    this.#bench = await this.#setup();
    this.#queue = this.#bench.queue;
  }

  async close(): Promise<void> {
    await this.#bench?.close();
  }

  get bench(): QueueBench {
    if (this.#bench === undefined) throw new Error("no case runs");
    return this.#bench;
  }

  get queue(): ConformingQueue {
    if (this.#queue === undefined) throw new Error("no case runs");
    return this.#queue;
  }

  declareSuite(suite: string, declared: boolean): void {
    this.#suites.set(suite, declared ? [] : null);
  }

  /** Cases defined from now on belong to it. */
  beginSuite(suite: string): void {
    this.#suite = suite;
  }

  test(title: string, run: () => Promise<void>): void {
    this.#suites.get(this.#suite)?.push(title);
    const place = { adapter: this.#adapter, suite: this.#suite, title };
    test(title, recordedCase(place, run, this.#timeoutMs), this.#timeoutMs);
  }

  /** Tells the matrix which cases this queue is asked for, and what it does not declare. */
  recordSuites(): void {
    for (const [suite, cases] of this.#suites) {
      writeMatrixLine({ kind: "suite", adapter: this.#adapter, suite, cases });
    }
  }

  /** What one queue is asked for, where nobody collects the cases of all. */
  matrix(): string {
    const lines = [...this.#suites].map(([suite, cases]) => {
      return `  ${suite.padEnd(40)} ${cases === null ? "not declared" : `${cases.length} cases`}`;
    });
    return `${this.#adapter}:\n${lines.join("\n")}\n`;
  }

  async crash(): Promise<void> {
    this.#queue = await this.bench.crash();
  }

  async publish(...messages: QueueMessage[]): Promise<void> {
    const results = await this.queue.publish(messages);
    expect(results.map((result) => result.kind)).toEqual(messages.map(() => "published"));
  }

  async receive(max = 10, lane = defaultLane, waitMs = 0): Promise<readonly ReceivedMessage[]> {
    const { promptMs } = this.bench;
    const received: ReceivedMessage[] = [];
    for (;;) {
      // The wait is for the first one; what has come already must not be waited with until it comes a second time.
      const thisWaitMs = received.length === 0 ? Math.max(waitMs, promptMs) : promptMs;
      const request = { lane, max: max - received.length, waitMs: thisWaitMs };
      const batch = await this.queue.receive(request, new AbortController().signal);
      received.push(...batch);
      if (promptMs === 0 || batch.length === 0 || received.length >= max) return received;
    }
  }

  async deadLetters(limit = 10): Promise<readonly DeadLetter[]> {
    return (await this.queue.listDeadLetters({ limit, after: null })).letters;
  }

  async receiveIds(max = 10, lane = defaultLane): Promise<string[]> {
    return idsOf(await this.receive(max, lane));
  }

  async ackAll(received: readonly ReceivedMessage[]): Promise<void> {
    await this.queue.ack(receiptsOf(received));
  }

  /** Visibility ends for everything received until now. */
  expireVisibility(): Promise<void> {
    return this.bench.passTime(this.bench.visibilityMs + 1);
  }
}

export function platform(id: string, group: string | null = null, lane: PoolCode = defaultLane): PlatformMessage {
  return {
    kind: "platform",
    id: id as MessageId,
    lane,
    groupKey: group as GroupKey | null,
    jobs: [{ kind: "reference", jobId: `job_${id}` as JobId, generation: 1, bytes: 10 }],
    traceparent: null,
  };
}

export function standalone(id: string, overrides: Partial<StandaloneMessage> = {}): StandaloneMessage {
  return {
    kind: "standalone",
    id: id as MessageId,
    lane: defaultLane,
    groupKey: null,
    deduplicationId: null,
    highPriority: false,
    target: "https://example.test/hook",
    payload: `{"id":"${id}"}`,
    contentType: "application/json",
    headers: {},
    secretRef: null,
    traceparent: null,
    ...overrides,
  };
}

export function idsOf(received: readonly ReceivedMessage[]): string[] {
  return received.map(({ message }) => message.id);
}

export function receiptsOf(received: readonly ReceivedMessage[]): Receipt[] {
  return received.map(({ receipt }) => receipt);
}

export function group(name: string): Partial<StandaloneMessage> {
  return { groupKey: name as GroupKey };
}
