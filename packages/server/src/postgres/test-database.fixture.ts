import { randomBytes } from "node:crypto";
import pg from "pg";
import { silentLogger, systemClock } from "@flowcatalyst/foundation";
import { testPostgresUrl } from "../ports/needs-services.fixture.ts";
import { migrate, type MigrationSet } from "./migrations.ts";
import { createPostgresDatabase, type PostgresDatabase } from "./postgres-database.ts";

export { describeWithPostgres, testPostgresUrl } from "../ports/needs-services.fixture.ts";

/**
 * A database of its own for each test that asks, on the server that FC_TEST_POSTGRES_URL names (`scripts/services`
 * starts one). Made as a copy of a template that is migrated once per test file and set of migrations.
 */
export interface TestPostgres {
  readonly url: string;
  readonly database: PostgresDatabase;
  /** A further connection pool to the same database: another process, as far as the server can tell. */
  open(maxConnections?: number): PostgresDatabase;
  close(): Promise<void>;
}

const templates = new Map<string, Promise<string>>();
/** Test files run in several processes, and several in one: each has names of its own. */
const prefix = `fc_${process.pid}_${randomBytes(4).toString("hex")}`;
let databases = 0;

export async function openTestPostgres(sets: readonly MigrationSet[]): Promise<TestPostgres> {
  const name = `${prefix}_${++databases}`;
  const template = await templateOf(sets);
  await administer(`CREATE DATABASE ${name} TEMPLATE ${template}`);
  const url = databaseUrl(name);
  const opened: PostgresDatabase[] = [];
  const open = (maxConnections = 8): PostgresDatabase => {
    const database = openDatabase(url, maxConnections);
    opened.push(database);
    return database;
  };
  return {
    url,
    database: open(),
    open,
    close: async () => {
      for (const database of opened) await database.close();
      await administer(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    },
  };
}

function templateOf(sets: readonly MigrationSet[]): Promise<string> {
  const key = sets.map(({ component }) => component).join("_");
  const known = templates.get(key) ?? makeTemplate(key, sets);
  templates.set(key, known);
  return known;
}

async function makeTemplate(key: string, sets: readonly MigrationSet[]): Promise<string> {
  const name = `${prefix}_template_${key}`;
  await administer(`CREATE DATABASE ${name}`);
  const database = openDatabase(databaseUrl(name), 1);
  for (const set of sets) await migrate(database, set);
  await database.close();
  return name;
}

function openDatabase(url: string, maxConnections: number): PostgresDatabase {
  const deps = { clock: systemClock(), logger: silentLogger() };
  return createPostgresDatabase(deps, { url, profile: "hot", maxConnections });
}

function databaseUrl(name: string): string {
  const url = new URL(testPostgresUrl ?? "");
  url.pathname = `/${name}`;
  return url.href;
}

async function administer(sql: string): Promise<void> {
  const client = new pg.Client(testPostgresUrl);
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
