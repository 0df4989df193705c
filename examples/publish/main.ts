import { createClient, PublishBatchError } from "@flowcatalyst/sdk";
import { CloudEvent } from "cloudevents";

const client = createClient({ baseUrl: process.env["FLOWCATALYST_URL"] ?? "http://127.0.0.1:8080" });

// One event. Its deduplicationId makes a repeat harmless, whoever repeats it.
const shipped = { type: "order.shipped", source: "shop", messageGroup: "order-1", deduplicationId: "ship-1" };
const first = await client.publish({ ...shipped, data: { carrier: "snail" } });
const second = await client.publish({ ...shipped, data: { carrier: "snail" } });
console.log(`one event, sent twice: ${first.id === second.id ? "stored once" : "stored twice"}`);

// Many events, in order, in as few requests as the limits allow.
const events = Array.from({ length: 2_500 }, (_, at) => ({
  type: "meter.read",
  source: "meters",
  messageGroup: `meter-${at % 10}`,
  data: { at },
}));
try {
  const published = await client.publishBatch(events);
  console.log(`${published.length} events published`);
} catch (error) {
  if (!(error instanceof PublishBatchError)) throw error;
  // What may be published later, under the ids it was sent under.
  console.log(`${error.unpublished.length} events left: ${error.message}`);
}

// CloudEvents, as the CNCF's SDK makes them.
const cloudEvent = new CloudEvent({ type: "order.paid", source: "/shop", id: "paid-1", data: { total: 142 } });
const stored = await client.publishCloudEvent(cloudEvent);
console.log(`a CloudEvent published: ${stored.type} from ${stored.source}`);
