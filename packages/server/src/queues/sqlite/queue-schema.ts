import { CodedError } from "@flowcatalyst/foundation";
import type { SqliteConnection } from "./sqlite-connection.ts";

/**
 * Tables of the queue. They may live in the store's file, so they have a ledger of migrations of their own.
 *
 * `queue_messages.state`: 0 READY (can be received), 1 BLOCKED (behind another message of its group), 2 DELAYED and
 * 3 IN_FLIGHT (both until `due_at_ms`, which is null in the other two). Only READY rows are in `queue_ready` and only
 * rows with a due time in `queue_due`, so looking for work never steps over a row that is blocked, delayed or in
 * flight. `rank` orders READY rows: 0 is high priority, its own or lent by a later message of its group.
 */
export const rowState = { ready: 0, blocked: 1, delayed: 2, inFlight: 3 } as const;

export const rowKind = { platform: 0, standalone: 1 } as const;

const migrations: readonly string[] = [
  `
  CREATE TABLE queue_messages (
    seq INTEGER PRIMARY KEY,
    lane TEXT NOT NULL,
    group_key TEXT,
    kind INTEGER NOT NULL,
    high INTEGER NOT NULL,
    state INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    due_at_ms INTEGER,
    receive_count INTEGER NOT NULL,
    abandoned_count INTEGER NOT NULL,
    published_at_ms INTEGER NOT NULL,
    body TEXT
  ) STRICT;
  CREATE INDEX queue_ready ON queue_messages (lane, rank) WHERE state = 0;
  CREATE INDEX queue_group ON queue_messages (group_key) WHERE group_key IS NOT NULL;
  CREATE INDEX queue_due ON queue_messages (state, due_at_ms) WHERE due_at_ms IS NOT NULL;
  CREATE INDEX queue_high ON queue_messages (group_key) WHERE high = 1 AND group_key IS NOT NULL;
  CREATE TABLE queue_bodies (seq INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;
  CREATE TABLE queue_dedup (
    generation INTEGER NOT NULL,
    id TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (generation, id)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE dead_letters (
    seq INTEGER PRIMARY KEY,
    message_id TEXT,
    lane TEXT,
    reason TEXT NOT NULL,
    body TEXT NOT NULL,
    at_ms INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE queue_state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    next_seq INTEGER NOT NULL,
    total INTEGER NOT NULL,
    blocked INTEGER NOT NULL,
    delayed INTEGER NOT NULL,
    in_flight INTEGER NOT NULL,
    dead INTEGER NOT NULL
  ) STRICT;
  INSERT INTO queue_state VALUES (1, 1, 0, 0, 0, 0, 0);
  `,
];

/**
 * Brings the queue's tables up to this build.
 * Throws DATABASE_TOO_NEW when the file was written by a newer one.
 */
export function migrateQueue(connection: SqliteConnection, nowMs: number): void {
  connection.transaction(() =>
    connection.exec(
      "CREATE TABLE IF NOT EXISTS queue_migrations (number INTEGER PRIMARY KEY, applied_at_ms INTEGER NOT NULL) STRICT",
    ),
  );
  const newest = connection.statement<{ newest: number }>(
    "SELECT coalesce(max(number), 0) AS newest FROM queue_migrations",
  );
  const applied = newest.get()?.newest ?? 0;
  if (applied > migrations.length) {
    throw new CodedError("DATABASE_TOO_NEW", {
      message: `The queue in ${connection.path} is at migration ${applied}, and this build knows ${migrations.length}`,
    });
  }
  const record = connection.statement<never, [number, number]>("INSERT INTO queue_migrations VALUES (?1, ?2)");
  for (const [index, sql] of migrations.entries()) {
    if (index < applied) continue;
    connection.durableTransaction(() => {
      connection.exec(sql);
      record.run(index + 1, nowMs);
    });
  }
}
