import type { HeldReason, JobStatus } from "../domain/dispatch-job.ts";
import type { GroupKey, JobId, MessageId, PoolCode, SubscriptionId } from "../domain/ids.ts";
import type { JobDelivery } from "../domain/message.ts";
import type { LeaseEpoch } from "./lease.ts";

/** One or more due jobs of one group, to be published as one message; a single job if it is not ordered. */
export interface DueRun {
  readonly messageId: MessageId;
  readonly lane: PoolCode;
  readonly groupKey: GroupKey | null;
  readonly jobs: readonly DueJob[];
}

export interface DueJob {
  readonly jobId: JobId;
  readonly generation: number;
  readonly bytes: number;
}

export interface ClaimLimits {
  readonly nowMs: number;
  /** Jobs in all (500) and their bytes (8 MiB). */
  readonly maxJobs: number;
  readonly maxBytes: number;
  /** Unsettled jobs a subscription may have (1,000). */
  readonly publishWindow: number;
}

export interface Claim {
  readonly runs: readonly DueRun[];
  /** Jobs that were past their expiry and are EXPIRED now. */
  readonly expired: number;
  /** More was due than fitted: pass again at once. */
  readonly more: boolean;
  /** When the next group becomes due, if none is now. */
  readonly nextDueAtMs: number | null;
}

/**
 * The scheduler's ports. A pass visits groups that are ready, round robin over subscriptions, and never scans held
 * ones.
 */
export interface JobClaims {
  claim(limits: ClaimLimits, epoch: LeaseEpoch): Promise<Claim>;
  /** The runs were taken by the queue: PENDING -> QUEUED (only jobs still PENDING in that generation). */
  markQueued(runs: readonly DueRun[], nowMs: number, epoch: LeaseEpoch): Promise<void>;
  /** The queue will never take these (too large, invalid): FAILED with this code. */
  markUnpublishable(runs: readonly UnpublishableRun[], nowMs: number, epoch: LeaseEpoch): Promise<void>;
  /**
   * QUEUED jobs queued before `queuedBeforeMs` have no message any more: back to PENDING, new generation.
   * At most `maxJobs` a call; returns how many.
   */
  recoverLost(request: LostJobs, epoch: LeaseEpoch): Promise<number>;
  /** Full deliveries for queues that carry payloads themselves. Jobs that are gone or moved on are left out. */
  compose(runs: readonly DueRun[]): Promise<ReadonlyMap<JobId, JobDelivery>>;
  counts(): Promise<JobCounts>;
  /** Calls back soon after a group became ready. */
  onReady(wake: () => void): () => void;
}

export interface UnpublishableRun {
  readonly run: DueRun;
  readonly code: string;
}

export interface LostJobs {
  readonly queuedBeforeMs: number;
  readonly maxJobs: number;
  readonly nowMs: number;
}

export interface JobCounts {
  /** PENDING jobs; counted to 100,000 at most, so that a metric never scans a backlog. */
  readonly pending: number;
  readonly heldGroups: number;
}

/** A group or a whole subscription whose jobs are held. */
export interface HeldGroup {
  /** The group's key, or the subscription's id for its ungrouped jobs. */
  readonly key: string;
  readonly subscriptionId: SubscriptionId | null;
  readonly reason: HeldReason;
  readonly sinceMs: number;
  /** When it goes on by itself, if it does. */
  readonly untilMs: number | null;
  /** Jobs waiting; counted to 10,000 at most. */
  readonly waiting: number;
  readonly headJobId: JobId | null;
  readonly headStatus: JobStatus | null;
}
