import { afterEach, beforeEach, expect, test } from "bun:test";
import { setupPlatform, type TestPlatform } from "../platform.fixture.ts";

let platform: TestPlatform;
beforeEach(() => {
  platform = setupPlatform({ routerQueues: [{ queueName: "main", queueUri: "nats://localhost:4222" }] });
});
afterEach(() => platform.close());

const subscription = { name: "s", eventTypes: ["a"], targetUrl: "https://example.com/" };

test("a router learns of pools, pauses and cancellations, and waits for the next change", async () => {
  await platform.call("POST /api/dispatch-pools", { code: "SLOW" });
  const { id } = await platform.call("POST /api/subscriptions", subscription);
  const before = await platform.call("GET /api/router/control");
  expect((before.json["pools"] as { code: string }[]).map(({ code }) => code)).toContain("SLOW");
  expect(before.json["pausedSubscriptions"]).toEqual([]);
  const waiting = platform.call(`GET /api/router/control?revision=${String(before.json["revision"])}&waitMs=30000`);
  await platform.call(`POST /api/subscriptions/${id}/pause`);
  const after = await waiting;
  expect(after.json["pausedSubscriptions"]).toEqual([id]);
  expect(after.json["revision"]).not.toBe(before.json["revision"]);
});

test("a wait without a change ends with the same revision", async () => {
  const { json } = await platform.call("GET /api/router/control");
  const waiting = platform.call(`GET /api/router/control?revision=${String(json["revision"])}&waitMs=1000`);
  await platform.clock.whenTimers(1);
  await platform.clock.advance(1_000);
  expect((await waiting).json["revision"]).toBe(json["revision"]);
  expect((await platform.call("GET /api/router/control?waitMs=30001")).status).toBe(400);
});

test("secrets are given by reference, an unknown one has none", async () => {
  const { id } = await platform.call("POST /api/subscriptions", subscription);
  const { json } = await platform.call(`GET /api/subscriptions/${id}/secret`);
  const secrets = await platform.call(`GET /api/router/secrets?ref=subscription:${id}`);
  expect(secrets.json).toEqual({ secrets: [json["secret"]] });
  expect(secrets.headers.get("cache-control")).toBe("no-store");
  expect((await platform.call("GET /api/router/secrets?ref=nobody")).json).toEqual({ secrets: [] });
});

test("pools and queues are given as FC_ROUTER_CONFIG_URL wants them", async () => {
  await platform.call("POST /api/dispatch-pools", { code: "SLOW", concurrency: 3, rateLimitPerMinute: 60 });
  const { json } = await platform.call("GET /api/config/router");
  expect(json["processingPools"]).toContainEqual({ code: "SLOW", concurrency: 3, rateLimitPerMinute: 60 });
  expect(json["queues"]).toEqual([{ queueName: "main", queueUri: "nats://localhost:4222" }]);
});

test("a report or a question that no store can hold is refused, and names what is wrong", async () => {
  const report = { jobId: "job_1", generation: 1, attempt: null, result: { kind: "delivered" } };
  const startedAt = "2026-01-31T12:00:00.000Z";
  const attempt = { number: 1, startedAt, durationMs: 1, outcome: "DELIVERED", statusCode: 200, burnt: true };
  const texts = { error: null, responseBody: null, signed: false };
  const tooMuch = 2 ** 31;
  const cases = [
    [{ jobId: "a\u0000" }, "reports[0].jobId"],
    [{ jobId: "\ud800" }, "reports[0].jobId"],
    [{ generation: tooMuch }, "reports[0].generation"],
    [{ attempt: { ...attempt, ...texts, number: tooMuch } }, "reports[0].attempt.number"],
    [{ attempt: { ...attempt, ...texts, durationMs: tooMuch } }, "reports[0].attempt.durationMs"],
  ] as const;
  for (const [changes, path] of cases) {
    const refused = await platform.call("POST /api/dispatch/attempts", { reports: [{ ...report, ...changes }] });
    expect([refused.status, refused.json["errors"]]).toEqual([400, [expect.objectContaining({ path })]]);
  }
  for (const job of [
    { jobId: "a\u0000", generation: 1 },
    { jobId: "job_1", generation: tooMuch },
  ]) {
    expect((await platform.call("POST /api/dispatch/check", { jobs: [job] })).status).toBe(400);
  }
});
