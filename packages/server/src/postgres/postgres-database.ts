import pg from "pg";
import { isCodedError, placeOfAddress, type Clock, type Logger } from "@flowcatalyst/foundation";
import { createNotifications } from "./notifications.ts";
import { isRepeatable, toStoreError } from "./postgres-errors.ts";
import type { SqlValue, Statement } from "./statement.ts";

/**
 * The way to PostgreSQL, for the store and for the queue that lives in the same database.
 *
 * Plans. Hot statements must be planned the same on an empty table as on a full one: a plan made from the statistics of
 * an empty table scans it, and is kept. So a session of the profile `hot` takes generic plans only, made once per
 * connection, and has the ways to scan a table as a whole turned off; each statement is written so that an index serves
 * it, and plan tests hold it to that. A session of the profile `search` is planned anew for its values, is read-only,
 * and is cut off after 2 s. A session of the profile `unsynced` is a hot one whose commits do not wait for the disk: a
 * crash of the server may take the last ones back, so it is for work that may be done twice.
 *
 * Transactions run READ COMMITTED. One that loses a deadlock is done again from the start, so `work` must have no
 * effect outside of it. To keep deadlocks rare, rows are locked in the order: leases, groups by id, jobs, feeds by id.
 *
 * Deadlines. A statement is ended by the server after 15 s. A process that was stopped must not hold locks for long,
 * because others wait for them: a transaction that sits idle for 4 s is rolled back, and so is a statement whose answer
 * nobody takes for 4 s (it is only over when the answer has left, and no other deadline ends one that is being sent). A
 * server that does not answer at all is given up after 20 s by closing the connection.
 *
 * Failures. Whatever breaks the connection is STORE_UNAVAILABLE and the connection is dropped; the next call makes a
 * new one. Who called tries again, with the backoff of its own loop. A connection lost during COMMIT leaves open
 * whether the transaction happened; writers are made for that (compare-and-set, unique keys, generations).
 */
export interface PostgresSession {
  query<Row, Values extends readonly SqlValue[]>(
    statement: Statement<Row, Values>,
    values: NoInfer<Values>,
  ): Promise<readonly Row[]>;
  /** The first row; null: there is none. */
  one<Row, Values extends readonly SqlValue[]>(
    statement: Statement<Row, Values>,
    values: NoInfer<Values>,
  ): Promise<Row | null>;
  /** How many rows were inserted, changed or deleted. */
  run<Row, Values extends readonly SqlValue[]>(
    statement: Statement<Row, Values>,
    values: NoInfer<Values>,
  ): Promise<number>;
}

export interface PostgresDatabase extends PostgresSession {
  /** One transaction on one connection; rolled back if `work` throws. */
  transaction<Result>(work: (session: PostgresSession) => Promise<Result>): Promise<Result>;
  /** Calls back when another process, or this one, has notified the channel. Returns the unsubscriber. */
  listen(channel: string, wake: () => void): () => void;
  /** Wakes this process at once and others soon. It may be lost; everybody polls as well. Call after a commit. */
  notify(channel: string): void;
  /** Where it is, without user and password. */
  readonly place: string;
  close(): Promise<void>;
}

export interface PostgresConfig {
  readonly url: string;
  readonly profile: "hot" | "unsynced" | "search";
  readonly maxConnections: number;
}

export const postgresLimits = {
  connectTimeoutMs: 5_000,
  statementTimeoutMs: 15_000,
  searchTimeoutMs: 2_000,
  /** Longer than a busy process is away between two statements, and short, because others may wait for its locks. */
  idleInTransactionTimeoutMs: 4_000,
  /** The same for an answer that has filled all buffers on its way. */
  unreadAnswerTimeoutMs: 4_000,
  /** After this the connection is given up: the server, or the way to it, hangs. */
  answerTimeoutMs: 20_000,
  transactionTries: 5,
} as const;

const forStoppedClients = [
  `SET idle_in_transaction_session_timeout = ${postgresLimits.idleInTransactionTimeoutMs}`,
  `SET tcp_user_timeout = ${postgresLimits.unreadAnswerTimeoutMs}`,
];

const hot = [
  "SET plan_cache_mode = force_generic_plan",
  "SET enable_seqscan = off",
  "SET enable_bitmapscan = off",
  "SET enable_hashjoin = off",
  "SET enable_mergejoin = off",
  "SET enable_material = off",
  "SET enable_memoize = off",
  "SET jit = off",
  // Starting workers takes longer than any of these statements.
  "SET max_parallel_workers_per_gather = 0",
  `SET statement_timeout = ${postgresLimits.statementTimeoutMs}`,
  ...forStoppedClients,
];

