import { type MongoTransaction, mongodbDriver } from "@flowcatalyst/sdk/outbox";
import { MongoClient } from "mongodb";
import { type DriverWorld, driverSuite, randomName, type StoredRow, withoutUrl } from "./driver-suite.fixture.ts";

async function open(): Promise<DriverWorld<MongoTransaction>> {
  const client = new MongoClient(process.env["FC_TEST_MONGO_URL"] ?? "");
  const db = client.db(randomName());
  const idle = client.startSession();
  await db.createCollection("outbox_messages");
  return {
    table: "outbox_messages",
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
    rows: async () => {
      const found = db.collection<StoredRow & { _id: string }>("outbox_messages").find();
      const rows = await found.sort({ created_at: 1, _id: 1 }).toArray();
      return rows.map((row) => ({ ...row, id: row._id }));
    },
    close: async () => {
      await idle.endSession();
      await db.dropDatabase();
      await client.close();
    },
  };
}

driverSuite({ name: "mongodb", driver: mongodbDriver(), skip: withoutUrl("FC_TEST_MONGO_URL"), open });
