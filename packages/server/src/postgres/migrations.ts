import { CodedError } from "@flowcatalyst/foundation";
import type { PostgresDatabase, PostgresSession } from "./postgres-database.ts";
import { adHoc, statement } from "./statement.ts";

/**
 * Numbered, forward only, each in one transaction with the row that records it, all under a lock of the database, so
 * that of several processes that start at once one migrates and the others find it done. The store and the queue are
 * components with numbers of their own.
 *
 * Old instances go on working while a newer one migrates: a migration adds, and takes away only what the release
 * before it has stopped using. So an instance refuses a database that lacks one of its migrations, and accepts one that
 * has newer ones, unless a migration says that older builds cannot work with it (`breaks`).
 */
export interface Migration {
  /** Ascending from 1 without gaps. */
  readonly number: number;
  readonly name: string;
  /** One or more statements. */
  readonly sql: string;
  /** Builds that do not know it must not run on it. */
  readonly breaks?: boolean;
}

export interface MigrationSet {
  readonly component: string;
  readonly migrations: readonly Migration[];
}

export interface AppliedMigration {
  readonly component: string;
  readonly number: number;
  readonly name: string;
}

/** Any constant will do, as long as nobody else in the database uses it. */
const migrationLock = 7_301_846_520_133;

const createLedger = adHoc(`
  CREATE TABLE IF NOT EXISTS flowcatalyst_migrations (
    component text NOT NULL,
    number integer NOT NULL,
    name text NOT NULL,
    breaks boolean NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (component, number)
  )`);
const ledgerExists = adHoc<{ found: boolean }, []>(
  "SELECT to_regclass('flowcatalyst_migrations') IS NOT NULL AS found",
);
const lockMigrations = statement<never, [number]>("SELECT pg_advisory_xact_lock($1)");
const readApplied = adHoc<{ number: number; breaks: boolean }, [string]>(
  "SELECT number, breaks FROM flowcatalyst_migrations WHERE component = $1 ORDER BY number",
);
const record = statement<never, [string, number, string, boolean]>(
  "INSERT INTO flowcatalyst_migrations (component, number, name, breaks) VALUES ($1, $2, $3, $4)",
);

/** What would run now, oldest first. Throws DATABASE_TOO_NEW. */
export async function pendingMigrations(
  database: PostgresSession,
  { component, migrations }: MigrationSet,
): Promise<readonly Migration[]> {
  const ledger = await database.one(ledgerExists, []);
  const applied = ledger?.found === true ? await database.query(readApplied, [component]) : [];
  const known = migrations.at(-1)?.number ?? 0;
  const tooNew = applied.find(({ number, breaks }) => number > known && breaks);
  if (tooNew !== undefined) {
    throw new CodedError("DATABASE_TOO_NEW", {
      message: `The database is at migration ${tooNew.number} of ${component}, and this build knows ${known}`,
      context: { component, applied: tooNew.number, known },
    });
  }
  const newest = applied.at(-1)?.number ?? 0;
  return migrations.filter(({ number }) => number > newest);
}

/** Brings the database up to this build; returns what ran. Safe to call from several processes at once. */
export async function migrate(database: PostgresDatabase, set: MigrationSet): Promise<readonly AppliedMigration[]> {
  const ran: AppliedMigration[] = [];
  for (;;) {
    const next = await database.transaction(async (session) => {
      await session.run(lockMigrations, [migrationLock]);
      await session.run(createLedger, []);
      const [migration] = await pendingMigrations(session, set);
      if (migration === undefined) return null;
      await session.run(adHoc(migration.sql), []);
      await session.run(record, [set.component, migration.number, migration.name, migration.breaks ?? false]);
      return migration;
    });
    if (next === null) return ran;
    ran.push({ component: set.component, number: next.number, name: next.name });
  }
}

/** Throws DATABASE_NOT_MIGRATED when a migration of this build has not run there. */
export async function requireMigrated(database: PostgresDatabase, set: MigrationSet): Promise<void> {
  const [missing] = await pendingMigrations(database, set);
  if (missing === undefined) return;
  throw new CodedError("DATABASE_NOT_MIGRATED", {
    message: `The database ${database.place} lacks migration ${missing.number} of ${set.component} (${missing.name})`,
    context: { database: database.place, component: set.component, missing: missing.number },
  });
}
