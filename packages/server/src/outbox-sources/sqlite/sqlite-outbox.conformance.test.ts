import { Database } from "bun:sqlite";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { OutboxForm } from "../../domain/outbox-row.ts";
import {
  describeOutboxConformance,
  type NewRow,
  type OutboxSourceBench,
} from "../../ports/outbox-source.conformance.ts";
import type { OutboxAdmin } from "../../ports/outbox-source.ts";
import { openSqliteOutbox } from "./index.ts";
import { sqliteOutboxCapabilities } from "./sqlite-outbox-source.ts";

const tables: Readonly<Record<OutboxForm, string>> = { platform: "outbox_messages", router: "outbox" };

function insertOne(application: Database, form: OutboxForm, row: NewRow): void {
  const { id, group, payload, headers, type, client, pool, target, deduplicationId } = row;
  if (form === "platform") {
    application.run(
      "INSERT INTO outbox_messages (id, message_group, payload, headers, type, client_id) VALUES (?, ?, ?, ?, ?, ?)",
      [id, group, payload, headers, type, client],
    );
    return;
  }
  application.run(
    `INSERT INTO outbox (id, message_group_id, payload, headers, pool_code, target, deduplication_id)
     VALUES (?, ?, ?, ?, ?, ?, ?)`,
    [id, group, payload, headers, pool, target, deduplicationId],
  );
}

async function setup(form: OutboxForm): Promise<OutboxSourceBench> {
  const folder = mkdtempSync(join(tmpdir(), "outbox-"));
  const url = `sqlite:${join(folder, "application.db")}`;
  const opened: OutboxAdmin[] = [];
  const open = async (table: string): Promise<OutboxAdmin> => {
    const admin = await openSqliteOutbox({ url, form, table });
    opened.push(admin);
    return admin;
  };
  const table = tables[form];
  const admin = await open(table);
  await admin.init();
  const application = new Database(join(folder, "application.db"), { readwrite: true });
  application.run("PRAGMA journal_mode = WAL");
  application.run("PRAGMA busy_timeout = 5000");
  const insertAll = (rows: readonly NewRow[]): void => {
    for (const row of rows) insertOne(application, form, row);
  };
  const shifted = (column: string, ms: number): string =>
    `${column} = strftime('%Y-%m-%dT%H:%M:%fZ', ${column}, '${-ms / 1_000} seconds')`;
  return {
    admin,
    insert: async (rows) => application.transaction(insertAll)(rows),
    insertAndRollBack: async (rows) => {
      application.run("BEGIN");
      insertAll(rows);
      application.run("ROLLBACK");
    },
    overwrite: async (id, values) => {
      for (const [column, value] of Object.entries(values)) {
        application.run(`UPDATE ${table} SET ${column} = ? WHERE id = ?`, [value, id]);
      }
    },
    passTime: async (ms) => {
      application.run(`UPDATE ${table} SET ${shifted("created_at", ms)}, ${shifted("updated_at", ms)}`);
      application.run(`UPDATE ${table}_control SET ${shifted("lease_until", ms)}`);
    },
    another: () => open(table),
    elsewhere: () => open("another_outbox"),
    close: async () => {
      for (const one of opened) await one.source.close();
      application.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

describeOutboxConformance({ name: "sqlite", capabilities: sqliteOutboxCapabilities }, setup);
