import assert from "node:assert/strict";
import { test } from "node:test";
import { generateWebhookSecret, signedRequest } from "@flowcatalyst/sdk/testing";
import { webhookHandler, type Refusal, type WebhookAnswer } from "@flowcatalyst/sdk/webhooks";

const secrets = generateWebhookSecret();
const url = "http://receiver.test/";

function setup(answer?: WebhookAnswer) {
  const refusals: Refusal[] = [];
  const handler = webhookHandler({ secrets, onRefused: (refusal) => void refusals.push(refusal) }, () => answer);
  return { handler, refusals };
}

test("answers 204, or what the application says", async () => {
  const said = async (answer?: WebhookAnswer): Promise<Response> =>
    setup(answer).handler(await signedRequest(url, { secrets }));
  assert.equal((await said()).status, 204);
  assert.equal((await said({ status: 410 })).status, 410);
  assert.equal((await said({ status: 429, retryAfterSeconds: 9 })).headers.get("retry-after"), "9");
  assert.deepEqual(await (await said({ ack: false, delaySeconds: 60 })).json(), { ack: false, delaySeconds: 60 });
});

test("answers 401 to what does not verify, with a reason, and tells the application", async () => {
  const { handler, refusals } = setup();
  const old = await handler(await signedRequest(url, { secrets, signedAtMs: Date.now() - 301_000 }));
  assert.equal(old.status, 401);
  assert.equal(((await old.json()) as { reason: string }).reason, "TOO_OLD");
  assert.equal((await handler(new Request(url, { method: "POST", body: "{}" }))).status, 401);
  assert.deepEqual(
    refusals.map(({ reason }) => reason),
    ["TOO_OLD", "MISSING_HEADERS"],
  );
});

test("takes the older scheme, both, and two secrets at once", async () => {
  const { handler } = setup();
  for (const scheme of ["standard", "legacy", "both"] as const) {
    const request = await signedRequest(url, { secrets: [secrets, generateWebhookSecret()], scheme });
    assert.equal((await handler(request)).status, 204);
  }
});

test("answers 405 to what is no POST, 413 to what is too large", async () => {
  const { handler } = setup();
  const get = await handler(new Request(url));
  assert.deepEqual([get.status, get.headers.get("allow")], [405, "POST"]);
  const small = webhookHandler({ secrets, maxBodyBytes: 10 }, () => undefined);
  assert.equal((await small(await signedRequest(url, { secrets, data: "x".repeat(10) }))).status, 413);
});

test("throws what the application throws", async () => {
  const handler = webhookHandler({ secrets, now: () => 5_000 }, async () => {
    throw new Error("the application failed");
  });
  await assert.rejects(handler(await signedRequest(url, { secrets, signedAtMs: 5_000 })), /the application failed/);
});
