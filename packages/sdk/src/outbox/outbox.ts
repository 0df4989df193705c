/**
 * The transactional outbox of an application: events, dispatch jobs and audit logs are written into a table of its own
 * database, in the transaction of its business data, and `flowcatalyst outbox` moves them to the platform.
 *
 * Why: a program that commits and then publishes loses the event when it dies in between; one that publishes first
 * tells of what a rollback undoes. A row in the same transaction is there if, and only if, the business data is.
 *
 * Entities: an *entry* is what the application gives (OutboxEvent, OutboxJob, OutboxAuditLog); a *row* is what is
 * inserted (OutboxRow); a *driver* inserts rows by one library's transaction. The SDK never begins, commits or rolls
 * back, and makes no connection.
 *
 * Guarantees
 * - All entries of a call are inserted or the call throws; then roll back. What the platform would refuse for its size,
 *   for its members, or for texts and times of a form it does not take, is refused before anything is written, with its
 *   place, like `events[3].data`. What else it refuses (a `mode` that is none, say) gets its reason in the row.
 * - Data is written as `JSON.stringify` does: a Date as its text, NaN as null, without members that are undefined.
 * - Order: rows of a group are moved by `created_at`, which the database sets, then by id. Ids of one program rise, so
 *   its entries keep their order. Among programs, the order of a group is that in which they inserted, which is what
 * the
 *   application meant if it holds a lock on what the group stands for (the order's row, say). It is known to the
 *   microsecond on PostgreSQL, MySQL and MariaDB, to the millisecond on SQLite and MongoDB.
 * - A row's id is sent as deduplication id, so that a row moved twice makes one event.
 *
 * Failures: TypeError and RangeError are faults of the caller. Whatever the library throws comes through as it is.
 */
import type { AnyEvents } from "../event-types.ts";
import { auditLogRow, eventRow, jobRow, type RowContext } from "./entry-row.ts";
import type { OutboxDriver, SyncOutboxDriver } from "./outbox-driver.ts";
import type { OutboxAuditLog, OutboxEvent, OutboxJob, OutboxRow } from "./outbox-entry.ts";
import { outboxLimits } from "./outbox-limits.ts";
import { createUlids } from "./ulid.ts";

/** What goes for all entries of an outbox. */
export interface OutboxOptions {
  /** The table, with its schema if need be; `outbox_messages` if absent. */
  readonly table?: string;
  /** Of events that name none. */
  readonly source?: string;
  /** Of entries that name none. */
  readonly clientId?: string;
  /** Makes the ids of rows: unique, rising, at most 26 characters. ULIDs that rise in the whole program if absent. */
  readonly nextId?: () => string;
  /** Milliseconds since the Unix epoch; `Date.now` if absent. */
  readonly now?: () => number;
}

/** Writes entries into the outbox table by the transaction it is given. Each answers the ids of the rows, in order. */
export interface Outbox<Tx, Events extends object = AnyEvents> {
  enqueue(tx: Tx, events: OutboxEvent<Events> | readonly OutboxEvent<Events>[]): Promise<readonly string[]>;
  enqueueJobs(tx: Tx, jobs: OutboxJob | readonly OutboxJob[]): Promise<readonly string[]>;
  enqueueAuditLogs(tx: Tx, auditLogs: OutboxAuditLog | readonly OutboxAuditLog[]): Promise<readonly string[]>;
  /** The same outbox, taking only events of these types, each with its own data. */
  withEventTypes<Types extends object>(): Outbox<Tx, Types>;
}

/** The same for synchronous transactions: a promise inside one would be settled after its commit. */
export interface SyncOutbox<Tx, Events extends object = AnyEvents> {
  enqueue(tx: Tx, events: OutboxEvent<Events> | readonly OutboxEvent<Events>[]): readonly string[];
  enqueueJobs(tx: Tx, jobs: OutboxJob | readonly OutboxJob[]): readonly string[];
  enqueueAuditLogs(tx: Tx, auditLogs: OutboxAuditLog | readonly OutboxAuditLog[]): readonly string[];
  withEventTypes<Types extends object>(): SyncOutbox<Tx, Types>;
}

/**
 * An outbox for one library.
 *
 * @example
 * ```ts
 * const outbox = createOutbox(pgDriver(), { source: "shop" });
 * await client.query("BEGIN");
 * await client.query("UPDATE orders SET state = 'PAID' WHERE id = $1", [orderId]);
 * await outbox.enqueue(client, { type: "order.paid", data: { orderId }, messageGroup: orderId });
 * await client.query("COMMIT");
 * ```
 */
