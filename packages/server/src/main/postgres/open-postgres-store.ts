import { createSecretBox, describeError, newAppKey } from "@flowcatalyst/foundation";
import { requireMigrated, type MigrationSet } from "../../postgres/migrations.ts";
import { createPostgresDatabase, type PostgresDatabase } from "../../postgres/postgres-database.ts";
import { checkAppKey } from "../../stores/postgres/app-key-check.ts";
import { readDatabaseNowMs } from "../../stores/postgres/database-clock.ts";
import { ensurePartitions } from "../../stores/postgres/history-partitions.ts";
import { queueMigrations } from "../../queues/postgres/index.ts";
import { createPostgresStore, storeMigrations } from "../../stores/postgres/index.ts";
import { databaseTimeService, followDatabaseTime } from "./database-time.ts";
import { createQueueOn } from "./open-postgres-queue.ts";
import type { OpenStore, StorePlan } from "../open-store.ts";
import { migrateAll, reachPostgres } from "./reach-postgres.ts";
import { writeProbe } from "./write-probe.ts";
import type { ProcessContext } from "../process-context.ts";

/** Searches and reports: a slow one waits for another slow one, and for nobody else. */
const searchConnections = 4;

/**
 * Opens the PostgreSQL store of FC_DATABASE_URL, and migrates it if this process may: store and queue tables alike, so
 * that one service of a deployment can do it for all.
 */
export async function openPostgresStore(plan: StorePlan, context: ProcessContext): Promise<OpenStore> {
  const { databaseUrl: url, poolSize: maxConnections } = plan;
  const database = createPostgresDatabase(context, { url, profile: "hot", maxConnections });
  const search = createPostgresDatabase(context, { url, profile: "search", maxConnections: searchConnections });
  const close = async (): Promise<void> => {
    await Promise.all([database.close(), search.close()]);
  };
  try {
    await prepare(database, plan, context);
    return await storeOn({ database, search }, plan, { context, close });
  } catch (error) {
    await close();
    throw error;
  }
}

async function prepare(database: PostgresDatabase, plan: StorePlan, context: ProcessContext): Promise<void> {
  const { logger } = context;
  await reachPostgres(database, "FC_DATABASE_URL", context);
  const sets: MigrationSet[] = plan.hasQueueTables ? [storeMigrations, queueMigrations] : [storeMigrations];
  if (plan.migrates) await migrateAll(database, sets, logger);
  else await requireMigrated(database, storeMigrations);
  await followDatabaseTime(readDatabaseNowMs, database, context);
  if (plan.migrates) await makePartitions(database, context);
}

async function makePartitions(database: PostgresDatabase, { clock, logger }: ProcessContext): Promise<void> {
  try {
    await ensurePartitions(database, clock.now());
  } catch (error) {
    // Rows go to the default partition until housekeeping has made the right one.
    logger.warn({ error: describeError(error) }, "Partitions are not made now; housekeeping will");
  }
}

async function storeOn(
  databases: { readonly database: PostgresDatabase; readonly search: PostgresDatabase },
  plan: StorePlan,
  process: { readonly context: ProcessContext; readonly close: () => Promise<void> },
): Promise<OpenStore> {
  const { database } = databases;
  const { clock, logger, random } = process.context;
  // A process without the key never sees a secret; one sealed with a key that is gone at once would be of no use.
  const secretBox = plan.secretBox?.() ?? createSecretBox(newAppKey());
  const { dedupWindowMs } = plan;
  const store = await createPostgresStore({ ...databases, clock, logger, random, secretBox }, { dedupWindowMs });
  if (plan.secretBox !== null) await checkAppKey(database, secretBox);
  return {
    ...store,
    place: database.place,
    services: [databaseTimeService(readDatabaseNowMs, database, process.context)],
    probe: writeProbe(database, process.context),
    openQueue: async ({ visibilityMs }) => {
      await requireMigrated(database, queueMigrations);
      return createQueueOn(database, { name: "db", visibilityMs, carriesReferences: true }, process.context);
    },
    close: async () => {
      await store.close();
      await process.close();
    },
  };
}
