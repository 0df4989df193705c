import { createOutbox, pgDriver } from "@flowcatalyst/sdk/outbox";
import pg from "pg";

interface ShopEvents {
  "order.paid": { orderId: string; total: number };
}

const outbox = createOutbox(pgDriver(), { source: "shop" }).withEventTypes<ShopEvents>();
const pool = new pg.Pool({ connectionString: process.env["DATABASE_URL"] });

async function pay(orderId: string, total: number): Promise<void> {
  const client = await pool.connect();
  try {
    await client.query("BEGIN");
    await client.query("INSERT INTO orders (id, state) VALUES ($1, 'PAID')", [orderId]);
    await outbox.enqueue(client, { type: "order.paid", messageGroup: orderId, data: { orderId, total } });
    if (total < 0) throw new RangeError("an order costs something");
    await client.query("COMMIT");
  } catch (error) {
    await client.query("ROLLBACK");
    throw error;
  } finally {
    client.release();
  }
}

await pool.query("CREATE TABLE IF NOT EXISTS orders (id text PRIMARY KEY, state text NOT NULL)");
await pay("order-1", 25);
console.log("order-1: paid, event written");
await pay("order-2", -1).catch(() => console.log("order-2: rolled back, no event"));
await pool.end();
