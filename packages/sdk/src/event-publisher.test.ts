import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { CloudEvent } from "cloudevents";
import { createClient, PublishBatchError, publishLimits, type CreateEvent, type EventOf } from "@flowcatalyst/sdk";
import { problem, startTestServer, type SeenRequest, type TestAnswer, type TestServer } from "./test-server.fixture.ts";

const servers: TestServer[] = [];
after(() => Promise.all(servers.map((server) => server.stop())));

interface ShopEvents {
  "order.placed": { readonly orderId: string; readonly total: number };
  "order.cancelled": undefined;
}

async function setup(answer: (request: SeenRequest, before: number) => TestAnswer) {
  const server = await startTestServer(answer);
  servers.push(server);
  return { server, client: createClient<ShopEvents>({ baseUrl: server.url, maxRetries: 2 }) };
}

const itemsOf = ({ text }: SeenRequest): readonly CreateEvent[] =>
  (JSON.parse(text) as { items: readonly CreateEvent[] }).items;

/** A platform that takes all, and gives the deduplicationId as id. */
const takesAll = (request: SeenRequest): TestAnswer => ({
  status: 200,
  body: { results: itemsOf(request).map(({ deduplicationId }) => ({ id: deduplicationId, status: "SUCCESS" })) },
});

const order = (orderId: string, more: object = {}): EventOf<ShopEvents> => ({
  type: "order.placed",
  source: "shop",
  data: { orderId, total: 1 },
  ...more,
});

const incomplete = async (promise: Promise<unknown>): Promise<PublishBatchError> => {
  const error: unknown = await promise.then(
    () => assert.fail("all were published"),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof PublishBatchError, String(error));
  return error;
};

describe("one event", () => {
  test("has a deduplicationId of its own, the same in each of its tries", async () => {
    const { server, client } = await setup((_, before) =>
      before === 0 ? "lost" : { status: 201, body: { id: "evt_1" } },
    );
    assert.equal((await client.publish(order("1"))).id, "evt_1");
    const ids = server.seen.map(({ text }) => (JSON.parse(text) as CreateEvent).deduplicationId);
    assert.match(String(ids[0]), /^[0-9a-f]{32}$/);
    assert.equal(ids[1], ids[0]);
  });

  test("keeps the one it was given", async () => {
    const { server, client } = await setup(() => ({ status: 201, body: { id: "evt_1" } }));
    await client.publish({ type: "order.cancelled", source: "shop", deduplicationId: "mine" });
    assert.deepEqual(JSON.parse(server.seen[0]?.text ?? ""), {
      type: "order.cancelled",
      source: "shop",
      deduplicationId: "mine",
    });
  });
});

describe("many events", () => {
  test("are split at the number a request may have, and stay in order", async () => {
    const { server, client } = await setup(takesAll);
    const events = Array.from({ length: 2_300 }, (_, at) => order(String(at), { deduplicationId: `d${at}` }));
    const published = await client.publishBatch(events);
    assert.deepEqual(
      server.seen.map((request) => itemsOf(request).length),
      [publishLimits.batchMaxEvents, publishLimits.batchMaxEvents, 300],
    );
    assert.deepEqual(
      published.map(({ id }) => id),
      events.map(({ deduplicationId }) => deduplicationId),
    );
  });

  test("are split at the size of a request, in bytes of UTF-8", async () => {
    const { server, client } = await setup(takesAll);
    const megabyte = "é".repeat(524_288);
    await client.publishBatch(Array.from({ length: 20 }, () => order(megabyte)));
    assert.equal(server.seen.flatMap(itemsOf).length, 20);
    assert.equal(server.seen.length, 3);
    assert.ok(server.seen.every(({ text }) => Buffer.byteLength(text) <= publishLimits.batchMaxBytes + 64));
  });

  test("that are none need no request", async () => {
    const { server, client } = await setup(takesAll);
    assert.deepEqual(await client.publishBatch([]), []);
    assert.equal(server.seen.length, 0);
  });

  test("that could not be taken for now are sent again, and only those", async () => {
    const { server, client } = await setup((request, before) => {
      if (before > 0) return takesAll(request);
      const results = [
        { id: "a", status: "SUCCESS" },
        { status: "INTERNAL_ERROR", error: "busy" },
      ];
      return { status: 200, body: { results } };
    });
    const events = [order("a", { deduplicationId: "a" }), order("b", { deduplicationId: "b" })];
    const published = await client.publishBatch(events);
    assert.deepEqual(published, [
      { id: "a", deduplicationId: "a" },
      { id: "b", deduplicationId: "b" },
    ]);
    assert.deepEqual(
      server.seen.map((request) => itemsOf(request).map(({ deduplicationId }) => deduplicationId)),
      [["a", "b"], ["b"]],
    );
  });

  test("that are refused are named by position; the others are published", async () => {
    const { client } = await setup(() => ({
      status: 200,
      body: {
        results: [
          { id: "a", status: "SUCCESS" },
          { status: "BAD_REQUEST", error: "no type" },
          { status: "FORBIDDEN", error: "not yours" },
        ],
      },
    }));
    const error = await incomplete(client.publishBatch([order("a"), order("b"), order("c")]));
    assert.deepEqual(
      error.results.map((result) => [result.kind, result.kind === "refused" ? result.status : null]),
      [
        ["published", null],
        ["refused", "BAD_REQUEST"],
        ["refused", "FORBIDDEN"],
      ],
    );
    assert.equal(error.code, "BATCH_INCOMPLETE");
    assert.deepEqual(error.unpublished, []);
    assert.match(error.message, /^of 3 events 1 published, 2 refused, 0 to be sent again: no type$/);
  });

  test("stay in order when the server goes away: nothing more is sent, and the rest can be sent again", async () => {
    let away = true;
    const { server, client } = await setup((request, before) =>
      before > 0 && away ? problem(503, "STORE_FULL", { "retry-after": "0" }) : takesAll(request),
    );
    const events = Array.from({ length: 3_000 }, (_, at) => order(String(at)));
    const error = await incomplete(client.publishBatch(events));
    assert.equal(server.seen.length, 1 + 3, "the first, and the second with its repeats");
    assert.equal(error.status, 503);
    assert.equal(error.unpublished.length, 2_000);
    assert.ok(error.cause instanceof Error);
    away = false;
    const again = await createClient({ baseUrl: server.url }).publishBatch(error.unpublished.map(asGiven));
    assert.deepEqual(
      again.map(({ deduplicationId }) => deduplicationId),
      error.unpublished.map(({ deduplicationId }) => deduplicationId),
    );
  });

  test("answered by another number are not matched with the answers of others", async () => {
    const { client } = await setup(() => ({ status: 200, body: { results: [{ id: "a", status: "SUCCESS" }] } }));
    const error = await incomplete(client.publishBatch([order("a"), order("b")]));
    assert.match(error.message, /2 events were sent and not as many answered/);
    assert.equal(error.unpublished.length, 2);
  });

  test("that are aborted say what became of each: the rest can be sent again under the same ids", async () => {
    const stop = new AbortController();
    const { client } = await setup((request) => {
      stop.abort(new Error("enough"));
      return takesAll(request);
    });
    const events = Array.from({ length: 1_500 }, (_, at) => order(String(at)));
    const error = await incomplete(client.publishBatch(events, { signal: stop.signal }));
    assert.equal(error.cause, stop.signal.reason);
    assert.match(error.message, /enough$/);
    assert.ok(error.unpublished.length >= 500);
    assert.ok(error.unpublished.every(({ deduplicationId }) => /^[0-9a-f]{32}$/.test(deduplicationId ?? "")));
  });

  test("of which one is no JSON are not sent at all", async () => {
    const { server, client } = await setup(takesAll);
    const events = Array.from({ length: 1_500 }, (_, at) => order(String(at)));
    const wrong = { type: "order.cancelled", source: "shop", data: 1n } as unknown as EventOf<ShopEvents>;
    await assert.rejects(client.publishBatch([...events, wrong]), TypeError);
    assert.equal(server.seen.length, 0);
  });
});

