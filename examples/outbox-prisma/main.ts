import { createOutbox, prismaDriver } from "@flowcatalyst/sdk/outbox";
import { PrismaPg } from "@prisma/adapter-pg";
import { PrismaClient } from "./generated/client.ts";

interface ShopEvents {
  "order.paid": { orderId: string; total: number };
}

const outbox = createOutbox(prismaDriver("postgresql"), { source: "shop" }).withEventTypes<ShopEvents>();
const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: process.env["DATABASE_URL"] }) });

async function pay(orderId: string, total: number): Promise<void> {
  await prisma.$transaction(async (tx) => {
    await tx.order.create({ data: { id: orderId, state: "PAID" } });
    await outbox.enqueue(tx, { type: "order.paid", messageGroup: orderId, data: { orderId, total } });
    if (total < 0) throw new RangeError("an order costs something");
  });
}

await prisma.$executeRaw`CREATE TABLE IF NOT EXISTS orders (id text PRIMARY KEY, state text NOT NULL)`;
await pay("order-1", 25);
console.log("order-1: paid, event written");
await pay("order-2", -1).catch(() => console.log("order-2: rolled back, no event"));
await prisma.$disconnect();
