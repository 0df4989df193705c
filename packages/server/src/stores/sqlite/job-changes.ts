import type { Random } from "@flowcatalyst/foundation";
import { jobLimits, type DeliveryProfile, type HeldReason, type JobStatus } from "../../domain/dispatch-job.ts";
import { jobGenerationKey, type JobId, type JobPosition } from "../../domain/ids.ts";
import { isFinal, transition, type JobCommand, type JobState, type Transition } from "../../domain/job-state.ts";
import type { ChangeStatements, FeedRow, GroupHead, GroupRow } from "./job-change-statements.ts";
import type { JobDirectory } from "./job-directory.ts";
import { feedClock, groupClock, isDue, sortKey, statusCodes, toJobState, type JobRow } from "../job-row.ts";

/**
 * The changes one transaction makes to jobs.
 *
 * Jobs are written as they move. Their groups and feeds are loaded once, kept here while the transaction lasts, and
 * written once each by `settle`, which decides when each is ready next. So a batch of results costs two writes a job
 * and one a group, however many of its jobs were in the batch.
 *
 * One instance serves one transaction and is thrown away after it.
 */
export type CounterName = "pending" | "queued" | "completed" | "failed" | "cancelled" | "expired";

const counterNames: Readonly<Record<JobStatus, CounterName>> = {
  PENDING: "pending",
  QUEUED: "queued",
  COMPLETED: "completed",
  FAILED: "failed",
  CANCELLED: "cancelled",
  EXPIRED: "expired",
};

export interface JobChangesDeps {
  readonly directory: JobDirectory;
  readonly random: Pick<Random, "next">;
}

/** A group, and what this transaction found and did. */
interface GroupWork {
  readonly row: GroupRow;
  /** What the row held when it was loaded: decides what has to be written. */
  readonly before: Readonly<GroupRow>;
}

export class JobChanges {
  readonly nowMs: number;
  /** QUEUED jobs that were cancelled, by `jobGenerationKey`: routers have to be told. */
  readonly cancelledQueued: string[] = [];
  /** A pause changed: routers have to be told. */
  controlChanged = false;
  readonly #deps: JobChangesDeps;
  readonly #sql: ChangeStatements;
  readonly #feeds = new Map<number, FeedRow>();
  readonly #groups = new Map<number, GroupWork>();

  constructor(deps: JobChangesDeps, sql: ChangeStatements, nowMs: number) {
    this.#deps = deps;
    this.#sql = sql;
    this.nowMs = nowMs;
  }

  feed(id: number): FeedRow {
    let feed = this.#feeds.get(id);
    if (feed === undefined) {
      feed = this.#sql.feed.get(id) ?? undefined;
      if (feed === undefined) throw new Error(`No feed ${id}`);
      this.#feeds.set(id, feed);
    }
    return feed;
  }

  /** After a feed was held or released by a statement of its own. */
  reloadHold(id: number): void {
    const stored = this.#sql.feed.get(id);
    if (stored === null) throw new Error(`No feed ${id}`);
    const feed = this.feed(id);
    feed.held_since = stored.held_since;
    feed.held_total_ms = stored.held_total_ms;
  }

  /** Loads the group; `settle` then decides anew when it is ready. */
  group(id: number): GroupRow {
    let work = this.#groups.get(id);
    if (work === undefined) {
      const row = this.#sql.group.get(id);
      if (row === null) throw new Error(`No group ${id}`);
      work = { row, before: { ...row } };
      this.#groups.set(id, work);
    }
    return work.row;
  }

  profile(row: JobRow): DeliveryProfile {
    return this.#deps.directory.profile(row.profile_id);
  }

  job(id: JobId): JobRow | null {
    return this.#sql.jobById.get(id);
  }

  /** Null: not published yet, so no expiry yet. */
  expiresAtMs(row: JobRow): number | null {
    if (row.expires_clock === null) return null;
    return this.nowMs + row.expires_clock - this.#clock(row);
  }

