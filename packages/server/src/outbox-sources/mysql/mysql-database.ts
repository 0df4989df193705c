import { createPool, type Pool, type PoolConnection, type ResultSetHeader, type RowDataPacket } from "mysql2/promise";
import { CodedError } from "@flowcatalyst/foundation";
import { withDriver } from "../outbox-form.ts";

/**
 * The way to the application's MySQL or MariaDB.
 *
 * Sessions. Times are UTC and read as text with all their digits. Transactions run READ COMMITTED: every statement sees
 * one state of the database, and locks no gaps. The SQL mode is set, whatever the server's is: values are written into
 * statements with backslashes, which NO_BACKSLASH_ESCAPES would make unsafe.
 *
 * Deadlines. An answer is awaited for 20 s and a lock for 10 s. A process that was stopped in a transaction must not
 * hold its locks for long: MariaDB ends its session after 4 s, MySQL after 30 s.
 *
 * Failures. Whatever breaks the connection is STORE_UNAVAILABLE, and the connection is dropped. A transaction that
 * loses a deadlock is done again from the start, so it must have no effect outside of the database.
 */
export interface MysqlSession {
  rows(sql: string, values?: readonly SqlValue[]): Promise<readonly SqlRow[]>;
  /** How many rows were found to be changed, inserted or deleted. */
  run(sql: string, values?: readonly SqlValue[]): Promise<number>;
}

export interface MysqlDatabase extends MysqlSession {
  /** Rolled back if `work` throws. */
  transaction<Result>(work: (session: MysqlSession) => Promise<Result>): Promise<Result>;
  close(): Promise<void>;
}

export type SqlValue = string | number | null | readonly (string | number)[];
export type SqlRow = Readonly<Record<string, unknown>>;

export const mysqlLimits = {
  maxConnections: 6,
  connectTimeoutMs: 5_000,
  answerTimeoutMs: 20_000,
  lockTimeoutS: 10,
  idleInTransactionTimeoutS: 4,
  idleSessionTimeoutS: 30,
  /** Before the server ends the session. */
  idleConnectionTimeoutMs: 10_000,
  transactionTries: 5,
} as const;

const sessionSettings = `SET SESSION time_zone = '+00:00', sql_mode = 'STRICT_TRANS_TABLES',
  group_concat_max_len = 1048576, innodb_lock_wait_timeout = ${mysqlLimits.lockTimeoutS},
  wait_timeout = ${mysqlLimits.idleSessionTimeoutS}
  /*M!100300 , idle_transaction_timeout = ${mysqlLimits.idleInTransactionTimeoutS} */`;
const isolation = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";

/** Connects with the first statement. Throws CONFIG_INVALID for an address that the driver does not take. */
export function createMysqlDatabase(url: string): MysqlDatabase {
  const pool = withDriver(() =>
    createPool({
      uri: url,
      connectionLimit: mysqlLimits.maxConnections,
      maxIdle: 1,
      idleTimeout: mysqlLimits.idleConnectionTimeoutMs,
      connectTimeout: mysqlLimits.connectTimeoutMs,
      charset: "utf8mb4",
      dateStrings: true,
      supportBigNumbers: true,
      timezone: "Z",
    }),
  );
  const connections: Connections = { pool, prepared: new WeakSet() };
  const withOne = <Result>(work: (connection: PoolConnection) => Promise<Result>): Promise<Result> =>
    withConnection(connections, work);
  return {
    rows: (sql, values) => withOne((connection) => sessionOf(connection).rows(sql, values)),
    run: (sql, values) => withOne((connection) => sessionOf(connection).run(sql, values)),
    transaction: (work) => repeating(() => withOne((connection) => inTransaction(connection, work))),
    close: () => pool.end(),
  };
}

interface Connections {
  readonly pool: Pool;
  /** Those whose session has its settings. */
  readonly prepared: WeakSet<object>;
}

