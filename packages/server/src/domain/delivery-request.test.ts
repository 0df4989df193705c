import { describe, expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { CloudEvent, HTTP } from "cloudevents";
import fc from "fast-check";
import { composeRequest, isReservedHeader, type RequestContext } from "./delivery-request.ts";
import type { ClientId, EventId, JobId, SubscriptionId } from "./ids.ts";
import type { DeliveredEvent, JobDelivery } from "./message.ts";
import { signingKeyOf, standardSignature } from "./signature.ts";

const nowMs = Date.UTC(2026, 0, 1, 0, 0, 0, 250);
const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

function setup() {
  const event: DeliveredEvent = {
    id: "evt_1" as EventId,
    senderId: null,
    type: "order.created",
    source: "shop",
    subject: "order/7",
    timeMs: nowMs - 5_000,
    correlationId: "corr-1",
    causationId: null,
    messageGroup: "order-7",
    dataSchema: null,
    extensions: { region: "eu" },
  };
  const delivery: JobDelivery = {
    kind: "delivery",
    jobId: "job_1" as JobId,
    generation: 1,
    attemptCount: 0,
    generationAttempts: 0,
    clientId: "cli_1" as ClientId,
    subscriptionId: "sub_1" as SubscriptionId,
    target: "https://example.com/hook",
    contentType: "application/json",
    format: "data",
    headers: {},
    payloadKind: "json",
    payload: '{"n": 1}',
    timeoutSeconds: 30,
    retry: { delaysMs: [1_000], maxRetries: 1 },
    expiresAtMs: nowMs + 60_000,
    legacySignature: false,
    secretRef: "subscription:sub_1",
    event,
  };
  const key = signingKeyOf(secret);
  if (key === null) throw new Error("the secret of the test is one");
  const context: RequestContext = {
    nowMs,
    attempt: 2,
    keys: [key],
    traceparent: null,
    userAgent: "FlowCatalyst/0.1.0",
  };
  return { delivery, event, context, key };
}

describe("headers", () => {
  test("say what is delivered, sign it, and name the attempt", () => {
    const { delivery, context, key } = setup();
    const { headers, body, signed } = composeRequest(delivery, context);
    expect(signed).toBe(true);
    expect(body).toBe('{"n": 1}');
    const timestamp = "1767225600";
    expect(headers).toEqual({
      "content-type": "application/json",
      "webhook-id": "job_1",
      "webhook-timestamp": timestamp,
      "webhook-signature": standardSignature({ id: "job_1", timestamp, body: '{"n": 1}' }, [key]),
      "x-flowcatalyst-event-id": "evt_1",
      "x-flowcatalyst-event-type": "order.created",
      "x-flowcatalyst-dispatch-job-id": "job_1",
      "x-flowcatalyst-subscription-id": "sub_1",
      "x-flowcatalyst-client-id": "cli_1",
      "x-flowcatalyst-correlation-id": "corr-1",
      "x-flowcatalyst-attempt": "2",
      "user-agent": "FlowCatalyst/0.1.0",
      "accept-encoding": "identity",
    });
  });

  test("without keys nothing claims to be signed", () => {
    const { delivery, context } = setup();
    const { headers, signed } = composeRequest(delivery, { ...context, keys: [] });
    expect(signed).toBe(false);
    expect(headers["webhook-signature"]).toBeUndefined();
  });

  test("the older scheme comes beside the standard one, with milliseconds", () => {
    const { delivery, context } = setup();
    const { headers } = composeRequest({ ...delivery, legacySignature: true }, context);
    expect(headers["x-flowcatalyst-timestamp"]).toBe("2026-01-01T00:00:00.250Z");
    const expected = createHmac("sha256", secret).update('2026-01-01T00:00:00.250Z{"n": 1}').digest("hex");
    expect(headers["x-flowcatalyst-signature"]).toBe(expected);
    expect(headers["webhook-signature"]).toStartWith("v1,");
  });

  test("traceparent is passed on", () => {
    const { delivery, context } = setup();
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    expect(composeRequest(delivery, { ...context, traceparent }).headers["traceparent"]).toBe(traceparent);
  });

  test("an event's own traceparent goes before the message's, if it is one", () => {
    const { delivery, event, context } = setup();
    const own = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const sent = (given: string | number): string | undefined => {
      const traced = { ...delivery, event: { ...event, extensions: { traceparent: given } } };
      return composeRequest(traced, { ...context, traceparent }).headers["traceparent"];
    };
    expect(sent(own)).toBe(own);
    expect([sent("nonsense"), sent(`${own}\r\nx: y`), sent(7)]).toEqual([traceparent, traceparent, traceparent]);
  });

  test("a subscription's own headers are added, and override none of ours", () => {
    const { delivery, context } = setup();
    const own = { "X-Tenant": "a", "Webhook-Id": "forged", "X-FlowCatalyst-Anything": "forged", Host: "other" };
    const { headers } = composeRequest({ ...delivery, headers: own }, context);
    expect(headers["x-tenant"]).toBe("a");
    expect(headers["webhook-id"]).toBe("job_1");
    expect(headers["x-flowcatalyst-anything"]).toBeUndefined();
    expect(headers["host"]).toBeUndefined();
  });

  test("whatever the attributes hold, every value can be sent", () => {
    const { delivery, event, context } = setup();
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "grapheme" }), (type, value) => {
        const own = { "x-own": value };
        const { headers } = composeRequest({ ...delivery, headers: own, event: { ...event, type } }, context);
        expect(() => new Headers(headers)).not.toThrow();
        expect(headers["x-flowcatalyst-event-type"]).not.toMatch(/[\r\n]/);
      }),
    );
  });

  test("whatever id and content type a stand-alone message has, they can be sent and are signed as sent", () => {
    const { delivery, context, key } = setup();
    fc.assert(
      fc.property(fc.string({ unit: "binary", minLength: 1 }), fc.string({ unit: "grapheme" }), (id, contentType) => {
        const { headers, body } = composeRequest({ ...delivery, jobId: id as JobId, contentType }, context);
        expect(() => new Headers(headers)).not.toThrow();
        const sentId = headers["webhook-id"] ?? "";
        expect(sentId).toMatch(/^[\x20-\x7e]+$/);
        const timestamp = headers["webhook-timestamp"] ?? "";
        expect(headers["webhook-signature"]).toBe(standardSignature({ id: sentId, timestamp, body }, [key]));
      }),
    );
  });

  test("a reserved name is reserved in any case", () => {
    expect(["WEBHOOK-SIGNATURE", "x-flowcatalyst-x", "Transfer-Encoding", "User-Agent"].every(isReservedHeader)).toBe(
      true,
    );
    expect(["authorization", "x-tenant", "accept"].some(isReservedHeader)).toBe(false);
  });
});

