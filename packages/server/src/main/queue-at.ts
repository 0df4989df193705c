import type { HealthResult } from "@flowcatalyst/foundation";
import type { DeadLetters, QueueConsumer, QueuePublisher } from "../ports/queue.ts";
import type { OpenStore } from "./open-store.ts";
import { isPostgres } from "./process-config.ts";
import type { ProcessContext } from "./process-context.ts";

/** A queue that was opened for this process. */
export interface OpenQueue {
  readonly queue: QueueConsumer & QueuePublisher & DeadLetters;
  /** As routers and people are told of it: without user and password. */
  readonly uri: string;
  /** Of a queue that has a connection of its own; absent: the health of the store is its health. */
  readonly probe?: () => Promise<HealthResult>;
  /** After everybody who uses it has stopped, and before the store is closed. */
  close(): Promise<void> | void;
}

export interface QueuePlace {
  readonly url: string;
  readonly visibilityMs: number;
  /** Connections at most, of a PostgreSQL database of its own. */
  readonly poolSize: number;
  /** Whether migrations that are missing are run; else the queue is refused. */
  readonly migrates: boolean;
  /** The store that `db:` means; null: there is none, which was refused before this. */
  readonly store: Pick<OpenStore, "openQueue"> | null;
}

const fileScheme = "sqlite:";

/**
 * Opens the queue of FC_QUEUE_URL: `db:` in the store's database, `postgres://…` in a database and `sqlite:PATH` in a
 * file of its own; other kinds were refused before this. Throws what opening it throws.
 */
export async function openQueueAt(place: QueuePlace, context: ProcessContext): Promise<OpenQueue> {
  const { url, visibilityMs, store } = place;
  if (!url.startsWith(fileScheme) && !isPostgres(url) && store !== null) return store.openQueue({ visibilityMs });
  if (isPostgres(url)) {
    const { openPostgresQueue } = await import("./postgres/open-postgres-queue.ts");
    return openPostgresQueue(place, context);
  }
  const { openSqliteQueue } = await import("../queues/sqlite/index.ts");
  const { queue, close } = openSqliteQueue(
    { clock: context.clock },
    { path: url.slice(fileScheme.length), visibilityMs },
  );
  return { queue, uri: url, close };
}
