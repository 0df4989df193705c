import type { SubscriptionId } from "../../domain/ids.ts";
import type { Subscription } from "../../domain/subscription.ts";
import type { Housekeeping } from "../../ports/housekeeping.ts";
import type { LeaseEpoch } from "../../ports/lease.ts";
import { CodedError } from "@flowcatalyst/foundation";
import { createArchiveDrop } from "./archive-drop.ts";
import { dropAuditLogs } from "./audit-logs.ts";
import type { SqliteDatabase } from "./database.ts";
import { expireDeduplication } from "./event-deduplication.ts";
import { createHistoryDrop, type HistoryDrop } from "./history-drop.ts";
import { expireIdempotencyKeys } from "./idempotency-store.ts";
import { createJobCommands } from "./job-commands.ts";
import type { JobChanges } from "./job-changes.ts";
import type { JobWriter } from "./job-writer.ts";
import { holdsLease } from "./lease-store.ts";
import { raiseRevision } from "./revisions.ts";
import { createSubscriptionPauses } from "./subscription-pauses.ts";

/**
 * Housekeeping in steps. Each step removes at most so many rows in one transaction, fenced by the lease; where a step
 * has to look at many rows that stay, it does so in slices and gives way in between, so that it never holds the thread
 * for more than a few milliseconds.
 */
export const housekeepingLimits = {
  /** Slices of one step that remove nothing, one after another. */
  emptySlicesMax: 200,
  /** Groups or jobs looked at in one slice. */
  sliceRows: 5_000,
  /** Temporary subscriptions archived by one step. */
  subscriptionsPerStep: 100,
  /** Jobs of an archived subscription cancelled in one transaction. */
  cancelledPerSlice: 500,
} as const;

export interface HousekeepingConfig {
  readonly dedupWindowMs: number;
}

export function createHousekeeping(writer: JobWriter, config: HousekeepingConfig): Housekeeping {
  const { database } = writer;
  const history = createHistoryDrop(database);
  const archive = createArchiveDrop(database);

  const fenced = <Result>(epoch: LeaseEpoch, work: () => Result): Result =>
    database.transaction(() => {
      if (!holdsLease(database, epoch)) throw new CodedError("LEASE_LOST");
      return work();
    });

  return {
    prepareHistory: async () => 0,
    dropHistory: async (beforeMs, maxRows, epoch) => dropHistory({ writer, history }, { beforeMs, maxRows }, epoch),
    expireDeduplication: async (nowMs, maxRows, epoch) =>
      fenced(epoch, () =>
        expireDeduplication(database, { createdBeforeMs: nowMs - config.dedupWindowMs, nowMs, maxRows }),
      ),
    expireIdempotencyKeys: async (nowMs, maxRows, epoch) =>
      fenced(epoch, () => expireIdempotencyKeys(database, nowMs, maxRows)),
    dropIdleGroups: createIdleGroupDrop(writer, fenced),
    dropUnusedProfiles: createProfileDrop(writer, fenced),
    dropArchived: async (beforeMs, maxRows, epoch) => {
      const removed = fenced(epoch, () => archive.step(beforeMs, maxRows));
      if (removed > 0) writer.directory.forget();
      return removed;
    },
    dropAuditLogs: async (beforeMs, maxRows, epoch) => fenced(epoch, () => dropAuditLogs(database, beforeMs, maxRows)),
    archiveExpiredSubscriptions: createSubscriptionArchiver(writer),
  };
}

type Fenced = <Result>(epoch: LeaseEpoch, work: () => Result) => Result;

