import { configInvalid, isCodedError } from "@flowcatalyst/foundation";
import type { OutboxForm } from "../domain/outbox-row.ts";
import type { OutboxAdmin } from "../ports/outbox-source.ts";
import { outboxEngineOf } from "./process-config.ts";

/** What is asked of the application's database. */
export interface OutboxPlace {
  readonly outboxDbUrl: string;
  readonly outboxMode: OutboxForm;
  readonly outboxTable: string | undefined;
}

const tableNames: Readonly<Record<OutboxForm, string>> = { platform: "outbox_messages", router: "outbox" };

/** Opens the application's database at that address. Only the driver that is needed is loaded. */
export async function openOutboxAt(place: OutboxPlace): Promise<OutboxAdmin> {
  const { outboxDbUrl: url, outboxMode: form } = place;
  const config = { url, form, table: place.outboxTable ?? tableNames[form] };
  switch (outboxEngineOf(url)) {
    case "postgres":
      return (await import("../outbox-sources/postgres/index.ts")).openPostgresOutbox(config);
    case "mysql":
      return (await import("../outbox-sources/mysql/index.ts")).openMysqlOutbox(config);
    case "sqlite":
      return (await import("../outbox-sources/sqlite/index.ts")).openSqliteOutbox(config);
    case "mongodb":
      return (await import("../outbox-sources/mongodb/index.ts")).openMongoOutbox(config);
  }
}

/** What a database says no to when it is first asked (a password, a name, a right) is for the operator to correct. */
export function refusedByDatabase(error: unknown): unknown {
  if (!(error instanceof Error) || isCodedError(error) || !("code" in error)) return error;
  return configInvalid([{ key: "FC_OUTBOX_DB_URL", source: "database", reason: error.message }]);
}
