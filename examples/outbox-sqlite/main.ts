import { Database } from "bun:sqlite";
import { createOutbox, sqliteDriver } from "@flowcatalyst/sdk/outbox";

interface ShopEvents {
  "order.paid": { orderId: string; total: number };
}

const outbox = createOutbox(sqliteDriver(), { source: "shop" }).withEventTypes<ShopEvents>();
const db = new Database((process.env["DATABASE_URL"] ?? "shop.db").replace(/^sqlite:/, ""));
// The outbox processor writes to the same file: wait for it instead of failing.
db.run("PRAGMA busy_timeout = 5000");
db.run("CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, state TEXT NOT NULL)");

// Nothing is awaited in here: a transaction of SQLite is over with the function.
const pay = db.transaction((orderId: string, total: number) => {
  db.query("INSERT INTO orders (id, state) VALUES (?, 'PAID')").run(orderId);
  outbox.enqueue(db, { type: "order.paid", messageGroup: orderId, data: { orderId, total } });
  if (total < 0) throw new RangeError("an order costs something");
});

pay.immediate("order-1", 25);
console.log("order-1: paid, event written");
try {
  pay.immediate("order-2", -1);
} catch {
  console.log("order-2: rolled back, no event");
}
db.close();
