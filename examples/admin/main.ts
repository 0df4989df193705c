import { createClient, FlowCatalystError } from "@flowcatalyst/sdk";

const baseUrl = process.env["FLOWCATALYST_URL"] ?? "http://127.0.0.1:8080";
const client = createClient({ baseUrl });

// An event type whose data is held to a schema.
const type = await client.eventTypes.create({ code: "shop:orders:order:placed", name: "Order placed" });
const schema = { type: "object", required: ["orderId"], properties: { orderId: { type: "string" } } };
await client.eventTypes.addSchema(type.id, { version: "1.0", schema });
await client.eventTypes.finaliseSchema(type.id, "1.0");

// A pool limits how fast its subscriptions are delivered.
const pool = await client.pools.create({ code: "MAIL", concurrency: 5, rateLimitPerMinute: 600 });

const subscription = await client.subscriptions.create({
  name: "mail",
  eventTypes: ["shop:orders:order:*"],
  targetUrl: process.env["TARGET_URL"] ?? `${baseUrl}/dev/receiver/mail`,
  dispatchPoolId: pool.code,
});

// A change that is based on the version just read: one in between would be refused with 412.
const changed = await client.subscriptions.update(
  subscription.id,
  { filter: "data.orderId != 'test'" },
  { ifMatch: subscription.version },
);
console.log(`${changed.name}: ${changed.status}, filter ${changed.filter}`);

// A refusal says what is wrong, and where.
try {
  await client.publish({ type: "shop:orders:order:placed", source: "shop", data: { orderId: 7 } });
} catch (error) {
  if (!(error instanceof FlowCatalystError)) throw error;
  console.log(`refused: ${error.code}`);
}

const event = await client.publish({ type: "shop:orders:order:placed", source: "shop", data: { orderId: "7" } });

// Lists are iterated over page by page.
for await (const { name, eventTypes } of client.subscriptions.all({ status: "ACTIVE" })) {
  console.log(`${name} takes ${eventTypes.map(({ eventTypeCode }) => eventTypeCode).join(", ")}`);
}

// What became of the event.
const kinds = new Set<string>();
while (!kinds.has("FINAL")) {
  const { entries } = await client.events.timeline(event.id);
  for (const { kind } of entries) kinds.add(kind);
}
console.log(`the event: ${[...kinds].join(", ")}`);
