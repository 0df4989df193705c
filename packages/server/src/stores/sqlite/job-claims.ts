import type { Claim, ClaimLimits, DueRun, JobClaims, LostJobs, UnpublishableRun } from "../../ports/job-claims.ts";
import { ClaimPass, type ClaimedRun, type ClaimedRuns } from "./claim-pass.ts";
import { claimStatements, type ClaimStatements } from "./job-claim-statements.ts";
import type { JobChanges } from "./job-changes.ts";
import { composeDeliveries } from "./delivery-reader.ts";
import { queuedSortKey, statusCodes, type JobRow } from "../job-row.ts";
import type { JobWriter } from "./job-writer.ts";
import type { StoreWakes } from "./wake-signal.ts";

/**
 * What the scheduler does to jobs: find what is due, mark what was published, and take back what was lost.
 *
 * `claim` marks nothing. A run whose message was refused, or whose process died before it was marked, is due again and
 * has the same message id. The runs of the last claim are remembered, so that marking needs no look-up; a feed whose
 * runs come back unmarked goes to the end of the line, so that one lane nobody takes from does not use up every pass.
 *
 * A clock that was set back must not stop what was due: groups that were ready by the time before it are made ready by
 * the time after it, and a pass finds out which of them really are. (Single jobs that were pending at that moment, and
 * whatever waits for a time, come when the clock gets there.)
 *
 * The time at which jobs are marked never goes back, though the clock may: recovery compares it with the publishing
 * times of messages, and a job that was marked after a message must not look older than that.
 */
export const claimLimits = {
  /** Where `counts` stops. */
  countedMax: 100_000,
  /** A clock is set back if it goes back by more; less than that is not worth a look at all groups. */
  clockStepMinMs: 1_000,
} as const;

export function createJobClaims(writer: JobWriter, wakes: Pick<StoreWakes, "jobsReady">): JobClaims {
  const sql = claimStatements(writer.database);
  const claimed: ClaimedRuns = new Map();
  const context: MarkContext = { sql, claimed, stamp: createStamp(sql) };
  /** The time of the last claim; null: none in this process. */
  let claimedAtMs: number | null = null;
  return {
    claim: async (limits, epoch) => {
      const pass = writer.write({ nowMs: limits.nowMs, epoch, quiet: true }, (changes) => {
        const newestMs = claimedAtMs ?? sql.newestUse.get()?.used_at ?? 0;
        if (newestMs - limits.nowMs > claimLimits.clockStepMinMs) followClockBack(newestMs, limits.nowMs, sql);
        for (const run of claimed.values()) sql.toTheEnd.run(run.feedId, limits.nowMs);
        claimed.clear();
        return runPass(limits, { sql, claimed, changes, directory: writer.directory });
      });
      claimedAtMs = limits.nowMs;
      return toClaim(pass, sql, limits);
    },
    markQueued: async (runs, nowMs, epoch) =>
      writer.write({ nowMs, epoch }, (changes) => markRuns(runs, changes, context)),
    markUnpublishable: async (runs, nowMs, epoch) =>
      writer.write({ nowMs, epoch }, (changes) => {
        for (const entry of runs) failRun(entry, changes, claimed);
      }),
    recoverLost: async (request, epoch) =>
      writer.write({ nowMs: request.nowMs, epoch }, (changes) => recover(request, changes, sql)),
    compose: composeDeliveries(writer),
    counts: async () => ({
      pending: Math.min(sql.pendingTotal.get()?.total ?? 0, claimLimits.countedMax),
      heldGroups: sql.heldGroups.get(claimLimits.countedMax)?.total ?? 0,
    }),
    onReady: (wake) => wakes.jobsReady.subscribe(wake),
  };
}

/** Before anything of the transaction is loaded. A feed's time is a bound, so it may always be set lower. */
function followClockBack(newestMs: number, nowMs: number, sql: ClaimStatements): void {
  sql.groupsReadyBy.run(nowMs, newestMs);
  sql.feedsReadyBy.run(nowMs);
}

function runPass(limits: ClaimLimits, deps: ConstructorParameters<typeof ClaimPass>[0]): ClaimPass {
  const pass = new ClaimPass(deps, limits);
  pass.run();
  return pass;
}

function toClaim(pass: ClaimPass, sql: ClaimStatements, limits: ClaimLimits): Claim {
  return {
    runs: pass.runs,
    expired: pass.expired,
    more: pass.more,
    nextDueAtMs: sql.nextFeedReady.get(limits.nowMs)?.ready_at ?? null,
  };
}

interface MarkContext {
  readonly sql: ClaimStatements;
  readonly claimed: ClaimedRuns;
  /** When a job that is marked now was marked. */
  stamp(nowMs: number): number;
}

function createStamp(sql: ClaimStatements): MarkContext["stamp"] {
  let newestMs: number | null = null;
  return (nowMs) => {
    newestMs = Math.max(newestMs ?? sql.newestQueuedAt.get()?.queued_at ?? nowMs, nowMs);
    return newestMs;
  };
}

