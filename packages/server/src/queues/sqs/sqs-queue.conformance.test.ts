import { silentLogger, systemClock, systemRandom } from "@flowcatalyst/foundation";
import { SQSClient, SendMessageCommand } from "@aws-sdk/client-sqs";
import { describeQueueConformance, type QueueBench } from "../../ports/queue.conformance.ts";
import { describeWithSqs, testSqsUrl } from "../../ports/needs-services.fixture.ts";
import type { PoolCode } from "../../domain/ids.ts";
import type { QueueCapabilities } from "../../ports/queue.ts";
import type { BrokerQueue } from "../broker-queue.ts";
import { openSqsQueue } from "./index.ts";

const visibilityMs = 60_000;
const deps = { clock: systemClock(), random: systemRandom(), logger: silentLogger() };

const capabilities = {
  priority: false,
  sharedBatches: false,
  longPoll: true,
  deadReceiptRefused: false,
  redelivery: "visibility",
  maxDelayMs: 43_200_000,
  reportsDuplicates: false,
  maxMessageBytes: 1_048_576 - 2_048,
  maxBatch: 10,
  reportsOldest: false,
  counts: "delayedAsInFlight",
  givesUpAbandoned: false,
  pagesDeadLetters: false,
  carriesReferences: false,
} as const;

interface Kind {
  /** Of the queue's name: `.fifo`, or nothing. */
  readonly ending: string;
  readonly lanes: readonly PoolCode[];
}

/** A queue of its own for each case, with the emulator's clock for time. */
async function setup({ ending, lanes }: Kind): Promise<QueueBench> {
  const emulator = testSqsUrl ?? "";
  const name = `fc-${crypto.randomUUID()}`;
  const url = `sqs://${name}${ending}?endpoint=${emulator}&create=true&lanes=${lanes.join(",")}`;
  const opened: BrokerQueue[] = [];
  const open = async (): Promise<BrokerQueue["queue"]> => {
    const broker = await openSqsQueue(deps, { url, name: "sqs", visibilityMs, parallelReceives: 2 });
    opened.push(broker);
    return broker.queue;
  };
  const stranger = new SQSClient({
    endpoint: emulator,
    region: "us-east-1",
    credentials: { accessKeyId: "local", secretAccessKey: "local" },
  });
  return {
    queue: await open(),
    visibilityMs,
    promptMs: 0,
    passTime: async (ms) => {
      const answer = await fetch(`${emulator}/_time?pass=${ms}`);
      if (!answer.ok) throw new Error(`the emulator does not pass time: ${answer.status}`);
    },
    // Nobody hears of the one before again; what it holds stays hidden for its visibility.
    crash: open,
    async putRaw(lane, body) {
      const own = lanes.includes(lane) ? `${name}-${lane}${ending}` : `${name}${ending}`;
      const group = crypto.randomUUID();
      const ids = ending === "" ? {} : { MessageGroupId: group, MessageDeduplicationId: group };
      const queueUrl = `${emulator}/000000000000/${own}`;
      await stranger.send(new SendMessageCommand({ QueueUrl: queueUrl, MessageBody: body, ...ids }));
    },
    async close() {
      await Promise.all(opened.map((broker) => broker.close()));
      stranger.destroy();
    },
  };
}

describeWithSqs("the queue on SQS", () => {
  const fifo: QueueCapabilities = { ...capabilities, grouping: "strict", dedupWindowMs: 300_000, lanes: "listed" };
  const otherLane = "OTHER" as PoolCode;
  describeQueueConformance("sqs-fifo", fifo, () => setup({ ending: ".fifo", lanes: [otherLane] }), {
    caseTimeoutMs: 20_000,
  });
  const standard: QueueCapabilities = { ...capabilities, grouping: "none", dedupWindowMs: 0, lanes: "none" };
  describeQueueConformance("sqs-standard", standard, () => setup({ ending: "", lanes: [] }), {
    caseTimeoutMs: 20_000,
  });
});
