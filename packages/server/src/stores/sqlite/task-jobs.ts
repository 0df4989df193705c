import type { DispatchJob, NewTaskJob } from "../../domain/dispatch-job.ts";
import type { JobCommands } from "../../ports/job-store.ts";
import type { SqliteDatabase } from "./database.ts";
import { groupRowKey, taskFeed } from "../feed-key.ts";
import { createJobInserts, type JobBatch } from "./job-inserts.ts";
import { selectFullJob, toDispatchJob, type FullJobRow } from "./job-row.ts";
import type { JobWriter } from "./job-writer.ts";

/**
 * Jobs created directly. They carry their payload, which lies beside the job, and an idempotency key by which a repeat
 * is recognised for as long as the first job is kept. All of a call is made or nothing.
 */
export function createTaskCreator(writer: JobWriter): JobCommands["createTasks"] {
  const sql = prepare(writer.database);
  const inserts = createJobInserts(writer);

  const known = (task: NewTaskJob): number | null =>
    task.idempotencyKey === null ? null : (sql.byKey.get(task.clientId ?? "", task.idempotencyKey)?.position ?? null);

  const insert = (task: NewTaskJob, batch: JobBatch): number => {
    const { directory } = writer;
    const nowMs = task.createdAtMs;
    const feed = taskFeed(task.clientId, task.profile.poolCode);
    const laneFeedId = directory.feedId(feed, nowMs);
    const ordered = task.groupKey !== null;
    const groupKey = groupRowKey(task.groupKey, feed.key);
    const groupId = directory.groupId(groupKey, { feedId: laneFeedId, ordered, nowMs });
    // A group of tasks may span lanes and still is scheduled as one: its jobs are counted where the group is.
    const feedId = ordered ? directory.feedOfGroup(groupId) : laneFeedId;
    const position = batch.add({
      id: task.id,
      streamPosition: null,
      task: true,
      feedId,
      groupId,
      ordered,
      profileId: directory.profileId(task.profile),
      clientId: task.clientId,
      messageGroup: task.messageGroup,
      dueAtMs: task.dueAtMs,
      payloadBytes: Buffer.byteLength(task.payload),
      createdAtMs: nowMs,
    });
    sql.addTask.run(
      position,
      task.clientId ?? "",
      task.idempotencyKey,
      task.eventId,
      task.subscriptionId,
      task.code,
      JSON.stringify(task.metadata),
      task.contentType,
      task.payload,
    );
    return position;
  };

  const read = (position: number, nowMs: number): DispatchJob => {
    const row = sql.byPosition.get(position);
    if (row === null) throw new Error(`No job at ${position}`);
    return toDispatchJob(row, nowMs);
  };

  return async (tasks) => {
    const nowMs = tasks.at(-1)?.createdAtMs ?? 0;
    return writer.write({ nowMs, durable: true }, (changes) => {
      const batch = inserts.begin(changes);
      const made = tasks.map((task) => {
        const repeated = known(task);
        return { kind: repeated === null ? "created" : "repeated", position: repeated ?? insert(task, batch) } as const;
      });
      batch.finish();
      return made.map(({ kind, position }) => ({ kind, job: read(position, nowMs) }));
    });
  };
}

function prepare(database: SqliteDatabase) {
  return {
    byKey: database.statement<{ position: number }, [string, string]>(
      "SELECT position FROM job_tasks WHERE client_id = ?1 AND idempotency_key = ?2",
    ),
    byPosition: database.statement<FullJobRow, [number]>(`${selectFullJob} WHERE j.position = (?1 + 0)`),
    addTask: database.statement<
      never,
      [
        ...[position: number, clientId: string, idempotencyKey: string | null, eventId: string | null],
        ...[subscriptionId: string | null, code: string | null, metadata: string, contentType: string, payload: string],
      ]
    >(`
      INSERT INTO job_tasks (position, client_id, idempotency_key, event_id, subscription_id, code, metadata,
        content_type, payload)
      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)`),
  };
}
