import { prismaDriver, type PrismaTransaction } from "@flowcatalyst/sdk/outbox";
import { PrismaPg } from "@prisma/adapter-pg";
import { PrismaClient } from "../../../../examples/outbox-prisma/generated/client.ts";
import { type DriverWorld, driverSuite, withoutUrl } from "./driver-suite.fixture.ts";
import { openPostgres } from "./postgres-world.fixture.ts";

async function open(): Promise<DriverWorld<PrismaTransaction>> {
  const place = await openPostgres();
  const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: place.url }) });
  return {
    ...place,
    transact: async (work) => {
      await prisma.$transaction(async (tx) => {
        await work(tx);
      });
    },
    mistakes: [{ name: "the client itself", tx: prisma }],
    close: async () => {
      await prisma.$disconnect();
      await place.close();
    },
  };
}

driverSuite({ name: "prisma", driver: prismaDriver("postgresql"), skip: withoutUrl("FC_TEST_POSTGRES_URL"), open });
