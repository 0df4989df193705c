/**
 * Writes events, dispatch jobs and audit logs into an outbox table, in the application's own transaction.
 *
 * @module outbox
 */
export { createOutbox, type Outbox, type OutboxOptions, type SyncOutbox } from "./outbox.ts";
export type { OutboxDriver, SyncOutboxDriver } from "./outbox-driver.ts";
export type {
  OutboxAuditLog,
  OutboxEvent,
  OutboxEventCommon,
  OutboxJob,
  OutboxRow,
  OutboxRowType,
} from "./outbox-entry.ts";
export { outboxLimits } from "./outbox-limits.ts";
export {
  drizzleDriver,
  drizzleSqliteDriver,
  type DrizzleSql,
  type DrizzleSqliteTransaction,
  type DrizzleTransaction,
} from "./drizzle-driver.ts";
export { kyselyDriver, type KyselyTransaction } from "./kysely-driver.ts";
export { mongodbDriver, type MongoDatabase, type MongoSession, type MongoTransaction } from "./mongodb-driver.ts";
export { mysql2Driver, type Mysql2Transaction } from "./mysql2-driver.ts";
export { pgDriver, type PgTransaction } from "./pg-driver.ts";
export { postgresDriver, type PostgresTransaction } from "./postgres-driver.ts";
export { prismaDriver, type PrismaProvider, type PrismaTransaction } from "./prisma-driver.ts";
export { sqliteDriver, type SqliteStatement, type SqliteTransaction } from "./sqlite-driver.ts";
export type { SqlValue } from "./sql-insert.ts";