  /** The value of `expires_clock` for a job that is published now. */
  newExpiry(row: JobRow): number {
    return this.#clock(row) + this.profile(row).maxAgeSeconds * 1_000;
  }

  /** The job is counted in another feed from now on. */
  moveCount(from: JobRow, to: JobRow): void {
    if (from.feed_id === to.feed_id) return;
    const counter = counterNames[toJobState(from).status];
    this.feed(from.feed_id)[counter]--;
    this.feed(to.feed_id)[counter]++;
  }

  /** Applies a command to a job and writes what comes of it. */
  apply(row: JobRow, command: JobCommand): Transition {
    const group = this.group(row.group_id);
    const profile = this.profile(row);
    const state = toJobState(row);
    const result = transition(state, command, {
      nowMs: this.nowMs,
      expiresAtMs: this.expiresAtMs(row),
      retry: profile.retry,
      mode: profile.mode,
      ordered: group.ordered === 1,
      random: this.#deps.random.next(),
    });
    if (result.kind === "unchanged") return result;
    const next = result.state;
    this.#write(row, next, result.clearsExpiry);
    this.#count(row, state.status, next.status);
    this.#follow(group, row, next);
    if (command.kind === "cancel" && state.status === "QUEUED") this.#noteCancelled(row);
    if (result.takesBackRest) this.#takeBackRest(group, row.position);
    if (result.blocksGroup) this.#block(group, row.position);
    else if (group.blocked_position === row.position) this.unblock(group);
    return result;
  }

  /** The group goes on; the time it was blocked does not count towards anybody's expiry. */
  unblock(group: GroupRow): void {
    const clock = feedClock(this.feed(group.feed_id), this.nowMs);
    group.blocked_total_ms += Math.max(0, clock - (group.blocked_since ?? clock));
    group.blocked_position = null;
    group.blocked_since = null;
  }

  /**
   * The feed is ready at that time at the latest, and not before now, because how long its oldest job has been waiting
   * gives it no turn before others that wait for theirs. A full window opens by results only.
   */
  feedReady(feed: FeedRow, readyAtMs: number): void {
    if (feed.window_full !== null) return;
    const fromMs = Math.max(readyAtMs, this.nowMs);
    if (feed.ready_at === null || feed.ready_at > fromMs) feed.ready_at = fromMs;
  }

  /** Writes groups and feeds. True: something may be ready earlier than before. */
  settle(): boolean {
    for (const work of this.#groups.values()) this.#settleGroup(work);
    let wake = false;
    for (const feed of this.#feeds.values()) {
      if (feed.window_full !== null && feed.queued < feed.window_full) {
        feed.window_full = null;
        feed.ready_at = this.nowMs;
      }
      this.#sql.writeFeed.run(
        feed.id,
        feed.ready_at,
        feed.window_full,
        feed.pending,
        feed.queued,
        feed.completed,
        feed.failed,
        feed.cancelled,
        feed.expired,
      );
      wake ||= feed.ready_at !== null && feed.held_since === null;
    }
    return wake;
  }

