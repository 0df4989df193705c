import { mysqlOutboxDdl } from "../../../server/src/outbox-sources/mysql/mysql-ddl.ts";
import { postgresOutboxDdl } from "../../../server/src/outbox-sources/postgres/postgres-ddl.ts";
import { sqliteOutboxDdl } from "../../../server/src/outbox-sources/sqlite/sqlite-ddl.ts";

/** What `flowcatalyst outbox init` runs for each engine: drivers rely on the defaults of these tables. */
export const postgresTable = (table: string): readonly string[] => postgresOutboxDdl("platform", table);
export const mysqlTable = (table: string): readonly string[] => mysqlOutboxDdl("platform", table);
export const sqliteTable = (table: string): readonly string[] => sqliteOutboxDdl("platform", table);
