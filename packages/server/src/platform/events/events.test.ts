import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { CodedError } from "@flowcatalyst/foundation";
import type { NewEvent } from "../../domain/event.ts";
import { setupPlatform, type TestPlatform } from "../platform.fixture.ts";

let platform: TestPlatform;
beforeEach(() => {
  platform = setupPlatform();
});
afterEach(() => platform.close());

const order = { type: "order.created", source: "/shop", data: { orderId: 1 } };
const publish = (body: unknown, headers: Record<string, string> = {}) =>
  platform.call("POST /api/events", body, headers);
const publishBatch = (body: unknown, headers: Record<string, string> = {}) =>
  platform.call("POST /api/events/batch", body, headers);

describe("POST /api/events", () => {
  test("answers 201 with the event and where it is", async () => {
    const full = {
      ...order,
      specVersion: "1.0",
      subject: "o-1",
      time: "2026-01-31T12:00:00+02:00",
      messageGroup: "g",
      correlationId: "c",
      causationId: "x",
      deduplicationId: "d",
      clientId: "cli_1",
      dataSchema: "https://example.com/s",
      contextData: [{ key: "k", value: "v" }],
    };
    const answer = await publish(full);
    expect(answer.status).toBe(201);
    expect(answer.headers.get("location")).toBe(`/api/events/${answer.id}`);
    expect(answer.json).toMatchObject({
      ...full,
      time: "2026-01-31T10:00:00.000Z",
      dataContentType: "application/json",
      extensions: {},
      createdAt: "2026-01-01T00:00:00.000Z",
    });
    const read = await platform.call(`GET /api/events/${answer.id}`);
    expect(read.status).toBe(200);
    expect(read.text).toBe(answer.text);
  });

  test("answers 200 with the first event when the deduplicationId is known", async () => {
    const first = await publish({ ...order, deduplicationId: "d-1" });
    const second = await publish({ ...order, data: { other: true }, deduplicationId: "d-1" });
    expect([first.status, second.status]).toEqual([201, 200]);
    expect(second.text).toBe(first.text);
  });

  test("makes one event of fifty equal requests at once", async () => {
    const requests = Array.from({ length: 50 }, () => publish({ ...order, deduplicationId: "d-1" }));
    const answers = await Promise.all(requests);
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(49);
    expect(new Set(answers.map(({ id }) => id)).size).toBe(1);
    expect<number>(await platform.store.eventFeed.newest()).toBe(1);
  });

  test("keeps numbers that JavaScript cannot hold", async () => {
    const data = '{"id":12345678901234567890,"tiny":0.12345678901234567890,"big":1e400,"plain":1.5,"text":"1e400"}';
    const answer = await publish(`{"type":"t","source":"s","data":${data}}`);
    expect(answer.status).toBe(201);
    expect(answer.text).toContain(`"data":${data}`);
  });

  test("keeps the trace context of the request with the event", async () => {
    const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    expect((await publish(order, { traceparent })).json.extensions).toEqual({ traceparent });
    expect((await publish(order, { traceparent: "nonsense" })).json.extensions).toEqual({});
  });

  test("refuses what is not valid with the path of each fault, and keeps nothing", async () => {
    const answer = await publish({ type: "", source: 5, typ: "x", contextData: [{ key: "" }] });
    expect(answer.status).toBe(400);
    expect(answer.json).toMatchObject({ status: 400, code: "VALIDATION_FAILED", error: "VALIDATION_FAILED" });
    expect(answer.faults).toEqual([
      { path: "typ", message: "is not a known field" },
      { path: "type", message: "must not be empty" },
      { path: "source", message: "must be a string" },
      { path: "contextData[0].key", message: "must not be empty" },
      { path: "contextData[0].value", message: "is required" },
    ]);
    expect<number>(await platform.store.eventFeed.newest()).toBe(0);
  });

  test("counts accepted events, and not duplicates", async () => {
    await publish({ ...order, deduplicationId: "d" });
    await publish({ ...order, deduplicationId: "d" });
    await publishBatch({ events: [order, order] });
    expect(await platform.metrics.render()).toContain("fc_platform_events_accepted_total 3");
  });
});

