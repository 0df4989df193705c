import { createOutbox, drizzleDriver } from "@flowcatalyst/sdk/outbox";
import { sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import { pgTable, text } from "drizzle-orm/pg-core";
import pg from "pg";

interface ShopEvents {
  "order.paid": { orderId: string; total: number };
}

const orders = pgTable("orders", { id: text().primaryKey(), state: text().notNull() });
const outbox = createOutbox(drizzleDriver(sql), { source: "shop" }).withEventTypes<ShopEvents>();
const pool = new pg.Pool({ connectionString: process.env["DATABASE_URL"] });
const db = drizzle(pool);

async function pay(orderId: string, total: number): Promise<void> {
  await db.transaction(async (tx) => {
    await tx.insert(orders).values({ id: orderId, state: "PAID" });
    await outbox.enqueue(tx, { type: "order.paid", messageGroup: orderId, data: { orderId, total } });
    if (total < 0) throw new RangeError("an order costs something");
  });
}

await pool.query("CREATE TABLE IF NOT EXISTS orders (id text PRIMARY KEY, state text NOT NULL)");
await pay("order-1", 25);
console.log("order-1: paid, event written");
await pay("order-2", -1).catch(() => console.log("order-2: rolled back, no event"));
await pool.end();
