import { createSecretBox, loadOrCreateAppKey } from "@flowcatalyst/foundation";
import type { SqliteStore } from "../stores/sqlite/index.ts";
import type { DevConfig } from "./process-config.ts";
import type { ProcessContext } from "./process-context.ts";

/** Other schemes were refused before this. */
const scheme = "sqlite:";
const msPerHour = 3_600_000;

/**
 * Opens the SQLite store of FC_DATABASE_URL for this process alone, made and migrated if need be. Throws what opening
 * the file throws.
 */
export async function openEmbeddedStore(config: DevConfig, context: ProcessContext): Promise<SqliteStore> {
  const { clock, logger, random, metrics } = context;
  const { countUsage, createSqliteStore, openDatabase } = await import("../stores/sqlite/index.ts");
  const database = openDatabase({ path: config.databaseUrl.slice(scheme.length) }, { clock, pid: process.pid });
  try {
    const secretBox = createSecretBox(config.appKey ?? loadOrCreateAppKey(config.dataDir));
    countUsage(database, metrics);
    const dedupWindowMs = config.dedupWindowHours * msPerHour;
    return createSqliteStore({ database, clock, logger, random, secretBox }, { dedupWindowMs });
  } catch (error) {
    database.close();
    throw error;
  }
}
