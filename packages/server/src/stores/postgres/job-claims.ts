import type { JobId, JobPosition } from "../../domain/ids.ts";
import type { Claim, ClaimLimits, DueRun, JobClaims, LostJobs, UnpublishableRun } from "../../ports/job-claims.ts";
import type { LeaseEpoch } from "../../ports/lease.ts";
import { toJsonRows } from "../../postgres/statement.ts";
import { queuedSortKey, statusCodes, type JobRow } from "../job-row.ts";
import { ClaimPass, type ClaimedRun, type ClaimedRuns } from "./claim-pass.ts";
import { composeDeliveries } from "./delivery-reader.ts";
import { countOutstanding } from "./group-rules.ts";
import {
  countHeldGroups,
  makeFeedsReadyBy,
  makeGroupsReadyBy,
  markJobs,
  moveFeedsToTheEnd,
  readNewestQueuedAt,
  readNewestUse,
  readNextFeedReady,
  readOutstandingGroups,
  readPendingTotal,
  readQueuedOfRun,
  readQueuedUnordered,
} from "./job-claim-statements.ts";
import type { JobChanges } from "./job-changes.ts";
import type { JobWriter } from "./job-writer.ts";
import { fence } from "./lease-store.ts";
import type { StoreWakes } from "../store-wakes.ts";

/**
 * What the scheduler does to jobs: find what is due, mark what was published, and take back what was lost.
 *
 * `claim` marks nothing. A run whose message was refused, or whose process died before it was marked, is due again and
 * has the same message id. The runs of the last claim are remembered, so that marking needs no look-up; a feed whose
 * runs come back unmarked goes to the end of the line, so that one lane nobody takes from does not use up every pass.
 *
 * A clock that was set back must not stop what was due: groups that were ready by the time before it are made ready by
 * the time after it, and a pass finds out which of them really are.
 *
 * The time at which jobs are marked never goes back, though the clock may: recovery compares it with the publishing
 * times of messages, and a job that was marked after a message must not look older than that.
 */
export const claimLimits = {
  /** Where `counts` stops. */
  countedMax: 100_000,
  /** A clock is set back if it goes back by more; less than that is not worth a look at all groups. */
  clockStepMinMs: 1_000,
  /** How much the newest pass counts in the average length of a run. */
  runJobsWeight: 0.3,
} as const;

interface ClaimState {
  readonly claimed: ClaimedRuns;
  /** The time of the last claim; null: none in this process. */
  claimedAtMs: number | null;
  /** When jobs were marked last; null: not known yet. */
  markedAtMs: number | null;
  runJobs: number;
}

export function createJobClaims(writer: JobWriter, wakes: Pick<StoreWakes, "jobsReady">): JobClaims {
  const { database } = writer;
  const state: ClaimState = { claimed: new Map(), claimedAtMs: null, markedAtMs: null, runJobs: 1 };
  return {
    claim: (limits, epoch) => claim({ limits, epoch }, state, writer),
    markQueued: async (runs, nowMs, epoch) => {
      if (runs.length === 0) return;
      state.markedAtMs = Math.max(state.markedAtMs ?? (await newestMark(writer)) ?? nowMs, nowMs);
      const queuedAtMs = state.markedAtMs;
      await writer.write({ nowMs, epoch }, (changes) => markRuns({ runs, queuedAtMs }, changes, state.claimed));
      for (const run of runs) state.claimed.delete(run.messageId);
    },
    markUnpublishable: async (runs, nowMs, epoch) => {
      await writer.write({ nowMs, epoch }, async (changes) => {
        await changes.loadJobs(runs.flatMap(({ run }) => run.jobs.map((job) => job.jobId)));
        for (const entry of runs) await failRun(entry, changes);
      });
      for (const { run } of runs) state.claimed.delete(run.messageId);
    },
    recoverLost: (request, epoch) =>
      writer.write({ nowMs: request.nowMs, epoch }, (changes) => recover(request, changes)),
    compose: composeDeliveries(writer),
    counts: async () => {
      const pending = await database.one(readPendingTotal, []);
      const held = await database.one(countHeldGroups, [claimLimits.countedMax]);
      return { pending: Math.min(pending?.total ?? 0, claimLimits.countedMax), heldGroups: held?.total ?? 0 };
    },
    onReady: (wake) => wakes.jobsReady.subscribe(wake),
  };
}

