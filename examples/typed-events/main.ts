import { createClient, type EventOf } from "@flowcatalyst/sdk";

/** Every event of the shop, and what is in it. The compiler refuses others, and data that does not fit. */
interface ShopEvents {
  "shop:orders:order:placed": { orderId: string; total: number };
  "shop:orders:order:cancelled": { orderId: string; reason: string };
  "shop:stock:item:sold-out": undefined;
}

const client = createClient<ShopEvents>({ baseUrl: process.env["FLOWCATALYST_URL"] ?? "http://127.0.0.1:8080" });

function describe(event: EventOf<ShopEvents>): string {
  switch (event.type) {
    case "shop:orders:order:placed":
      return `order ${event.data.orderId} over ${event.data.total}`;
    case "shop:orders:order:cancelled":
      return `order ${event.data.orderId} cancelled: ${event.data.reason}`;
    case "shop:stock:item:sold-out":
      return `${event.subject ?? "an item"} is sold out`;
  }
}

const events: readonly EventOf<ShopEvents>[] = [
  { type: "shop:orders:order:placed", source: "shop", messageGroup: "7", data: { orderId: "7", total: 142 } },
  { type: "shop:orders:order:cancelled", source: "shop", messageGroup: "7", data: { orderId: "7", reason: "rain" } },
  { type: "shop:stock:item:sold-out", source: "shop", subject: "umbrella" },
];
for (const event of events) {
  await client.publish(event);
  console.log(describe(event));
}
