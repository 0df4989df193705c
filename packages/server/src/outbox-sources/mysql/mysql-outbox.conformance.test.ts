import { randomBytes } from "node:crypto";
import { createConnection, type Connection } from "mysql2/promise";
import type { OutboxForm } from "../../domain/outbox-row.ts";
import { describeWith, testMariadbUrl } from "../../ports/needs-services.fixture.ts";
import {
  describeOutboxConformance,
  type NewRow,
  type OutboxSourceBench,
} from "../../ports/outbox-source.conformance.ts";
import type { OutboxAdmin } from "../../ports/outbox-source.ts";
import { openMysqlOutbox } from "./index.ts";
import { mysqlOutboxCapabilities } from "./mysql-outbox.ts";

const tables = { platform: "outbox_messages", router: "outbox" } as const;
const microsecondsPerMs = 1_000;

async function createBench(form: OutboxForm): Promise<OutboxSourceBench> {
  const name = `fc_${randomBytes(6).toString("hex")}`;
  const application = await createConnection({ uri: testMariadbUrl ?? "" });
  await application.query(`CREATE DATABASE ${name} CHARACTER SET utf8mb4`);
  await application.query(`USE ${name}`);
  const url = new URL(testMariadbUrl ?? "");
  url.pathname = `/${name}`;
  const opened: OutboxAdmin[] = [];
  const open = async (table: string = tables[form]): Promise<OutboxAdmin> => {
    const admin = await openMysqlOutbox({ url: url.href, form, table });
    opened.push(admin);
    return admin;
  };
  const admin = await open();
  await admin.init();
  return {
    admin,
    insert: async (rows) => {
      for (const row of rows) await insert(application, form, row);
    },
    insertAndRollBack: async (rows) => {
      await application.beginTransaction();
      for (const row of rows) await insert(application, form, row);
      await application.rollback();
    },
    overwrite: async (id, values) => {
      await application.query(`UPDATE ${tables[form]} SET ? WHERE id = ?`, [values, id]);
    },
    passTime: async (ms) => {
      const back = `- INTERVAL ${ms * microsecondsPerMs} MICROSECOND`;
      const table = tables[form];
      await application.query(`UPDATE ${table} SET created_at = created_at ${back}, updated_at = updated_at ${back}`);
      await application.query(`UPDATE ${table}_control SET lease_until = lease_until ${back}`);
    },
    another: () => open(),
    elsewhere: () => open("elsewhere"),
    close: async () => {
      for (const one of opened) await one.source.close();
      await application.query(`DROP DATABASE ${name}`);
      await application.end();
    },
  };
}

async function insert(application: Connection, form: OutboxForm, row: NewRow): Promise<void> {
  const common = { id: row.id, payload: row.payload, headers: row.headers };
  const columns =
    form === "platform"
      ? { ...common, type: row.type, message_group: row.group, client_id: row.client }
      : {
          ...common,
          message_group_id: row.group,
          pool_code: row.pool,
          target: row.target,
          deduplication_id: row.deduplicationId,
        };
  await application.query(`INSERT INTO ${tables[form]} SET ?`, [columns]);
}

describeWith(["mariadb"], "with MariaDB", () => {
  describeOutboxConformance({ name: "mysql", capabilities: mysqlOutboxCapabilities }, createBench);
});
