import { configInvalid, type Clock } from "@flowcatalyst/foundation";
import type { QueueConsumer, QueuePublisher } from "../ports/queue.ts";
import { createSqliteQueue, openSqliteQueue, type SqliteConnection } from "../queues/sqlite/index.ts";

/** A queue that was opened for this process. */
export interface OpenQueue {
  readonly queue: QueueConsumer & QueuePublisher;
  /** As routers and people are told of it. */
  readonly uri: string;
  readonly close: () => void;
}

export interface QueuePlace {
  readonly url: string;
  readonly visibilityMs: number;
  /** The database that `db:` means; null: there is none. */
  readonly connection: SqliteConnection | null;
}

const fileScheme = "sqlite:";

/**
 * Opens the queue of FC_QUEUE_URL: `db:` in the database, `sqlite:PATH` in a file of its own. Throws CONFIG_INVALID for
 * other kinds, and what opening the file throws.
 */
export function openQueueAt(place: QueuePlace, clock: Clock): OpenQueue {
  const { url, visibilityMs, connection } = place;
  if (url === "db:" && connection !== null) {
    const queue = createSqliteQueue({ connection, clock }, { name: "db", visibilityMs });
    return { queue, uri: url, close: () => queue.close() };
  }
  if (!url.startsWith(fileScheme)) {
    const reason = "names a queue this build does not have; use sqlite:PATH";
    throw configInvalid([{ key: "FC_QUEUE_URL", source: url.split(":", 1)[0] ?? url, reason }]);
  }
  const { queue, close } = openSqliteQueue({ clock }, { path: url.slice(fileScheme.length), visibilityMs });
  return { queue, uri: url, close };
}
