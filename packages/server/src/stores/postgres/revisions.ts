import type { PostgresSession } from "../../postgres/postgres-database.ts";
import { statement } from "../../postgres/statement.ts";

/** What has a counter that rises with each change, so that readers ask "has it changed?" by one small read. */
export type RevisionKind = "subscriptions" | "dispatch-pools" | "event-types" | "control";

export const selectRevision = statement<{ revision: number }, [RevisionKind]>(
  "SELECT revision FROM revisions WHERE kind = $1",
);
const incrementRevision = statement<never, [RevisionKind]>(
  "UPDATE revisions SET revision = revision + 1 WHERE kind = $1",
);

export async function readRevision(session: PostgresSession, kind: RevisionKind): Promise<number> {
  const row = await session.one(selectRevision, [kind]);
  return row?.revision ?? 0;
}

/**
 * Call inside the transaction that makes the change, last of all: the row stays locked until the commit, so changes of
 * a kind commit in the order of their revisions, and whoever reads a revision reads the change with it.
 */
export async function raiseRevision(session: PostgresSession, kind: RevisionKind): Promise<void> {
  await session.run(incrementRevision, [kind]);
}
