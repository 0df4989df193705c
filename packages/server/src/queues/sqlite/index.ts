import type { Clock } from "@flowcatalyst/foundation";
import { openQueueFile } from "./queue-file.ts";
import type { SqliteConnection } from "./sqlite-connection.ts";
import { SqliteQueue } from "./sqlite-queue.ts";
import { sqliteQueueDefaults, type SqliteQueueConfig } from "./sqlite-queue-config.ts";

export { sqliteQueueDefaults, type SqliteQueueConfig } from "./sqlite-queue-config.ts";
export type { SqliteConnection } from "./sqlite-connection.ts";
export type { SqliteQueue } from "./sqlite-queue.ts";

/**
 * The queue in a file that is open already: through the store's own connection, which stays the only writer. The caller
 * holds the file for this process alone, and closes the connection after the queue.
 */
export function createSqliteQueue(
  deps: { readonly connection: SqliteConnection; readonly clock: Clock },
  config: Partial<SqliteQueueConfig> = {},
): SqliteQueue {
  return new SqliteQueue(deps, { ...sqliteQueueDefaults, ...config });
}

/**
 * The queue in a file of its own, for a router without a store. Locks the file for this process; `close` gives it back.
 * Throws DATA_DIR_IN_USE, DATA_DIR_NOT_WRITABLE, DATABASE_CORRUPT or DATABASE_TOO_NEW.
 */
export function openSqliteQueue(
  deps: { readonly clock: Clock },
  config: Partial<SqliteQueueConfig> & { readonly path: string },
): { readonly queue: SqliteQueue; readonly close: () => void } {
  const { path, ...queueConfig } = config;
  const connection = openQueueFile(path);
  try {
    const merged = { ...sqliteQueueDefaults, carriesReferences: false, ...queueConfig };
    const queue = new SqliteQueue({ connection, clock: deps.clock }, merged);
    return {
      queue,
      close() {
        queue.close();
        connection.close();
      },
    };
  } catch (error) {
    connection.close();
    throw error;
  }
}