export function createOutbox<Tx>(driver: OutboxDriver<Tx>, options?: OutboxOptions): Outbox<Tx>;
export function createOutbox<Tx>(driver: SyncOutboxDriver<Tx>, options?: OutboxOptions): SyncOutbox<Tx>;
export function createOutbox<Tx>(
  driver: OutboxDriver<Tx> | SyncOutboxDriver<Tx>,
  options: OutboxOptions = {},
): Outbox<Tx> | SyncOutbox<Tx> {
  const table = checkedTable(options.table ?? "outbox_messages");
  const rowsOf = rowMaker(options);
  return driver.kind === "sync" ? syncOutbox(driver, table, rowsOf) : asyncOutbox(driver, table, rowsOf);
}

function asyncOutbox<Tx>(driver: OutboxDriver<Tx>, table: string, rowsOf: RowMaker): Outbox<Tx> {
  const insert = async (tx: Tx, rows: readonly OutboxRow[]): Promise<readonly string[]> => {
    if (rows.length > 0) await driver.insert(tx, table, rows);
    return rows.map(({ id }) => id);
  };
  const outbox: Outbox<Tx> = {
    // Marked async, so that what is wrong with an entry rejects too, and never throws at once.
    enqueue: async (tx, events) => insert(tx, rowsOf("events", events, eventRow)),
    enqueueJobs: async (tx, jobs) => insert(tx, rowsOf("jobs", jobs, jobRow)),
    enqueueAuditLogs: async (tx, auditLogs) => insert(tx, rowsOf("auditLogs", auditLogs, auditLogRow)),
    withEventTypes: <Types extends object>() => outbox as unknown as Outbox<Tx, Types>,
  };
  return outbox;
}

function syncOutbox<Tx>(driver: SyncOutboxDriver<Tx>, table: string, rowsOf: RowMaker): SyncOutbox<Tx> {
  const insert = (tx: Tx, rows: readonly OutboxRow[]): readonly string[] => {
    if (rows.length > 0) driver.insert(tx, table, rows);
    return rows.map(({ id }) => id);
  };
  const outbox: SyncOutbox<Tx> = {
    enqueue: (tx, events) => insert(tx, rowsOf("events", events, eventRow)),
    enqueueJobs: (tx, jobs) => insert(tx, rowsOf("jobs", jobs, jobRow)),
    enqueueAuditLogs: (tx, auditLogs) => insert(tx, rowsOf("auditLogs", auditLogs, auditLogRow)),
    withEventTypes: <Types extends object>() => outbox as unknown as SyncOutbox<Tx, Types>,
  };
  return outbox;
}

type RowMaker = <Entry extends object>(
  name: string,
  entries: Entry | readonly Entry[],
  toRow: (entry: Entry, context: RowContext) => OutboxRow,
) => readonly OutboxRow[];

/**
 * Of all outboxes of a program. Times on SQLite and MongoDB are of milliseconds; of what two outboxes write within one,
 * only the ids tell the order.
 */
const programIds = createUlids({ now: Date.now, randomBytes });

function rowMaker(options: OutboxOptions): RowMaker {
  const now = options.now ?? Date.now;
  const nextId = options.nextId ?? (options.now === undefined ? programIds : createUlids({ now, randomBytes }));
  return (name, entries, toRow) => {
    const list = isList(entries) ? entries : [entries];
    if (list.length > outboxLimits.entriesMax) {
      throw new RangeError(`${name}: ${list.length} entries; at most ${outboxLimits.entriesMax} are taken by one call`);
    }
    const shared = { now: new Date(now()).toISOString(), source: options.source, clientId: options.clientId };
    return list.map((entry, at) => {
      const path = isList(entries) ? `${name}[${at}]` : name.slice(0, -1);
      if (typeof entry !== "object" || entry === null) throw new TypeError(`${path}: must be an object`);
      return toRow(entry, { ...shared, path, id: nextId() });
    });
  };
}

/** `Array.isArray` does not narrow lists that are readonly. */
function isList<Entry>(entries: Entry | readonly Entry[]): entries is readonly Entry[] {
  return Array.isArray(entries);
}

function randomBytes(count: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(count));
}

/** It goes into statements; the names of indexes are made of it, hence 40 characters. */
function checkedTable(table: string): string {
  if (/^([A-Za-z_]\w{0,39}\.)?[A-Za-z_]\w{0,39}$/.test(table)) return table;
  throw new TypeError(
    `table: ${table}: must be at most 40 letters, digits and underscores; with a schema, as in app.outbox_messages`,
  );
}