  #noteCancelled(row: JobRow): void {
    this.cancelledQueued.push(jobGenerationKey(row.id, row.generation));
  }

  #clock(row: JobRow): number {
    return groupClock(feedClock(this.feed(row.feed_id), this.nowMs), this.group(row.group_id));
  }

  #write(row: JobRow, next: JobState, clearsExpiry: boolean): void {
    const status = statusCodes[next.status];
    const expiresClock = next.status === "QUEUED" ? (row.expires_clock ?? this.newExpiry(row)) : row.expires_clock;
    if (isFinal(next.status)) {
      this.#sql.finishJob.run(
        row.position,
        status,
        next.attemptCount,
        next.generationAttempts,
        row.unburnt_attempts,
        this.nowMs,
        next.lastError,
      );
      return;
    }
    this.#sql.rewriteJob.run(
      row.position,
      status,
      next.generation,
      next.attemptCount,
      next.generationAttempts,
      row.unburnt_attempts,
      next.dueAtMs,
      next.queuedAtMs,
      clearsExpiry ? null : expiresClock,
      next.replayCount,
      this.nowMs,
      next.lastError,
      sortKey(next, row.position, this.group(row.group_id).ordered === 1),
    );
  }

  #count(row: JobRow, from: JobStatus, to: JobStatus): void {
    const feed = this.feed(row.feed_id);
    feed[counterNames[from]]--;
    feed[counterNames[to]]++;
  }

  /** Keeps what the group knows of its outstanding jobs. */
  #follow(group: GroupRow, row: JobRow, next: JobState): void {
    const wasQueued = row.status === statusCodes.QUEUED;
    const isQueued = next.status === "QUEUED";
    if (wasQueued === isQueued) return;
    group.outstanding += isQueued ? 1 : -1;
    if (isQueued) {
      group.queued_at ??= this.nowMs;
      group.run_from = Math.min(group.run_from ?? row.position, row.position);
      group.run_to = Math.max(group.run_to ?? row.position, row.position);
    } else if (group.outstanding === 0) {
      group.queued_at = null;
      group.run_from = null;
      group.run_to = null;
    }
  }

  #takeBackRest(group: GroupRow, position: JobPosition): void {
    for (const rest of this.#sql.restOfRun.all(group.id, position, jobLimits.runMaxJobs - 1)) {
      this.apply(rest, { kind: "takeBack" });
    }
  }

  #block(group: GroupRow, position: JobPosition): void {
    if (group.blocked_position !== null) return;
    group.blocked_position = position;
    group.blocked_since = feedClock(this.feed(group.feed_id), this.nowMs);
  }

  #settleGroup(work: GroupWork): void {
    const { row, before } = work;
    this.#decideReadiness(row);
    const same =
      row.ready_at === before.ready_at &&
      row.queued_at === before.queued_at &&
      row.held_reason === before.held_reason &&
      row.blocked_position === before.blocked_position &&
      row.blocked_total_ms === before.blocked_total_ms &&
      row.run_from === before.run_from &&
      row.run_to === before.run_to;
    // A run that goes on is the usual case, and touches no index.
    if (same && row.outstanding !== before.outstanding) this.#sql.writeOutstanding.run(row.id, row.outstanding);
    else if (!same) {
      this.#sql.writeGroup.run(
        row.id,
        row.ready_at,
        row.outstanding,
        row.queued_at,
        row.run_from,
        row.run_to,
        row.held_reason,
        row.held_since,
        row.blocked_position,
        row.blocked_since,
        row.blocked_total_ms,
        this.nowMs,
      );
    }
    if (row.ready_at !== null) this.feedReady(this.feed(row.feed_id), row.ready_at);
  }

  #decideReadiness(group: GroupRow): void {
    const ordered = group.ordered === 1;
    if (group.blocked_position !== null) return this.#hold(group, "GROUP_BLOCKED", null);
    if (ordered && group.outstanding > 0) return this.#hold(group, null, null);
    const head = this.#sql.groupHead.get(group.id);
    if (head === null) return this.#hold(group, null, null);
    // An unordered group is never held as a whole: each of its jobs has its own time.
    if (!ordered) return this.#hold(group, null, head.due_at);
    if (!isDue(head, this.nowMs)) return this.#hold(group, waitingReason(head), head.due_at);
    // At its turn's end a group queues up behind the others that are ready; one that was ready keeps its place.
    const kept = group.ready_at !== null && group.ready_at <= this.nowMs;
    return this.#hold(group, null, kept ? group.ready_at : this.nowMs);
  }

  #hold(group: GroupRow, reason: HeldReason | null, readyAtMs: number | null): void {
    group.ready_at = readyAtMs;
    if (group.held_reason === reason) return;
    group.held_reason = reason;
    group.held_since = reason === null ? null : this.nowMs;
  }
}

/** Parked after a try or a release, or never tried and not due before a set time. */
function waitingReason(head: GroupHead): HeldReason {
  return head.generation > 1 || head.attempt_count > 0 ? "WAITING_RETRY" : "SCHEDULED";
}
