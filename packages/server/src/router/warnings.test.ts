import { expect, test } from "bun:test";
import { FakeClock, silentLogger } from "@flowcatalyst/foundation";
import { warningLimits, Warnings, type NewWarning } from "./warnings.ts";

function setup() {
  const clock = new FakeClock();
  const logged: object[] = [];
  const warn = (fields: object): void => void logged.push(fields);
  return { clock, logged, warnings: new Warnings(clock, { ...silentLogger(), warn }) };
}

const routing: NewWarning = { category: "ROUTING", severity: "WARN", message: "no such pool", source: "p1" };

test("equal warnings are kept once, with a count; an acknowledged one is new when it comes again", () => {
  const { warnings } = setup();
  warnings.add(routing);
  warnings.add(routing);
  warnings.add({ ...routing, source: "p2" });
  expect(warnings.list().map(({ source, count }) => [source, count])).toEqual([
    ["p2", 1],
    ["p1", 2],
  ]);
  const first = warnings.list()[1]!;
  expect(warnings.acknowledge(first.id)?.acknowledged).toBe(true);
  expect(warnings.unacknowledged).toBe(1);
  warnings.add(routing);
  expect(warnings.list()[0]).toMatchObject({ source: "p1", count: 1, acknowledged: false });
  expect(warnings.acknowledge("wrn_nobody")).toBeNull();
});

test("those nobody has seen are counted by severity", () => {
  const { warnings } = setup();
  expect(warnings.unacknowledgedBySeverity()).toEqual({ INFO: 0, WARN: 0, ERROR: 0, CRITICAL: 0 });
  warnings.add({ category: "ROUTING", severity: "WARN", message: "one", source: "a" });
  warnings.add({ category: "ROUTING", severity: "WARN", message: "two", source: "a" });
  warnings.add({ category: "SINK", severity: "CRITICAL", message: "three", source: "a" });
  warnings.acknowledge(warnings.list()[1]!.id);
  expect(warnings.unacknowledgedBySeverity()).toEqual({ INFO: 0, WARN: 1, ERROR: 0, CRITICAL: 1 });
  expect(warnings.unacknowledged).toBe(2);
});

test("thousands of targets in trouble do not flood the log; how much was left out is told", async () => {
  const { clock, logged, warnings } = setup();
  for (let at = 0; at < 3_000; at++) warnings.add({ ...routing, source: `p${at}` });
  expect(logged).toHaveLength(warningLimits.logsPerSecond);
  await clock.advance(1_000);
  warnings.add({ ...routing, source: "later" });
  expect(logged.at(-1)).toMatchObject({ source: "later", notLogged: 3_000 - warningLimits.logsPerSecond });
  await clock.advance(1_000);
  warnings.add({ ...routing, source: "later still" });
  expect(logged.at(-1)).not.toHaveProperty("notLogged");
});

test("at most 1,000 of them, at most 8 h old", async () => {
  const { clock, warnings } = setup();
  for (let at = 0; at <= warningLimits.maxWarnings; at++) warnings.add({ ...routing, source: `p${at}` });
  expect(warnings.list()).toHaveLength(warningLimits.maxWarnings);
  expect(warnings.list().at(-1)?.source).toBe("p1");
  await clock.advance(warningLimits.maxAgeMs + 1);
  expect(warnings.list()).toEqual([]);
});
