import { createOutbox, mongodbDriver } from "@flowcatalyst/sdk/outbox";
import { MongoClient } from "mongodb";

interface ShopEvents {
  "order.paid": { orderId: string; total: number };
}

const outbox = createOutbox(mongodbDriver(), { source: "shop" }).withEventTypes<ShopEvents>();
const client = new MongoClient(process.env["DATABASE_URL"] ?? "");
const db = client.db();

async function pay(orderId: string, total: number): Promise<void> {
  await client.withSession((session) =>
    session.withTransaction(async () => {
      await db
        .collection<{ _id: string; state: string }>("orders")
        .insertOne({ _id: orderId, state: "PAID" }, { session });
      const data = { orderId, total };
      await outbox.enqueue({ db, session }, { type: "order.paid", messageGroup: orderId, data });
      if (total < 0) throw new RangeError("an order costs something");
    }),
  );
}

await pay("order-1", 25);
console.log("order-1: paid, event written");
await pay("order-2", -1).catch(() => console.log("order-2: rolled back, no event"));
await client.close();