describe("bodies", () => {
  test("data goes out byte for byte; binary data decoded; no data as an empty body", () => {
    const { delivery, context } = setup();
    const base64 = Buffer.from([0, 255, 7]).toString("base64");
    expect(composeRequest({ ...delivery, payload: '{ "a" : 1 }' }, context).body).toBe('{ "a" : 1 }');
    expect(composeRequest({ ...delivery, payload: null }, context).body).toBe("");
    const binary = composeRequest({ ...delivery, payloadKind: "base64", payload: base64 }, context);
    expect(binary.body).toEqual(Buffer.from([0, 255, 7]));
  });

  test("the CloudEvents envelope is one that the cloudevents package reads", () => {
    const { delivery, context } = setup();
    const { headers, body } = composeRequest({ ...delivery, format: "cloudevents" }, context);
    expect(headers["content-type"]).toBe("application/cloudevents+json; charset=utf-8");
    const read = HTTP.toEvent({ headers, body });
    if (!(read instanceof CloudEvent)) throw new Error("one event was sent");
    expect(read.validate()).toBe(true);
    expect(read).toMatchObject({
      id: "evt_1",
      source: "shop",
      type: "order.created",
      subject: "order/7",
      datacontenttype: "application/json",
      data: { n: 1 },
      region: "eu",
      messagegroup: "order-7",
      correlationid: "corr-1",
      clientid: "cli_1",
    });
  });

  test("the sender's id comes back; text is a JSON string; binary is data_base64", () => {
    const { delivery, event, context } = setup();
    const cloudEvent = { ...delivery, format: "cloudevents" } as const;
    const parse = (job: JobDelivery): unknown => JSON.parse(composeRequest(job, context).body as string);
    expect(parse({ ...cloudEvent, event: { ...event, senderId: "their-1" } })).toMatchObject({ id: "their-1" });
    expect(parse({ ...cloudEvent, payloadKind: "text", payload: 'say "hi"' })).toMatchObject({ data: 'say "hi"' });
    expect(parse({ ...cloudEvent, payloadKind: "base64", payload: "AP8H" })).toMatchObject({ data_base64: "AP8H" });
    expect(parse({ ...cloudEvent, payload: null })).not.toHaveProperty("data");
    expect(parse({ ...cloudEvent, event: null })).toMatchObject({ id: "job_1", type: "flowcatalyst.task" });
  });
});
