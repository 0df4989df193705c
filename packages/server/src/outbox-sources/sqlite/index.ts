import { systemClock, type Clock } from "@flowcatalyst/foundation";
import type { OutboxAdmin } from "../../ports/outbox-source.ts";
import type { OutboxSourceConfig } from "../outbox-source-config.ts";
import { OutboxFile } from "./outbox-file.ts";
import { SqliteOutboxAdmin } from "./sqlite-outbox-admin.ts";
import { SqliteOutboxSource } from "./sqlite-outbox-source.ts";

/** `sqlite:PATH`, where PATH may begin with two slashes more. Opens the file with the first call. */
export async function openSqliteOutbox(config: OutboxSourceConfig, clock: Clock = systemClock()): Promise<OutboxAdmin> {
  const file = new OutboxFile(config.url.replace(/^sqlite:(\/\/(?=\/))?/, ""), clock);
  const source = new SqliteOutboxSource({ file, clock }, config);
  return new SqliteOutboxAdmin({ file, clock, source }, config);
}