interface Claiming {
  readonly limits: ClaimLimits;
  readonly epoch: LeaseEpoch;
}

async function claim({ limits, epoch }: Claiming, state: ClaimState, writer: JobWriter): Promise<Claim> {
  const { database, directory } = writer;
  const { nowMs } = limits;
  await fence(database, epoch);
  const newestMs = state.claimedAtMs ?? (await database.one(readNewestUse, []))?.used_at ?? 0;
  if (newestMs - nowMs > claimLimits.clockStepMinMs) await followClockBack({ newestMs, limits, epoch }, writer);
  const unmarked = [...new Set([...state.claimed.values()].map((run) => run.feedId))].toSorted((a, b) => a - b);
  if (unmarked.length > 0) await database.run(moveFeedsToTheEnd, [JSON.stringify(unmarked), nowMs]);
  state.claimed.clear();
  const expire = (ids: readonly JobId[]): Promise<ReadonlySet<JobId>> =>
    writer.write({ nowMs, epoch, quiet: true }, (changes) => expireJobs(ids, changes));
  const { claimed, runJobs } = state;
  const pass = new ClaimPass({ session: database, directory, claimed, runJobs, expire }, limits);
  await pass.run();
  await correct(pass, { limits, epoch }, writer);
  state.claimedAtMs = nowMs;
  state.runJobs = averageRunJobs(pass.runs, runJobs);
  const next = await database.one(readNextFeedReady, [nowMs]);
  return { runs: pass.runs, expired: pass.expired, more: pass.more, nextDueAtMs: next?.ready_at ?? null };
}

/** A feed's time is a bound, so it may always be set lower. */
async function followClockBack(claiming: Claiming & { newestMs: number }, writer: JobWriter): Promise<void> {
  const { nowMs } = claiming.limits;
  await writer.database.transaction(async (session) => {
    await fence(session, claiming.epoch);
    await session.run(makeGroupsReadyBy, [nowMs, claiming.newestMs]);
    await session.run(makeFeedsReadyBy, [nowMs]);
  });
}

async function expireJobs(ids: readonly JobId[], changes: JobChanges): Promise<ReadonlySet<JobId>> {
  await changes.loadJobs(ids);
  const gone = new Set<JobId>();
  for (const id of ids) {
    const row = changes.job(id);
    if (row === null || row.status !== statusCodes.PENDING) continue;
    // A group that an expired job holds keeps the jobs behind it, whatever their age.
    if (changes.group(row.group_id).blocked_job_id !== null) continue;
    const expiresAtMs = changes.expiresAtMs(row);
    if (expiresAtMs === null || expiresAtMs > changes.nowMs) continue;
    if ((await changes.apply(id, { kind: "expire" })).kind === "moved") gone.add(id);
  }
  return gone;
}

/** What the pass found to be other than stored is written, under locks, from what is true then. */
async function correct(pass: ClaimPass, { limits, epoch }: Claiming, writer: JobWriter): Promise<void> {
  const { fullFeeds, idleFeeds, idleGroups } = pass.corrections;
  if (fullFeeds.length + idleFeeds.length + idleGroups.length === 0) return;
  await writer.write({ nowMs: limits.nowMs, epoch, quiet: true }, async (changes) => {
    await changes.lockGroups(idleGroups, "skipMissing");
    for (const id of idleGroups) if (changes.hasGroup(id)) changes.group(id);
    for (const id of fullFeeds) changes.closeWindow(id, limits.publishWindow);
    for (const id of idleFeeds) changes.recomputeFeed(id);
  });
}

/** A little more than was found, so that runs may grow longer. */
function averageRunJobs(runs: readonly DueRun[], before: number): number {
  if (runs.length === 0) return before;
  const jobs = runs.reduce((sum, run) => sum + run.jobs.length, 0);
  const weight = claimLimits.runJobsWeight;
  return Math.max(1, before * (1 - weight) + (jobs / runs.length) * weight);
}

async function newestMark({ database }: JobWriter): Promise<number | null> {
  return (await database.one(readNewestQueuedAt, []))?.queued_at ?? null;
}

interface Marking {
  readonly runs: readonly DueRun[];
  readonly queuedAtMs: number;
}

