import { createOutbox, postgresDriver } from "@flowcatalyst/sdk/outbox";
import postgres from "postgres";

interface ShopEvents {
  "order.paid": { orderId: string; total: number };
}

const outbox = createOutbox(postgresDriver(), { source: "shop" }).withEventTypes<ShopEvents>();
const sql = postgres(process.env["DATABASE_URL"] ?? "", { onnotice: () => undefined });

async function pay(orderId: string, total: number): Promise<void> {
  await sql.begin(async (tx) => {
    await tx`INSERT INTO orders (id, state) VALUES (${orderId}, 'PAID')`;
    await outbox.enqueue(tx, { type: "order.paid", messageGroup: orderId, data: { orderId, total } });
    if (total < 0) throw new RangeError("an order costs something");
  });
}

await sql`CREATE TABLE IF NOT EXISTS orders (id text PRIMARY KEY, state text NOT NULL)`;
await pay("order-1", 25);
console.log("order-1: paid, event written");
await pay("order-2", -1).catch(() => console.log("order-2: rolled back, no event"));
await sql.end();
