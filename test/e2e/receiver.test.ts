import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { callApi, request, subscribe } from "../harness/api.ts";
import { eventually } from "../harness/eventually.ts";
import { createSandbox } from "../harness/sandbox.ts";
import type { ServerProcess } from "../harness/server-process.ts";

/**
 * The built-in receiver as somebody uses it who tries the product: told by PUT how to behave, and what then shows at
 * the receiver, the job, its attempts, the timeline and the subscription.
 */

const sandbox = createSandbox();
let server: ServerProcess;
beforeAll(async () => {
  server = await sandbox.start();
});
afterAll(() => sandbox.end());

interface Received {
  readonly number: number;
  readonly signature: string;
  readonly answered: number | "hung";
  readonly body: string;
}

interface Job {
  readonly id: string;
  readonly status: string;
  readonly attemptCount: number;
  readonly lastError: string | null;
}

interface Attempt {
  readonly number: number;
  readonly outcome: string;
  readonly statusCode: number | null;
  readonly burnt: boolean;
  readonly durationMs: number;
}

const get = <Answer>(path: string): Promise<Answer> => callApi<Answer>(server.apiUrl, { method: "GET", path });
const put = (path: string, body: unknown): Promise<unknown> => callApi(server.apiUrl, { method: "PUT", path, body });
const post = <Answer>(path: string, body?: unknown): Promise<Answer> =>
  callApi<Answer>(server.apiUrl, { method: "POST", path, body });

/** A receiver that behaves so, and a subscription to it whose events have the receiver's name as their type. */
async function receiving(name: string, behaviour: object, settings: object = {}): Promise<{ id: string }> {
  await put(`/dev/receiver/${name}/behaviour`, behaviour);
  const targetUrl = `${server.apiUrl}/dev/receiver/${name}`;
  return subscribe(server.apiUrl, { name, eventTypes: [name], targetUrl, ...settings });
}

const publish = async (type: string, group: string | null = null): Promise<string> => {
  const event = { type, source: "/test", messageGroup: group, data: { hello: type } };
  return (await post<{ id: string }>("/api/events", event)).id;
};

const jobOf = async (eventId: string): Promise<Job | undefined> =>
  (await get<{ items: Job[] }>(`/api/events/${eventId}/jobs`)).items[0];

/** Waits until the one job of the event has that status. */
function jobWith(eventId: string, status: string): Promise<Job> {
  return eventually(`a job that is ${status}`, async () => {
    const job = await jobOf(eventId);
    return job?.status === status ? job : undefined;
  });
}

/** Oldest first, as they happened. */
async function attemptsOf(job: Job): Promise<readonly Attempt[]> {
  const { items } = await get<{ items: Attempt[] }>(`/api/dispatch/jobs/${job.id}/attempts`);
  return items.toSorted((one, other) => one.number - other.number);
}

async function timelineOf(eventId: string): Promise<readonly string[]> {
  const { entries } = await get<{ entries: { kind: string; outcome?: string; status?: string }[] }>(
    `/api/events/${eventId}/timeline`,
  );
  return entries.map(({ kind, outcome, status }) => [kind, outcome ?? status].filter(Boolean).join(" "));
}

const requestsAt = async (name: string): Promise<readonly Received[]> =>
  (await get<{ items: Received[] }>(`/dev/receiver/${name}/requests`)).items.toReversed();

