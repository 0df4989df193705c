import type { OutboxForm } from "../../domain/outbox-row.ts";
import {
  describeOutboxConformance,
  type NewRow,
  type OutboxSourceBench,
} from "../../ports/outbox-source.conformance.ts";
import type { OutboxAdmin } from "../../ports/outbox-source.ts";
import type { PostgresSession } from "../../postgres/postgres-database.ts";
import { adHoc } from "../../postgres/statement.ts";
import { describeWithPostgres, openTestPostgres } from "../../postgres/test-database.fixture.ts";
import { openPostgresOutbox } from "./index.ts";
import { postgresOutboxCapabilities } from "./postgres-outbox-source.ts";

const tables: Readonly<Record<OutboxForm, string>> = { platform: "outbox_messages", router: "outbox" };

async function insertOne(session: PostgresSession, form: OutboxForm, row: NewRow): Promise<void> {
  const { id, group, payload, headers, type, client, pool, target, deduplicationId } = row;
  if (form === "platform") {
    const text = `INSERT INTO outbox_messages (id, message_group, payload, headers, type, client_id)
      VALUES ($1, $2, $3, $4, $5, $6)`;
    await session.run(adHoc(text), [id, group, payload, headers, type, client]);
    return;
  }
  const text = `INSERT INTO outbox (id, message_group_id, payload, headers, pool_code, target, deduplication_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7)`;
  await session.run(adHoc(text), [id, group, payload, headers, pool, target, deduplicationId]);
}

const changedHisMind = new Error("rolled back by the application");

async function setup(form: OutboxForm): Promise<OutboxSourceBench> {
  const postgres = await openTestPostgres([]);
  const opened: OutboxAdmin[] = [];
  const open = async (table: string): Promise<OutboxAdmin> => {
    const admin = await openPostgresOutbox({ url: postgres.url, form, table });
    opened.push(admin);
    return admin;
  };
  const admin = await open(tables[form]);
  await admin.init();
  const { database } = postgres;
  const shift = (ms: number): string => `- ${ms} * interval '1 millisecond'`;
  return {
    admin,
    insert: async (rows) => {
      await database.transaction(async (session) => {
        for (const row of rows) await insertOne(session, form, row);
      });
    },
    insertAndRollBack: async (rows) => {
      const written = database.transaction(async (session) => {
        for (const row of rows) await insertOne(session, form, row);
        throw changedHisMind;
      });
      await written.catch((error: unknown) => {
        if (error !== changedHisMind) throw error;
      });
    },
    overwrite: async (id, values) => {
      for (const [column, value] of Object.entries(values)) {
        await database.run(adHoc(`UPDATE ${tables[form]} SET ${column} = $1 WHERE id = $2`), [value, id]);
      }
    },
    passTime: async (ms) => {
      const by = shift(ms);
      const table = tables[form];
      await database.run(adHoc(`UPDATE ${table} SET created_at = created_at ${by}, updated_at = updated_at ${by}`), []);
      await database.run(adHoc(`UPDATE ${table}_control SET lease_until = lease_until ${by}`), []);
    },
    another: () => open(tables[form]),
    elsewhere: () => open("another_outbox"),
    close: async () => {
      for (const one of opened) await one.source.close();
      await postgres.close();
    },
  };
}

describeWithPostgres("the outbox on PostgreSQL", () => {
  describeOutboxConformance({ name: "postgres", capabilities: postgresOutboxCapabilities }, setup);
});
