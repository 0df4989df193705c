import assert from "node:assert/strict";
import { test } from "node:test";
import { createOutbox, type MongoTransaction, mongodbDriver } from "@flowcatalyst/sdk/outbox";
import { type Db, MongoClient } from "mongodb";
import { type DriverWorld, driverSuite, randomName, type StoredRow, withoutUrl } from "./driver-suite.fixture.ts";
import { withoutTransactions } from "./mongo-transactions.fixture.ts";

const url = process.env["FC_TEST_MONGO_URL"] ?? "";
const name = "outbox_messages";

async function rowsOf(db: Db): Promise<readonly StoredRow[]> {
  const found = db.collection<StoredRow & { _id: string }>(name).find();
  const rows = await found.sort({ created_at: 1, _id: 1 }).toArray();
  return rows.map((row) => ({ ...row, id: row._id }));
}

async function open(): Promise<DriverWorld<MongoTransaction>> {
  const client = new MongoClient(url);
  const db = client.db(randomName());
  const idle = client.startSession();
  await db.createCollection(name);
  return {
    table: name,
    transact: async (work) => {
      await client.withSession(async (session) => {
        session.startTransaction();
        try {
          await work({ db, session });
          await session.commitTransaction();
        } catch (error) {
          await session.abortTransaction();
          throw error;
        }
      });
    },
    mistakes: [{ name: "a session without a transaction", tx: { db, session: idle } }],
    rows: () => rowsOf(db),
    close: async () => {
      await idle.endSession();
      await db.dropDatabase();
      await client.close();
    },
  };
}

driverSuite({ name: "mongodb", driver: mongodbDriver(), skip: await withoutTransactions(), open });

test(
  "mongodb: documents are as the outbox processor reads them",
  { skip: withoutUrl("FC_TEST_MONGO_URL") },
  async () => {
    const client = new MongoClient(url);
    const db = client.db(randomName());
    // In place of a transaction, so that a server without them serves: the session is left out of the call.
    const withoutSession: MongoTransaction = {
      session: { inTransaction: () => true },
      db: {
        collection: (collection) => ({
          bulkWrite: (operations, { ordered }) => db.collection(collection).bulkWrite(operations, { ordered }),
        }),
      },
    };
    try {
      const outbox = createOutbox(mongodbDriver(), { source: "shop" });
      const events = Array.from({ length: 20 }, (_, number) => ({ type: "a", messageGroup: "g", data: { number } }));
      const ids = await outbox.enqueue(withoutSession, events);
      const rows = await rowsOf(db);
      assert.deepEqual(
        rows.map((row) => row.id),
        ids,
      );
      for (const { payload, payload_size, created_at, updated_at, ...row } of rows) {
        assert.equal(payload_size, Buffer.byteLength(payload));
        assert.ok(created_at instanceof Date && updated_at instanceof Date);
        const nothing = { client_id: null, headers: null, error_message: null };
        const expected = { type: "EVENT", message_group: "g", status: 0, retry_count: 0, ...nothing };
        assert.deepEqual(row, { ...expected, _id: row.id, id: row.id });
      }
      const repeating = createOutbox(mongodbDriver(), { source: "shop", nextId: () => ids[0] ?? "" });
      await assert.rejects(repeating.enqueue(withoutSession, { type: "b" }), /of 1 rows 0 were inserted/);
    } finally {
      await db.dropDatabase();
      await client.close();
    }
  },
);
