import type { SqliteDatabase } from "./database.ts";

/** What has a counter that rises with each change, so that readers ask "has it changed?" by one small read. */
export type RevisionKind = "subscriptions" | "dispatch-pools" | "event-types" | "control";

export function readRevision(database: SqliteDatabase, kind: RevisionKind): number {
  const row = database
    .statement<{ revision: number }, [string]>("SELECT revision FROM revisions WHERE kind = ?1")
    .get(kind);
  return row?.revision ?? 0;
}

/** Call inside the transaction that makes the change. */
export function raiseRevision(database: SqliteDatabase, kind: RevisionKind): void {
  database.statement<never, [string]>("UPDATE revisions SET revision = revision + 1 WHERE kind = ?1").run(kind);
}
