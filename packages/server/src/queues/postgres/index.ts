import type { Clock, Logger } from "@flowcatalyst/foundation";
import type { PostgresDatabase } from "../../postgres/postgres-database.ts";
import { PostgresQueue } from "./postgres-queue.ts";
import { postgresQueueDefaults, type PostgresQueueConfig } from "./postgres-queue-config.ts";
import { databaseTime, type QueueTime } from "./queue-time.ts";

export { queueMigrations } from "./migrations.ts";
export { postgresQueueDefaults, postgresQueueLimits, type PostgresQueueConfig } from "./postgres-queue-config.ts";
export { clockTime, type QueueTime } from "./queue-time.ts";
export type { PostgresQueue } from "./postgres-queue.ts";

export interface CreatePostgresQueueDeps {
  /** Of the profile `hot`, migrated by `queueMigrations`. The caller closes it after the queue. */
  readonly database: PostgresDatabase;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The database's clock unless told otherwise. */
  readonly time?: QueueTime;
}

/**
 * The queue in a database: the store's own (`carriesReferences`), or one for routers without a store. Connects with the
 * first call. Any number of processes may publish to and receive from it at once.
 */
export function createPostgresQueue(
  deps: CreatePostgresQueueDeps,
  config: Partial<PostgresQueueConfig> = {},
): PostgresQueue {
  const { database, clock, logger, time = databaseTime(database, clock) } = deps;
  return new PostgresQueue({ database, clock, logger, time }, { ...postgresQueueDefaults, ...config });
}