describe("POST /api/events/batch with events", () => {
  test("answers each event by position, duplicates marked", async () => {
    const events = [order, { ...order, deduplicationId: "d" }, { ...order, deduplicationId: "d" }];
    const answer = await publishBatch({ events });
    expect(answer.status).toBe(201);
    expect(answer.json).toMatchObject({ count: 3, duplicateCount: 1 });
    const accepted = answer.json.events as { id: string; duplicate: boolean }[];
    expect(accepted.map(({ duplicate }) => duplicate)).toEqual([false, false, true]);
    expect(accepted[2]!.id).toBe(accepted[1]!.id);
    expect<number>(await platform.store.eventFeed.newest()).toBe(2);
  });

  test("is all or nothing, and names each bad index", async () => {
    const answer = await publishBatch({ events: [order, { type: "x" }, order, { ...order, nonsense: 1 }] });
    expect(answer.status).toBe(400);
    expect(answer.faults).toEqual([
      { path: "events[1].source", message: "is required" },
      { path: "events[3].nonsense", message: "is not a known field" },
    ]);
    expect<number>(await platform.store.eventFeed.newest()).toBe(0);
  });

  test("has at most 1,000 events, and at least one", async () => {
    const over = await publishBatch({ events: Array.from({ length: 1_001 }, () => order) });
    expect([over.status, over.code]).toEqual([413, "BATCH_TOO_LARGE"]);
    expect((await publishBatch({ events: [] })).status).toBe(400);
    expect((await publishBatch({ events: Array.from({ length: 1_000 }, () => order) })).status).toBe(201);
  });

  test("refuses data over 256 KiB with 413 and its path", async () => {
    const answer = await publishBatch({ events: [order, { ...order, data: "x".repeat(262_144) }] });
    expect([answer.status, answer.code]).toEqual([413, "PAYLOAD_TOO_LARGE"]);
    expect(answer.faults).toMatchObject([{ path: "events[1].data" }]);
  });

  test("refuses a body that is neither events nor items", async () => {
    expect((await publishBatch({})).faults).toEqual([{ path: "events", message: "is required" }]);
    expect((await publishBatch({ events: [order], items: [order] })).status).toBe(400);
    expect((await publishBatch({ events: {}, other: 1 })).faults).toHaveLength(2);
    expect((await publishBatch([order])).status).toBe(400);
  });

  test("is repeated under its Idempotency-Key, and refused with another body", async () => {
    const key = { "idempotency-key": "k-1" };
    const first = await publishBatch({ events: [order] }, key);
    const again = await publishBatch({ events: [order] }, key);
    expect([first.status, again.status]).toEqual([201, 201]);
    expect(again.text).toBe(first.text);
    expect(again.headers.get("idempotency-replayed")).toBe("true");
    const other = await publishBatch({ events: [order, order] }, key);
    expect([other.status, other.code]).toEqual([409, "IDEMPOTENCY_KEY_REUSED"]);
    expect<number>(await platform.store.eventFeed.newest()).toBe(1);
  });
});

describe("POST /api/events/batch with items", () => {
  test("answers each item for itself", async () => {
    const answer = await publishBatch({
      items: [order, { type: "x" }, order, { ...order, data: "x".repeat(262_144) }],
    });
    expect(answer.status).toBe(200);
    const results = answer.json.results as { id?: string; status: string; error?: string }[];
    expect(results.map(({ status }) => status)).toEqual(["SUCCESS", "BAD_REQUEST", "SUCCESS", "BAD_REQUEST"]);
    expect(results[0]?.id).toStartWith("evt_");
    expect(results[1]?.error).toBe("items[1].source is required.");
    expect<number>(await platform.store.eventFeed.newest()).toBe(2);
  });

  test("refuses more data than a batch may carry, because the same items would never be taken", async () => {
    const item = { type: "t", source: "s", data: "x".repeat(250_000) };
    const refused = await platform.call("POST /api/events/batch", { items: Array.from({ length: 136 }, () => item) });
    expect([refused.status, refused.code]).toEqual([413, "PAYLOAD_TOO_LARGE"]);
    expect<number>(await platform.store.eventFeed.newest()).toBe(0);
  });

  test("fails all valid items when the log cannot take them, and none is kept", async () => {
    await platform.close();
    const full = new CodedError("STORE_FULL");
    platform = setupPlatform({}, { events: { append: () => Promise.reject(full) } });
    const answer = await publishBatch({ items: [order, { type: "x" }, order] });
    const results = answer.json.results as { status: string }[];
    expect(results.map(({ status }) => status)).toEqual(["INTERNAL_ERROR", "BAD_REQUEST", "INTERNAL_ERROR"]);
  });

  test("a retryable failure fails later items of its group, and only those", async () => {
    const { store } = platform;
    let asked = 0;
    const flaky = setupPlatform(
      {},
      {
        eventTypes: Object.assign(Object.create(store.eventTypes) as typeof store.eventTypes, {
          byCode: () => (asked++ === 0 ? Promise.reject(new CodedError("STORE_UNAVAILABLE")) : Promise.resolve(null)),
        }),
      },
    );
    const registered = { ...order, type: "shop:sales:order:created" };
    const items = [
      { ...registered, messageGroup: "a" },
      { ...registered, messageGroup: "b" },
      { ...order, messageGroup: "a" },
      order,
    ];
    const answer = await flaky.call("POST /api/events/batch", { items });
    const results = answer.json.results as { status: string }[];
    expect(results.map(({ status }) => status)).toEqual(["INTERNAL_ERROR", "SUCCESS", "INTERNAL_ERROR", "SUCCESS"]);
    await flaky.close();
  });
});

describe("when the log cannot take more", () => {
  test("nothing is accepted, and the answer says when to come back", async () => {
    const taken: NewEvent[][] = [];
    const overloaded = new CodedError("OVERLOADED", { retryAfterSeconds: 2 });
    const busy = setupPlatform(
      {},
      { events: { append: (events) => (taken.push([...events]), Promise.reject(overloaded)) } },
    );
    const answer = await busy.call("POST /api/events/batch", { events: [order] });
    expect([answer.status, answer.code, answer.headers.get("retry-after")]).toEqual([503, "OVERLOADED", "2"]);
    expect(taken).toHaveLength(1);
    await busy.close();
  });
});
