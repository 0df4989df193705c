import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { HealthRegistry } from "@flowcatalyst/foundation";
import { Hono } from "hono";
import { createHealthRoutes } from "../http/health-routes.ts";
import { setupPlatform, type TestPlatform } from "./platform.fixture.ts";

/**
 * The requests that the description of the earlier Go build shows, sent as they stand there, over a socket. Only what
 * cannot be sent is filled in: `{id}` and the list that it writes as `[...]`.
 */

let platform: TestPlatform;
let server: Bun.Server<undefined>;
beforeEach(() => {
  platform = setupPlatform();
  const health = new HealthRegistry();
  health.set("database", "UP");
  const app = new Hono()
    .route("/", createHealthRoutes(health, platform.metrics))
    .all("*", (c) => platform.fetch(c.req.raw));
  server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: app.fetch });
});
afterEach(async () => {
  await server.stop(true);
  await platform.close();
});

interface Answered {
  readonly status: number;
  readonly body: { readonly id: string; readonly [member: string]: unknown };
}

async function send(method: string, path: string, body?: string): Promise<Answered> {
  const headers = { "content-type": "application/json" };
  const response = await fetch(new URL(path, server.url), body === undefined ? { method } : { method, body, headers });
  return { status: response.status, body: (await response.json()) as Answered["body"] };
}

const event = `{
  "type": "order.created",
  "source": "order-service",
  "data": "{\\"orderId\\": \\"123\\"}"
}`;

const subscription = `{
  "name": "Order Notifications",
  "eventTypes": ["order.created", "order.updated"],
  "targetUrl": "https://webhook.example.com/orders",
  "dispatchPoolId": "default"
}`;

const job = `{
  "eventId": "...",
  "subscriptionId": "...",
  "targetUrl": "https://webhook.example.com",
  "payload": "{...}"
}`;

describe("the requests other FlowCatalyst builds document", () => {
  test("health", async () => {
    for (const path of ["/q/health", "/q/health/live", "/q/health/ready"]) {
      const { status, body } = await send("GET", path);
      expect([status, body["status"]]).toEqual([200, "UP"]);
    }
  });

  test("events", async () => {
    const created = await send("POST", "/api/events", event);
    expect(created.status).toBe(201);
    expect(created.body["data"]).toEqual({ orderId: "123" });
    expect(await send("GET", `/api/events/${created.body.id}`)).toEqual({ status: 200, body: created.body });
    const batch = await send("POST", "/api/events/batch", `{\n  "events": [${event}, ${event}]\n}`);
    expect([batch.status, batch.body["count"]]).toEqual([201, 2]);
  });

  test("subscriptions", async () => {
    const created = await send("POST", "/api/subscriptions", subscription);
    expect(created.status).toBe(201);
    expect(created.body["dispatchPoolId"]).toBe("DEFAULT-POOL");
    expect((await send("GET", "/api/subscriptions")).body["items"]).toHaveLength(1);
    const paused = await send("POST", `/api/subscriptions/${created.body.id}/pause`);
    expect([paused.status, paused.body["status"]]).toEqual([200, "PAUSED"]);
    const resumed = await send("POST", `/api/subscriptions/${created.body.id}/resume`);
    expect([resumed.status, resumed.body["status"]]).toEqual([200, "ACTIVE"]);
  });

  test("dispatch jobs", async () => {
    const created = await send("POST", "/api/dispatch/jobs", job);
    expect(created.status).toBe(201);
    expect(created.body).toMatchObject({ eventId: "...", subscriptionId: "...", status: "PENDING" });
    expect((await send("GET", `/api/dispatch/jobs/${created.body.id}`)).status).toBe(200);
    const attempts = await send("GET", `/api/dispatch/jobs/${created.body.id}/attempts`);
    expect([attempts.status, attempts.body["items"]]).toEqual([200, []]);
  });

  test("searches", async () => {
    await send("POST", "/api/events", event);
    const events = await send("GET", "/api/bff/events?clientId=...&type=order.created&page=0&size=20");
    expect([events.status, events.body["totalItems"]]).toEqual([200, 0]);
    const options = await send("GET", "/api/bff/events/filter-options");
    expect(options.status).toBe(200);
    const jobs = await send("GET", "/api/bff/dispatch-jobs?status=COMPLETED&page=0&size=20");
    expect([jobs.status, jobs.body["totalItems"]]).toEqual([200, 0]);
  });
});
