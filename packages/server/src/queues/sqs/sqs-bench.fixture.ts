import { silentLogger, systemClock, systemRandom, type Clock } from "@flowcatalyst/foundation";
import { SQSClient } from "@aws-sdk/client-sqs";
import type { GroupKey, MessageId, PoolCode } from "../../domain/ids.ts";
import type { StandaloneMessage } from "../../domain/message.ts";
import type { BrokerQueue } from "../broker-queue.ts";
import { testSqsUrl } from "../../ports/needs-services.fixture.ts";
import { openSqsQueue } from "./index.ts";

export const visibilityMs = 60_000;
export const testLane = "DEFAULT-POOL" as PoolCode;

export interface OpenOptions {
  /** Another way to the emulator. */
  readonly endpoint?: string;
  /** More of the URL: `&lanes=A,B`. */
  readonly parameters?: string;
  readonly clock?: Clock;
}

/** What a test of its own queues needs; all that was opened is closed with it. */
export interface SqsBench {
  /** Of the emulator. */
  readonly url: string;
  readonly name: string;
  /** One more consumer of the same queue. */
  open(options?: OpenOptions): Promise<BrokerQueue>;
  /** Of the emulator's clock. */
  passTime(ms: number): Promise<void>;
  /** The address by which a stranger uses one of the queues. */
  urlOf(name: string): string;
  readonly stranger: SQSClient;
  close(): Promise<void>;
}

export function createSqsBench(ending: ".fifo" | ""): SqsBench {
  const emulator = testSqsUrl ?? "";
  const name = `fc-${crypto.randomUUID()}${ending}`;
  const opened: BrokerQueue[] = [];
  const stranger = new SQSClient({
    endpoint: emulator,
    region: "us-east-1",
    credentials: { accessKeyId: "local", secretAccessKey: "local" },
  });
  return {
    url: emulator,
    name,
    async open({ endpoint = emulator, parameters = "", clock = systemClock() } = {}) {
      const deps = { clock, random: systemRandom(), logger: silentLogger() };
      const url = `sqs://${name}?endpoint=${endpoint}&create=true${parameters}`;
      const broker = await openSqsQueue(deps, { url, name: "sqs", visibilityMs, parallelReceives: 2 });
      opened.push(broker);
      return broker;
    },
    async passTime(ms) {
      const answer = await fetch(`${emulator}/_time?pass=${ms}`);
      if (!answer.ok) throw new Error(`the emulator does not pass time: ${answer.status}`);
    },
    urlOf: (queueName) => `${emulator}/000000000000/${queueName}`,
    stranger,
    async close() {
      await Promise.all(opened.map((broker) => broker.close()));
      stranger.destroy();
    },
  };
}

export function message(id: string, overrides: Partial<StandaloneMessage> = {}): StandaloneMessage {
  return {
    kind: "standalone",
    id: id as MessageId,
    lane: testLane,
    groupKey: null,
    deduplicationId: null,
    highPriority: false,
    target: "https://example.test/hook",
    payload: id,
    contentType: "text/plain",
    headers: {},
    secretRef: null,
    traceparent: null,
    ...overrides,
  };
}

export function ofGroup(group: string): Partial<StandaloneMessage> {
  return { groupKey: group as GroupKey };
}
