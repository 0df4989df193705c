import { expect, test } from "bun:test";
import { postgresStartLimits } from "../../packages/server/src/main/postgres/reach-postgres.ts";
import { standbyKeeperLimits } from "../../packages/server/src/leases/standby-keeper.ts";
import { maintenanceDefaults } from "../../packages/server/src/maintenance/maintenance.ts";
import { postgresLimits } from "../../packages/server/src/postgres/postgres-database.ts";
import { postgresQueueLimits } from "../../packages/server/src/queues/postgres/postgres-queue-config.ts";
import { controlViewLimits } from "../../packages/server/src/router/control-view.ts";
import { recorderLimits } from "../../packages/server/src/router/recorder.ts";
import { replayDefaults } from "../../packages/server/src/scheduler/replay.ts";
import { schedulerDefaults } from "../../packages/server/src/scheduler/scheduler.ts";
import { leaseLimits } from "../../packages/server/src/stores/postgres/lease-store.ts";
import { partitionLimits } from "../../packages/server/src/stores/postgres/history-partitions.ts";
import { streamDefaults } from "../../packages/server/src/stream/stream-processor.ts";
import { chaosScenarios } from "../e2e/chaos-scenarios.ts";
import { blocksOf, markerOf, readDocument } from "../docs/markdown.ts";
import { parseYaml, unknownSettingsIn } from "./deploy-file.ts";

/** The guides to production, held to what they are about. */

const guides = ["production", "operations", "failure-modes"].map((name) => `docs/guides/${name}.md`);
const failureModes = readDocument("docs/guides/failure-modes.md");
const production = readDocument("docs/guides/production.md");

test.each(guides)("%s names only settings that there are", (guide) => {
  expect(unknownSettingsIn(readDocument(guide))).toEqual([]);
});

test("YAML in the guides is YAML", () => {
  for (const block of guides.flatMap(blocksOf).filter(({ language }) => language === "yaml")) {
    expect(parseYaml<object>(block.code)).toBeObject();
    expect(markerOf(block, "not run")).toBeUndefined();
  }
});

/** What a table says in its second column about what its first one names. */
function told(document: string, subject: string): string {
  const row = document.split("\n").find((line) => line.startsWith(`| ${subject}`));
  if (row === undefined) throw new Error(`no row about ${subject}`);
  return row.split("|")[2]?.trim() ?? "";
}

test("the times of failure modes are those of the code", () => {
  const seconds = (ms: number): string => `${ms / 1_000} s`;
  const leases = [streamDefaults, schedulerDefaults, replayDefaults, maintenanceDefaults];
  expect(new Set(leases.map(({ leaseTtlMs }) => leaseTtlMs)).size).toBe(1);
  const { leaseTtlMs } = streamDefaults;
  expect(told(failureModes, "a lease of stream")).toStartWith(seconds(leaseTtlMs));
  expect(told(failureModes, "its holder trusts")).toStartWith(seconds(leaseTtlMs * (1 - leaseLimits.trustMarginShare)));
  expect(told(failureModes, "after an orderly stop")).toContain(seconds(streamDefaults.pollIntervalMs));
  expect(told(failureModes, "messages of a killed router")).toStartWith(seconds(postgresQueueLimits.leaseMs));
  expect(told(failureModes, "a transaction of a stopped")).toBe(seconds(postgresLimits.idleInTransactionTimeoutMs));
  expect(told(failureModes, "a statement")).toStartWith(seconds(postgresLimits.statementTimeoutMs));
  expect(told(failureModes, "a statement")).toEndWith(seconds(postgresLimits.searchTimeoutMs));
  expect(told(failureModes, "a server that does not answer")).toBe(seconds(postgresLimits.answerTimeoutMs));
  expect(told(failureModes, "calls still start")).toBe(seconds(recorderLimits.graceMs));
  expect(told(failureModes, "a router acts on pauses")).toBe(seconds(controlViewLimits.maxAgeMs));
  expect(told(failureModes, "a start waits")).toBe(seconds(postgresStartLimits.reachWithinMs));
  const standbyTtlMs = 30_000;
  expect(told(failureModes, "a router's standby lease")).toStartWith(
    `${seconds(standbyTtlMs)}, trusted for ${seconds(standbyTtlMs * (1 - standbyKeeperLimits.marginShare))}`,
  );
});

test("failure modes names every scenario of the chaos tests and no other", () => {
  const cells = Array.from(failureModes.matchAll(/chaos: ((?:`[^`]+`(?:, )?)+)/g), (match) => match[1] ?? "");
  const named = new Set(cells.flatMap((cell) => Array.from(cell.matchAll(/`([^`]+)`/g), (match) => match[1] ?? "")));
  expect([...named].toSorted()).toEqual(chaosScenarios.map(({ name }) => name).toSorted());
});

test("production says how far ahead partitions are made", () => {
  expect(partitionLimits.monthsAhead).toBe(3);
  expect(production).toContain("made three months\nahead");
});
