import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bunSdkCounts, nodeCounts, sdkSuitesLine } from "./sdk-suites.ts";
import { NO_TESTS } from "./test-counts.ts";

const folders: string[] = [];
afterEach(() => folders.splice(0).forEach((folder) => rmSync(folder, { recursive: true, force: true })));

function setup(): string {
  const folder = mkdtempSync(join(tmpdir(), "flowcatalyst-suites-"));
  folders.push(folder);
  return join(folder, "told.json");
}

const junit = `
<testsuites name="bun test" tests="9" failures="1" skipped="2">
  <testsuite name="packages/sdk/src/a.test.ts" file="packages/sdk/src/a.test.ts" tests="5" failures="1" skipped="1">
    <testsuite name="a suite in it" file="packages/sdk/src/a.test.ts" tests="5" failures="1" skipped="1">
    </testsuite>
  </testsuite>
  <testsuite name="packages/sdk/src/b.test.ts" file="packages/sdk/src/b.test.ts" tests="2" failures="0" skipped="1" />
  <testsuite name="packages/cli/src/c.test.ts" file="packages/cli/src/c.test.ts" tests="2" failures="0" skipped="0" />
</testsuites>`;

test("Bun's counts are those of the SDK's files, each test once", () => {
  expect(bunSdkCounts(junit)).toEqual({ passed: 4, failed: 1, skipped: 2 });
  expect(bunSdkCounts("")).toEqual(NO_TESTS);
});

test("Node's counts are at the end of what it says", () => {
  const tap = "ok 1 - # pass 99\n# tests 8\n# suites 2\n# pass 5\n# fail 1\n# cancelled 1\n# skipped 1\n# todo 0\n";
  expect(nodeCounts(tap)).toEqual({ passed: 5, failed: 2, skipped: 1 });
});

test("the line names both runtimes, and what did not run", async () => {
  const told = setup();
  const bun = { passed: 4, failed: 0, skipped: 2 };
  expect(sdkSuitesLine(NO_TESTS, told)).toBeNull();
  expect(sdkSuitesLine(bun, told)).toBe("SDK suites: Bun: 4 passed, 0 failed, 2 skipped; Node: not run");
  await Bun.write(told, JSON.stringify({ passed: 3, failed: 0, skipped: 0 }));
  expect(sdkSuitesLine(bun, told)).toBe("SDK suites: Bun: 4 passed, 0 failed, 2 skipped; Node: 3 passed, 0 failed");
});
