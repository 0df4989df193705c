import { expect, test } from "bun:test";
import { wireLimits } from "@flowcatalyst/contracts";
import { createMetrics } from "@flowcatalyst/foundation";
import { publishLimits, webhookToleranceSeconds } from "@flowcatalyst/sdk";
import { outboxLimits as sdkOutboxLimits } from "@flowcatalyst/sdk/outbox";
import { webhookMaxBodyBytes } from "@flowcatalyst/sdk/webhooks";
import { attemptLimits } from "../../packages/server/src/domain/attempt.ts";
import { jobLimits } from "../../packages/server/src/domain/dispatch-job.ts";
import { poolLimits } from "../../packages/server/src/domain/dispatch-pool.ts";
import { filterLimits } from "../../packages/server/src/domain/filter.ts";
import { outboxLimits } from "../../packages/server/src/domain/outbox-row.ts";
import { notYetLimits } from "../../packages/server/src/domain/response-outcome.ts";
import { retryAfterLimits } from "../../packages/server/src/domain/retry-after.ts";
import { retryPresets } from "../../packages/server/src/domain/retry-policy.ts";
import { subscriptionDefaults } from "../../packages/server/src/domain/subscription.ts";
import { bodyReaderDefaults } from "../../packages/server/src/http/body-reader.ts";
import { jsonMaxDepth } from "../../packages/server/src/http/json-text.ts";
import { maintenanceDefaults } from "../../packages/server/src/maintenance/maintenance.ts";
import {
  postgresQueueDefaults,
  postgresQueueLimits,
} from "../../packages/server/src/queues/postgres/postgres-queue-config.ts";
import { outboxProcessorLimits } from "../../packages/server/src/outbox/outbox-limits.ts";
import { createOutboxMeters } from "../../packages/server/src/outbox/outbox-meters.ts";
import { auditLogPageLimits } from "../../packages/server/src/ports/audit-log.ts";
import { configFetchLimits } from "../../packages/server/src/main/configured/config-fetch.ts";
import { amqpQueueLimits } from "../../packages/server/src/queues/amqp/amqp-limits.ts";
import { natsQueueLimits } from "../../packages/server/src/queues/nats/nats-queue-config.ts";
import { sqsLimits } from "../../packages/server/src/queues/sqs/sqs-queue-limits.ts";
import { waitLimits } from "../../packages/server/src/router/settlement.ts";
import { waitingIntakeLimits } from "../../packages/server/src/router/waiting-intake.ts";
import { sqliteQueueDefaults, sqliteQueueLimits } from "../../packages/server/src/queues/sqlite/sqlite-queue-config.ts";
import { schemaWorkLimits } from "../../packages/server/src/platform/events/schema-work.ts";
import { receiverLimits } from "../../packages/server/src/receiver/receiver-limits.ts";
import { breakerLimits } from "../../packages/server/src/router/circuit-breaker.ts";
import { pipelineLimits } from "../../packages/server/src/router/pipeline.ts";
import { poolRunLimits } from "../../packages/server/src/router/pool.ts";
import { admissionLimits } from "../../packages/server/src/router/admission.ts";
import { controlViewLimits } from "../../packages/server/src/router/control-view.ts";
import { recorderLimits } from "../../packages/server/src/router/recorder.ts";
import { routerDefaults } from "../../packages/server/src/router/router.ts";
import { signingKeyLimits } from "../../packages/server/src/router/signing-keys.ts";
import { shareLimits } from "../../packages/server/src/router/target-share.ts";
import { warningLimits } from "../../packages/server/src/router/warnings.ts";
import { schedulerDefaults } from "../../packages/server/src/scheduler/scheduler.ts";
import { appenderLimits } from "../../packages/server/src/stores/sqlite/event-appender.ts";
import { idempotencyLimits } from "../../packages/server/src/stores/sqlite/idempotency-store.ts";
import { searchLimits } from "../../packages/server/src/stores/search-results.ts";
import { streamDefaults } from "../../packages/server/src/stream/stream-processor.ts";
import { removeDataDir, startServer } from "../harness/server-process.ts";
import { blocksOf, markerOf, readDocument, root, tableRowsOf } from "./markdown.ts";

