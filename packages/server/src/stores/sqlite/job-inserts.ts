import type { ClientId, EventPosition, JobId, JobPosition } from "../../domain/ids.ts";
import type { SqliteDatabase } from "./database.ts";
import type { JobChanges } from "./job-changes.ts";
import type { JobWriter } from "./job-writer.ts";

/**
 * Inserts new jobs and makes their groups and feeds ready.
 *
 * Positions come from a mark that is written with the jobs, so they go up even after retention has dropped the newest
 * jobs. A job at the end of an ordered group changes nothing for a group that is ready, busy or blocked already, so
 * groups are not loaded: one conditional update a group says all.
 */
export interface JobInserts {
  /** Starts the inserts of one transaction. */
  begin(changes: JobChanges): JobBatch;
}

export interface JobBatch {
  add(job: InsertedJob): JobPosition;
  /** Makes groups and feeds ready and writes the mark. Call once, after the last `add`. */
  finish(): void;
}

export interface InsertedJob {
  readonly id: JobId;
  /** Position of its event; null for a task, which is stamped with the newest one. */
  readonly streamPosition: EventPosition | null;
  readonly task: boolean;
  readonly feedId: number;
  readonly groupId: number;
  readonly ordered: boolean;
  readonly profileId: number;
  readonly clientId: ClientId | null;
  readonly messageGroup: string | null;
  readonly dueAtMs: number;
  readonly payloadBytes: number;
  readonly createdAtMs: number;
}

const newestJobMark = "newest-job";
const newestStreamPositionMark = "newest-job-event";

interface TouchedGroup {
  readonly feedId: number;
  readonly ordered: boolean;
  /** Due time of the first new job if ordered, else the earliest. */
  dueAtMs: number;
}

export function createJobInserts(writer: JobWriter): JobInserts {
  const sql = prepare(writer.database);

  const begin = (changes: JobChanges): JobBatch => {
    let position = sql.mark.get(newestJobMark)?.position ?? 0;
    let streamPosition = sql.mark.get(newestStreamPositionMark)?.position ?? 0;
    const groups = new Map<number, TouchedGroup>();
    const added = new Map<number, number>();

    const add = (job: InsertedJob): JobPosition => {
      position++;
      if (job.streamPosition !== null) streamPosition = job.streamPosition;
      sql.insert.run(
        position,
        job.id,
        streamPosition,
        job.task ? 1 : 0,
        job.feedId,
        job.groupId,
        job.profileId,
        job.clientId,
        job.messageGroup,
        job.dueAtMs,
        job.payloadBytes,
        job.createdAtMs,
        job.ordered ? position : job.dueAtMs,
      );
      added.set(job.feedId, (added.get(job.feedId) ?? 0) + 1);
      const group = groups.get(job.groupId);
      if (group === undefined) {
        groups.set(job.groupId, { feedId: job.feedId, ordered: job.ordered, dueAtMs: job.dueAtMs });
      } else if (!group.ordered && group.dueAtMs > job.dueAtMs) group.dueAtMs = job.dueAtMs;
      return position as JobPosition;
    };

    const makeReady = (id: number, group: TouchedGroup): void => {
      const { nowMs } = changes;
      const waits = group.dueAtMs > nowMs;
      const changed = group.ordered
        ? sql.orderedReady.run(
            id,
            Math.max(group.dueAtMs, nowMs),
            waits ? "SCHEDULED" : null,
            waits ? nowMs : null,
            nowMs,
          )
        : sql.unorderedReady.run(id, group.dueAtMs, nowMs);
      if (changed > 0) changes.feedReady(changes.feed(group.feedId), group.dueAtMs);
    };

    return {
      add,
      finish: () => {
        if (added.size === 0) return;
        for (const [feedId, count] of added) changes.feed(feedId).pending += count;
        for (const [id, group] of groups) makeReady(id, group);
        sql.putMark.run(newestJobMark, position);
        sql.putMark.run(newestStreamPositionMark, streamPosition);
      },
    };
  };

  return { begin };
}

function prepare(database: SqliteDatabase) {
  return {
    mark: database.statement<{ position: number }, [string]>("SELECT position FROM marks WHERE name = ?1"),
    putMark: database.statement<never, [string, number]>(
      "INSERT OR REPLACE INTO marks (name, position) VALUES (?1, ?2)",
    ),
    insert: database.statement<
      never,
      [
        ...[position: number, id: string, streamPosition: number, task: number, feedId: number, groupId: number],
        ...[profileId: number, clientId: string | null, messageGroup: string | null, dueAt: number, bytes: number],
        ...[createdAt: number, sortKey: number],
      ]
    >(`
      INSERT INTO jobs (position, id, stream_position, task, feed_id, group_id, profile_id, client_id, message_group,
        status, generation, attempt_count, generation_attempts, unburnt_attempts, due_at, replay_count, payload_bytes,
        created_at, updated_at, sort_key, open)
      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, 1, 0, 0, 0, ?10, 0, ?11, ?12, ?12, ?13, 1)`),
    orderedReady: database.statement<never, [number, number, string | null, number | null, number]>(`
      UPDATE job_groups SET ready_at = ?2, held_reason = ?3, held_since = ?4, used_at = ?5
      WHERE id = ?1 AND ready_at IS NULL AND outstanding = 0 AND blocked_position IS NULL`),
    unorderedReady: database.statement<never, [number, number, number]>(
      "UPDATE job_groups SET ready_at = min(coalesce(ready_at, ?2), ?2), used_at = ?3 WHERE id = ?1",
    ),
  };
}
