import type { OutboxDriver } from "./outbox-driver.ts";
import type { OutboxRow } from "./outbox-entry.ts";
import { chunksOf } from "./sql-insert.ts";

/**
 * What `db.transaction().execute(async (trx) => …)` hands over, of `kysely`, on every database it knows. The outbox
 * table need not be among the types of the database.
 */
export interface KyselyTransaction {
  readonly isTransaction: boolean;
  insertInto(table: never): { values(rows: never): { execute(): Promise<unknown> } };
}

/** The outbox for `kysely`. */
export function kyselyDriver(): OutboxDriver<KyselyTransaction> {
  return {
    kind: "async",
    async insert(tx, table, rows) {
      if (!tx.isTransaction) {
        throw new TypeError("tx: is no transaction; give what db.transaction().execute(async (trx) => …) hands over");
      }
      for (const chunk of chunksOf(rows)) {
        // Kysely takes only the tables it has types of; this one is known to be there.
        await tx
          .insertInto(table as never)
          .values(chunk.map(columnsOf) as never)
          .execute();
      }
    },
  };
}

function columnsOf(row: OutboxRow): Readonly<Record<string, string | number | null>> {
  return {
    id: row.id,
    type: row.type,
    message_group: row.messageGroup,
    payload: row.payload,
    client_id: row.clientId,
    payload_size: row.payloadSize,
  };
}
