import { expect, test } from "bun:test";
import { CodedError, FakeClock } from "@flowcatalyst/foundation";
import { deliveryHeaderNames as names } from "@flowcatalyst/contracts";
import { standardSignature, signingKeyOf } from "../domain/signature.ts";
import { createSignatureCheck } from "./received-signature.ts";
import { receiverLimits } from "./receiver-limits.ts";
import { createWebhookReceiver } from "./webhook-receiver.ts";

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

interface Listed {
  readonly total: number;
  readonly items: readonly {
    readonly number: number;
    readonly signature: string;
    readonly answered: number | string;
  }[];
}

function setup() {
  const clock = new FakeClock();
  const stopping = new AbortController();
  const verify = createSignatureCheck({
    secrets: async (ref) => (ref === "subscription:sub_1" ? [secret] : []),
    clock,
  });
  const app = createWebhookReceiver({ clock, verify, stopping: stopping.signal });
  app.onError((error, c) => c.json({ code: error instanceof CodedError ? error.code : "INTERNAL" }, 400));
  const post = (name: string, body: string | Uint8Array<ArrayBuffer> = "{}", headers: Record<string, string> = {}) =>
    Promise.resolve(app.request(`/${name}`, { method: "POST", body, headers }));
  const behave = (name: string, behaviour: object) =>
    app.request(`/${name}/behaviour`, { method: "PUT", body: JSON.stringify(behaviour) });
  const listed = async (name: string, query = ""): Promise<Listed> =>
    (await (await app.request(`/${name}/requests${query}`)).json()) as Listed;
  const signed = (body: string | Uint8Array): Record<string, string> => {
    const key = signingKeyOf(secret);
    if (key === null) throw new Error("the secret of the test is one");
    const timestamp = String(Math.floor(clock.now() / 1_000));
    return {
      [names.subscriptionId]: "sub_1",
      [names.webhookId]: "job_1",
      [names.webhookTimestamp]: timestamp,
      [names.webhookSignature]: standardSignature({ id: "job_1", timestamp, body }, [key]),
    };
  };
  return { clock, stopping, app, post, behave, listed, signed };
}

test("verifies what is signed, remembers it, and answers a wrong signature with 401", async () => {
  const { post, listed, signed } = setup();
  expect((await post("a", '{"n":1}', signed('{"n":1}'))).status).toBe(200);
  expect((await post("a", '{"n":2}', signed('{"n":1}'))).status).toBe(401);
  expect((await post("a", "{}", { ...signed("{}"), [names.subscriptionId]: "sub_other" })).status).toBe(401);
  expect((await post("a")).status).toBe(200);
  const { items, total } = await listed("a");
  expect(total).toBe(4);
  expect(items.map(({ signature, answered }) => [signature, answered])).toEqual([
    ["unsigned", 200],
    ["invalid", 401],
    ["invalid", 401],
    ["verified", 200],
  ]);
});

test("bytes that are no text are verified as they came", async () => {
  const { post, signed } = setup();
  const bytes = new Uint8Array([0xef, 0xbb, 0xbf, 0, 255, 254, 7]);
  expect((await post("a", bytes, signed(bytes))).status).toBe(200);
});

test("behaves as told, for as many requests as told", async () => {
  const { post, behave, listed } = setup();
  await behave("a", { mode: "fail", status: 422, times: 1 });
  expect([(await post("a")).status, (await post("a")).status]).toEqual([422, 200]);
  await behave("a", { mode: "rateLimited", retryAfterSeconds: 7 });
  const limited = await post("a");
  expect([limited.status, limited.headers.get("retry-after")]).toEqual([429, "7"]);
  await behave("a", { mode: "notYet", retryAfterSeconds: 3 });
  expect(await (await post("a")).json()).toEqual({ ack: false, delaySeconds: 3 });
  await behave("a", { mode: "gone" });
  expect((await post("a")).status).toBe(410);
  expect((await behave("a", { mode: "explode" })).status).toBe(400);
  expect((await listed("a", "?limit=2")).items.map(({ answered }) => answered)).toEqual([410, 200]);
});

test("delays and hangs until its time, or until the process stops", async () => {
  const { clock, stopping, post, behave } = setup();
  await behave("slow", { mode: "delay", delayMs: 500 });
  const delayed = post("slow");
  await clock.whenTimers(1);
  await clock.advance(500);
  expect((await delayed).status).toBe(200);
  await behave("hung", { mode: "hang" });
  const hung = post("hung");
  await clock.whenTimers(1);
  stopping.abort();
  expect((await hung).status).toBe(504);
});

test("who waits for a request is told when it comes, or that none came", async () => {
  const { clock, post, listed } = setup();
  const waiting = listed("a", "?waitMs=5000");
  await clock.whenTimers(1);
  await post("a");
  expect((await waiting).total).toBe(1);
  const inVain = listed("b", "?waitMs=5000");
  await clock.whenTimers(1);
  await clock.advance(5_000);
  expect(await inVain).toEqual({ items: [], total: 0 });
});

test("a body that is too large is refused", async () => {
  const { post, listed } = setup();
  const response = await post("a", "x".repeat(receiverLimits.bodyMaxBytes + 1));
  expect(await response.json()).toEqual({ code: "PAYLOAD_TOO_LARGE" });
  expect((await listed("a")).total).toBe(0);
});

test("keeps so many receivers, so many requests of each, and so much of all of them together", async () => {
  const { post, listed, app } = setup();
  for (let at = 0; at <= receiverLimits.maxRequestsPerReceiver; at++) await post("a");
  expect((await listed("a", "?limit=1000")).items).toHaveLength(receiverLimits.maxRequestsPerReceiver);
  const body = "x".repeat(receiverLimits.bodyKeptMaxBytes);
  const fitting = Math.floor(receiverLimits.keptMaxBytes / receiverLimits.bodyKeptMaxBytes);
  for (let at = 0; at < fitting + 10; at++) await post("big", body);
  // What was kept longest in the receiver that was used longest ago goes first.
  expect((await listed("a")).items).toEqual([]);
  const { items, total } = await listed("big", "?limit=500");
  expect(total).toBe(fitting + 10);
  expect(items.length).toBeLessThanOrEqual(fitting);
  expect(items[0]?.number).toBe(fitting + 10);
  for (let at = 0; at < receiverLimits.maxReceivers; at++) await post(`r${at}`);
  const all = (await (await app.request("/")).json()) as { receivers: readonly { name: string }[] };
  expect(all.receivers.map(({ name }) => name)).not.toContain("a");
  expect(all.receivers).toHaveLength(receiverLimits.maxReceivers);
});
