/** What a test run came to. */
export interface TestCounts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export const NO_TESTS: TestCounts = { passed: 0, failed: 0, skipped: 0 };

export function addCounts(a: TestCounts, b: TestCounts): TestCounts {
  return { passed: a.passed + b.passed, failed: a.failed + b.failed, skipped: a.skipped + b.skipped };
}

/** `12 passed, 0 failed`, and the skipped ones if there are any. */
export function formatCounts(counts: TestCounts): string {
  const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : "";
  return `${counts.passed} passed, ${counts.failed} failed${skipped}`;
}

/** Reads the last line written by `formatCounts`; null when the output has none. */
export function parseCounts(output: string): TestCounts | null {
  const last = [...output.matchAll(/^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/gm)].at(-1);
  if (last === undefined) return null;
  return { passed: Number(last[1]), failed: Number(last[2]), skipped: Number(last[3] ?? 0) };
}

/**
 * Reads the summary at the end of `bun test`. Errors outside a test count as failures, and a run that ended badly
 * without naming a failure (a crash, a file that does not load, no test at all) counts as one.
 */
export function parseBunSummary(output: string, exitCode: number): TestCounts {
  const count = (word: string) => {
    const last = [...output.matchAll(new RegExp(`^ *(\\d+) ${word}$`, "gm"))].at(-1);
    return Number(last?.[1] ?? 0);
  };
  const failed = count("fail") + count("errors?");
  const unnamed = exitCode !== 0 && failed === 0 ? 1 : 0;
  return { passed: count("pass"), failed: failed + unnamed, skipped: count("skip") + count("todo") };
}
