import { requireMigrated } from "../../postgres/migrations.ts";
import { createPostgresDatabase, type PostgresDatabase } from "../../postgres/postgres-database.ts";
import { createPostgresQueue } from "../../queues/postgres/index.ts";
import { queueMigrations } from "../../queues/postgres/migrations.ts";
import { migrateAll, reachPostgres } from "./reach-postgres.ts";
import { writeProbe } from "./write-probe.ts";
import type { ProcessContext } from "../process-context.ts";
import type { OpenQueue, QueuePlace } from "../queue-at.ts";
import { routerQueueOf } from "../router-queue.ts";

/** Opens the queue in a PostgreSQL database of its own. Its messages carry whole deliveries. */
export async function openPostgresQueue(place: QueuePlace, context: ProcessContext): Promise<OpenQueue> {
  const { url, visibilityMs, poolSize: maxConnections, migrates } = place;
  const database = createPostgresDatabase(context, { url, profile: "hot", maxConnections });
  try {
    await reachPostgres(database, "FC_QUEUE_URL", context);
    if (migrates) await migrateAll(database, [queueMigrations], context.logger);
    await requireMigrated(database, queueMigrations);
    const { queueName, queueUri: uri } = routerQueueOf(url);
    const name = place.name ?? queueName;
    const opened = createQueueOn(database, { name, visibilityMs, carriesReferences: false }, context);
    return {
      ...opened,
      uri,
      probe: writeProbe(database, context),
      close: async () => {
        await opened.close();
        await database.close();
      },
    };
  } catch (error) {
    await database.close();
    throw error;
  }
}

/** The queue on a database that is open already and stays its owner's to close. */
export function createQueueOn(
  database: PostgresDatabase,
  config: { readonly name: string; readonly visibilityMs: number; readonly carriesReferences: boolean },
  context: ProcessContext,
): OpenQueue {
  const queue = createPostgresQueue({ ...context, database }, config);
  return { queue, uri: "db:", close: () => queue.close() };
}
