import { fastifyWebhooks } from "@flowcatalyst/sdk/fastify";
import Fastify from "fastify";

const secrets = process.env["WEBHOOK_SECRET"] ?? "";
const handled = new Set<string>();
const app = Fastify();

await app.register(
  fastifyWebhooks(
    { path: "/webhooks", secrets, onRefused: ({ message }) => console.log(`refused: ${message}`) },
    (webhook) => {
      // Delivery is at least once. A real receiver keeps the ids in its database, in the transaction of its work.
      if (handled.has(webhook.id)) return;
      handled.add(webhook.id);
      console.log(`${webhook.eventType}: ${JSON.stringify(webhook.data())}`);
    },
  ),
);

const url = await app.listen({ host: "127.0.0.1", port: Number(process.env["PORT"] ?? 3000) });
console.log(`listening on ${url}`);

process.once("SIGTERM", () => {
  void app.close().then(() => process.exit(0));
});
