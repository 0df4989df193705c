import type { NewEventJob } from "../../domain/dispatch-job.ts";
import type { EventPosition } from "../../domain/ids.ts";
import type { PoisonEvent } from "../../ports/event-log.ts";
import type { FanOut, JobAppender, StreamCheckpoint } from "../../ports/job-appender.ts";
import type { JobChanges } from "./job-changes.ts";
import { groupRowKey, subscriptionFeed } from "../feed-key.ts";
import { createJobInserts, type JobInserts } from "./job-inserts.ts";
import type { JobWriter } from "./job-writer.ts";
import { holdsLease } from "./lease-store.ts";
import type { SqliteDatabase } from "./database.ts";

/**
 * Fan-out into the store: jobs, poison events and the checkpoint in one transaction, or nothing. The checkpoint is
 * compared with the one the pass started from, ordinal included, and the lease with its newest epoch, so that of two
 * instances that believe to be the active one only one gets through, and no event makes its jobs twice.
 */
export function createJobAppender(writer: JobWriter): JobAppender {
  const { database } = writer;
  const sql = prepare(database);
  const inserts = createJobInserts(writer);

  const read = (): StreamCheckpoint => {
    const row = sql.checkpoint.get();
    if (row === null) throw new Error("The stream checkpoint is missing");
    return {
      position: row.position,
      ordinal: row.ordinal,
      frozenProfileKeys: JSON.parse(row.frozen_profile_keys) as string[],
    };
  };

  const write = (fanOut: FanOut, changes: JobChanges): boolean => {
    const current = sql.checkpoint.get();
    if (current?.position !== fanOut.from.position || current.ordinal !== fanOut.from.ordinal) return false;
    if (!holdsLease(database, fanOut.epoch)) return false;
    for (const profile of fanOut.frozenProfiles ?? []) writer.directory.profileId(profile);
    insertJobs(fanOut.jobs, { writer, changes, inserts });
    for (const event of fanOut.poison) sql.addPoison.run(event.position, event.eventId, event.reason, event.atMs);
    sql.moveCheckpoint.run(fanOut.to.position, fanOut.to.ordinal, JSON.stringify(fanOut.to.frozenProfileKeys));
    return true;
  };

  return {
    checkpoint: async () => read(),
    append: async (fanOut) => {
      const nowMs = fanOut.jobs.at(-1)?.createdAtMs ?? fanOut.poison.at(-1)?.atMs ?? 0;
      return writer.write({ nowMs }, (changes) => write(fanOut, changes));
    },
    poisonAt: async (position) => sql.poisonAt.get(position),
    profiles: async (keys) => keys.flatMap((key) => writer.directory.profileByKey(key) ?? []),
  };
}

interface InsertContext {
  readonly writer: JobWriter;
  readonly changes: JobChanges;
  readonly inserts: JobInserts;
}

function insertJobs(jobs: readonly NewEventJob[], { writer, changes, inserts }: InsertContext): void {
  const { directory } = writer;
  const batch = inserts.begin(changes);
  for (const job of jobs) {
    const { profile } = job;
    if (profile.subscriptionId === null) throw new Error(`Job ${job.id} of an event has no subscription`);
    const feed = subscriptionFeed(profile.subscriptionId, profile.poolCode);
    const feedId = directory.feedId(feed, changes.nowMs);
    const ordered = job.groupKey !== null;
    const groupKey = groupRowKey(job.groupKey, feed.key);
    batch.add({
      id: job.id,
      streamPosition: job.eventPosition,
      task: false,
      feedId,
      groupId: directory.groupId(groupKey, { feedId, ordered, nowMs: changes.nowMs }),
      ordered,
      profileId: directory.profileId(profile),
      clientId: job.clientId,
      messageGroup: job.messageGroup,
      dueAtMs: job.dueAtMs,
      payloadBytes: job.payloadBytes,
      createdAtMs: job.createdAtMs,
    });
  }
  batch.finish();
}

function prepare(database: SqliteDatabase) {
  return {
    checkpoint: database.statement<{ position: EventPosition; ordinal: number; frozen_profile_keys: string }>(
      "SELECT position, ordinal, frozen_profile_keys FROM stream_checkpoint WHERE only_row = 1",
    ),
    moveCheckpoint: database.statement<never, [number, number, string]>(
      "UPDATE stream_checkpoint SET position = ?1, ordinal = ?2, frozen_profile_keys = ?3 WHERE only_row = 1",
    ),
    addPoison: database.statement<never, [number, string, string, number]>(
      "INSERT OR IGNORE INTO poison_events (position, event_id, reason, at_ms) VALUES (?1, ?2, ?3, ?4)",
    ),
    poisonAt: database.statement<PoisonEvent, [number]>(
      "SELECT position, event_id AS eventId, reason, at_ms AS atMs FROM poison_events WHERE position = ?1",
    ),
  };
}
