import { silentLogger, systemClock, type Clock, type Logger } from "@flowcatalyst/foundation";
import type { OutboxAdmin } from "../../ports/outbox-source.ts";
import { createPostgresDatabase } from "../../postgres/postgres-database.ts";
import type { OutboxSourceConfig } from "../outbox-source-config.ts";
import { PostgresOutboxAdmin } from "./postgres-outbox-admin.ts";
import { PostgresOutboxSource } from "./postgres-outbox-source.ts";

/** For the lease, operators and counts; wake-ups have one of their own. */
const maxConnections = 2;
/** One for a claim, the others for outcomes and for what is brought back or deleted. */
const maxUnsynced = 3;

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
