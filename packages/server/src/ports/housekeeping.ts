import type { LeaseEpoch } from "./lease.ts";

/**
 * What accumulates and must go, each in small bounded steps. A step returns how many rows went; 0: nothing left to do.
 */
export interface Housekeeping {
  /**
   * Makes room for the history of the months to come, where a store keeps it by months; a step that removes nothing,
   * and returns how many it made.
   */
  prepareHistory(nowMs: number, epoch: LeaseEpoch): Promise<number>;
  /**
   * Events, jobs and attempts created before; jobs that are not final, and their events, stay. A store that keeps
   * history by months keeps a month until all of it is older, and counts it as at least one row when it goes.
   */
  dropHistory(beforeMs: number, maxRows: number, epoch: LeaseEpoch): Promise<number>;
  expireDeduplication(nowMs: number, maxRows: number, epoch: LeaseEpoch): Promise<number>;
  expireIdempotencyKeys(nowMs: number, maxRows: number, epoch: LeaseEpoch): Promise<number>;
  dropIdleGroups(idleBeforeMs: number, maxRows: number, epoch: LeaseEpoch): Promise<number>;
  dropUnusedProfiles(maxRows: number, epoch: LeaseEpoch): Promise<number>;
  /**
   * Subscriptions archived before, of which no job and no group is left, with their secrets; replays that ended before.
   */
  dropArchived(beforeMs: number, maxRows: number, epoch: LeaseEpoch): Promise<number>;
  /** Audit logs made before, the oldest first. */
  dropAuditLogs(beforeMs: number, maxRows: number, epoch: LeaseEpoch): Promise<number>;
  /** Temporary subscriptions past their lease: archived, and their pending jobs cancelled. */
  archiveExpiredSubscriptions(nowMs: number, epoch: LeaseEpoch): Promise<number>;
}