/** The hand-written pages of reference, held to what they are about. */
const apiPage = "docs/reference/http-api.md";
const limitsPage = "docs/reference/limits.md";
const methods = new Set(["get", "post", "put", "patch", "delete"]);

async function operationsOf(file: string): Promise<readonly string[]> {
  const document = (await Bun.file(`${root}/docs/reference/${file}`).json()) as {
    paths: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  };
  return Object.entries(document.paths).flatMap(([path, item]) =>
    Object.keys(item)
      .filter((method) => methods.has(method))
      .map((method) => `${method.toUpperCase()} ${path}`),
  );
}

test("the page of the HTTP API has every operation and no other", async () => {
  const known = [...(await operationsOf("openapi.json")), ...(await operationsOf("router-openapi.json"))];
  const [apis = "", rest = ""] = readDocument(apiPage).split("## The built-in receiver");
  const named = Array.from(
    apis.matchAll(/^\| `((?:GET|POST|PUT|PATCH|DELETE) \/[^`]*)` \|/gm),
    (match) => match[1] ?? "",
  );
  expect(named.toSorted()).toEqual(known.toSorted());
  expect(rest).not.toBe("");
});

test("the page of the HTTP API has every metric of a running server and no other", async () => {
  const server = await startServer();
  try {
    const text = await (await fetch(`${server.metricsUrl}/metrics`)).text();
    const scraped = Array.from(text.matchAll(/^# TYPE ((?:fc|http)_\w+) /gm), (match) => match[1] ?? "");
    const named = Array.from(readDocument(apiPage).matchAll(/^\| `((?:fc|http)_\w+)` \|/gm), (match) => match[1] ?? "");
    expect(named.toSorted()).toEqual(scraped.toSorted());
  } finally {
    await server.kill();
    removeDataDir(server.dataDir);
  }
});

test("the page has every metric of the outbox processor and no other", async () => {
  const metrics = createMetrics();
  createOutboxMeters(metrics);
  const scraped = Array.from((await metrics.render()).matchAll(/^# TYPE (fc_\w+) /gm), (match) => match[1] ?? "");
  const named = Array.from(readDocument(apiPage).matchAll(/^- `(fc_outbox_\w+)`/gm), (match) => match[1] ?? "");
  expect(named.toSorted()).toEqual(scraped.toSorted());
});

test("health and the built-in receiver answer where the page says", async () => {
  const server = await startServer();
  try {
    const rest = readDocument(apiPage).split("## The built-in receiver")[1] ?? "";
    const paths = Array.from(rest.matchAll(/`GET (\/[^`]*)`/g), (match) => (match[1] ?? "").replace("{name}", "page"));
    expect(paths.length).toBeGreaterThan(8);
    for (const path of paths) expect(`${path} ${(await fetch(server.apiUrl + path)).status}`).toBe(`${path} 200`);
  } finally {
    await server.kill();
    removeDataDir(server.dataDir);
  }
});

const constants: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  appenderLimits,
  attemptLimits,
  auditLogPageLimits,
  bodyReaderDefaults: { ...bodyReaderDefaults },
  breakerLimits,
  filterLimits,
  idempotencyLimits,
  jobLimits,
  maintenanceDefaults,
  notYetLimits,
  // The processor's and the SDK's.
  outboxLimits: { ...outboxLimits, ...sdkOutboxLimits },
  outboxProcessorLimits,
  pipelineLimits,
  poolLimits,
  poolRunLimits,
  publishLimits,
  receiverLimits,
  recorderLimits,
  admissionLimits,
  amqpQueueLimits,
  configFetchLimits,
  controlViewLimits,
  natsQueueLimits,
  retryAfterLimits,
  routerDefaults,
  schedulerDefaults,
  schemaWorkLimits,
  searchLimits,
  shareLimits,
  signingKeyLimits,
  postgresQueueDefaults,
  postgresQueueLimits,
  sqliteQueueDefaults,
  sqliteQueueLimits,
  sqsLimits,
  streamDefaults,
  subscriptionDefaults,
  waitingIntakeLimits,
  waitLimits,
  warningLimits,
  wireLimits,
};