function markRuns(runs: readonly DueRun[], changes: JobChanges, context: MarkContext): void {
  const { sql, claimed } = context;
  const queuedAtMs = context.stamp(changes.nowMs);
  const feeds = new Set<number>();
  for (const run of runs) {
    const claim = claimed.get(run.messageId);
    claimed.delete(run.messageId);
    if (claim === undefined) markByLookUp(run, changes);
    else {
      markClaimed(run, claim, { sql, changes, queuedAtMs });
      feeds.add(claim.feedId);
    }
  }
  for (const id of feeds) {
    const feed = changes.feed(id);
    if (feed.window_full !== null) continue;
    // It has had its turn: what is left of it comes after everybody who waits already.
    const next = sql.nextGroupReady.get(id);
    feed.ready_at = next === null ? null : Math.max(next.ready_at, changes.nowMs);
  }
}

/** A run of an earlier claim, or of another process: its jobs are found by their ids. */
function markByLookUp(run: DueRun, changes: JobChanges): void {
  for (const job of run.jobs) {
    const row = changes.job(job.jobId);
    if (row !== null) changes.apply(row, { kind: "queue", generation: job.generation });
  }
}

interface MarkDeps {
  readonly sql: ClaimStatements;
  readonly changes: JobChanges;
  readonly queuedAtMs: number;
}

/** The transition `queue` for a whole run at once: the state machine's rule is in the WHERE of the statements. */
function markClaimed(run: DueRun, claim: ClaimedRun, deps: MarkDeps): void {
  const { sql, changes, queuedAtMs } = deps;
  const { nowMs } = changes;
  let marked = 0;
  for (let index = 0; index < claim.positions.length; index++) {
    const position = claim.positions[index];
    const generation = run.jobs[index]?.generation;
    if (position === undefined || generation === undefined) break;
    const expires = nowMs + (claim.lifetimesMs[index] ?? 0);
    marked += claim.ordered
      ? sql.markOrdered.run(position, generation, queuedAtMs, expires)
      : sql.markUnordered.run(position, generation, queuedAtMs, expires, queuedSortKey(queuedAtMs));
  }
  if (marked === 0) return;
  const feed = changes.feed(claim.feedId);
  feed.pending -= marked;
  feed.queued += marked;
  const from = claim.positions[0] ?? 0;
  const to = claim.positions.at(-1) ?? from;
  if (claim.ordered && sql.startRun.run(claim.groupId, marked, queuedAtMs, from, to) === 1) return;
  // Unordered, or something happened to the group between claim and mark: decide from what is stored.
  const group = changes.group(claim.groupId);
  group.outstanding += marked;
  group.queued_at ??= queuedAtMs;
  if (!claim.ordered) return;
  group.run_from = Math.min(group.run_from ?? from, from);
  group.run_to = Math.max(group.run_to ?? to, to);
}

/** Jobs behind one that holds the group stay: they were not the reason, and may go with another message. */
function failRun(entry: UnpublishableRun, changes: JobChanges, claimed: ClaimedRuns): void {
  claimed.delete(entry.run.messageId);
  for (const job of entry.run.jobs) {
    const row = changes.job(job.jobId);
    if (row === null) continue;
    const result = changes.apply(row, { kind: "unpublishable", generation: job.generation, code: entry.code });
    if (result.kind === "moved" && result.blocksGroup) return;
  }
}

/** QUEUED jobs without a message. Groups are taken by age; one that turns out to have none is corrected. */
function recover(request: LostJobs, changes: JobChanges, sql: ClaimStatements): number {
  let recovered = 0;
  for (const found of sql.outstandingGroups.all(request.queuedBeforeMs, request.maxJobs)) {
    const left = request.maxJobs - recovered;
    if (left <= 0) break;
    const group = changes.group(found.id);
    const rows =
      found.ordered === 1
        ? sql.queuedOfRun.all(found.id, found.run_from ?? 0, found.run_to ?? 0, left)
        : sql.queuedUnordered.all(found.id, queuedSortKey(request.queuedBeforeMs), left);
    const lost = rows.filter((row) => (row.queued_at ?? 0) < request.queuedBeforeMs);
    for (const row of lost) if (recoverJob(row, changes)) recovered++;
    // All older ones are dealt with, so what is left was published after that.
    if (group.outstanding > 0 && rows.length < left) group.queued_at = request.queuedBeforeMs;
  }
  return recovered;
}

function recoverJob(row: JobRow, changes: JobChanges): boolean {
  // The first of a run takes the rest back with it, so the row at hand may be out of date.
  const current = changes.job(row.id);
  if (current === null) return false;
  if (current.generation !== row.generation) return current.status === statusCodes.PENDING;
  return changes.apply(current, { kind: "recover" }).kind === "moved";
}
