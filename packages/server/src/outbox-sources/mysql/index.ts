import type { OutboxAdmin } from "../../ports/outbox-source.ts";
import type { OutboxSourceConfig } from "../outbox-source-config.ts";
import { createMysqlAdmin } from "./mysql-admin.ts";
import { createMysqlDatabase } from "./mysql-database.ts";
import { mysqlTable } from "./mysql-ddl.ts";

/** Outbox tables in MySQL and MariaDB. Connects with the first call. */
export async function openMysqlOutbox(config: OutboxSourceConfig): Promise<OutboxAdmin> {
  return createMysqlAdmin(createMysqlDatabase(config.url), mysqlTable(config.form, config.table));
}
