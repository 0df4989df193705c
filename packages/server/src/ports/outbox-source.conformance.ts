import { beforeAll, describe } from "bun:test";
import type { OutboxForm } from "../domain/outbox-row.ts";
import { adminCases, choiceCases, listenCases } from "./outbox-admin.conformance.ts";
import { lookCases, orderCases, retryCases } from "./outbox-claim.conformance.ts";
import { routerFormCases } from "./outbox-router.conformance.ts";
import { leaseCases, settleCases } from "./outbox-settle.conformance.ts";
import { OutboxCases, type OutboxSourceBench } from "./outbox-source-bench.conformance.ts";
import type { OutboxSourceCapabilities } from "./outbox-source.ts";

export type { NewRow, OutboxSourceBench } from "./outbox-source-bench.conformance.ts";

interface ConformingSource {
  /** Its column in the matrix. */
  readonly name: string;
  readonly capabilities: OutboxSourceCapabilities;
  readonly caseTimeoutMs?: number;
}

interface Suite {
  readonly suite: string;
  readonly form: OutboxForm;
  readonly define: (cases: OutboxCases) => void;
}

/**
 * The suite every outbox source passes, on both forms of the table. `setup` makes a database of its own for each case,
 * with the tables of that form. What became of each case is collected for the matrix that `npm test` prints.
 *
 *     describeOutboxConformance({ name: "sqlite", capabilities }, (form) => bench(form));
 */
export function describeOutboxConformance(
  { name, capabilities, caseTimeoutMs = 10_000 }: ConformingSource,
  setup: (form: OutboxForm) => Promise<OutboxSourceBench>,
): void {
  const suites: readonly Suite[] = [
    { suite: "looks", form: "platform", define: lookCases },
    { suite: "order", form: "platform", define: orderCases },
    { suite: "retries", form: "platform", define: retryCases },
    { suite: "outcomes", form: "platform", define: settleCases },
    { suite: "lease", form: "platform", define: leaseCases },
    { suite: "operators", form: "platform", define: adminCases },
    { suite: "choices of operators", form: "platform", define: choiceCases },
    { suite: "wake-ups", form: "platform", define: (cases) => listenCases(cases, capabilities.wakeUps) },
    { suite: "the older form", form: "router", define: routerFormCases },
  ];
  describe(`outbox source conformance: ${name}`, () => {
    const cases = new OutboxCases(name, setup, caseTimeoutMs);
    beforeAll(() => cases.recordSuites());
    for (const { suite, form, define } of suites) {
      describe(suite, () => {
        // Bodies of describe run later than this loop, one after another.
        cases.beginSuite(suite, form);
        define(cases);
      });
    }
  });
}