test("an answer that no platform gives is no success", async () => {
  const page = (): Promise<Response> => Promise.resolve(new Response("<html>sign in</html>"));
  const client = createClient({ baseUrl: "http://x", fetch: page });
  const cloudEvent = { specversion: "1.0", id: "1", source: "shop", type: "a" };
  const unexpected = { name: "FlowCatalystError", code: "UNEXPECTED_ANSWER" };
  await assert.rejects(client.publish({ type: "a", source: "shop" }), unexpected);
  await assert.rejects(client.publishCloudEvent(cloudEvent), unexpected);
  await assert.rejects(client.publishCloudEvents([cloudEvent]), unexpected);
});

/** For a client that knows no map of types. */
function asGiven(event: CreateEvent): EventOf {
  return event;
}

describe("CloudEvents", () => {
  test("of the CNCF's SDK are sent as they are", async () => {
    const { server, client } = await setup(() => ({ status: 201, body: { id: "evt_1" } }));
    const event = new CloudEvent({ id: "1", type: "order.placed", source: "/shop", data: { a: 1 }, tenant: "x" });
    await client.publishCloudEvent(event);
    assert.equal(server.seen[0]?.headers["content-type"], "application/cloudevents+json");
    const sent = JSON.parse(server.seen[0]?.text ?? "") as Record<string, unknown>;
    assert.deepEqual([sent["specversion"], sent["id"], sent["tenant"], sent["data"]], ["1.0", "1", "x", { a: 1 }]);
  });

  test("are sent in batches", async () => {
    const { server, client } = await setup(({ text }) => ({
      status: 201,
      body: { events: (JSON.parse(text) as readonly { id: string }[]).map(({ id }) => ({ id })) },
    }));
    const events = Array.from({ length: 1_001 }, (_, at) => ({
      specversion: "1.0",
      id: String(at),
      type: "order.placed",
      source: "/shop",
      region: "north",
    }));
    const accepted = await client.publishCloudEvents(events);
    assert.equal(accepted.length, 1_001);
    assert.equal(server.seen.length, 2);
    assert.equal(server.seen[0]?.headers["content-type"], "application/cloudevents-batch+json");
  });
});

test("a map of event types decides what an event's data is", () => {
  type Placed = Extract<EventOf<ShopEvents>, { type: "order.placed" }>;
  type Cancelled = Extract<EventOf<ShopEvents>, { type: "order.cancelled" }>;
  type Is<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;
  const data: Is<Placed["data"], ShopEvents["order.placed"]> = true;
  const names: Is<EventOf<ShopEvents>["type"], "order.placed" | "order.cancelled"> = true;
  const withoutData: { type: "order.placed"; source: string } extends Placed ? true : false = false;
  const mayLackData: { type: "order.cancelled"; source: string } extends Cancelled ? true : false = true;
  const unknown: { type: "order.lost"; source: string } extends EventOf<ShopEvents> ? true : false = false;
  const any: Is<EventOf["type"], string> = true;
  assert.deepEqual([data, names, withoutData, mayLackData, unknown, any], [true, true, false, true, false, true]);
});
