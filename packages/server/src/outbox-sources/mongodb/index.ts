import { systemClock } from "@flowcatalyst/foundation";
import type { OutboxAdmin } from "../../ports/outbox-source.ts";
import type { OutboxSourceConfig } from "../outbox-source-config.ts";
import { createMongoAdmin } from "./mongo-admin.ts";
import { mongoTable } from "./mongo-database.ts";

/** Outbox collections in MongoDB. Connects with the first call. */
export async function openMongoOutbox(config: OutboxSourceConfig): Promise<OutboxAdmin> {
  return createMongoAdmin(mongoTable(config), systemClock());
}
