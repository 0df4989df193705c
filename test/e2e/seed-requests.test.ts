import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { CloudEvent, emitterFor, HTTP, Mode } from "cloudevents";
import { request, subscribe, type ApiAnswer } from "../harness/api.ts";
import { eventually } from "../harness/eventually.ts";
import { createSandbox } from "../harness/sandbox.ts";
import type { ServerProcess } from "../harness/server-process.ts";
import { verified, type TestReceiver } from "../harness/test-receiver.ts";

/**
 * Every request that the description of the earlier Go build shows, sent as it stands there to the real process, and
 * what the process then delivers, verified with the reference libraries. Filled in is only what cannot be sent: the
 * port, `{id}`, and the list that it writes as `[...]`.
 */

const sandbox = createSandbox();
let server: ServerProcess;
let receiver: TestReceiver;
let secret: string;
beforeAll(async () => {
  server = await sandbox.start();
  receiver = sandbox.receiver();
  const body = { name: "seen", eventTypes: ["order.created"], targetUrl: `${receiver.url}/seen` };
  ({ secret } = await subscribe(server.apiUrl, body));
});
afterAll(() => sandbox.end());

const send = (line: string, body?: string): Promise<ApiAnswer> => request(server.apiUrl, line, { body });

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
      const { status, body } = await send(`GET ${path}`);
      expect([path, status, body["status"]]).toEqual([path, 200, "UP"]);
    }
  });

  test("an event is accepted, read back and delivered, signed", async () => {
    const created = await send("POST /api/events", event);
    expect(created.status).toBe(201);
    expect(created.body).toMatchObject({ type: "order.created", data: { orderId: "123" } });
    const id = String(created.body["id"]);
    expect(await send(`GET /api/events/${id}`)).toMatchObject({ status: 200, body: created.body });
    const [arrival] = await receiver.received("/seen", 1);
    expect(verified(arrival!, secret)).toEqual({ orderId: "123" });
    expect(arrival!.headers).toMatchObject({
      "x-flowcatalyst-event-id": id,
      "x-flowcatalyst-event-type": "order.created",
    });
  });

  test("a batch is accepted whole, each event delivered", async () => {
    const before = receiver.arrivals("/seen").length;
    const batch = await send("POST /api/events/batch", `{\n  "events": [${event}, ${event}]\n}`);
    expect([batch.status, batch.body["count"]]).toEqual([201, 2]);
    const ids = (batch.body["events"] as { id: string }[]).map(({ id }) => id);
    const arrivals = (await receiver.received("/seen", before + 2)).slice(before);
    for (const arrival of arrivals) verified(arrival, secret);
    expect(new Set(arrivals.map(({ headers }) => headers["x-flowcatalyst-event-id"]))).toEqual(new Set(ids));
  });

  test("subscriptions", async () => {
    const created = await send("POST /api/subscriptions", subscription);
    expect(created.status).toBe(201);
    expect(created.body).toMatchObject({ name: "Order Notifications", dispatchPoolId: "DEFAULT-POOL" });
    const listed = await send("GET /api/subscriptions");
    expect(listed.body["items"]).toContainEqual(expect.objectContaining({ name: "Order Notifications" }));
    const id = String(created.body["id"]);
    const paused = await send(`POST /api/subscriptions/${id}/pause`);
    expect([paused.status, paused.body["status"]]).toEqual([200, "PAUSED"]);
    const resumed = await send(`POST /api/subscriptions/${id}/resume`);
    expect([resumed.status, resumed.body["status"]]).toEqual([200, "ACTIVE"]);
  });

  test("dispatch jobs", async () => {
    const created = await send("POST /api/dispatch/jobs", job);
    expect(created.status).toBe(201);
    expect(created.body).toMatchObject({
      eventId: "...",
      subscriptionId: "...",
      targetUrl: "https://webhook.example.com",
    });
    const id = String(created.body["id"]);
    expect((await send(`GET /api/dispatch/jobs/${id}`)).status).toBe(200);
    expect(await send(`GET /api/dispatch/jobs/${id}/attempts`)).toMatchObject({
      status: 200,
      body: { items: expect.any(Array) },
    });
  });

  test("a dispatch job is delivered with its payload as it is, and shows its attempt", async () => {
    const own = job.replace("https://webhook.example.com", `${receiver.url}/task`);
    const created = await send("POST /api/dispatch/jobs", own);
    const [arrival] = await receiver.received("/task", 1);
    expect(arrival).toMatchObject({ body: "{...}", headers: { "webhook-id": created.body["id"] } });
    const attempts = await eventually("the attempt", async () => {
      const { body } = await send(`GET /api/dispatch/jobs/${String(created.body["id"])}/attempts`);
      return (body["items"] as unknown[]).length > 0 ? body["items"] : undefined;
    });
    expect(attempts).toMatchObject([{ number: 1, outcome: "DELIVERED", statusCode: 200, signed: false }]);
    const done = await send(`GET /api/dispatch/jobs/${String(created.body["id"])}`);
    expect(done.body["status"]).toBe("COMPLETED");
  });

  test("searches", async () => {
    const events = await send("GET /api/bff/events?clientId=...&type=order.created&page=0&size=20");
    expect(events).toMatchObject({ status: 200, body: { items: [], page: 0, size: 20, totalItems: 0 } });
    const all = await send("GET /api/bff/events?type=order.created&page=0&size=20");
    expect(Number(all.body["totalItems"])).toBeGreaterThanOrEqual(3);
    const options = await send("GET /api/bff/events/filter-options");
    expect(options.status).toBe(200);
    const jobs = await eventually("completed jobs", async () => {
      const answer = await send("GET /api/bff/dispatch-jobs?status=COMPLETED&page=0&size=20");
      return Number(answer.body["totalItems"]) >= 4 ? answer : undefined;
    });
    expect(jobs.body["items"]).toContainEqual(expect.objectContaining({ status: "COMPLETED", code: "order.created" }));
  });
});

describe("CloudEvents, sent and read by the cloudevents package", () => {
  test("in binary and structured mode, delivered as an envelope with their own id", async () => {
    const { secret: own } = await subscribe(server.apiUrl, {
      name: "envelopes",
      eventTypes: ["shop.order.*"],
      targetUrl: `${receiver.url}/envelopes`,
      format: "cloudevents",
    });
    const statuses: number[] = [];
    for (const mode of [Mode.BINARY, Mode.STRUCTURED]) {
      const emit = emitterFor(
        async ({ headers, body }) => {
          const texts = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
          statuses.push(
            (await request(server.apiUrl, "POST /api/events", { body: String(body), headers: texts })).status,
          );
        },
        { mode },
      );
      await emit(
        new CloudEvent({
          id: `from-${mode}`,
          type: "shop.order.paid",
          source: "/shop",
          subject: "order-7",
          messagegroup: "order-7",
          region: "eu",
          data: { mode },
        }),
      );
    }
    expect(statuses).toEqual([201, 201]);
    const arrivals = await receiver.received("/envelopes", 2);
    for (const [at, mode] of [Mode.BINARY, Mode.STRUCTURED].entries()) {
      const { headers, body } = arrivals[at]!;
      verified(arrivals[at]!, own);
      const read = HTTP.toEvent<{ mode: string }>({ headers: { ...headers }, body });
      expect(read).toMatchObject({
        id: `from-${mode}`,
        type: "shop.order.paid",
        subject: "order-7",
        messagegroup: "order-7",
        region: "eu",
        data: { mode },
      });
    }
  });
});