const sessionSettings: Readonly<Record<PostgresConfig["profile"], string>> = {
  hot: hot.join("; "),
  unsynced: [...hot, "SET synchronous_commit = off"].join("; "),
  search: [
    "SET default_transaction_read_only = on",
    "SET jit = off",
    `SET statement_timeout = ${postgresLimits.searchTimeoutMs}`,
    ...forStoppedClients,
  ].join("; "),
};

const bigintOid = 20;

/** Positions, times and counts are all below 2^53. */
function bigintsAsNumbers(): pg.TypeOverrides {
  const types = new pg.TypeOverrides();
  types.setTypeParser(bigintOid, Number);
  return types;
}

/** Connects with the first call. Throws nothing itself. */
export function createPostgresDatabase(
  deps: { readonly clock: Clock; readonly logger: Logger },
  config: PostgresConfig,
): PostgresDatabase {
  const { url, profile, maxConnections } = config;
  const connection = {
    connectionString: url,
    types: bigintsAsNumbers(),
    application_name: "flowcatalyst",
    connectionTimeoutMillis: postgresLimits.connectTimeoutMs,
    query_timeout: postgresLimits.answerTimeoutMs,
    keepAlive: true,
  };
  const pool = new pg.Pool({
    ...connection,
    max: maxConnections,
    // Ready before it is handed out: a session without its settings would plan from statistics.
    // oxlint-disable-next-line typescript/no-misused-promises -- the pool waits for it, though its types say void
    onConnect: async (client) => {
      await client.query(sessionSettings[profile]);
    },
  });
  // Whoever uses it learns from the failed query; unheard, the event would end the process.
  pool.on("connect", (client) => client.on("error", () => undefined));
  // A connection that dies while idle is dropped by the pool; the next call makes another one.
  pool.on("error", (error) => deps.logger.debug({ error }, "a database connection was lost"));
  const session = sessionOf(pool);
  const notifications = createNotifications({ ...deps, connect: () => new pg.Client(connection), session });
  return {
    ...session,
    place: placeOfAddress(url),
    transaction: (work) => repeating(() => inTransaction(pool, work)),
    listen: (channel, wake) => notifications.listen(channel, wake),
    notify: (channel) => notifications.notify(channel),
    close: async () => {
      await notifications.close();
      await pool.end();
    },
  };
}

/** What a statement's types say it gives; conformance suites read back every field. */
type Asked<Row> = { readonly rows: readonly Row[]; readonly rowCount: number | null };

type StatementText = { readonly name: string; readonly text: string };

function sessionOf(runner: pg.Pool | pg.PoolClient): PostgresSession {
  const ask = async <Row>({ name, text }: StatementText, values: readonly SqlValue[]): Promise<Asked<Row>> => {
    try {
      return await runner.query<Row & pg.QueryResultRow>(
        name === "" ? { text, values: [...values] } : { name, text, values: [...values] },
      );
    } catch (error) {
      throw isRepeatable(error) ? error : toStoreError(error);
    }
  };
  return {
    query: async <Row>(statement: StatementText, values: readonly SqlValue[]) =>
      (await ask<Row>(statement, values)).rows,
    one: async <Row>(statement: StatementText, values: readonly SqlValue[]) =>
      (await ask<Row>(statement, values)).rows[0] ?? null,
    run: async (statement, values) => (await ask(statement, values)).rowCount ?? 0,
  };
}

async function repeating<Result>(attempt: () => Promise<Result>): Promise<Result> {
  for (let tried = 1; ; tried++) {
    try {
      return await attempt();
    } catch (error) {
      if (!isRepeatable(error)) throw error;
      if (tried === postgresLimits.transactionTries) throw toStoreError(error);
    }
  }
}

async function inTransaction<Result>(
  pool: pg.Pool,
  work: (session: PostgresSession) => Promise<Result>,
): Promise<Result> {
  const client = await connect(pool);
  let broken = false;
  try {
    await client.query("BEGIN");
    const result = await work(sessionOf(client));
    await client.query("COMMIT");
    return result;
  } catch (error) {
    const fault = isRepeatable(error) ? error : toStoreError(error);
    // A connection that cannot roll back is of no use to anybody.
    broken = isSilent(fault) || !(await rolledBack(client));
    throw fault;
  } finally {
    client.release(broken);
  }
}

/** Nothing answers there any more: a further statement would only wait for the same answer. */
function isSilent(fault: unknown): boolean {
  if (!isCodedError(fault, "STORE_UNAVAILABLE")) return false;
  return fault.cause !== undefined && !(fault.cause instanceof pg.DatabaseError);
}

async function connect(pool: pg.Pool): Promise<pg.PoolClient> {
  try {
    return await pool.connect();
  } catch (error) {
    throw toStoreError(error);
  }
}

async function rolledBack(client: pg.PoolClient): Promise<boolean> {
  try {
    await client.query("ROLLBACK");
    return true;
  } catch {
    return false;
  }
}
