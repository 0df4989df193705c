import { CodedError } from "@flowcatalyst/foundation";
import type { SqliteDatabase } from "./database.ts";
import { migration0001 } from "./migration-0001-log-and-settings.ts";
import { migration0002 } from "./migration-0002-jobs.ts";
import { migration0003 } from "./migration-0003-audit-logs.ts";

/**
 * Numbered, forward only, each in one transaction with the row that records it. What ran is a table and not
 * `user_version`, because a queue may keep tables and migrations of its own in the same file.
 */
export interface Migration {
  /** Ascending from 1 without gaps. */
  readonly number: number;
  readonly name: string;
  /** One or more statements. */
  readonly sql: string;
}

/** Every migration of the store. A new one goes to the end; one that was released is never edited. */
export const storeMigrations: readonly Migration[] = [migration0001, migration0002, migration0003];

const createLedger = `
  CREATE TABLE IF NOT EXISTS store_migrations (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at_ms INTEGER NOT NULL
  ) STRICT`;

/**
 * Brings the database up to this build. Returns how many migrations ran.
 * Throws DATABASE_TOO_NEW when the file knows a migration that this build does not.
 */
export function migrate(database: SqliteDatabase, migrations: readonly Migration[], nowMs: number): number {
  database.transaction(() => database.exec(createLedger));
  const newest = database.statement<{ newest: number }>(
    "SELECT coalesce(max(number), 0) AS newest FROM store_migrations",
  );
  const applied = newest.get()?.newest ?? 0;
  const known = migrations.at(-1)?.number ?? 0;
  if (applied > known) {
    throw new CodedError("DATABASE_TOO_NEW", {
      message: `${database.path} is at migration ${applied}, and this build knows ${known}`,
      context: { path: database.path, applied, known },
    });
  }
  const pending = migrations.filter((migration) => migration.number > applied);
  const record = database.statement<never, [number, string, number]>(
    "INSERT INTO store_migrations VALUES (?1, ?2, ?3)",
  );
  for (const migration of pending) {
    database.durableTransaction(() => {
      database.exec(migration.sql);
      record.run(migration.number, migration.name, nowMs);
    });
  }
  return pending.length;
}
