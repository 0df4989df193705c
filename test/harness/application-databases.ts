import { MongoClient } from "mongodb";
import { createPool, type ResultSetHeader, type RowDataPacket } from "mysql2/promise";
import { type Application, messageOf, type OutboxMessage, type Transaction } from "./application.ts";

/** Applications on MariaDB and on a server of MongoDB's protocol; application.ts has what they are. */

const table = "outbox_messages";

interface CountRow extends RowDataPacket {
  readonly count: number;
  readonly status: number;
}

interface StateRow extends RowDataPacket {
  readonly status: number;
  readonly error: string | null;
}

/** `url` names a database that is empty, and the application's own. */
export async function openMariadbApplication(url: string): Promise<Application> {
  const pool = createPool({ uri: url, connectionLimit: 10 });
  await pool.query("CREATE TABLE IF NOT EXISTS orders (g integer NOT NULL, n integer NOT NULL, PRIMARY KEY (g, n))");
  const within = async (end: "COMMIT" | "ROLLBACK", statements: readonly Statement[]): Promise<void> => {
    const connection = await pool.getConnection();
    try {
      await connection.query("START TRANSACTION");
      for (const [sql, values] of statements) await connection.query<ResultSetHeader>(sql, [...values]);
      await connection.query(end);
      connection.release();
    } catch (error) {
      connection.destroy();
      throw error;
    }
  };
  return {
    url,
    title: "MariaDB",
    transact: (_connection, { orders, type, commits }) => {
      const statements = orders.flatMap((order): Statement[] => [
        ["INSERT INTO orders (g, n) VALUES (?, ?)", [order.group, order.place]],
        insertOf(messageOf(order, type)),
      ]);
      return within(commits ? "COMMIT" : "ROLLBACK", statements);
    },
    orders: async () => (await pool.query<CountRow[]>("SELECT count(*) AS count FROM orders"))[0][0]?.count ?? 0,
    statuses: async (named = table) => {
      const [rows] = await pool.query<CountRow[]>(`SELECT status, count(*) AS count FROM ${named} GROUP BY status`);
      return Object.fromEntries(rows.map(({ status, count }) => [status, count]));
    },
    addRows: (messages) => within("COMMIT", messages.map(insertOf)),
    row: async (id) => {
      const sql = `SELECT status, error_message AS error FROM ${table} WHERE id = ?`;
      return (await pool.query<StateRow[]>(sql, [id]))[0][0] ?? null;
    },
    run: async (sql) => void (await pool.query(sql)),
    close: () => pool.end(),
  };
}

type Statement = readonly [sql: string, values: readonly (string | number | null)[]];

function insertOf({ id, type, group, payload }: OutboxMessage): Statement {
  return [`INSERT INTO ${table} (id, type, message_group, payload) VALUES (?, ?, ?, ?)`, [id, type, group, payload]];
}

interface Row {
  readonly _id: string;
  readonly status: number;
  readonly error_message?: string | null;
}

/**
 * The server of the tests has no transactions: what would be rolled back is not written, so nothing is proven of it
 * here.
 */
export async function openMongoApplication(url: string): Promise<Application> {
  const client = await new MongoClient(url).connect();
  const database = client.db();
  const rows = database.collection<Row>(table);
  const orders = database.collection("orders");
  const addRows = async (messages: readonly OutboxMessage[]): Promise<void> => {
    for (const { id, group, ...message } of messages) {
      const now = new Date();
      const state = { status: 0, retry_count: 0, created_at: now, updated_at: now };
      await rows.insertOne({ _id: id, message_group: group, ...message, ...state } as Row);
    }
  };
  const transact = async (_connection: number, work: Transaction): Promise<void> => {
    if (!work.commits) return;
    for (const order of work.orders) {
      await orders.insertOne({ g: order.group, n: order.place });
      await addRows([messageOf(order, work.type)]);
    }
  };
  return {
    url,
    title: "MongoDB",
    transact,
    orders: () => orders.countDocuments(),
    statuses: async () => {
      const grouped = rows.aggregate<{ _id: number; count: number }>([
        { $group: { _id: "$status", count: { $sum: 1 } } },
      ]);
      return Object.fromEntries((await grouped.toArray()).map(({ _id, count }) => [_id, count]));
    },
    addRows,
    row: async (id) => {
      const found = await rows.findOne({ _id: id });
      return found === null ? null : { status: found.status, error: found.error_message ?? null };
    },
    run: () => Promise.reject(new Error("MongoDB takes no statements")),
    close: () => client.close(),
  };
}
