import type { AddressInfo } from "node:net";
import { expressWebhooks } from "@flowcatalyst/sdk/express";
import express from "express";

const secrets = process.env["WEBHOOK_SECRET"] ?? "";
const handled = new Set<string>();
const app = express();

app.post(
  "/webhooks",
  expressWebhooks({ secrets, onRefused: ({ message }) => console.log(`refused: ${message}`) }, (webhook) => {
    // Delivery is at least once. A real receiver keeps the ids in its database, in the transaction of its work.
    if (handled.has(webhook.id)) return;
    handled.add(webhook.id);
    console.log(`${webhook.eventType}: ${JSON.stringify(webhook.data())}`);
  }),
);
// After the webhooks: they are verified by the bytes that came.
app.use(express.json());

const server = app.listen(Number(process.env["PORT"] ?? 3000), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});

process.once("SIGTERM", () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
