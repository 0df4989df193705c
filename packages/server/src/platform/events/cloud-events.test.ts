import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { CloudEvent, HTTP } from "cloudevents";
import { setupPlatform, type TestAnswer, type TestPlatform } from "../platform.fixture.ts";

let platform: TestPlatform;
beforeEach(() => {
  platform = setupPlatform();
});
afterEach(() => platform.close());

interface Message {
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: unknown;
}

/** Sends what the `cloudevents` package made. */
function send({ headers, body }: Message, path = "/api/events"): Promise<TestAnswer> {
  const texts = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
  return platform.call(`POST ${path}`, String(body), texts);
}

const attributes = {
  id: "o-1",
  source: "/shop",
  type: "order.created",
  subject: "s",
  time: "2026-01-31T12:00:00.000Z",
};

describe("CloudEvents of the cloudevents package", () => {
  const event = new CloudEvent({
    ...attributes,
    data: { orderId: 1 },
    dataschema: "https://example.com/s",
    messagegroup: "g",
    correlationid: "c",
    causationid: "x",
    clientid: "cli_1",
    region: "eu",
    shard: 7,
    hot: true,
  });
  const expected = {
    type: "order.created",
    source: "/shop",
    subject: "s",
    time: "2026-01-31T12:00:00.000Z",
    data: { orderId: 1 },
    dataSchema: "https://example.com/s",
    senderId: "o-1",
    messageGroup: "g",
    correlationId: "c",
    causationId: "x",
    clientId: "cli_1",
  };

  test("are taken in structured mode, extensions kept", async () => {
    const answer = await send(HTTP.structured(event));
    expect(answer.status).toBe(201);
    expect(answer.json).toMatchObject({ ...expected, extensions: { region: "eu", shard: 7, hot: true } });
    expect(answer.id).toStartWith("evt_");
  });

  test("are taken in binary mode, extensions kept", async () => {
    const answer = await send(HTTP.binary(event));
    expect(answer.status).toBe(201);
    expect(answer.json).toMatchObject({ ...expected, extensions: { region: "eu", shard: "7", hot: "true" } });
  });

  test("are one event whatever the mode, because source and id identify them", async () => {
    const first = await send(HTTP.binary(event));
    const second = await send(HTTP.structured(event));
    expect([first.status, second.status]).toEqual([201, 200]);
    expect(second.id).toBe(first.id);
  });

  test("are taken in batches at both paths", async () => {
    const batch = JSON.stringify([event, event.cloneWith({ id: "o-2" })].map((one) => one.toJSON()));
    const headers = { "content-type": "application/cloudevents-batch+json" };
    const first = await platform.call("POST /api/events", batch, headers);
    expect(first.status).toBe(201);
    expect(first.json).toMatchObject({ count: 2, duplicateCount: 0 });
    const second = await platform.call("POST /api/events/batch", batch, headers);
    expect(second.json).toMatchObject({ count: 2, duplicateCount: 2 });
  });

  test("keep binary data", async () => {
    const bytes = new Uint8Array([0, 1, 254, 255]);
    const structured = await send(HTTP.structured(new CloudEvent({ ...attributes, data: bytes })));
    expect(structured.json).toMatchObject({ dataBase64: "AAH+/w==" });
    const binary = new Request("http://127.0.0.1/api/events", {
      method: "POST",
      body: bytes,
      headers: {
        "content-type": "application/octet-stream",
        "ce-specversion": "1.0",
        "ce-id": "b-2",
        "ce-source": "/s",
        "ce-type": "t",
      },
    });
    const answer = await platform.send(binary);
    expect(answer.json).toMatchObject({ dataBase64: "AAH+/w==", dataContentType: "application/octet-stream" });
  });

  test("keep text data", async () => {
    const text = new CloudEvent({ ...attributes, datacontenttype: "text/plain", data: "grüße" });
    expect((await send(HTTP.binary(text))).json).toMatchObject({ data: "grüße", dataContentType: "text/plain" });
    const again = new CloudEvent({ ...attributes, id: "t-2", datacontenttype: "text/plain", data: '{"a":1}' });
    expect((await send(HTTP.structured(again))).json).toMatchObject({ data: '{"a":1}' });
  });
});

