import {
  CodedError,
  configInvalid,
  describeError,
  isCodedError,
  type Clock,
  type Logger,
} from "@flowcatalyst/foundation";
import { migrate, pendingMigrations, type AppliedMigration, type MigrationSet } from "../../postgres/migrations.ts";
import type { PostgresDatabase } from "../../postgres/postgres-database.ts";
import { adHoc } from "../../postgres/statement.ts";

/**
 * A PostgreSQL database when a process starts.
 *
 * One that cannot be reached is tried again for 30 s, because services and their database are often started together
 * (compose, a rolling update of a cluster); then the process ends with one line, and whoever supervises it starts it
 * again. A process that has started once never ends because its database is away.
 *
 * What waiting cannot cure ends the start at once: a wrong password, a database that does not exist, a server that is
 * too old or does not store Unicode.
 */
export const postgresStartLimits = {
  reachWithinMs: 30_000,
  retryMs: 500,
  /** PostgreSQL 15, as `server_version_num` has it. */
  oldestVersion: 150_000,
} as const;

export interface ReachDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Ends the waiting. */
  readonly stopping?: AbortSignal;
}

interface ServerFacts {
  readonly version: number;
  readonly encoding: string;
}

const readFacts = adHoc<ServerFacts, []>(`
  SELECT current_setting('server_version_num')::integer AS version, current_setting('server_encoding') AS encoding`);

const versionsPerMajor = 10_000;

/** `setting` is the key that named the database. Throws DATABASE_UNREACHABLE or CONFIG_INVALID. */
export async function reachPostgres(database: PostgresDatabase, setting: string, deps: ReachDeps): Promise<void> {
  const { clock, logger, stopping } = deps;
  const deadlineMs = clock.monotonicMs() + postgresStartLimits.reachWithinMs;
  for (let tries = 1; ; tries++) {
    const tried = await facts(database);
    if (tried.kind === "answered") {
      requireUsable(tried.facts, { setting, place: database.place });
      if (tries > 1) logger.info({ database: database.place }, "The database is reached");
      return;
    }
    if (tried.kind === "refused") throw configInvalid([{ key: setting, source: database.place, reason: tried.reason }]);
    if (clock.monotonicMs() >= deadlineMs || stopping?.aborted === true) {
      const message = `The database ${database.place} cannot be reached (${tried.reason})`;
      throw new CodedError("DATABASE_UNREACHABLE", { message });
    }
    if (tries === 1) {
      const seconds = postgresStartLimits.reachWithinMs / 1_000;
      logger.warn({ database: database.place, reason: tried.reason }, `Not reached yet; tried again for ${seconds} s`);
    }
    await clock.sleep(postgresStartLimits.retryMs, stopping);
  }
}

type Tried =
  | { readonly kind: "answered"; readonly facts: ServerFacts }
  | { readonly kind: "unreachable"; readonly reason: string }
  | { readonly kind: "refused"; readonly reason: string };

async function facts(database: PostgresDatabase): Promise<Tried> {
  try {
    const found = await database.one(readFacts, []);
    return found === null ? { kind: "unreachable", reason: "no answer" } : { kind: "answered", facts: found };
  } catch (error) {
    if (isCodedError(error, "STORE_UNAVAILABLE")) {
      const { cause } = error;
      return { kind: "unreachable", reason: cause === undefined ? error.publicMessage : reasonOf(cause) };
    }
    return { kind: "refused", reason: `is refused by the server: ${describeError(error)}` };
  }
}

/** Node reports a name with several addresses, none of which answers, as one error without words. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === "") return error.errors.map(describeError).join(", ");
  return describeError(error);
}

function requireUsable(
  { version, encoding }: ServerFacts,
  at: { readonly setting: string; readonly place: string },
): void {
  const refusal = (reason: string): Error => configInvalid([{ key: at.setting, source: at.place, reason }]);
  if (version < postgresStartLimits.oldestVersion) {
    const oldest = postgresStartLimits.oldestVersion / versionsPerMajor;
    throw refusal(`is PostgreSQL ${Math.floor(version / versionsPerMajor)}; ${oldest} is the oldest that works`);
  }
  if (encoding !== "UTF8") throw refusal(`stores text as ${encoding}; create the database with ENCODING 'UTF8'`);
}

/** What runs, or would. */
export interface NamedMigration {
  readonly component: string;
  readonly number: number;
  readonly name: string;
}

/** Throws DATABASE_TOO_NEW. */
export async function pendingOf(
  database: PostgresDatabase,
  sets: readonly MigrationSet[],
): Promise<readonly NamedMigration[]> {
  const pending: NamedMigration[] = [];
  for (const set of sets) {
    for (const { number, name } of await pendingMigrations(database, set)) {
      pending.push({ component: set.component, number, name });
    }
  }
  return pending;
}

/** Brings the tables up to this build, under a lock; safe to call from several processes at once. */
export async function migrateAll(
  database: PostgresDatabase,
  sets: readonly MigrationSet[],
  logger: Logger,
): Promise<readonly AppliedMigration[]> {
  const ran: AppliedMigration[] = [];
  for (const set of sets) ran.push(...(await migrate(database, set)));
  for (const { component, number, name } of ran) logger.info({ component, number, name }, "A migration has run");
  return ran;
}
