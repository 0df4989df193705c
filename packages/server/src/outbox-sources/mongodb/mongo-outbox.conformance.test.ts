import { randomBytes } from "node:crypto";
import { MongoClient, type Collection } from "mongodb";
import type { OutboxForm } from "../../domain/outbox-row.ts";
import { describeWith, testMongoUrl } from "../../ports/needs-services.fixture.ts";
import {
  describeOutboxConformance,
  type NewRow,
  type OutboxSourceBench,
} from "../../ports/outbox-source.conformance.ts";
import type { OutboxAdmin } from "../../ports/outbox-source.ts";
import { openMongoOutbox } from "./index.ts";
import type { RowDocument } from "./mongo-database.ts";
import { mongoOutboxCapabilities } from "./mongo-outbox.ts";

const tables = { platform: "outbox_messages", router: "outbox" } as const;

async function createBench(form: OutboxForm): Promise<OutboxSourceBench> {
  const url = new URL(testMongoUrl ?? "");
  url.pathname = `/fc_${randomBytes(6).toString("hex")}`;
  const application = await new MongoClient(url.href).connect();
  const database = application.db();
  const rows = database.collection<RowDocument>(tables[form]);
  const control = database.collection<RowDocument>(`${tables[form]}_control`);
  const opened: OutboxAdmin[] = [];
  const open = async (table: string = tables[form]): Promise<OutboxAdmin> => {
    const admin = await openMongoOutbox({ url: url.href, form, table });
    opened.push(admin);
    return admin;
  };
  const admin = await open();
  await admin.init();
  return {
    admin,
    insert: async (added) => {
      for (const row of added) await rows.insertOne(documentOf(form, row));
    },
    insertAndRollBack: async (undone) => {
      const { setName } = await database.command({ isMaster: 1 });
      // Without replica set there are no transactions; then nobody can write a row and take it back.
      if (setName === undefined) return;
      const session = application.startSession();
      session.startTransaction();
      for (const row of undone) await rows.insertOne(documentOf(form, row), { session });
      await session.abortTransaction();
      await session.endSession();
    },
    overwrite: async (id, values) => {
      await rows.updateOne({ _id: id }, { $set: values });
    },
    passTime: async (ms) => {
      await moveBack(rows, ["created_at", "updated_at"], ms);
      await moveBack(control, ["lease_at"], ms);
    },
    another: () => open(),
    elsewhere: () => open("elsewhere"),
    close: async () => {
      for (const one of opened) await one.source.close();
      await database.dropDatabase();
      await application.close();
    },
  };
}

/** As an application that knows nothing of the processor writes it, but for its fields. */
function documentOf(form: OutboxForm, row: NewRow): RowDocument {
  const now = new Date();
  const common = { _id: row.id, payload: row.payload, headers: row.headers, created_at: now, retry_count: 0 };
  if (form === "platform") {
    return { ...common, status: 0, type: row.type, message_group: row.group, client_id: row.client };
  }
  return {
    ...common,
    status: "PENDING",
    message_group_id: row.group,
    pool_code: row.pool,
    target: row.target,
    deduplication_id: row.deduplicationId,
  };
}

async function moveBack(collection: Collection<RowDocument>, fields: readonly string[], ms: number): Promise<void> {
  for await (const found of collection.find()) {
    const moved: Record<string, Date> = {};
    for (const field of fields) {
      const time = found[field];
      if (time instanceof Date) moved[field] = new Date(time.getTime() - ms);
    }
    if (Object.keys(moved).length > 0) await collection.updateOne({ _id: found._id }, { $set: moved });
  }
}

describeWith(["mongodb"], "with MongoDB", () => {
  describeOutboxConformance({ name: "mongodb", capabilities: mongoOutboxCapabilities }, createBench);
});
