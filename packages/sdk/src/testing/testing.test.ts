import assert from "node:assert/strict";
import { test } from "node:test";
import { createClient, FlowCatalystError } from "@flowcatalyst/sdk";
import {
  createFakePlatform,
  createTestReceiver,
  generateWebhookSecret,
  signedRequest,
} from "@flowcatalyst/sdk/testing";

const url = "http://receiver.test/";

function setup() {
  const platform = createFakePlatform();
  const client = createClient({ baseUrl: "http://platform.test", fetch: platform.fetch, maxRetries: 1 });
  return { platform, client };
}

test("a receiver keeps what verified and what did not, and answers as told", async () => {
  const secrets = generateWebhookSecret();
  const receiver = createTestReceiver({ secrets });
  const next = receiver.next();
  receiver.answerNext({ ack: false });
  assert.equal((await receiver.fetch(await signedRequest(url, { secrets, eventType: "a" }))).status, 200);
  assert.equal((await next).eventType, "a");
  assert.equal((await receiver.fetch(await signedRequest(url, { secrets, eventType: "b" }))).status, 204);
  assert.equal((await receiver.next()).eventType, "b");
  assert.equal((await receiver.fetch(await signedRequest(url, { secrets: generateWebhookSecret() }))).status, 401);
  assert.deepEqual([receiver.received.length, receiver.refused.length], [2, 1]);
});

test("what a client publishes to the fake platform is there to look at, once", async () => {
  const { platform, client } = setup();
  const event = { type: "order.created", source: "shop", data: { n: 1 }, deduplicationId: "one" };
  const first = await client.publish(event);
  assert.equal((await client.publish(event)).id, first.id);
  assert.deepEqual(
    platform.events.map(({ id, type, data }) => [id, type, data]),
    [[first.id, "order.created", { n: 1 }]],
  );
});

test("it delivers what a subscription wants, signed, and again with the same webhook-id", async () => {
  const { platform, client } = setup();
  const secrets = generateWebhookSecret();
  const receiver = createTestReceiver({ secrets });
  platform.subscribe({ eventTypes: ["order.*"], receiver: receiver.fetch, secret: secrets });
  const { secret } = platform.subscribe({
    eventTypes: ["**"],
    receiver: () => {
      throw new Error("down");
    },
  });
  assert.match(secret, /^whsec_/);
  await client.publish({ type: "order.created", source: "shop", data: { n: 1 } });
  await client.publish({ type: "invoice.created", source: "shop" });
  assert.deepEqual(
    platform.deliveries.map(({ event, status }) => [event.type, status]),
    [
      ["order.created", 204],
      ["order.created", 500],
      ["invoice.created", 500],
    ],
  );
  const webhook = await receiver.next();
  assert.deepEqual([webhook.data(), webhook.attempt], [{ n: 1 }, 1]);
  await platform.redeliver(webhook.id);
  const again = await receiver.next();
  assert.deepEqual([again.id, again.attempt], [webhook.id, 2]);
  await assert.rejects(platform.redeliver("job_none"), RangeError);
});

test("it fails as told, and answers other resources as told", async () => {
  const { platform, client } = setup();
  platform.failNext({ status: 503, retryAfterSeconds: 0 });
  await client.publish({ type: "order.created", source: "shop" });
  assert.equal(platform.events.length, 1);
  platform.failNext({ status: 400, code: "VALIDATION_FAILED" });
  await assert.rejects(client.publish({ type: "a", source: "b" }), (error) => {
    assert.ok(error instanceof FlowCatalystError);
    assert.equal(error.code, "VALIDATION_FAILED");
    return true;
  });
  const call = async (method: string, path: string, body?: unknown): Promise<Response> =>
    platform.fetch(`http://platform.test${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  assert.equal((await call("GET", "/api/dispatch-pools")).status, 404);
  platform.respond((request) => (request.method === "GET" ? Response.json({ items: [] }) : null));
  assert.equal((await call("GET", "/api/dispatch-pools")).status, 200);
  assert.equal((await call("POST", "/api/events", { type: "no source" })).status, 400);
});

test("it takes batches, items and CloudEvents", async () => {
  const { platform } = setup();
  const post = async (path: string, body: unknown): Promise<unknown> => {
    const init = { method: "POST", body: JSON.stringify(body) };
    return (await platform.fetch(`http://platform.test${path}`, init)).json();
  };
  const event = { type: "a:b", source: "s", deduplicationId: "x" };
  const batch = (await post("/api/events/batch", { events: [event, event] })) as { duplicateCount: number };
  assert.equal(batch.duplicateCount, 1);
  const items = (await post("/api/events/batch", { items: [event] })) as { results: unknown[] };
  assert.deepEqual(items.results, [{ id: platform.events[0]?.id, status: "SUCCESS" }]);
  const cloudEvent = { specversion: "1.0", id: "1", source: "s", type: "c", messagegroup: "g" };
  await post("/api/events", cloudEvent);
  await post("/api/events", [cloudEvent, { ...cloudEvent, id: "2" }]);
  assert.deepEqual(
    platform.events.map(({ type, messageGroup, deduplicationId }) => [type, messageGroup, deduplicationId]),
    [
      ["a:b", null, "x"],
      ["c", "g", "s 1"],
      ["c", "g", "s 2"],
    ],
  );
});
