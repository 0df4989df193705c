import { createOutbox, kyselyDriver } from "@flowcatalyst/sdk/outbox";
import { Kysely, PostgresDialect } from "kysely";
import pg from "pg";

interface ShopEvents {
  "order.paid": { orderId: string; total: number };
}

/** The outbox table need not be among them. */
interface Tables {
  orders: { id: string; state: string };
}

const outbox = createOutbox(kyselyDriver(), { source: "shop" }).withEventTypes<ShopEvents>();
const pool = new pg.Pool({ connectionString: process.env["DATABASE_URL"] });
const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });

async function pay(orderId: string, total: number): Promise<void> {
  await db.transaction().execute(async (trx) => {
    await trx.insertInto("orders").values({ id: orderId, state: "PAID" }).execute();
    await outbox.enqueue(trx, { type: "order.paid", messageGroup: orderId, data: { orderId, total } });
    if (total < 0) throw new RangeError("an order costs something");
  });
}

await pool.query("CREATE TABLE IF NOT EXISTS orders (id text PRIMARY KEY, state text NOT NULL)");
await pay("order-1", 25);
console.log("order-1: paid, event written");
await pay("order-2", -1).catch(() => console.log("order-2: rolled back, no event"));
await db.destroy();
