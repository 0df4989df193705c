import { afterEach, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { MongoClient } from "mongodb";
import mysql from "mysql2/promise";
import pg from "pg";
import { openOutboxAt } from "../../packages/server/src/main/outbox-source-at.ts";
import {
  describeWith,
  type NeededService,
  testMariadbUrl,
  testMongoUrl,
  testPostgresUrl,
} from "../../packages/server/src/ports/needs-services.fixture.ts";
import { createSandbox, type Sandbox } from "../harness/sandbox.ts";
import { runExample, runtimesOf } from "./example-process.ts";

/**
 * An example of the outbox in a database of its own: `outbox init` makes the table, the example pays one order and
 * fails to pay another, and what is left in the table is the event of the first.
 */
export type OutboxEngine = "postgres" | "mysql" | "mongodb" | "sqlite";

interface Place {
  readonly url: string;
  remove(): Promise<void>;
}

/** A run under Node builds the SDK and bundles the example first. */
const timeLimitMs = 60_000;

const newName = (): string => `fc_example_${randomBytes(6).toString("hex")}`;

/** A database of this name, at the server of the tests. */
function urlWith(server: string | undefined, database: string): string {
  const url = new URL(server ?? "");
  url.pathname = `/${database}`;
  return url.href;
}

async function postgresPlace(): Promise<Place> {
  const database = newName();
  const run = async (statement: string): Promise<void> => {
    const client = new pg.Client({ connectionString: testPostgresUrl });
    await client.connect();
    try {
      await client.query(statement);
    } finally {
      await client.end();
    }
  };
  await run(`CREATE DATABASE ${database}`);
  const remove = (): Promise<void> => run(`DROP DATABASE ${database} WITH (FORCE)`);
  return { url: urlWith(testPostgresUrl, database), remove };
}

async function mysqlPlace(): Promise<Place> {
  const database = newName();
  const run = async (statement: string): Promise<void> => {
    const connection = await mysql.createConnection({ uri: testMariadbUrl ?? "" });
    try {
      await connection.query(statement);
    } finally {
      await connection.end();
    }
  };
  await run(`CREATE DATABASE ${database}`);
  return { url: urlWith(testMariadbUrl, database), remove: () => run(`DROP DATABASE ${database}`) };
}

async function mongoPlace(): Promise<Place> {
  const url = urlWith(testMongoUrl, newName());
  const remove = async (): Promise<void> => {
    const client = new MongoClient(url);
    try {
      await client.db().dropDatabase();
    } finally {
      await client.close();
    }
  };
  return { url, remove };
}

async function sqlitePlace(sandbox: Sandbox): Promise<Place> {
  return { url: `sqlite:${join(sandbox.dataDir(), "shop.db")}`, remove: async () => undefined };
}

const engines = {
  postgres: { needs: ["postgres"], place: postgresPlace },
  mysql: { needs: ["mariadb"], place: mysqlPlace },
  mongodb: { needs: ["mongodb"], place: mongoPlace },
  sqlite: { needs: [], place: sqlitePlace },
} as const satisfies Record<
  OutboxEngine,
  { readonly needs: readonly NeededService[]; place(sandbox: Sandbox): Promise<Place> }
>;

/** What the example's own page says that it prints. */
function printedBy(example: string): string {
  const page = readFileSync(join(import.meta.dir, "../../examples", example, "README.md"), "utf8");
  return /```text\n([^`]*)```/.exec(page)?.[1] ?? "";
}

export function provesOutboxExample(example: string, engine: OutboxEngine, cannot: string | false = false): void {
  let sandbox: Sandbox = createSandbox();
  afterEach(async () => {
    await sandbox.end();
    sandbox = createSandbox();
  });

  describeWith(engines[engine].needs, example, () => {
    for (const runtime of runtimesOf(example)) {
      const why = cannot === false ? "" : `: ${cannot}`;
      test.skipIf(cannot !== false)(
        `writes the event of what is committed only (${runtime})${why}`,
        async () => {
          const place = await engines[engine].place(sandbox);
          sandbox.defer(place.remove);
          const outbox = await openOutboxAt({ outboxDbUrl: place.url, outboxMode: "platform", outboxTable: undefined });
          sandbox.defer(() => outbox.source.close());
          await outbox.init();
          const ended = await runExample(example, { runtime, env: { DATABASE_URL: place.url } });
          expect(ended).toEqual({ exitCode: 0, stdout: printedBy(example), stderr: "" });
          const { rows } = await outbox.list({ states: [0], group: null, limit: 10, after: null });
          expect(rows.map(({ type, group }) => ({ type, group }))).toEqual([{ type: "EVENT", group: "order-1" }]);
        },
        timeLimitMs,
      );
    }
  });
}
