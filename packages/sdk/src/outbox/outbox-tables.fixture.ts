import { mysqlOutboxDdl } from "../../../server/src/outbox-sources/mysql/mysql-ddl.ts";
import { postgresOutboxDdl } from "../../../server/src/outbox-sources/postgres/postgres-ddl.ts";

/** Statements that make the outbox table, as `flowcatalyst outbox init --print` prints them. */
export const postgresTable = (table: string): readonly string[] => postgresOutboxDdl("platform", table);
export const mysqlTable = (table: string): readonly string[] => mysqlOutboxDdl("platform", table);
export const sqliteTable = (table: string): readonly string[] => [
  `CREATE TABLE ${table} (id VARCHAR(26) PRIMARY KEY, type VARCHAR(20) NOT NULL, message_group VARCHAR(255),
   payload TEXT NOT NULL, status SMALLINT NOT NULL DEFAULT 0, retry_count SMALLINT NOT NULL DEFAULT 0,
   created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')), updated_at TEXT NOT NULL DEFAULT
   (strftime('%Y-%m-%dT%H:%M:%fZ')), error_message TEXT, client_id VARCHAR(26), payload_size INTEGER, headers TEXT)`,
];
