import { expect, test } from "bun:test";
import { skippedTests } from "./skipped-tests.ts";

const LIST = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="bun test" tests="4" skipped="2">
  <testsuite name="a.test.ts" file="a.test.ts" tests="4">
    <testsuite name="queue (needs redis)" file="a.test.ts" line="2">
      <testcase name="passes &quot;on&quot;" classname="queue" time="0">
        <skipped />
      </testcase>
      <testsuite name="with &lt;two&gt;" file="a.test.ts" line="2">
        <testcase name="waits" classname="with" time="0">
          <skipped />
        </testcase>
      </testsuite>
    </testsuite>
    <testcase name="runs" classname="" time="0" />
    <testcase name="fails" classname="" time="0">
      <failure type="Error" message="a &lt;skipped /&gt; message">at a.test.ts</failure>
    </testcase>
  </testsuite>
</testsuites>
`;

test("each skipped test is named with its file and suites", () => {
  expect(skippedTests(LIST)).toEqual([
    'a.test.ts: queue (needs redis) > passes "on"',
    "a.test.ts: queue (needs redis) > with <two> > waits",
  ]);
  expect(skippedTests("")).toEqual([]);
});
