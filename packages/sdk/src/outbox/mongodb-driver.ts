import type { OutboxDriver } from "./outbox-driver.ts";
import type { OutboxRow } from "./outbox-entry.ts";

/** A session of `mongodb` between `startTransaction()` and `commitTransaction()`, and the database to write to. */
export interface MongoTransaction {
  readonly session: MongoSession;
  readonly db: MongoDatabase;
}

/** Of `ClientSession`. */
export interface MongoSession {
  inTransaction(): boolean;
}

/** Of `Db`. What is written is typed by the library's own types, which the SDK does not import. */
export interface MongoDatabase {
  collection(name: string): {
    bulkWrite(operations: never[], options: { session: never; ordered: true }): Promise<unknown>;
  };
}

/** The outbox for `mongodb`. Transactions need a replica set; the collection must be there before (`outbox init`). */
export function mongodbDriver(): OutboxDriver<MongoTransaction> {
  return {
    kind: "async",
    async insert({ db, session }, table, rows) {
      if (!session.inTransaction()) {
        throw new TypeError(
          "tx.session: no transaction is open; call it inside session.withTransaction(async () => …)",
        );
      }
      const options = { session: session as never, ordered: true } as const;
      checkInserted(await db.collection(table).bulkWrite(rows.map(insertOf) as never[], options), rows.length);
    },
  };
}

/** An upsert says nothing of a row that was there before: the entry would be lost without a word. */
function checkInserted(answer: unknown, count: number): void {
  const inserted: unknown = typeof answer === "object" && answer !== null ? Reflect.get(answer, "upsertedCount") : null;
  if (inserted !== count) {
    throw new Error(
      `of ${count} rows ${String(inserted)} were inserted: others have their ids; are those of nextId unique?`,
    );
  }
}

/** An upsert, because `$currentDate`, by which the server sets the times, works in an update only. */
function insertOf(row: OutboxRow): object {
  return {
    updateOne: {
      filter: { _id: row.id },
      update: {
        $setOnInsert: {
          type: row.type,
          message_group: row.messageGroup,
          payload: row.payload,
          status: 0,
          retry_count: 0,
          error_message: null,
          client_id: row.clientId,
          payload_size: row.payloadSize,
          headers: null,
        },
        $currentDate: { created_at: true, updated_at: true },
      },
      upsert: true,
    },
  };
}
