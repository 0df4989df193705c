import type { Clock } from "@flowcatalyst/foundation";
import type { DeadLetterReader, QueueConsumer, QueuePublisher } from "../ports/queue.ts";
import type { SqliteConnection } from "../queues/sqlite/index.ts";

/** A queue that was opened for this process. */
export interface OpenQueue {
  readonly queue: QueueConsumer & QueuePublisher & DeadLetterReader;
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
 * Opens the queue of FC_QUEUE_URL: `db:` in the database, `sqlite:PATH` in a file of its own; other kinds were refused
 * before this. Throws what opening the file throws.
 */
export async function openQueueAt(place: QueuePlace, clock: Clock): Promise<OpenQueue> {
  const { url, visibilityMs, connection } = place;
  const { createSqliteQueue, openSqliteQueue } = await import("../queues/sqlite/index.ts");
  if (url === "db:" && connection !== null) {
    const queue = createSqliteQueue({ connection, clock }, { name: "db", visibilityMs });
    return { queue, uri: url, close: () => queue.close() };
  }
  const { queue, close } = openSqliteQueue({ clock }, { path: url.slice(fileScheme.length), visibilityMs });
  return { queue, uri: url, close };
}
