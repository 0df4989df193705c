import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Webhook as ReferenceWebhook } from "standardwebhooks";
import {
  signLegacyWebhook,
  signWebhook,
  verifyWebhook,
  verifyWebhookOrThrow,
  WebhookRefusedError,
  type ReceivedWebhook,
} from "@flowcatalyst/sdk/webhooks";
import vectorsFile from "../../../../docs/reference/webhook-vectors.json" with { type: "json" };

interface Vector {
  readonly name: string;
  readonly scheme: string;
  readonly body?: string;
  readonly bodyBase64: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly secrets: readonly string[];
  readonly nowSeconds: number;
  readonly verifies: boolean;
  readonly reason?: string;
}

const vectors: readonly Vector[] = vectorsFile.vectors;
const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const otherSecret = "whsec_plJ3nmyCDGBKInavdOK15jsl";
const nowMs = 1_767_225_600_000;

interface Signed {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

async function signed(body = '{"n":1}'): Promise<Signed> {
  const timestamp = nowMs / 1_000;
  const signature = await signWebhook(secret, { id: "job_1", timestamp, body });
  const headers = {
    "content-type": "application/json",
    "webhook-id": "job_1",
    "webhook-timestamp": String(timestamp),
    "webhook-signature": signature,
    "x-flowcatalyst-subscription-id": "sub_1",
    "x-flowcatalyst-event-type": "order.created",
    "x-flowcatalyst-attempt": "2",
  };
  return { headers, body };
}

function requestOf({ headers, body }: Signed): Request {
  return new Request("http://receiver.test/", { method: "POST", headers, body });
}

describe("vectors", () => {
  for (const vector of vectors) {
    test(vector.name, async () => {
      const { headers, secrets } = vector;
      const body = Uint8Array.from(atob(vector.bodyBase64), (char) => char.charCodeAt(0));
      const options = { nowMs: vector.nowSeconds * 1_000 };
      const verification = await verifyWebhook({ headers, body }, secrets, options);
      if (verification.kind === "refused") {
        assert.deepEqual([vector.verifies, verification.reason], [false, vector.reason]);
        return;
      }
      assert.deepEqual([vector.verifies, verification.webhook.scheme], [true, vector.scheme]);
      assert.deepEqual(verification.webhook.body, body);
      if (vector.body === undefined) return;
      const asText = await verifyWebhook({ headers, body: vector.body }, secrets, options);
      assert.equal(asText.kind, "verified");
    });
  }
});

describe("signatures", () => {
  test("are what the reference library expects, and it signs what we verify", async () => {
    const now = new Date();
    const timestamp = Math.floor(now.getTime() / 1_000);
    const body = '{"name":"Žluťoučký"}';
    const reference = new ReferenceWebhook(secret);
    const ours = await signWebhook(secret, { id: "job_1", timestamp, body });
    assert.equal(ours, reference.sign("job_1", now, body));
    const headers = { "webhook-id": "job_1", "webhook-timestamp": String(timestamp), "webhook-signature": ours };
    assert.deepEqual(reference.verify(body, headers), { name: "Žluťoučký" });
    assert.equal((await verifyWebhook({ headers, body }, secret)).kind, "verified");
  });

  test("of the older scheme are lower-case hex", async () => {
    const timestamp = new Date(nowMs).toISOString();
    const signature = await signLegacyWebhook(secret, { timestamp, body: "{}" });
    assert.match(signature, /^[0-9a-f]{64}$/);
    const headers = { "x-flowcatalyst-timestamp": timestamp, "x-flowcatalyst-signature": signature };
    const received = { headers, body: "{}" };
    assert.equal((await verifyWebhook(received, secret, { nowMs })).kind, "verified");
    const standardOnly = await verifyWebhook(received, secret, { nowMs, schemes: ["standard"] });
    assert.equal(standardOnly.kind === "refused" && standardOnly.reason, "MISSING_HEADERS");
  });
});

describe("a request", () => {
  test("is verified and told of", async () => {
    const webhook = await verifyWebhookOrThrow(requestOf(await signed()), secret, { nowMs });
    assert.deepEqual(
      [webhook.id, webhook.eventType, webhook.subscriptionId, webhook.attempt, webhook.scheme],
      ["job_1", "order.created", "sub_1", 2, "standard"],
    );
    assert.deepEqual([webhook.json(), webhook.data(), webhook.signedAt.getTime()], [{ n: 1 }, { n: 1 }, nowMs]);
    assert.equal(webhook.cloudEvent(), null);
  });

  test("may be one whose length nobody told", async () => {
    const { headers, body } = await signed();
    const init = { method: "POST", headers, body: new Blob([body]).stream(), duplex: "half" };
    const request = new Request("http://receiver.test/", init as RequestInit);
    assert.equal((await verifyWebhook(request, secret, { nowMs })).kind, "verified");
  });

  test("that is too large is refused, whether it says so or not", async () => {
    const body = "x".repeat(101);
    for (const declared of [true, false]) {
      const headers = new Headers(declared ? { "content-length": "101" } : {});
      const init = { method: "POST", headers, body: declared ? body : new Blob([body]).stream(), duplex: "half" };
      const request = new Request("http://receiver.test/", init as RequestInit);
      const verification = await verifyWebhook(request, secret, { maxBodyBytes: 100 });
      assert.equal(verification.kind === "refused" && verification.reason, "TOO_LARGE");
    }
  });

  test("whose body is longer than it declares is refused, too", async () => {
    const init = { method: "POST", headers: { "content-length": "5" }, body: "x".repeat(101) };
    const verification = await verifyWebhook(new Request("http://receiver.test/", init), secret, { maxBodyBytes: 100 });
    assert.equal(verification.kind === "refused" && verification.reason, "TOO_LARGE");
  });

  test("is not believed for want of a number: options that are none are wrong use", async () => {
    const old = await signed();
    for (const options of [{ nowMs, toleranceSeconds: Number.NaN }, { nowMs: Number.NaN }]) {
      await assert.rejects(verifyWebhook(old, secret, options), /TypeError.*is no number/s);
    }
    const options = { nowMs, maxBodyBytes: Number.NaN };
    await assert.rejects(verifyWebhook(requestOf(old), secret, options), /TypeError: maxBodyBytes is no number/);
  });

  test("whose body was read before is wrong use, and the error says what to do", async () => {
    const request = requestOf(await signed());
    await request.json();
    await assert.rejects(verifyWebhook(request, secret, { nowMs }), /TypeError.*read before.*verifying-webhooks/s);
    const { headers } = await signed();
    const parsed = { headers, body: { n: 1 } } as unknown as ReceivedWebhook;
    await assert.rejects(verifyWebhook(parsed, secret, { nowMs }), /TypeError.*was parsed/s);
    const missing = { headers } as unknown as ReceivedWebhook;
    await assert.rejects(verifyWebhook(missing, secret, { nowMs }), /TypeError.*is missing/s);
  });

  test("that is refused can be caught, with its reason", async () => {
    const received = await signed();
    await assert.rejects(verifyWebhookOrThrow({ ...received, body: "{}" }, secret, { nowMs }), (error) => {
      assert.ok(error instanceof WebhookRefusedError);
      assert.equal(error.reason, "NO_MATCH");
      return true;
    });
  });
});

describe("secrets", () => {
  test("may be found by the subscription", async () => {
    const asked: (string | null)[] = [];
    const source = async (subscriptionId: string | null): Promise<readonly string[]> => {
      asked.push(subscriptionId);
      return subscriptionId === "sub_1" ? [otherSecret, secret] : [];
    };
    const received = await signed();
    assert.equal((await verifyWebhook(received, source, { nowMs })).kind, "verified");
    const headers = { ...received.headers, "x-flowcatalyst-subscription-id": "sub_2" };
    const unknown = await verifyWebhook({ ...received, headers }, source, { nowMs });
    assert.equal(unknown.kind === "refused" && unknown.reason, "NO_SECRET");
    const nothing = await verifyWebhook(received, () => null, { nowMs });
    assert.equal(nothing.kind === "refused" && nothing.reason, "NO_SECRET");
    assert.deepEqual(asked, ["sub_1", "sub_2"]);
  });

  test("that are none are wrong use", async () => {
    const received = await signed();
    for (const bad of ["", "whsec_", "whsec_not base64!", "=="]) {
      await assert.rejects(verifyWebhook(received, bad, { nowMs }), /TypeError.*whsec_/s);
    }
    const unset = undefined as unknown as string;
    await assert.rejects(verifyWebhook(received, unset, { nowMs }), /TypeError.*environment variable/s);
    await assert.rejects(verifyWebhook(received, [], { nowMs }), /TypeError.*environment variable/s);
  });

  test("and signatures are tried all, up to 32 signatures", async () => {
    const received = await signed();
    const { "webhook-signature": good = "" } = received.headers;
    const among = async (before: number): Promise<string> => {
      const headers = { ...received.headers, "webhook-signature": `${"v1,AAAA ".repeat(before)}${good}` };
      return (await verifyWebhook({ ...received, headers }, [otherSecret, secret], { nowMs })).kind;
    };
    assert.deepEqual([await among(0), await among(31), await among(32)], ["verified", "verified", "refused"]);
  });
});

describe("data", () => {
  async function dataOf(contentType: string, body: string | Uint8Array): Promise<unknown> {
    const signature = await signWebhook(secret, { id: "job_1", timestamp: nowMs / 1_000, body });
    const headers = {
      "content-type": contentType,
      "webhook-id": "job_1",
      "webhook-timestamp": String(nowMs / 1_000),
      "webhook-signature": signature,
    };
    return (await verifyWebhookOrThrow({ headers, body }, secret, { nowMs })).data();
  }

  test("is read by its content type", async () => {
    assert.deepEqual(await dataOf("application/json; charset=utf-8", "[1]"), [1]);
    assert.deepEqual(await dataOf("application/vnd.shop+json", "[1]"), [1]);
    assert.equal(await dataOf("text/plain", "[1]"), "[1]");
    assert.equal(await dataOf("application/json", ""), undefined);
    assert.deepEqual(await dataOf("application/octet-stream", Uint8Array.of(1, 255)), Uint8Array.of(1, 255));
  });

  test("is taken out of the envelope of a CloudEvent", async () => {
    const envelope = { specversion: "1.0", id: "1", source: "shop", type: "order.created" };
    const type = "application/cloudevents+json; charset=utf-8";
    assert.deepEqual(await dataOf(type, JSON.stringify({ ...envelope, data: { n: 1 } })), { n: 1 });
    assert.deepEqual(await dataOf(type, JSON.stringify({ ...envelope, data_base64: "Af8=" })), Uint8Array.of(1, 255));
    assert.equal(await dataOf(type, JSON.stringify(envelope)), undefined);
  });
});