async function markRuns({ runs, queuedAtMs }: Marking, changes: JobChanges, claimed: ClaimedRuns): Promise<void> {
  const known = runs.flatMap((run) => {
    const claim = claimed.get(run.messageId);
    return claim === undefined ? [] : [{ run, claim }];
  });
  await changes.lockGroups(
    known.map(({ claim }) => claim.groupId),
    "skipMissing",
  );
  await markClaimed(
    known.filter(({ claim }) => changes.hasGroup(claim.groupId)),
    queuedAtMs,
    changes,
  );
  const unknown = runs.filter((run) => !claimed.has(run.messageId)).flatMap((run) => run.jobs);
  // Runs of an earlier claim, or of another process: their jobs are found by their ids.
  await changes.loadJobs(unknown.map((job) => job.jobId));
  for (const { jobId, generation } of unknown) {
    if (changes.job(jobId) !== null) await changes.apply(jobId, { kind: "queue", generation });
  }
}

interface KnownRun {
  readonly run: DueRun;
  readonly claim: ClaimedRun;
}

async function markClaimed(known: readonly KnownRun[], queuedAtMs: number, changes: JobChanges): Promise<void> {
  if (known.length === 0) return;
  await changes.loadProfiles(known.flatMap(({ claim }) => claim.profileIds));
  const jobs = known.flatMap(({ run, claim }) =>
    run.jobs.map(({ jobId, generation }, index) => ({
      i: jobId,
      g: generation,
      x: changes.newExpiryOf(claim.groupId, claim.profileIds[index] ?? 0),
      o: claim.ordered,
    })),
  );
  const marked = await changes.session.query(markJobs, [toJsonRows(jobs), queuedAtMs, queuedSortKey(queuedAtMs)]);
  for (const row of marked) {
    changes.count(row.feed_id, "pending", -1);
    changes.count(row.feed_id, "queued", 1);
  }
  for (const [groupId, rows] of Map.groupBy(marked, (row) => row.group_id)) {
    const positions: JobPosition[] = rows.map((row) => row.position);
    const change = { by: rows.length, from: Math.min(...positions), to: Math.max(...positions), nowMs: queuedAtMs };
    countOutstanding(changes.group(groupId), change);
  }
  for (const { claim } of known) changes.recomputeFeed(claim.feedId);
}

/** Jobs behind one that holds the group stay: they were not the reason, and may go with another message. */
async function failRun({ run, code }: UnpublishableRun, changes: JobChanges): Promise<void> {
  for (const { jobId, generation } of run.jobs) {
    if (changes.job(jobId) === null) continue;
    const result = await changes.apply(jobId, { kind: "unpublishable", generation, code });
    if (result.kind === "moved" && result.blocksGroup) return;
  }
}

/** QUEUED jobs without a message. Groups are taken by age; one that turns out to have none is corrected. */
async function recover(request: LostJobs, changes: JobChanges): Promise<number> {
  const { session } = changes;
  const found = await session.query(readOutstandingGroups, [request.queuedBeforeMs, request.maxJobs]);
  await changes.lockGroups(
    found.map((group) => group.id),
    "skipMissing",
  );
  let recovered = 0;
  for (const { id } of found) {
    const left = request.maxJobs - recovered;
    if (left <= 0) break;
    if (!changes.hasGroup(id)) continue;
    const group = changes.group(id);
    const rows = group.ordered
      ? await session.query(readQueuedOfRun, [id, group.run_from ?? 0, group.run_to ?? 0, left])
      : await session.query(readQueuedUnordered, [id, queuedSortKey(request.queuedBeforeMs), left]);
    await changes.loadProfiles(rows.map((row) => row.profile_id));
    const lost = rows.filter((row) => (row.queued_at ?? 0) < request.queuedBeforeMs);
    for (const row of lost) if (await recoverJob(row, changes)) recovered++;
    // All older ones are dealt with, so what is left was published after that.
    if (group.outstanding > 0 && rows.length < left) group.queued_at = request.queuedBeforeMs;
  }
  return recovered;
}

async function recoverJob(row: JobRow, changes: JobChanges): Promise<boolean> {
  changes.keepJob(row, false);
  // The first of a run takes the rest back with it, so the row at hand may be out of date.
  const current = changes.job(row.id) ?? row;
  if (current.generation !== row.generation) return current.status === statusCodes.PENDING;
  return (await changes.apply(row.id, { kind: "recover" })).kind === "moved";
}
