import type { HeldReason } from "../../domain/dispatch-job.ts";
import type { GroupHead, GroupRow } from "./job-change-statements.ts";

/** What follows from a group's row alone. */
export interface OutstandingChange {
  readonly by: number;
  /** The positions that were marked, if some were. */
  readonly from: number;
  readonly to?: number;
  readonly nowMs: number;
}

/** Jobs of the group that are out, more or fewer, and which they are. */
export function countOutstanding(group: GroupRow, { by, from, to = from, nowMs }: OutstandingChange): void {
  group.outstanding += by;
  if (by > 0) {
    group.queued_at ??= nowMs;
    if (!group.ordered) return;
    group.run_from = Math.min(group.run_from ?? from, from);
    group.run_to = Math.max(group.run_to ?? to, to);
  } else if (group.outstanding === 0) {
    group.queued_at = null;
    group.run_from = null;
    group.run_to = null;
  }
}

/** Nothing of it may be published now, whatever its jobs are. */
export function isClosed(group: GroupRow): boolean {
  return group.blocked_job_id !== null || (group.ordered && group.outstanding > 0);
}

const writtenFields = [
  "ready_at",
  "outstanding",
  "queued_at",
  "run_from",
  "run_to",
  "held_reason",
  "held_since",
  "blocked_job_id",
  "blocked_since",
  "blocked_total_ms",
] as const satisfies readonly (keyof GroupRow)[];

/** A `head_from` that went up is a hint, and not worth a write of its own. */
export function isChanged({ row, before }: { readonly row: GroupRow; readonly before: Readonly<GroupRow> }): boolean {
  return row.head_from < before.head_from || writtenFields.some((field) => row[field] !== before[field]);
}

/** Parked after a try or a release, or never tried and not due before a set time. */
export function waitingReason(head: GroupHead): HeldReason {
  return head.generation > 1 || head.attempt_count > 0 ? "WAITING_RETRY" : "SCHEDULED";
}
