import assert from "node:assert/strict";
import { test } from "node:test";
import { Hono, type Context } from "hono";
import { honoWebhooks } from "@flowcatalyst/sdk/hono";
import { generateWebhookSecret, signedRequest } from "@flowcatalyst/sdk/testing";

const secrets = generateWebhookSecret();
const url = "http://receiver.test/webhooks";

function setup(before?: (context: Context) => Promise<unknown>) {
  const received: [id: string, data: unknown, path: string][] = [];
  const errors: Error[] = [];
  const app = new Hono();
  app.onError((error, context) => {
    errors.push(error);
    return context.text("", 500);
  });
  app.use(async (context, next) => {
    await before?.(context);
    await next();
  });
  app.post(
    "/webhooks",
    honoWebhooks({ secrets }, (webhook, context: Context) => {
      received.push([webhook.id, webhook.data(), context.req.path]);
      if (webhook.id === "later") return { ack: false, delaySeconds: 5 };
      if (webhook.id === "gone") return { status: 410 };
      if (webhook.id === "fails") throw new Error("the application failed");
      return undefined;
    }),
  );
  const status = async (id: string): Promise<number> =>
    (await app.request(await signedRequest(url, { secrets, id, data: { n: 1 } }))).status;
  return { app, received, errors, status };
}

test("Hono: takes what verifies, and answers what the application says", async () => {
  const { app, received, errors, status } = setup();
  assert.equal(await status("job_1"), 204);
  assert.deepEqual(received, [["job_1", { n: 1 }, "/webhooks"]]);
  const later = await app.request(await signedRequest(url, { secrets, id: "later" }));
  assert.deepEqual([later.status, await later.json()], [200, { ack: false, delaySeconds: 5 }]);
  assert.deepEqual([await status("gone"), await status("fails")], [410, 500]);
  assert.deepEqual(
    errors.map(({ message }) => message),
    ["the application failed"],
  );
});

test("Hono: refuses what does not verify", async () => {
  const { app, received } = setup();
  const response = await app.request(await signedRequest(url, { secrets: generateWebhookSecret() }));
  assert.equal(response.status, 401);
  assert.equal(((await response.json()) as { reason: string }).reason, "NO_MATCH");
  assert.deepEqual(received, []);
});

test("Hono: a body that was read through Hono is taken, one that was parsed past it is wrong use", async () => {
  const reads = [(c: Context) => c.req.text(), (c: Context) => c.req.arrayBuffer(), (c: Context) => c.req.json()];
  for (const before of reads) assert.equal(await setup(before).status("job_1"), 204);
  const parsed = setup((c) => c.req.raw.json());
  assert.equal(await parsed.status("job_1"), 500);
  assert.match(String(parsed.errors[0]), /TypeError.*verifying-webhooks/s);
});
