import type { OutboxDriver } from "./outbox-driver.ts";
import { chunksOf, insertStatement, insertValues, type SqlValue } from "./sql-insert.ts";

/** What `prisma.$transaction(async (tx) => …)` hands over. The outbox table needs no model. */
export interface PrismaTransaction {
  $executeRawUnsafe(query: string, ...values: SqlValue[]): PromiseLike<unknown>;
}

/** What the schema's `provider` says. */
export type PrismaProvider = "postgresql" | "mysql" | "sqlite";

/** The outbox for Prisma Client. */
export function prismaDriver(provider: PrismaProvider): OutboxDriver<PrismaTransaction> {
  const placeholders = provider === "postgresql" ? "numbered" : "marks";
  return {
    kind: "async",
    async insert(tx, table, rows) {
      checkTransaction(tx);
      for (const chunk of chunksOf(rows)) {
        await tx.$executeRawUnsafe(insertStatement(table, chunk.length, placeholders), ...insertValues(chunk));
      }
    },
  };
}

function checkTransaction(tx: PrismaTransaction & { readonly $connect?: unknown }): void {
  if (typeof tx.$connect === "function") {
    throw new TypeError("tx: is the client itself; give what prisma.$transaction(async (tx) => …) hands over");
  }
}
