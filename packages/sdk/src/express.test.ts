import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import express, { type ErrorRequestHandler, type RequestHandler } from "express";
import { expressWebhooks } from "@flowcatalyst/sdk/express";
import { generateWebhookSecret, signedWebhook, type WebhookToSign } from "@flowcatalyst/sdk/testing";

const secrets = generateWebhookSecret();

async function setup(before: RequestHandler | null, use: (bench: Bench) => Promise<void>): Promise<void> {
  const received: [id: string, data: unknown, path: string][] = [];
  const errors: unknown[] = [];
  const app = express();
  if (before !== null) app.use(before);
  app.post(
    "/webhooks",
    expressWebhooks({ secrets, maxBodyBytes: 10_000 }, (webhook, request: express.Request) => {
      received.push([webhook.id, webhook.data(), request.path]);
      if (webhook.id === "later") return { status: 503, retryAfterSeconds: 7 };
      if (webhook.id === "fails") throw new Error("the application failed");
      return undefined;
    }),
  );
  app.use(express.json());
  app.post("/others", (request, response) => void response.json(request.body));
  // Express tells handlers of errors by their four parameters.
  const onError: ErrorRequestHandler = (...[error, , response, _next]) => {
    errors.push(error);
    response.status(500).end();
  };
  Object.defineProperty(onError, "length", { value: 4 });
  app.use(onError);
  const server = app.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  const send = async (webhook: Partial<WebhookToSign>): Promise<Response> => {
    const signed = await signedWebhook({ secrets, data: { n: 1 }, ...webhook });
    return fetch(`${url}/webhooks`, { method: "POST", ...signed });
  };
  try {
    await use({ url, received, errors, send });
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

interface Bench {
  readonly url: string;
  readonly received: readonly (readonly unknown[])[];
  readonly errors: readonly unknown[];
  readonly send: (webhook: Partial<WebhookToSign>) => Promise<Response>;
}

test("Express: takes what verifies, refuses the rest, and leaves other routes their parser", () =>
  setup(null, async ({ url, send, received, errors }) => {
    assert.equal((await send({ id: "job_1" })).status, 204);
    assert.deepEqual(received, [["job_1", { n: 1 }, "/webhooks"]]);
    const later = await send({ id: "later" });
    assert.deepEqual([later.status, later.headers.get("retry-after")], [503, "7"]);
    assert.equal((await send({ secrets: generateWebhookSecret() })).status, 401);
    assert.equal((await send({ body: "x".repeat(10_001) })).status, 413);
    assert.equal((await send({ id: "fails" })).status, 500);
    assert.match(String(errors[0]), /the application failed/);
    const init = { method: "POST", headers: { "content-type": "application/json" }, body: '{"a":1}' };
    assert.deepEqual(await (await fetch(`${url}/others`, init)).json(), { a: 1 });
  }));

test("Express: a body that is there as bytes or text is taken", async () => {
  const keeps: RequestHandler = express.json({
    verify: (request, _response, buffer) => void Object.assign(request, { rawBody: buffer }),
  });
  for (const before of [express.raw({ type: "*/*" }), express.text({ type: "*/*" }), keeps]) {
    await setup(before, async ({ send }) => {
      assert.equal((await send({ id: "job_1", data: { name: "Žluťoučký" } })).status, 204);
    });
  }
});

test("Express: a body that was parsed before is wrong use, and the error says what to do", () =>
  setup(express.json(), async ({ send, errors, received }) => {
    assert.equal((await send({})).status, 500);
    assert.match(String(errors[0]), /TypeError.*was parsed before.*verifying-webhooks/s);
    assert.deepEqual(received, []);
  }));