describe("a CloudEvent", () => {
  const structured = (body: unknown): Promise<TestAnswer> =>
    platform.call("POST /api/events", body, { "content-type": "application/cloudevents+json" });

  test("takes its group from partitionkey if it names none, and passes that on", async () => {
    const base = { specversion: "1.0", source: "/s", type: "t", partitionkey: "p" };
    const first = await structured({ ...base, id: "1" });
    expect(first.json).toMatchObject({ messageGroup: "p", extensions: { partitionkey: "p" } });
    expect((await structured({ ...base, id: "2", messagegroup: "g" })).json.messageGroup).toBe("g");
  });

  test("may name its own deduplication id", async () => {
    const base = { specversion: "1.0", source: "/s", type: "t", deduplicationid: "d" };
    const first = await structured({ ...base, id: "1" });
    const second = await structured({ ...base, id: "2" });
    expect([first.status, second.status]).toEqual([201, 200]);
  });

  test("is kept apart from others whatever its source and id hold", async () => {
    const base = { specversion: "1.0", type: "t" };
    expect((await structured({ ...base, source: "a:b", id: "c" })).status).toBe(201);
    expect((await structured({ ...base, source: "a", id: "b:c" })).status).toBe(201);
    expect((await structured({ ...base, source: "s".repeat(2_000), id: "1" })).status).toBe(201);
    expect((await structured({ ...base, source: "s".repeat(2_000), id: "1" })).status).toBe(200);
  });

  test("keeps a JSON string a string", async () => {
    const answer = await structured({ specversion: "1.0", source: "/s", type: "t", id: "1", data: '{"a":1}' });
    expect(answer.json.data).toBe('{"a":1}');
  });

  test("that is not valid is refused with each path", async () => {
    const answer = await structured({
      specversion: "0.3",
      source: "",
      type: 5,
      Bad_Name: 1,
      nested: {},
      data_base64: "?",
    });
    expect(answer.status).toBe(400);
    const paths = answer.faults.map(({ path }) => path);
    expect(paths.toSorted()).toEqual(["Bad_Name", "data_base64", "id", "nested", "source", "specversion", "type"]);
  });

  test("in binary mode whose data is not what its type says is refused", async () => {
    const headers = { "ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t" };
    const answer = await platform.call("POST /api/events", "{broken", headers);
    expect(answer.faults).toEqual([{ path: "data", message: "must be JSON, as its content type says" }]);
  });

  test("in a batch is refused by its index", async () => {
    const good = { specversion: "1.0", source: "/s", type: "t", id: "1" };
    const headers = { "content-type": "application/cloudevents-batch+json" };
    const answer = await platform.call("POST /api/events", [good, { ...good, type: undefined }], headers);
    expect(answer.faults).toEqual([{ path: "[1].type", message: "is required" }]);
    expect((await platform.call("POST /api/events", good, headers)).status).toBe(400);
  });
});

test("an Idempotency-Key works in binary mode too, attributes included", async () => {
  const headers = { "content-type": "text/plain", "ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s" };
  const sent = (type: string): Promise<TestAnswer> =>
    platform.call("POST /api/events", "hello", { ...headers, "ce-type": type, "idempotency-key": "k" });
  const first = await sent("a");
  const again = await sent("a");
  expect([first.status, again.status, again.text]).toEqual([201, 201, first.text]);
  expect((await sent("b")).code).toBe("IDEMPOTENCY_KEY_REUSED");
});

describe("what neither UTF-8 nor a header can carry", () => {
  const type = { "content-type": "application/cloudevents+json" };
  const base = { specversion: "1.0", id: "1", type: "t", source: "s" };

  test("is refused by name", async () => {
    for (const [members, path] of [
      [{ deduplicationid: "\ud800" }, "deduplicationid"],
      [{ data: "\udfff", datacontenttype: "text/plain" }, "data"],
      [{ data: "x", datacontenttype: "text/plain\r\nx-forged: 1" }, "datacontenttype"],
    ] as const) {
      const refused = await platform.call("POST /api/events", { ...base, ...members }, type);
      expect([refused.status, refused.faults.map((fault) => fault.path)]).toEqual([400, [path]]);
    }
  });
});