describe("told to", () => {
  test("accept: what came is shown, its signature verified", async () => {
    await receiving("plain", { mode: "ok" });
    const event = await publish("plain");
    expect(await attemptsOf(await jobWith(event, "COMPLETED"))).toMatchObject([
      { number: 1, outcome: "DELIVERED", statusCode: 200, burnt: true },
    ]);
    expect(await requestsAt("plain")).toMatchObject([
      { number: 1, signature: "verified", answered: 200, body: '{"hello":"plain"}' },
    ]);
    expect(await timelineOf(event)).toEqual(["ACCEPTED", "MATCHED", "QUEUED", "ATTEMPT DELIVERED", "FINAL COMPLETED"]);
  });

  test("fail once: tried again a second later", async () => {
    await receiving("flaky", { mode: "fail", status: 503, times: 1 });
    const event = await publish("flaky");
    const job = await jobWith(event, "COMPLETED");
    expect(job.attemptCount).toBe(2);
    expect(await attemptsOf(job)).toMatchObject([
      { number: 1, outcome: "SERVER_ERROR", statusCode: 503, burnt: true },
      { number: 2, outcome: "DELIVERED", statusCode: 200, burnt: true },
    ]);
    expect((await requestsAt("flaky")).map(({ answered }) => answered)).toEqual([503, 200]);
    expect(await timelineOf(event)).toEqual([
      "ACCEPTED",
      "MATCHED",
      "QUEUED",
      "ATTEMPT SERVER_ERROR",
      "ATTEMPT DELIVERED",
      "FINAL COMPLETED",
    ]);
  });

  test("refuse: failed at once, until an operator tries again", async () => {
    const { id } = await receiving("refusing", { mode: "fail", status: 422 });
    const event = await publish("refusing");
    const failed = await jobWith(event, "FAILED");
    expect(failed.lastError).toBe("the target answered 422");
    expect(await attemptsOf(failed)).toMatchObject([{ outcome: "REJECTED", statusCode: 422 }]);
    expect(await get(`/api/subscriptions/${id}/stats`)).toMatchObject({ failed: 1, completed: 0 });
    await put("/dev/receiver/refusing/behaviour", { mode: "ok" });
    await post(`/api/dispatch/jobs/${failed.id}/retry`);
    await jobWith(event, "COMPLETED");
    expect(await get(`/api/subscriptions/${id}/stats`)).toMatchObject({ failed: 0, completed: 1 });
  });

  test("hang: given up after the subscription's timeout", async () => {
    await receiving("hanging", { mode: "hang" }, { timeoutSeconds: 1, maxRetries: 0 });
    const event = await publish("hanging");
    const job = await jobWith(event, "FAILED");
    expect(job.lastError).toContain("no answer within the timeout");
    expect(await attemptsOf(job)).toMatchObject([{ outcome: "TIMEOUT", statusCode: null, burnt: true }]);
    expect(await requestsAt("hanging")).toMatchObject([{ answered: "hung" }]);
  });

  test("delay: delivered when it answers", async () => {
    await receiving("slow", { mode: "delay", delayMs: 300 });
    const job = await jobWith(await publish("slow"), "COMPLETED");
    const [attempt] = await attemptsOf(job);
    expect(attempt).toMatchObject({ outcome: "DELIVERED" });
    expect(attempt!.durationMs).toBeGreaterThanOrEqual(295);
  });

  test("answer `ack: false`: comes again, and nothing of the retry budget is used", async () => {
    await receiving("later", { mode: "notYet", retryAfterSeconds: 1, times: 1 });
    const job = await jobWith(await publish("later"), "COMPLETED");
    expect(job.attemptCount).toBe(1);
    expect(await attemptsOf(job)).toMatchObject([
      { outcome: "NOT_YET", statusCode: 200, burnt: false },
      { outcome: "DELIVERED", statusCode: 200, burnt: true },
    ]);
  });

  test("limit the rate: the target is left alone, then gets it, and nothing of the budget is used", async () => {
    await receiving("limited", { mode: "rateLimited", retryAfterSeconds: 1, times: 1 });
    const job = await jobWith(await publish("limited"), "COMPLETED");
    expect(job.attemptCount).toBe(1);
    expect(await attemptsOf(job)).toMatchObject([
      { outcome: "RATE_LIMITED", statusCode: 429, burnt: false },
      { outcome: "DELIVERED", statusCode: 200, burnt: true },
    ]);
  });

  test("be gone: the subscription is paused with that reason, what comes waits, and resuming delivers it", async () => {
    const { id } = await receiving("gone", { mode: "gone" });
    const first = await publish("gone", "g");
    expect((await jobWith(first, "FAILED")).lastError).toBe("the target answered 410");
    expect(await get(`/api/subscriptions/${id}`)).toMatchObject({ status: "PAUSED", pauseReason: "TARGET_GONE" });
    const second = await publish("gone", "g");
    await jobWith(second, "PENDING");
    const held = await eventually("a held group", async () => {
      const { items } = await get<{ items: { subscriptionId: string }[] }>("/api/dispatch/groups");
      return items.find(({ subscriptionId }) => subscriptionId === id);
    });
    expect(held).toMatchObject({ reason: "SUBSCRIPTION_PAUSED", waiting: 1 });
    await put("/dev/receiver/gone/behaviour", { mode: "ok" });
    expect(await post(`/api/subscriptions/${id}/resume`)).toMatchObject({ status: "ACTIVE", pauseReason: null });
    await jobWith(second, "COMPLETED");
    expect((await requestsAt("gone")).map(({ answered }) => answered)).toEqual([410, 200]);
  });
});

test("a behaviour that is none is refused by its path, and the receiver stays as it was", async () => {
  await put("/dev/receiver/kept/behaviour", { mode: "fail", status: 500 });
  for (const [body, path] of [
    [{ mode: "explode" }, "mode"],
    [{ mode: "fail", status: 200 }, "status"],
    [{ mode: "ok", times: 0 }, "times"],
  ] as const) {
    const refused = await request(server.apiUrl, "PUT /dev/receiver/kept/behaviour", { body });
    expect(refused).toMatchObject({ status: 400, body: { code: "VALIDATION_FAILED", errors: [{ path }] } });
  }
  expect(await get("/dev/receiver/kept")).toMatchObject({ behaviour: { mode: "fail", status: 500 }, received: 0 });
});

test("what is not signed is marked, what is signed wrongly is refused; both are forgotten when told to", async () => {
  const { id } = await receiving("strict", { mode: "ok" });
  const unsigned = await request(server.apiUrl, "POST /dev/receiver/strict", { body: "{}" });
  expect(unsigned.status).toBe(200);
  const forged = {
    "webhook-id": "job_x",
    "webhook-timestamp": String(Math.floor(Date.now() / 1_000)),
    "webhook-signature": "v1,AAAA",
    "x-flowcatalyst-subscription-id": id,
  };
  const refused = await request(server.apiUrl, "POST /dev/receiver/strict", { body: "{}", headers: forged });
  expect(refused.status).toBe(401);
  expect((await requestsAt("strict")).map(({ signature }) => signature)).toEqual(["unsigned", "invalid"]);
  await put("/dev/receiver/strict/behaviour", { mode: "delay", delayMs: 1 });
  await callApi(server.apiUrl, { method: "DELETE", path: "/dev/receiver/strict/requests" });
  expect(await get("/dev/receiver/strict")).toMatchObject({ received: 0, behaviour: { mode: "delay" } });
});