async function withConnection<Result>(
  { pool, prepared }: Connections,
  work: (connection: PoolConnection) => Promise<Result>,
): Promise<Result> {
  let connection: PoolConnection;
  try {
    connection = await pool.getConnection();
  } catch (error) {
    throw toStoreError(error);
  }
  try {
    if (!prepared.has(connection.connection)) {
      await connection.query(sessionSettings);
      await connection.query(isolation);
      prepared.add(connection.connection);
    }
    const result = await work(connection);
    connection.release();
    return result;
  } catch (error) {
    // A connection of which it is not known what the server does with it is of no use to anybody.
    if (isAnswer(error)) connection.release();
    else connection.destroy();
    throw isRepeatable(error) ? error : toStoreError(error);
  }
}

function sessionOf(connection: PoolConnection): MysqlSession {
  const timeout = mysqlLimits.answerTimeoutMs;
  return {
    rows: async (sql, values = []) => {
      const [rows] = await connection.query<RowDataPacket[]>({ sql, timeout, values: [...values] });
      return rows;
    },
    run: async (sql, values = []) => {
      const [header] = await connection.query<ResultSetHeader>({ sql, timeout, values: [...values] });
      return header.affectedRows;
    },
  };
}

async function inTransaction<Result>(
  connection: PoolConnection,
  work: (session: MysqlSession) => Promise<Result>,
): Promise<Result> {
  await connection.query("START TRANSACTION");
  try {
    const result = await work(sessionOf(connection));
    await connection.query("COMMIT");
    return result;
  } catch (error) {
    if (isAnswer(error)) await connection.query("ROLLBACK");
    throw error;
  }
}

async function repeating<Result>(attempt: () => Promise<Result>): Promise<Result> {
  for (let tried = 1; ; tried++) {
    try {
      return await attempt();
    } catch (error) {
      if (!isRepeatable(error)) throw error;
      if (tried === mysqlLimits.transactionTries) throw toStoreError(error);
    }
  }
}

const repeatable: ReadonlySet<number> = new Set([
  1020, // changed since it was read
  1213, // deadlock
]);
/** Answers of a server that heals: too many connections, stopping, read-only, waited too long for a lock. */
const unavailable: ReadonlySet<number> = new Set([1040, 1053, 1205, 1290, 1792, 1836, 1927, 3024, 1969, 1203, 1226]);
const full: ReadonlySet<number> = new Set([1021, 1114]);

interface Fault {
  readonly number: number | null;
  readonly isFatal: boolean;
}

function faultOf(error: unknown): Fault | null {
  if (!(error instanceof Error) || !("code" in error)) return null;
  const number = "errno" in error && typeof error.errno === "number" && error.errno > 0 ? error.errno : null;
  return { number, isFatal: "fatal" in error && error.fatal === true };
}

/** The server took the statement and said no: the connection goes on. */
function isAnswer(error: unknown): boolean {
  if (error instanceof CodedError) return true;
  const fault = faultOf(error);
  return fault !== null && fault.number !== null && fault.number >= 1_000 && !fault.isFatal;
}

function isRepeatable(error: unknown): boolean {
  return repeatable.has(faultOf(error)?.number ?? 0);
}

/** What the server and the way to it report, as errors of ours; faults of a statement pass through. */
function toStoreError(error: unknown): unknown {
  const fault = faultOf(error);
  if (error instanceof CodedError || fault === null) return error;
  const context = fault.number === null ? {} : { number: fault.number };
  if (full.has(fault.number ?? 0)) return new CodedError("STORE_FULL", { context, cause: error });
  const heals = unavailable.has(fault.number ?? 0) || repeatable.has(fault.number ?? 0);
  return heals || !isAnswer(error) ? new CodedError("STORE_UNAVAILABLE", { context, cause: error }) : error;
}

/** Columns of answers; what has another type is a fault of the table. */
export function textIn(row: SqlRow, column: string): string {
  const value = row[column];
  if (typeof value === "string") return value;
  throw new CodedError("INTERNAL", { context: { column, type: typeof value } });
}

export function textOrNullIn(row: SqlRow, column: string): string | null {
  return row[column] === null ? null : textIn(row, column);
}

export function numberIn(row: SqlRow, column: string): number {
  const value = Number(row[column]);
  if (Number.isSafeInteger(value)) return value;
  throw new CodedError("INTERNAL", { context: { column, value: String(row[column]) } });
}
