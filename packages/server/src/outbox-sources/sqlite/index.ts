import { CodedError } from "@flowcatalyst/foundation";
import type { OutboxAdmin } from "../../ports/outbox-source.ts";
import type { OutboxSourceConfig } from "../outbox-source-config.ts";

export async function openSqliteOutbox(config: OutboxSourceConfig): Promise<OutboxAdmin> {
  throw new CodedError("INTERNAL", { context: { reason: `not written yet: ${config.table}` } });
}
