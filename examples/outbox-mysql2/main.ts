import { createOutbox, mysql2Driver } from "@flowcatalyst/sdk/outbox";
import mysql from "mysql2/promise";

interface ShopEvents {
  "order.paid": { orderId: string; total: number };
}

const outbox = createOutbox(mysql2Driver(), { source: "shop" }).withEventTypes<ShopEvents>();
const pool = mysql.createPool({ uri: process.env["DATABASE_URL"] ?? "" });

async function pay(orderId: string, total: number): Promise<void> {
  const connection = await pool.getConnection();
  try {
    await connection.beginTransaction();
    await connection.execute("INSERT INTO orders (id, state) VALUES (?, 'PAID')", [orderId]);
    await outbox.enqueue(connection, { type: "order.paid", messageGroup: orderId, data: { orderId, total } });
    if (total < 0) throw new RangeError("an order costs something");
    await connection.commit();
  } catch (error) {
    await connection.rollback();
    throw error;
  } finally {
    connection.release();
  }
}

await pool.query("CREATE TABLE IF NOT EXISTS orders (id varchar(64) PRIMARY KEY, state varchar(20) NOT NULL)");
await pay("order-1", 25);
console.log("order-1: paid, event written");
await pay("order-2", -1).catch(() => console.log("order-2: rolled back, no event"));
await pool.end();
