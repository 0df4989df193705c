import { honoWebhooks } from "@flowcatalyst/sdk/hono";
import { Hono } from "hono";

const secrets = process.env["WEBHOOK_SECRET"] ?? "";
const handled = new Set<string>();
const app = new Hono();

app.post(
  "/webhooks",
  honoWebhooks({ secrets, onRefused: ({ message }) => console.log(`refused: ${message}`) }, (webhook) => {
    // Delivery is at least once. A real receiver keeps the ids in its database, in the transaction of its work.
    if (handled.has(webhook.id)) return;
    handled.add(webhook.id);
    console.log(`${webhook.eventType}: ${JSON.stringify(webhook.data())}`);
  }),
);

const server = Bun.serve({ hostname: "127.0.0.1", port: Number(process.env["PORT"] ?? 3000), fetch: app.fetch });
console.log(`listening on http://127.0.0.1:${server.port}`);

process.once("SIGTERM", () => {
  void server.stop().then(() => process.exit(0));
});
