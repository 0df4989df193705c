import { afterAll, afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { QueueCapabilities } from "./queue.ts";
import { QueueCases, type QueueBench } from "./queue-bench.conformance.ts";
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

/**
 * The suite every queue passes: the core, and one suite per capability it declares. What it declares decides which
 * suites run; a queue that does not declare one is not asked for it, and a difference that is not a declared capability
 * does not exist. The cases that ran are printed as a matrix, so that "passed" can be read as "passed what".
 *
 * A new queue plugs in with one file beside it:
 *
 *     describeQueueConformance("nats", capabilitiesOfNats, () => natsBench());
 *
 * The bench makes a fresh queue per case. Time is its own: a queue in a database moves a fake clock, a broker is set up
 * with short times and `passTime` really waits for them. Where a message comes back only after a while, cases call
 * `passTime` and then receive with a wait, so both kinds pass the same text.
 */
export function describeQueueConformance(
  name: string,
  capabilities: QueueCapabilities,
  setup: () => Promise<QueueBench>,
  { caseTimeoutMs = 5_000 }: { readonly caseTimeoutMs?: number } = {},
): void {
  describe(`queue conformance: ${name}`, () => {
    const context = new QueueCases(setup, capabilities, caseTimeoutMs);
    beforeEach(() => context.open());
    afterEach(() => context.close());
    test("declares what the suite was told", () => expect(context.queue.capabilities).toEqual(capabilities));

    const suites: [string, boolean, (cases: QueueCases) => void][] = [
      ["core", true, coreCases],
      ["grouping: strict", capabilities.grouping === "strict", groupingCases],
      ["priority", capabilities.priority, priorityCases],
      ["sharedBatches", capabilities.sharedBatches, sharedBatchCases],
      [`lanes: ${capabilities.lanes}`, capabilities.lanes !== "none", laneCases],
      ["lanes: one for all", capabilities.lanes !== "all", sharedLaneCases],
      ["wake-ups", !capabilities.longPoll, wakeUpCases],
      ["deadReceiptRefused", capabilities.deadReceiptRefused, deadReceiptCases],
      [`redelivery: ${capabilities.redelivery}`, true, redeliveryCases],
      ["maxDelayMs", capabilities.maxDelayMs > 0, delayCases],
      ["dedupWindowMs", capabilities.dedupWindowMs > 0, dedupCases],
      ["maxMessageBytes, maxBatch", true, limitCases],
      ["reportsOldest", capabilities.reportsOldest, oldestCases],
      [`counts: ${capabilities.counts}`, capabilities.counts !== "none", countCases],
      ["givesUpAbandoned", capabilities.givesUpAbandoned, abandonedCases],
      ["dead letters", true, deadLetterCases],
      ["dead letters, page by page", capabilities.pagesDeadLetters, deadLetterPageCases],
    ];
    for (const [suite, declared, defineCases] of suites) {
      context.declareSuite(suite, declared);
      if (!declared) continue;
      describe(suite, () => {
        // Bodies of describe run later than this loop, one after another.
        context.beginSuite(suite);
        defineCases(context);
      });
    }
    afterAll(() => process.stdout.write(context.matrix(name)));
  });
}
