import { describe, expect, test } from "bun:test";
import { formatCounts, parseBunSummary, parseCounts } from "./test-counts.ts";

const SUMMARY = `
a.test.ts:
(pass) prints a line that looks like a count

 3 fail
 12 pass
 1 skip
 2 todo
 0 fail
 40 expect() calls
Ran 15 tests across 1 file. [1.51s]
`;

describe("parseBunSummary", () => {
  test("reads the summary, and of two lines the last", () => {
    expect(parseBunSummary(SUMMARY, 0)).toEqual({ passed: 12, failed: 0, skipped: 3 });
  });

  test("counts errors outside tests as failures", () => {
    expect(parseBunSummary(" 4 pass\n 1 fail\n 1 error\n", 1)).toEqual({ passed: 4, failed: 2, skipped: 0 });
  });

  test("a crash without a summary is one failure", () => {
    expect(parseBunSummary("Segmentation fault", 139)).toEqual({ passed: 0, failed: 1, skipped: 0 });
  });
});

test("what formatCounts writes, parseCounts reads", () => {
  const counts = { passed: 7, failed: 2, skipped: 1 };
  expect(parseCounts(`something\n${formatCounts(counts)}\n`)).toEqual(counts);
  expect(parseCounts("nothing of the kind")).toBeNull();
});
