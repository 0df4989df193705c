import { SendMessageCommand } from "@aws-sdk/client-sqs";
import { describeWithSqs } from "../../ports/needs-services.fixture.ts";
import { describeQueueConformance, type QueueBench } from "../../ports/queue.conformance.ts";
import type { PoolCode } from "../../domain/ids.ts";
import type { QueueCapabilities } from "../../ports/queue.ts";
import { besideName } from "./sqs-queue-url.ts";
import { createSqsBench, visibilityMs } from "./sqs-bench.fixture.ts";

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

const caseTimeoutMs = 20_000;
const otherLane = "OTHER" as PoolCode;

interface Kind {
  readonly ending: ".fifo" | "";
  /** With queues of their own. */
  readonly lanes: readonly PoolCode[];
}

/** A queue of its own for each case, with the emulator's clock for time. */
async function setup({ ending, lanes }: Kind): Promise<QueueBench> {
  const bench = createSqsBench(ending);
  const open = async () => (await bench.open({ parameters: `&lanes=${lanes.join(",")}` })).queue;
  return {
    queue: await open(),
    visibilityMs,
    promptMs: 0,
    passTime: bench.passTime,
    // Nobody hears of the one before again; what it holds stays hidden for its visibility.
    crash: open,
    async putRaw(lane, body) {
      const own = lanes.includes(lane) ? besideName(bench.name, lane) : bench.name;
      const group = crypto.randomUUID();
      const ids = ending === "" ? {} : { MessageGroupId: group, MessageDeduplicationId: group };
      await bench.stranger.send(new SendMessageCommand({ QueueUrl: bench.urlOf(own), MessageBody: body, ...ids }));
    },
    close: bench.close,
  };
}

describeWithSqs("the queue on SQS", () => {
  const fifo: QueueCapabilities = { ...capabilities, grouping: "strict", dedupWindowMs: 300_000, lanes: "listed" };
  const fifoKind: Kind = { ending: ".fifo", lanes: [otherLane] };
  describeQueueConformance({ name: "sqs-fifo", capabilities: fifo, caseTimeoutMs }, () => setup(fifoKind));
  const standard: QueueCapabilities = { ...capabilities, grouping: "none", dedupWindowMs: 0, lanes: "none" };
  describeQueueConformance({ name: "sqs-standard", capabilities: standard, caseTimeoutMs }, () =>
    setup({ ending: "", lanes: [] }),
  );
});
