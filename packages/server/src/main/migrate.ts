/**
 * `flowcatalyst migrate`: brings the tables of FC_DATABASE_URL and FC_QUEUE_URL up to this build, or shows what that
 * would be.
 *
 * It is run before a new build is rolled out, while instances of the old one go on working (postgres/migrations.ts
 * says what a migration may do). Any number may run at once: one does the work. A file of SQLite has nobody to migrate
 * it but the process that opens it, which does so by itself; nor has a queue on a broker any tables.
 */
import { createLogger, systemClock, type Clock, type Logger } from "@flowcatalyst/foundation";
import { hostname } from "node:os";
import type { MigrationSet } from "../postgres/migrations.ts";
import { notBuilt, refuse } from "./not-built.ts";
import type { NamedMigration } from "./postgres/reach-postgres.ts";
import { isDatabaseQueue, isPostgres, requireProcessConfig, type MigrateConfig } from "./process-config.ts";

export interface MigrateInput {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly flags: Readonly<Record<string, string>>;
  readonly isTerminal: boolean;
  /** Only looks. */
  readonly dryRun: boolean;
}

export interface MigratedDatabase {
  /** Without user and password. */
  readonly place: string;
  /** What lacked before. */
  readonly pending: readonly NamedMigration[];
  /** What ran: all of it, or nothing in a dry run. */
  readonly ran: readonly NamedMigration[];
  /** Parts of the history's tables that were made, by name. */
  readonly partitions: readonly string[];
}

export interface MigrationReport {
  readonly dryRun: boolean;
  readonly databases: readonly MigratedDatabase[];
}

/** Two connections: one migrates, the other is for the wake-ups that nobody sends here. */
const connections = 2;

/** Throws CONFIG_INVALID, DATABASE_UNREACHABLE, DATABASE_TOO_NEW, and what the database reports while it migrates. */
export async function migrateDatabases(input: MigrateInput): Promise<MigrationReport> {
  const { env, flags, isTerminal, dryRun } = input;
  const facts = { isTerminal, hostName: hostname(), pid: process.pid };
  const { config, entries } = await requireProcessConfig("migrate", { env, flags, facts });
  refuse(notBuilt(config, entries));
  const deps = { clock: systemClock(), logger: createLogger({ level: config.logLevel, format: config.logFormat }) };
  const databases: MigratedDatabase[] = [];
  for (const target of await targetsOf(config)) databases.push(await migrateOne(target, dryRun, deps));
  return { dryRun, databases };
}

interface Target {
  readonly url: string;
  readonly setting: string;
  readonly sets: readonly MigrationSet[];
  readonly hasHistory: boolean;
}

async function targetsOf({ databaseUrl, queueUrls }: MigrateConfig): Promise<readonly Target[]> {
  const { storeMigrations } = await import("../stores/postgres/migrations.ts");
  const { queueMigrations } = await import("../queues/postgres/migrations.ts");
  const targets: Target[] = [];
  if (isPostgres(databaseUrl)) {
    const sets = queueUrls.some(isDatabaseQueue) ? [storeMigrations, queueMigrations] : [storeMigrations];
    targets.push({ url: databaseUrl, setting: "FC_DATABASE_URL", sets, hasHistory: true });
  }
  for (const url of queueUrls.filter(isPostgres)) {
    targets.push({ url, setting: "FC_QUEUE_URL", sets: [queueMigrations], hasHistory: false });
  }
  return targets;
}

async function migrateOne(
  { url, setting, sets, hasHistory }: Target,
  dryRun: boolean,
  deps: { readonly clock: Clock; readonly logger: Logger },
): Promise<MigratedDatabase> {
  const { createPostgresDatabase } = await import("../postgres/postgres-database.ts");
  const { migrateAll, pendingOf, reachPostgres } = await import("./postgres/reach-postgres.ts");
  const { ensurePartitions } = await import("../stores/postgres/history-partitions.ts");
  const database = createPostgresDatabase(deps, { url, profile: "hot", maxConnections: connections });
  try {
    await reachPostgres(database, setting, deps);
    const { place } = database;
    const pending = await pendingOf(database, sets);
    if (dryRun) return { place, pending, ran: [], partitions: [] };
    const ran = await migrateAll(database, sets, deps.logger);
    const partitions = hasHistory ? await ensurePartitions(database, deps.clock.now()) : [];
    return { place, pending, ran, partitions };
  } finally {
    await database.close();
  }
}
