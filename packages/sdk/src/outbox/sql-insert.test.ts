import assert from "node:assert/strict";
import { test } from "node:test";
import { createOutbox, prismaDriver, type PrismaTransaction } from "@flowcatalyst/sdk/outbox";
import type { OutboxRow } from "./outbox-entry.ts";
import { chunksOf, insertStatement } from "./sql-insert.ts";

const columns = "(id, type, message_group, payload, client_id, payload_size)";

test("statements name the table and number or mark their parameters", () => {
  assert.equal(
    insertStatement("app.outbox_messages", 2, "numbered"),
    `INSERT INTO "app"."outbox_messages" ${columns} VALUES ($1, $2, $3, $4, $5, $6), ($7, $8, $9, $10, $11, $12)`,
  );
  const marked = `INSERT INTO \`outbox_messages\` ${columns} VALUES (?, ?, ?, ?, ?, ?)`;
  assert.equal(insertStatement("outbox_messages", 1, "marks"), marked);
});

test("rows go in few sizes of statements, none of them larger than servers take", () => {
  const row = (payloadSize: number): OutboxRow => ({
    id: "1",
    type: "EVENT",
    messageGroup: null,
    payload: "",
    clientId: null,
    payloadSize,
  });
  const sizesOf = (rows: readonly OutboxRow[]): readonly number[] => chunksOf(rows).map(({ length }) => length);
  const small = Array.from({ length: 74 }, () => row(100));
  assert.deepEqual(sizesOf(small), [64, 8, 1, 1]);
  const large = Array.from({ length: 16 }, () => row(500_000));
  assert.deepEqual(sizesOf(large), [8, 8]);
  const largest = Array.from({ length: 8 }, () => row(1_048_576));
  assert.deepEqual(sizesOf(largest), [1, 1, 1, 1, 1, 1, 1, 1]);
  assert.deepEqual(sizesOf([]), []);
});

test("Prisma's statements are those of the provider", async () => {
  for (const [provider, place] of [
    ["postgresql", "$1"],
    ["mysql", "?"],
    ["sqlite", "?"],
  ] as const) {
    const statements: string[] = [];
    const tx: PrismaTransaction = { $executeRawUnsafe: async (query) => statements.push(query) };
    await createOutbox(prismaDriver(provider), { source: "shop" }).enqueue(tx, { type: "a" });
    assert.ok(statements[0]?.includes(`VALUES (${place}, `), provider);
  }
});
