import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeClock } from "@flowcatalyst/foundation";
import type { JobId, MessageId, PoolCode } from "../../domain/ids.ts";
import { describeQueueConformance, type QueueBench } from "../../ports/queue.conformance.ts";
import { sqliteQueueDefaults } from "./index.ts";
import { sqliteQueueCapabilities } from "./sqlite-queue-config.ts";
import { openQueueFile, type QueueFile } from "./queue-file.ts";
import { SqliteQueue } from "./sqlite-queue.ts";

const capabilities = sqliteQueueCapabilities(sqliteQueueDefaults);

/** A message whose body is then overwritten: how a text comes to be unreadable in a file of one's own. */
async function putSpoiled(
  queue: SqliteQueue,
  connection: QueueFile,
  raw: { lane: PoolCode; body: string },
): Promise<void> {
  const id = crypto.randomUUID() as MessageId;
  const jobs = [{ kind: "reference" as const, jobId: "job_1" as JobId, generation: 1, bytes: 0 }];
  await queue.publish([{ kind: "platform", id, lane: raw.lane, groupKey: null, jobs, traceparent: null }]);
  connection
    .statement<never, [string]>("UPDATE queue_messages SET body = ?1 WHERE seq = (SELECT max(seq) FROM queue_messages)")
    .run(raw.body);
}

async function setup(): Promise<QueueBench> {
  const folder = mkdtempSync(join(tmpdir(), "queue-"));
  const clock = new FakeClock();
  const path = join(folder, "queue.db");
  let connection = openQueueFile(path);
  let queue = new SqliteQueue({ connection, clock }, sqliteQueueDefaults);
  return {
    queue,
    visibilityMs: sqliteQueueDefaults.visibilityMs,
    promptMs: 0,
    passTime: (ms) => clock.advance(ms),
    async crash() {
      // No close: what a killed process leaves is what committed. The lock of the dead one goes with its process.
      queue.close();
      connection.close();
      connection = openQueueFile(path);
      queue = new SqliteQueue({ connection, clock }, sqliteQueueDefaults);
      return queue;
    },
    putRaw: (lane, body) => putSpoiled(queue, connection, { lane, body }),
    async close() {
      queue.close();
      connection.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

describeQueueConformance({ name: "sqlite", capabilities }, setup);
