import type { DeliveryProfile, NewEventJob } from "../../domain/dispatch-job.ts";
import type { EventPosition } from "../../domain/ids.ts";
import type { PoisonEvent } from "../../ports/event-log.ts";
import type { FanOut, JobAppender } from "../../ports/job-appender.ts";
import type { LeaseEpoch } from "../../ports/lease.ts";
import { statement, toJsonRows } from "../../postgres/statement.ts";
import { groupRowKey, subscriptionFeed, type FeedKey } from "../feed-key.ts";
import type { JobChanges } from "./job-changes.ts";
import { readProfilesByKey, type GroupKeyed } from "./job-directory.ts";
import { insertNewJobs } from "./job-inserts.ts";
import type { JobWriter } from "./job-writer.ts";

/**
 * Fan-out into the store: jobs, poison events and the checkpoint in one transaction, or nothing. The checkpoint is
 * moved first, if it is where the pass started, ordinal included; its row stays locked to the end, so of two instances
 * that believe to be the active one the second waits, finds it moved, and writes nothing.
 */
const readCheckpoint = statement<CheckpointRow>(
  "SELECT position, ordinal, frozen_profile_keys FROM stream_checkpoint WHERE only_row",
);
/** Under the lease, which stays as it is until the transaction ends, as `fence` has it. */
const moveCheckpoint = statement<
  never,
  [position: number, ordinal: number, frozen: string, fromPosition: number, fromOrdinal: number, epoch: LeaseEpoch]
>(`
  UPDATE stream_checkpoint SET position = $1, ordinal = $2, frozen_profile_keys = $3
  FROM (SELECT 1 FROM leases WHERE epoch = $6 FOR KEY SHARE) AS held
  WHERE only_row AND position = $4 AND ordinal = $5`);
const addPoison = statement<never, [events: string]>(`
  INSERT INTO poison_events (position, event_id, reason, at_ms)
  SELECT r.position, r."eventId", r.reason, r."atMs"
  FROM json_to_recordset($1::json) AS r (position bigint, "eventId" text, reason text, "atMs" bigint)
  ON CONFLICT DO NOTHING`);
const readPoison = statement<PoisonEvent, [EventPosition]>(
  `SELECT position, event_id AS "eventId", reason, at_ms AS "atMs" FROM poison_events WHERE position = $1`,
);

interface CheckpointRow {
  readonly position: EventPosition;
  readonly ordinal: number;
  readonly frozen_profile_keys: string;
}

export function createJobAppender(writer: JobWriter): JobAppender {
  const { database } = writer;

  const write = async (fanOut: FanOut, changes: JobChanges): Promise<boolean> => {
    const { session } = changes;
    const { from, to } = fanOut;
    const moved = await session.run(moveCheckpoint, [
      to.position,
      to.ordinal,
      JSON.stringify(to.frozenProfileKeys),
      from.position,
      from.ordinal,
      fanOut.epoch,
    ]);
    if (moved === 0) return false;
    await insertJobs(fanOut, { writer, changes });
    if (fanOut.poison.length > 0) await session.run(addPoison, [toJsonRows(fanOut.poison)]);
    return true;
  };

  return {
    checkpoint: async () => {
      const row = await database.one(readCheckpoint, []);
      if (row === null) throw new Error("The stream checkpoint is missing");
      return {
        position: row.position,
        ordinal: row.ordinal,
        frozenProfileKeys: JSON.parse(row.frozen_profile_keys) as string[],
      };
    },
    append: (fanOut) => {
      const nowMs = fanOut.jobs.at(-1)?.createdAtMs ?? fanOut.poison.at(-1)?.atMs ?? 0;
      return writer.write({ nowMs }, (changes) => write(fanOut, changes));
    },
    poisonAt: (position) => database.one(readPoison, [position]),
    profiles: async (keys) => {
      const rows = await database.query(readProfilesByKey, [JSON.stringify(keys)]);
      const profiles = new Map(rows.map((row) => [row.key, JSON.parse(row.body) as DeliveryProfile]));
      return keys.flatMap((key) => profiles.get(key) ?? []);
    },
  };
}

interface InsertContext {
  readonly writer: JobWriter;
  readonly changes: JobChanges;
}

async function insertJobs({ jobs, frozenProfiles = [] }: FanOut, { writer, changes }: InsertContext): Promise<void> {
  const { directory } = writer;
  const { session, nowMs } = changes;
  const profiles = new Map([...frozenProfiles, ...jobs.map((job) => job.profile)].map((one) => [one.key, one]));
  if (profiles.size === 0) return;
  const profileIds = await directory.profileIds(session, profiles, nowMs);
  const feeds = new Map(jobs.map((job) => [feedOf(job).key, feedOf(job)]));
  const feedIds = await directory.feedIds(session, feeds, nowMs);
  const groups = new Map(jobs.map((job) => [groupKeyOf(job), groupOf(job, feedIds)]));
  const groupIds = await directory.groupIds(session, groups, nowMs);
  await insertNewJobs(
    jobs.map((job) => ({
      id: job.id,
      eventId: job.eventId,
      task: false,
      feedId: numberOf(feedIds, feedOf(job).key),
      groupId: numberOf(groupIds, groupKeyOf(job)),
      ordered: job.groupKey !== null,
      profileId: numberOf(profileIds, job.profile.key),
      clientId: job.clientId,
      messageGroup: job.messageGroup,
      code: job.code,
      dueAtMs: job.dueAtMs,
      payloadBytes: job.payloadBytes,
      createdAtMs: job.createdAtMs,
    })),
    changes,
  );
}

function feedOf({ id, profile }: NewEventJob): FeedKey {
  if (profile.subscriptionId === null) throw new Error(`Job ${id} of an event has no subscription`);
  return subscriptionFeed(profile.subscriptionId, profile.poolCode);
}

function groupKeyOf(job: NewEventJob): string {
  return groupRowKey(job.groupKey, feedOf(job).key);
}

function groupOf(job: NewEventJob, feedIds: ReadonlyMap<string, number>): GroupKeyed {
  return { key: groupKeyOf(job), feedId: numberOf(feedIds, feedOf(job).key), ordered: job.groupKey !== null };
}

export function numberOf(numbers: ReadonlyMap<string, number>, key: string): number {
  const number = numbers.get(key);
  if (number === undefined) throw new Error(`No number for ${key}`);
  return number;
}
