import { expect, test } from "bun:test";
import { Webhook } from "standardwebhooks";
import { signWebhook, verifyWebhook } from "./webhook.ts";

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const body = '{"test": 2432232314}';

test("signs as the reference library expects it", async () => {
  const timestamp = Math.floor(Date.now() / 1000);
  const signature = await signWebhook(secret, { id: "msg_1", timestamp, body });
  const headers = { "webhook-id": "msg_1", "webhook-timestamp": String(timestamp), "webhook-signature": signature };
  expect(new Webhook(secret).verify(body, headers)).toEqual({ test: 2432232314 });
});

test("verifies what the reference library signed, under any of several secrets", async () => {
  const now = new Date();
  const signature = new Webhook(secret).sign("msg_2", now, body);
  const timestamp = String(Math.floor(now.getTime() / 1000));
  const headers = new Headers({
    "webhook-id": "msg_2",
    "webhook-timestamp": timestamp,
    "webhook-signature": signature,
  });
  const secrets = ["whsec_c29tZSBvdGhlciBzZWNyZXQ=", secret];
  expect(await verifyWebhook(body, headers, { secrets })).toEqual({ kind: "verified" });
});

test("refuses another body, an old timestamp, and missing headers", async () => {
  const headers = {
    id: "msg_3",
    timestamp: "1614265330",
    signature: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
  };
  const nowMs = 1614265330_000;
  const other = await verifyWebhook(`${body} `, headers, { secrets: [secret], nowMs });
  expect(other).toEqual({ kind: "refused", reason: "NO_MATCH" });
  const old = await verifyWebhook(body, headers, { secrets: [secret], nowMs: nowMs + 301_000 });
  expect(old).toEqual({ kind: "refused", reason: "TOO_OLD" });
  const bare = await verifyWebhook(body, new Headers(), { secrets: [secret] });
  expect(bare).toEqual({ kind: "refused", reason: "MISSING_HEADERS" });
});

test("verifies bodies that are no text, by their bytes", async () => {
  const bytes = Uint8Array.of(0, 255, 254, 128);
  const timestamp = 1_614_265_330;
  const signature = await signWebhook(secret, { id: "msg_4", timestamp, body: bytes });
  const headers = { id: "msg_4", timestamp: String(timestamp), signature };
  const options = { secrets: [secret], nowMs: timestamp * 1_000 };
  expect(await verifyWebhook(bytes, headers, options)).toEqual({ kind: "verified" });
  const decoded = new TextDecoder().decode(bytes);
  expect(await verifyWebhook(decoded, headers, options)).toEqual({ kind: "refused", reason: "NO_MATCH" });
});
