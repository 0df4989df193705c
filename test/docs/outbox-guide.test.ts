import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { wireLimits } from "@flowcatalyst/contracts";
import { outboxLimits } from "@flowcatalyst/sdk/outbox";
import { openOutboxAt } from "../../packages/server/src/main/outbox-source-at.ts";
import { blocksOf, markerOf, root } from "./markdown.ts";

/** What a reader copies from the guide to the outbox is what the product prints, and what the examples run. */
const guide = "docs/guides/transactional-outbox.md";
const blocks = blocksOf(guide);

/** Nothing listens there: the statements are printed without a connection. */
const urls = {
  postgres: "postgres://127.0.0.1:1/shop",
  mysql: "mysql://127.0.0.1:1/shop",
  sqlite: "sqlite::memory:",
  mongodb: "mongodb://127.0.0.1:1/shop",
} as const;

describe("statements", () => {
  test.each(Object.entries(urls))("of %s are what `outbox init --print` prints", async (engine, outboxDbUrl) => {
    const admin = await openOutboxAt({ outboxDbUrl, outboxMode: "platform", outboxTable: undefined });
    const printed = admin.ddl().map((statement) => `${statement.trimEnd()};`);
    await admin.source.close();
    expect(blocks.find((block) => markerOf(block, "ddl") === engine)?.code).toBe(printed.join("\n\n"));
  });
});

const excerpts = blocks.flatMap((block) => {
  const from = markerOf(block, "from");
  return from === undefined ? [] : [{ from, line: block.line, code: block.code }];
});

describe("code", () => {
  test("there is some of every example of the outbox", () => {
    const examples = [...new Bun.Glob("examples/outbox-*/main.ts").scanSync({ cwd: root })];
    expect([...new Set(excerpts.map(({ from }) => from))].toSorted()).toEqual(examples.toSorted());
  });

  test.each(excerpts)("at line $line stands in $from, in this order", ({ from, code }) => {
    const source = readFileSync(join(root, from), "utf8").split("\n");
    let at = 0;
    for (const line of code.split("\n")) {
      const found = source.indexOf(line, at);
      expect(found, line).toBeGreaterThanOrEqual(at);
      at = found + 1;
    }
  });
});

test("the SDK takes no more than the platform does", () => {
  expect(outboxLimits.dataMaxBytes).toBe(wireLimits.eventDataMaxBytes);
  expect(outboxLimits.keyMaxChars).toBe(wireLimits.keyMaxChars);
  expect(outboxLimits.eventTypeMaxChars).toBe(wireLimits.eventTypeMaxChars);
  expect(outboxLimits.sourceMaxChars).toBe(wireLimits.eventSourceMaxChars);
  expect(outboxLimits.subjectMaxChars).toBe(wireLimits.eventSubjectMaxChars);
  expect(outboxLimits.urlMaxChars).toBe(wireLimits.urlMaxChars);
  expect(outboxLimits.contextDataMaxItems).toBe(wireLimits.contextDataMaxItems);
  expect(outboxLimits.clientIdMaxChars).toBeLessThanOrEqual(wireLimits.clientIdMaxChars);
});
