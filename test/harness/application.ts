import { Database } from "bun:sqlite";
import pg from "pg";

/**
 * An application with a database of its own: a table of orders, and the outbox table, which `flowcatalyst outbox init`
 * has made. An order and the row of its event are written in one transaction, which is committed or rolled back.
 *
 * An order is known by (group, place in the group), which its event carries as `{g, n}`: so the ledger of a receiver
 * can be held against the table of orders.
 */
export interface Application {
  /** As the outbox processor is given it. */
  readonly url: string;
  readonly title: string;
  /** One transaction over these orders; those of one `connection` are made one after another. */
  transact(connection: number, work: Transaction): Promise<void>;
  /** Orders that are there, so whose events must arrive. */
  orders(): Promise<number>;
  /** How many rows of the outbox have which status; of another table if one is named. */
  statuses(table?: string): Promise<Readonly<Record<string, number>>>;
  /** Rows of the outbox that stand for themselves, in one transaction. */
  addRows(rows: readonly OutboxMessage[]): Promise<void>;
  /** Of one row: status and reason. */
  row(id: string): Promise<{ readonly status: number; readonly error: string | null } | null>;
  /** A statement that it makes itself. */
  run(sql: string): Promise<void>;
  close(): Promise<void>;
}

export interface Transaction {
  readonly orders: readonly Order[];
  readonly type: string;
  readonly commits: boolean;
}

export interface Order {
  readonly group: number;
  readonly place: number;
  /** More members of the event's data. */
  readonly data?: Readonly<Record<string, unknown>>;
}

export interface OutboxMessage {
  readonly id: string;
  readonly type: string;
  readonly group: string | null;
  readonly payload: string;
}

/** Of the application's own. */
const makeOrders = "CREATE TABLE IF NOT EXISTS orders (g integer NOT NULL, n integer NOT NULL, PRIMARY KEY (g, n))";
/** What the outbox does not hear of: `created_at` and all that has a default is left to the database. */
const outboxColumns = ["id", "type", "message_group", "payload"] as const;
const busyTimeoutMs = 10_000;

let made = 0;

/** 26 characters, ascending within the process, as an application makes them. */
export function outboxRowId(): string {
  made += 1;
  const time = Date.now().toString(36).toUpperCase().padStart(10, "0");
  return time + made.toString(36).toUpperCase().padStart(16, "0");
}

/** The row of an order's event. */
export function messageOf({ group, place, data = {} }: Order, type: string): OutboxMessage {
  const payload = JSON.stringify({ type, source: "shop", data: { g: group, n: place, ...data } });
  return { id: outboxRowId(), type: "EVENT", group: `g${group}`, payload };
}

export async function openPostgresApplication(url: string): Promise<Application> {
  const pool = new pg.Pool({ connectionString: url, max: 10 });
  // A connection that breaks between two queries is replaced.
  pool.on("error", () => {});
  await pool.query(makeOrders);
  /** One transaction; a connection whose fate is not known is not used again. */
  const within = async (end: "COMMIT" | "ROLLBACK", work: (client: pg.PoolClient) => Promise<void>): Promise<void> => {
    const client = await pool.connect();
    try {
      await client.query("BEGIN");
      await work(client);
      await client.query(end);
      client.release();
    } catch (error) {
      client.release(true);
      throw error;
    }
  };
  const insert = async (client: pg.ClientBase, messages: readonly OutboxMessage[]): Promise<void> => {
    for (const { id, type, group, payload } of messages) {
      const text = `INSERT INTO outbox_messages (${outboxColumns.join(", ")}) VALUES ($1, $2, $3, $4)`;
      await client.query({ name: "outbox", text, values: [id, type, group, payload] });
    }
  };
  return {
    url,
    title: "PostgreSQL",
    transact: (_connection, { orders, type, commits }) =>
      within(commits ? "COMMIT" : "ROLLBACK", async (client) => {
        for (const order of orders) {
          const text = "INSERT INTO orders (g, n) VALUES ($1, $2)";
          await client.query({ name: "order", text, values: [order.group, order.place] });
          await insert(client, [messageOf(order, type)]);
        }
      }),
    orders: async () => Number((await pool.query<{ count: string }>("SELECT count(*) FROM orders")).rows[0]?.count),
    statuses: async (table = "outbox_messages") => {
      const text = `SELECT status, count(*) AS count FROM ${table} GROUP BY status`;
      const { rows } = await pool.query<{ status: number | string; count: string }>(text);
      return Object.fromEntries(rows.map(({ status, count }) => [status, Number(count)]));
    },
    addRows: (messages) => within("COMMIT", (client) => insert(client, messages)),
    row: async (id) => {
      const text = "SELECT status, error_message AS error FROM outbox_messages WHERE id = $1";
      return (await pool.query<{ status: number; error: string | null }>(text, [id])).rows[0] ?? null;
    },
    run: async (sql) => void (await pool.query(sql)),
    close: () => pool.end(),
  };
}

export function openSqliteApplication(path: string): Application {
  const database = new Database(path, { create: true, strict: true });
  database.run("PRAGMA journal_mode = WAL");
  database.run(`PRAGMA busy_timeout = ${busyTimeoutMs}`);
  database.run(makeOrders);
  const insert = (messages: readonly OutboxMessage[]): void => {
    const names = outboxColumns.map(() => "?").join(", ");
    const statement = database.query(`INSERT INTO outbox_messages (${outboxColumns.join(", ")}) VALUES (${names})`);
    for (const { id, type, group, payload } of messages) statement.run(id, type, group, payload);
  };
  return {
    url: `sqlite:${path}`,
    title: "SQLite",
    transact: async (_connection, { orders, type, commits }) => {
      database.run("BEGIN IMMEDIATE");
      for (const order of orders) {
        database.query("INSERT INTO orders (g, n) VALUES (?, ?)").run(order.group, order.place);
        insert([messageOf(order, type)]);
      }
      database.run(commits ? "COMMIT" : "ROLLBACK");
    },
    orders: async () => database.query<{ count: number }, []>("SELECT count(*) AS count FROM orders").get()?.count ?? 0,
    statuses: async (table = "outbox_messages") => {
      const text = `SELECT status, count(*) AS count FROM ${table} GROUP BY status`;
      const rows = database.query<{ status: number | string; count: number }, []>(text).all();
      return Object.fromEntries(rows.map(({ status, count }) => [status, count]));
    },
    addRows: async (messages) => database.transaction(() => insert(messages)).immediate(),
    row: async (id) => {
      const text = "SELECT status, error_message AS error FROM outbox_messages WHERE id = ?";
      return database.query<{ status: number; error: string | null }, [string]>(text).get(id);
    },
    run: async (sql) => void database.run(sql),
    close: async () => database.close(),
  };
}
