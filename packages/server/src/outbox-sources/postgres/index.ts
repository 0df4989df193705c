import { silentLogger, systemClock, type Clock, type Logger } from "@flowcatalyst/foundation";
import type { OutboxAdmin } from "../../ports/outbox-source.ts";
import { createPostgresDatabase } from "../../postgres/postgres-database.ts";
import type { OutboxSourceConfig } from "../outbox-source-config.ts";
import { PostgresOutboxAdmin } from "./postgres-outbox-admin.ts";
import { PostgresOutboxSource } from "./postgres-outbox-source.ts";

/** For the lease, outcomes, what is brought back, counts and operators; wake-ups have one of their own. */
const maxConnections = 4;
/** One for a claim, the other for what is deleted. */
const maxUnsynced = 2;

export interface OpenPostgresOutboxDeps {
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Connects with the first call. */
export async function openPostgresOutbox(
  config: OutboxSourceConfig,
  deps: OpenPostgresOutboxDeps = { clock: systemClock(), logger: silentLogger() },
): Promise<OutboxAdmin> {
  const database = createPostgresDatabase(deps, { url: config.url, profile: "hot", maxConnections });
  const unsynced = createPostgresDatabase(deps, { url: config.url, profile: "unsynced", maxConnections: maxUnsynced });
  const source = new PostgresOutboxSource({ database, unsynced }, config);
  return new PostgresOutboxAdmin({ database, source }, config);
}
