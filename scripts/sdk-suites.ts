/**
 * What the SDK's suites came to under each runtime: its tests run under Bun with all others, and once more under Node
 * against what is published (test/sdk/node-suite.test.ts). `npm test` says both at its end.
 */
import { existsSync, readFileSync } from "node:fs";
import { appendFile } from "node:fs/promises";
import { addCounts, formatCounts, NO_TESTS, type TestCounts } from "./test-counts.ts";

/** Names the file in which Node's counts are left for the end of the run. */
export const SDK_SUITES_VARIABLE = "FC_TEST_SDK_SUITES";

/** Of the SDK's files, from the list that `bun test` writes in the format of JUnit. */
export function bunSdkCounts(junit: string): TestCounts {
  let counts = NO_TESTS;
  for (const [, attributes = ""] of junit.matchAll(/<testsuite name="packages\/sdk\/[^"]*"([^>]*)>/g)) {
    const count = (name: string): number => Number(new RegExp(`\\b${name}="(\\d+)"`).exec(attributes)?.[1] ?? 0);
    const [failed, skipped] = [count("failures"), count("skipped")];
    counts = addCounts(counts, { passed: count("tests") - failed - skipped, failed, skipped });
  }
  return counts;
}

/** From what `node --test` says at its end. */
export function nodeCounts(tap: string): TestCounts {
  const count = (word: string): number => Number(new RegExp(`^# ${word} (\\d+)$`, "m").exec(tap)?.[1] ?? 0);
  return {
    passed: count("pass"),
    failed: count("fail") + count("cancelled"),
    skipped: count("skipped") + count("todo"),
  };
}

/** Leaves Node's counts for the end of the run, if somebody waits for them. */
export async function tellNodeCounts(counts: TestCounts): Promise<void> {
  const path = process.env[SDK_SUITES_VARIABLE];
  if (path !== undefined) await appendFile(path, `${JSON.stringify(counts)}\n`);
}

/** The line for the end of the run; null when none of them ran. */
export function sdkSuitesLine(bun: TestCounts, told: string): string | null {
  const node = existsSync(told) ? (JSON.parse(readFileSync(told, "utf8")) as TestCounts) : null;
  const ran = bun.passed + bun.failed + bun.skipped > 0;
  if (!ran && node === null) return null;
  const under = (name: string, counts: TestCounts | null): string =>
    `${name}: ${counts === null ? "not run" : formatCounts(counts)}`;
  return `SDK suites: ${under("Bun", ran ? bun : null)}; ${under("Node", node)}`;
}