const constantsAlone: Readonly<Record<string, number>> = { jsonMaxDepth, webhookMaxBodyBytes, webhookToleranceSeconds };

function constantOf(name: string): unknown {
  if (name in constantsAlone) return constantsAlone[name];
  const [group = "", member = ""] = name.split(".");
  return constants[group]?.[member];
}

const bytesOf: Readonly<Record<string, number>> = { KiB: 1_024, MiB: 1_048_576 };
const secondsOf: Readonly<Record<string, number>> = { s: 1, min: 60, h: 3_600, days: 86_400 };

/** What the page says, in the unit that the constant's name ends with. */
function quantity(text: string, constant: string): number {
  const [, digits = "", unit = ""] = /(\d[\d,]*) ?(KiB|MiB|days|min|s|h)?\b/.exec(text) ?? [];
  const number = Number(digits.replaceAll(",", ""));
  if (unit in bytesOf) return number * (bytesOf[unit] ?? 1);
  if (unit === "days" && constant.endsWith("Days")) return number;
  const seconds = number * (secondsOf[unit] ?? 1);
  return unit !== "" && constant.endsWith("Ms") ? seconds * 1_000 : seconds;
}

test("every limit of the page is its constant's", () => {
  const wrong: string[] = [];
  let checked = 0;
  for (const [limit = "", number = "", constant = ""] of tableRowsOf(limitsPage)) {
    const names = Array.from(constant.matchAll(/`([\w.]+)`/g), (match) => match[1] ?? "");
    const numbers = names.length > 1 ? number.split(" to ") : [number];
    for (const [at, name] of names.entries()) {
      checked += 1;
      const told = quantity(numbers[at] ?? "", name);
      const actual = constantOf(name);
      if (told !== actual) wrong.push(`${limit}: the page says ${told}, ${name} is ${String(actual)}`);
    }
  }
  expect(wrong).toEqual([]);
  expect(checked).toBeGreaterThan(70);
});

test("the presets of retries are told as they are", () => {
  const text = readDocument("docs/guides/ordering-and-failure.md");
  for (const [name, { delaysMs }] of Object.entries(retryPresets)) {
    const [, waits = "", attempts = ""] =
      new RegExp(`^\\| \`${name}\` \\| (.+?) \\| (\\d+) \\|$`, "m").exec(text) ?? [];
    expect(waits.split(", ").map((wait) => quantity(wait, "waitMs"))).toEqual([...delaysMs]);
    expect(Number(attempts)).toBe(delaysMs.length + 1);
  }
});

test("the guide to benchmarks has every scenario and no other", async () => {
  const usage = Bun.spawn([process.execPath, `${root}/test/bench/run.ts`], { stdout: "ignore", stderr: "pipe" });
  const text = await new Response(usage.stderr).text();
  const known = /^scenarios: (.+)$/m.exec(text)?.[1]?.split(" ") ?? [];
  const section = readDocument("docs/guides/benchmarks.md").split("## The scenarios")[1]?.split("\n## ")[0] ?? "";
  const named = Array.from(section.matchAll(/^\| `(\w+)` \|/gm), (match) => match[1] ?? "");
  expect(named.toSorted()).toEqual(known.toSorted());
  expect(known.length).toBeGreaterThan(0);
});

test("each decision record has a number of its own, the same in name and title", () => {
  const names = Array.from(new Bun.Glob("*.md").scanSync({ cwd: `${root}/docs/decisions` }));
  const numbers = names.map((name) => name.slice(0, 4));
  expect(new Set(numbers).size).toBe(numbers.length);
  for (const name of names) expect(readDocument(`docs/decisions/${name}`)).toStartWith(`# ${name.slice(0, 4)}: `);
});

test("JSON in the documents is JSON", () => {
  const paths = ["README.md", ...new Bun.Glob("docs/**/*.md").scanSync({ cwd: root })];
  const blocks = paths.flatMap((path) => blocksOf(path).map((block) => ({ path, ...block })));
  for (const block of blocks.filter(({ language }) => language === "json")) {
    expect(() => JSON.parse(block.code), `${block.path}:${block.line}`).not.toThrow();
  }
  expect(blocks.filter((block) => markerOf(block, "handler") !== undefined && block.language !== "ts")).toEqual([]);
});
