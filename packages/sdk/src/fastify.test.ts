import assert from "node:assert/strict";
import { test } from "node:test";
import Fastify from "fastify";
import { fastifyWebhooks } from "@flowcatalyst/sdk/fastify";
import { generateWebhookSecret, signedWebhook, type WebhookToSign } from "@flowcatalyst/sdk/testing";

const secrets = generateWebhookSecret();

async function setup() {
  const received: [id: string, data: unknown, method: string][] = [];
  const errors: Error[] = [];
  const app = Fastify();
  app.setErrorHandler((error: Error, _request, reply) => {
    errors.push(error);
    return reply.code(Reflect.get(error, "statusCode") === 413 ? 413 : 500).send();
  });
  await app.register(
    fastifyWebhooks({ path: "/webhooks", secrets, maxBodyBytes: 10_000 }, (webhook, request) => {
      received.push([webhook.id, webhook.data(), request.method]);
      if (webhook.id === "later") return { ack: false };
      if (webhook.id === "fails") throw new Error("the application failed");
      return undefined;
    }),
  );
  app.post("/others", async (request) => request.body);
  const send = async (webhook: Partial<WebhookToSign>): Promise<{ status: number; body: string }> => {
    const { headers, body } = await signedWebhook({ secrets, data: { n: 1 }, ...webhook });
    const answer = await app.inject({ method: "POST", url: "/webhooks", headers, payload: Buffer.from(body) });
    return { status: answer.statusCode, body: answer.body };
  };
  return { app, received, errors, send };
}

test("Fastify: takes what verifies, whatever its content type, and refuses the rest", async () => {
  const { received, errors, send } = await setup();
  assert.deepEqual(await send({ id: "job_1" }), { status: 204, body: "" });
  assert.deepEqual(received, [["job_1", { n: 1 }, "POST"]]);
  const bytes = Uint8Array.of(0, 255, 254);
  assert.equal((await send({ body: bytes, contentType: "application/octet-stream" })).status, 204);
  assert.equal((await send({ body: "", contentType: "application/json" })).status, 204);
  assert.deepEqual(await send({ id: "later" }), { status: 200, body: '{"ack":false}' });
  const refused = await send({ secrets: generateWebhookSecret() });
  assert.deepEqual([refused.status, JSON.parse(refused.body).reason], [401, "NO_MATCH"]);
  assert.equal((await send({ id: "fails" })).status, 500);
  assert.equal((await send({ body: "x".repeat(10_001) })).status, 413);
  assert.match(String(errors[0]), /the application failed/);
});

test("Fastify: other routes keep their parsers", async () => {
  const { app } = await setup();
  const answer = await app.inject({ method: "POST", url: "/others", payload: { a: 1 } });
  assert.deepEqual(answer.json(), { a: 1 });
});