function giveWay(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

async function dropHistory(
  { writer, history }: { readonly writer: JobWriter; readonly history: HistoryDrop },
  request: { readonly beforeMs: number; readonly maxRows: number },
  epoch: LeaseEpoch,
): Promise<number> {
  const options = { nowMs: writer.clock.now(), epoch, quiet: true };
  for (let slice = 0; slice < housekeepingLimits.emptySlicesMax; slice++) {
    const step = writer.write(options, (changes) => history.step(request, changes));
    if (step.removed > 0 || step.finished) return step.removed;
    await giveWay();
  }
  return 0;
}

/** The newest group stays, so that numbers of groups are never given twice. */
function createIdleGroupDrop({ database, directory }: JobWriter, fenced: Fenced): Housekeeping["dropIdleGroups"] {
  const last = database.statement<{ id: number | null }>("SELECT max(id) AS id FROM job_groups");
  const drop = database.statement<never, [from: number, to: number, idleBefore: number, limit: number]>(`
    DELETE FROM job_groups WHERE id IN (
      SELECT id FROM job_groups g WHERE id > ?1 AND id <= ?2 AND used_at < ?3 AND ready_at IS NULL AND outstanding = 0
        AND blocked_position IS NULL AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.group_id = g.id AND j.open = 1)
      LIMIT ?4)`);
  let cursor = 0;

  return async (idleBeforeMs, maxRows, epoch) => {
    const end = (last.get()?.id ?? 0) - 1;
    let removed = 0;
    while (removed === 0 && cursor < end) {
      const to = Math.min(cursor + housekeepingLimits.sliceRows, end);
      removed = fenced(epoch, () => drop.run(cursor, to, idleBeforeMs, maxRows));
      // A slice that gave as many as were asked for may have more.
      if (removed < maxRows) cursor = to;
      if (removed === 0) await giveWay();
    }
    if (cursor >= end) cursor = 0;
    if (removed > 0) directory.forgetGroups();
    return removed;
  };
}

/**
 * Profiles no job and no checkpoint refers to. There is no index of jobs by profile: all jobs are looked at, in slices,
 * and what was added in the meantime again in the transaction that removes.
 */
function createProfileDrop({ database, directory }: JobWriter, fenced: Fenced): Housekeeping["dropUnusedProfiles"] {
  const profiles = database.statement<{ id: number; key: string }>("SELECT id, key FROM delivery_profiles ORDER BY id");
  const ends = database.statement<{ oldest: number; newest: number }>(
    "SELECT coalesce(min(position), 0) AS oldest, coalesce(max(position), 0) AS newest FROM jobs",
  );
  const used = database.statement<{ profile_id: number }, [number, number]>(
    "SELECT DISTINCT profile_id FROM jobs WHERE position >= ?1 AND position < ?2",
  );
  const frozen = database.statement<{ frozen_profile_keys: string }>(
    "SELECT frozen_profile_keys FROM stream_checkpoint",
  );
  const drop = database.statement<never, [number]>("DELETE FROM delivery_profiles WHERE id = ?1");

  return async (maxRows, epoch) => {
    const candidates = new Map(profiles.all().map((profile) => [profile.id, profile.key]));
    let from = ends.get()?.oldest ?? 0;
    const newest = ends.get()?.newest ?? 0;
    while (candidates.size > 0 && from <= newest) {
      const before = Math.min(from + housekeepingLimits.sliceRows, newest + 1);
      for (const row of used.all(from, before)) candidates.delete(row.profile_id);
      from = before;
      await giveWay();
    }
    if (candidates.size === 0) return 0;
    const removed = fenced(epoch, () => {
      for (const row of used.all(from, Number.MAX_SAFE_INTEGER)) candidates.delete(row.profile_id);
      const kept = new Set(JSON.parse(frozen.get()?.frozen_profile_keys ?? "[]") as string[]);
      const unused = [...candidates].filter(([, key]) => !kept.has(key)).slice(0, maxRows);
      for (const [id] of unused) drop.run(id);
      return unused.length;
    });
    if (removed > 0) directory.forget();
    return removed;
  };
}

/**
 * Archives temporary subscriptions that are over, and cancels what archived ones have pending: at once, and later what
 * was with a router at that moment and came back. A subscription is archived and its feed held in one transaction, so
 * nothing of it goes out again; and what is left to cancel is read from the held feeds at each step, not remembered, so
 * a crash between two steps, here or in the command that archives, leaves nothing behind.
 */
function createSubscriptionArchiver(writer: JobWriter): Housekeeping["archiveExpiredSubscriptions"] {
  const { database } = writer;
  const commands = createJobCommands(writer);
  const pauses = createSubscriptionPauses(writer);
  const sql = archiveStatements(database);

  const archive = (changes: JobChanges): readonly SubscriptionId[] => {
    const { nowMs } = changes;
    const rows = sql.expired.all(nowMs, housekeepingLimits.subscriptionsPerStep);
    for (const row of rows) {
      const subscription = JSON.parse(row.body) as Subscription;
      const archived: Subscription = {
        ...subscription,
        status: "ARCHIVED",
        version: subscription.version + 1,
        updatedAtMs: nowMs,
      };
      sql.archive.run(row.id, archived.version, JSON.stringify(archived));
      pauses.hold(row.id, true, changes);
    }
    if (rows.length > 0) {
      raiseRevision(database, "subscriptions");
      raiseRevision(database, "control");
      changes.controlChanged = true;
    }
    return rows.map((row) => row.id);
  };
  const leftOver = (): readonly SubscriptionId[] =>
    sql.leftOver.all(housekeepingLimits.subscriptionsPerStep).map((row) => row.id);

  return async (nowMs, epoch) => {
    const archived = writer.write({ nowMs, epoch, quiet: true }, archive);
    const cleared = leftOver();
    for (const id of cleared) {
      while ((await commands.cancelPendingOf(id, housekeepingLimits.cancelledPerSlice, nowMs)) > 0) await giveWay();
    }
    return new Set([...archived, ...cleared]).size;
  };
}

export const readArchivedWithPending = `SELECT f.subscription_id AS id FROM job_feeds f
  WHERE f.held_since IS NOT NULL AND f.pending > 0
    AND EXISTS (SELECT 1 FROM subscriptions s WHERE s.id = f.subscription_id AND s.status = 'ARCHIVED')
  LIMIT (?1 + 0)`;

function archiveStatements(database: SqliteDatabase) {
  return {
    expired: database.statement<{ id: SubscriptionId; body: string }, [number, number]>(`
      SELECT id, body FROM subscriptions WHERE lease_expires_at_ms <= (?1 + 0) AND status <> 'ARCHIVED'
      LIMIT (?2 + 0)`),
    archive: database.statement<never, [string, number, string]>(
      "UPDATE subscriptions SET status = 'ARCHIVED', version = ?2, body = ?3 WHERE id = ?1",
    ),
    leftOver: database.statement<{ id: SubscriptionId }, [number]>(readArchivedWithPending),
  };
}
