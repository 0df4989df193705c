import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import type { QueueCapabilities } from "./queue.ts";
import { QueueCases, type QueueBench } from "./queue-bench.conformance.ts";
import { matrixFile } from "./queue-matrix.fixture.ts";
import { coreCases, limitCases } from "./queue-core.conformance.ts";
import {
  abandonedCases,
  countCases,
  deadLetterCases,
  deadLetterPageCases,
  oldestCases,
} from "./queue-account.conformance.ts";
import {
  deadReceiptCases,
  dedupCases,
  delayCases,
  groupingCases,
  laneCases,
  priorityCases,
  redeliveryCases,
  sharedBatchCases,
  sharedLaneCases,
  wakeUpCases,
} from "./queue-capabilities.conformance.ts";

export type { QueueBench } from "./queue-bench.conformance.ts";

interface ConformingAdapter {
  /** Its column in the matrix. */
  readonly name: string;
  readonly capabilities: QueueCapabilities;
  readonly caseTimeoutMs?: number;
}

/**
 * The suite every queue passes: the core, and one suite per capability it declares. What it declares decides which
 * suites run; a queue that does not declare one is not asked for it, and a difference that is not a declared capability
 * does not exist. What became of each case is collected (queue-matrix.fixture.ts), and `npm test` prints it as a matrix
 * of case by queue, so that "passed" can be read as "passed what".
 *
 * A new queue plugs in with one file beside it:
 *
 *     describeQueueConformance({ name: "nats", capabilities: natsCapabilities() }, () => natsBench());
 *
 * The bench makes a fresh queue per case. Time is its own: a queue in a database moves a fake clock, a broker is set up
 * with short times and `passTime` really waits for them. Where a message comes back only after a while, cases call
 * `passTime` and then receive with a wait, so both kinds pass the same text.
 */
export function describeQueueConformance(
  { name, capabilities, caseTimeoutMs = 5_000 }: ConformingAdapter,
  setup: () => Promise<QueueBench>,
): void {
  describe(`queue conformance: ${name}`, () => {
    const context = new QueueCases({ name, capabilities }, setup, caseTimeoutMs);
    beforeAll(() => context.recordSuites());
    beforeEach(() => context.open());
    afterEach(() => context.close());
    test("declares what the suite was told", () => expect(context.queue.capabilities).toEqual(capabilities));

    for (const { suite, value, declared, define } of suitesOf(capabilities)) {
      context.declareSuite(suite, declared);
      if (!declared) continue;
      describe(value === undefined ? suite : `${suite}: ${value}`, () => {
        // Bodies of describe run later than this loop, one after another.
        context.beginSuite(suite);
        define(context);
      });
    }
    afterAll(() => matrixFile() === null && process.stdout.write(context.matrix()));
  });
}

interface Suite {
  /** The same for all queues, whatever they declare. */
  readonly suite: string;
  /** What is declared, where there are more ways than one. */
  readonly value?: string;
  readonly declared: boolean;
  readonly define: (cases: QueueCases) => void;
}

function suitesOf(declares: QueueCapabilities): readonly Suite[] {
  const { lanes, redelivery, counts } = declares;
  return [
    { suite: "core", declared: true, define: coreCases },
    { suite: "grouping", value: "strict", declared: declares.grouping === "strict", define: groupingCases },
    { suite: "priority", declared: declares.priority, define: priorityCases },
    { suite: "sharedBatches", declared: declares.sharedBatches, define: sharedBatchCases },
    { suite: "lanes", value: lanes, declared: lanes !== "none", define: laneCases },
    { suite: "one lane for many", declared: lanes !== "all", define: sharedLaneCases },
    { suite: "wake-ups", declared: !declares.longPoll, define: wakeUpCases },
    { suite: "deadReceiptRefused", declared: declares.deadReceiptRefused, define: deadReceiptCases },
    { suite: "redelivery", value: redelivery, declared: true, define: redeliveryCases },
    { suite: "maxDelayMs", declared: declares.maxDelayMs > 0, define: delayCases },
    { suite: "dedupWindowMs", declared: declares.dedupWindowMs > 0, define: dedupCases },
    { suite: "maxMessageBytes, maxBatch", declared: true, define: limitCases },
    { suite: "reportsOldest", declared: declares.reportsOldest, define: oldestCases },
    { suite: "counts", value: counts, declared: counts !== "none", define: countCases },
    { suite: "givesUpAbandoned", declared: declares.givesUpAbandoned, define: abandonedCases },
    { suite: "dead letters", declared: true, define: deadLetterCases },
    { suite: "dead letters, page by page", declared: declares.pagesDeadLetters, define: deadLetterPageCases },
  ];
}
