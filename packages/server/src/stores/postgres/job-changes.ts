import type { Random } from "@flowcatalyst/foundation";
import { jobLimits, type DeliveryProfile, type HeldReason, type JobStatus } from "../../domain/dispatch-job.ts";
import { jobGenerationKey, type JobId } from "../../domain/ids.ts";
import { isFinal, transition, type JobCommand, type JobState, type Transition } from "../../domain/job-state.ts";
import { toJsonRows } from "../../postgres/statement.ts";
import type { PostgresSession } from "../../postgres/postgres-database.ts";
import { feedClock, groupClock, isDue, sortKey, statusCodes, toJobState, type JobRow } from "../job-row.ts";
import {
  finishJobs,
  lockFeeds,
  lockGroups,
  lockGroupsOfJobs,
  readFinalJobs,
  readGroupHeads,
  readOpenJobs,
  readRestOfRun,
  reopenJobs,
  rewriteFinalJobs,
  rewriteOpenJobs,
  writeFeeds,
  writeGroups,
  writeGroupsAndFeeds,
  type FeedChange,
  type FeedPart,
  type GroupHead,
  type GroupRow,
  type WrittenFeed,
} from "./job-change-statements.ts";
import { countOutstanding, isChanged, isClosed, waitingReason } from "./group-rules.ts";
import type { JobDirectory } from "./job-directory.ts";

/**
 * The changes one transaction makes to jobs, in memory until they are written, each kind in one statement.
 *
 * Groups are locked first, in the order of their ids, by whoever changes any of their jobs; so what is read of a group
 * and its jobs afterwards is true until the commit. Jobs move by the state machine of domain/job-state.ts and are
 * written by `flush`. `settle` decides when each group is ready next and writes groups and, last, feeds. A feed is what
 * many transactions meet in: it is not locked before, what is written to it is added to what is there, and so it is
 * held for no longer than the commit takes.
 *
 * One instance serves one transaction and is thrown away after it.
 */
export interface JobChangesDeps {
  readonly session: PostgresSession;
  readonly directory: JobDirectory;
  readonly random: Pick<Random, "next">;
}

/** A reference from the directory names a row that housekeeping has dropped: forget it and begin again. */
export class StaleDirectory extends Error {}

const counterNames = {
  PENDING: "pending",
  QUEUED: "queued",
  COMPLETED: "completed",
  FAILED: "failed",
  CANCELLED: "cancelled",
  EXPIRED: "expired",
} as const satisfies Record<JobStatus, string>;

export type CounterName = (typeof counterNames)[JobStatus];

interface GroupWork {
  readonly row: GroupRow;
  /** What the row held when it was locked: decides whether it has to be written. */
  readonly before: Readonly<GroupRow>;
  /** `settle` looks at its next job. */
  undecided: boolean;
}

interface FeedWork extends Record<CounterName, number> {
  readonly id: number;
  ready_at: number | null;
  window: number | null;
  recompute: boolean;
}

interface JobWork {
  row: JobRow;
  /** Where it is counted. */
  feedId: number;
  storedFinal: boolean;
  dirty: boolean;
}

export class JobChanges {
  readonly nowMs: number;
  readonly session: PostgresSession;
  /** QUEUED jobs that were cancelled, by `jobGenerationKey`: routers have to be told. */
  readonly cancelledQueued: string[] = [];
  /** A pause changed: routers have to be told. */
  controlChanged = false;
  readonly #deps: JobChangesDeps;
  readonly #groups = new Map<number, GroupWork>();
  readonly #clocks = new Map<number, number>();
  readonly #feeds = new Map<number, FeedWork>();
  readonly #jobs = new Map<JobId, JobWork>();
  readonly #profiles = new Map<number, DeliveryProfile>();
  readonly #last: (() => Promise<void>)[] = [];

  constructor(deps: JobChangesDeps, nowMs: number) {
    this.#deps = deps;
    this.session = deps.session;
    this.nowMs = nowMs;
  }

  /** Locks groups and keeps them. Throws StaleDirectory if one is missing, unless that is expected. */
  async lockGroups(ids: Iterable<number>, whenMissing: "throw" | "skipMissing" = "throw"): Promise<void> {
    const missing = [...new Set(ids)].filter((id) => !this.#groups.has(id));
    if (missing.length === 0) return;
    for (const row of await this.session.query(lockGroups, [JSON.stringify(missing)])) this.#keepGroup(row);
    if (whenMissing === "skipMissing") return;
    for (const id of missing) if (!this.#groups.has(id)) throw new StaleDirectory(`No group ${id}`);
  }

  /** It was locked, and is there. */
  hasGroup(id: number): boolean {
    return this.#groups.has(id);
  }

  /** Locks the groups of those of the jobs that are open. */
  async lockGroupsOfJobs(ids: readonly JobId[]): Promise<void> {
    for (const row of await this.session.query(lockGroupsOfJobs, [JSON.stringify(ids)])) this.#keepGroup(row);
  }

  /** Loads jobs, the groups of the open ones locked first. Those that do not exist are left out. */
  async loadJobs(ids: readonly JobId[]): Promise<void> {
    const unknown = [...new Set(ids)].filter((id) => !this.#jobs.has(id));
    if (unknown.length === 0) return;
    await this.lockGroupsOfJobs(unknown);
    await this.loadJobsOfLockedGroups(unknown);
  }

  async loadJobsOfLockedGroups(ids: readonly JobId[]): Promise<void> {
    for (const row of await this.session.query(readOpenJobs, [JSON.stringify(ids)])) this.keepJob(row, false);
    const rest = ids.filter((id) => !this.#jobs.has(id));
    const found = rest.length === 0 ? [] : await this.session.query(readFinalJobs, [JSON.stringify(rest)]);
    for (const row of found) this.keepJob(row, true);
    const profiles = [...this.#jobs.values()].map(({ row }) => row.profile_id);
    await this.loadProfiles(profiles);
  }

  /** Kept to the end of the transaction, whatever the directory forgets meanwhile. */
  async loadProfiles(ids: Iterable<number>): Promise<void> {
    const missing = [...new Set(ids)].filter((id) => !this.#profiles.has(id));
    for (const [id, profile] of await this.#deps.directory.loadProfiles(this.session, missing)) {
      this.#profiles.set(id, profile);
    }
  }

  /** A row that was read under the lock of its group. */
  keepJob(row: JobRow, storedFinal: boolean): void {
    if (!this.#jobs.has(row.id)) this.#jobs.set(row.id, { row, feedId: row.feed_id, storedFinal, dirty: false });
  }

  /** The job as it is now in this transaction; null: it was not loaded, or does not exist. */
  job(id: JobId): JobRow | null {
    return this.#jobs.get(id)?.row ?? null;
  }

  /** A group that was locked. `settle` decides anew when it is ready. */
  group(id: number): GroupRow {
    const work = this.#work(id);
    work.undecided = true;
    return work.row;
  }

  /** Where the jobs of a group that was locked are counted. */
  feedOfGroup(id: number): number {
    return this.#work(id).row.feed_id;
  }

  /** New jobs at the end of the group: whether it is ready is decided here, without looking at its other jobs. */
  addedToGroup(id: number, added: { readonly dueAtMs: number; readonly lowestSortKey: number }): void {
    const { row } = this.#work(id);
    row.head_from = Math.min(row.head_from, added.lowestSortKey);
    if (!row.ordered) row.ready_at = Math.min(row.ready_at ?? added.dueAtMs, added.dueAtMs);
    else if (row.ready_at !== null || row.outstanding > 0 || row.blocked_job_id !== null) return;
    else {
      const waits = added.dueAtMs > this.nowMs;
      this.#hold(row, waits ? "SCHEDULED" : null, Math.max(added.dueAtMs, this.nowMs));
    }
    this.feedReady(row.feed_id, row.ready_at ?? added.dueAtMs);
  }

  profile(row: JobRow): DeliveryProfile {
    return this.#profile(row.profile_id);
  }

  /** Null: not published yet, so no expiry yet. */
  expiresAtMs(row: JobRow): number | null {
    if (row.expires_clock === null) return null;
    return this.nowMs + row.expires_clock - this.groupTime(row.group_id);
  }

  /** The value of `expires_clock` for a job that is published now. */
  newExpiryOf(groupId: number, profileId: number): number {
    return this.groupTime(groupId) + this.#profile(profileId).maxAgeSeconds * 1_000;
  }

  /** The time on the clock of a group that was locked. */
  groupTime(groupId: number): number {
    const { row } = this.#work(groupId);
    return groupClock(this.#feedTime(row.feed_id), row);
  }

  /**
   * Moves a final job to a group that was locked, its own having been dropped as idle. It is written, and counted in
   * the feed of that group, if it is opened again.
   */
  moveToGroup(id: JobId, group: { readonly id: number; readonly feedId: number }): void {
    const work = this.#jobs.get(id);
    if (work === undefined || !work.storedFinal) throw new Error(`Job ${id} is not a final one`);
    work.row = { ...work.row, group_id: group.id, feed_id: group.feedId };
  }

  /** Applies a command to a loaded job whose group is locked. */
  async apply(id: JobId, command: JobCommand, unburntAttempts?: number): Promise<Transition> {
    const work = this.#jobs.get(id);
    if (work === undefined) throw new Error(`Job ${id} was not loaded`);
    const row = unburntAttempts === undefined ? work.row : { ...work.row, unburnt_attempts: unburntAttempts };
    const state = toJobState(row);
    // Only these two change a final job; who gives another command need not have locked its group.
    if (isFinal(state.status) && command.kind !== "cancel" && command.kind !== "retry") {
      return { kind: "unchanged", reason: command.kind === "report" ? "FINAL" : "NOT_ALLOWED" };
    }
    const group = this.group(row.group_id);
    const profile = this.profile(row);
    const result = transition(state, command, {
      nowMs: this.nowMs,
      expiresAtMs: this.expiresAtMs(row),
      retry: profile.retry,
      mode: profile.mode,
      ordered: group.ordered,
      random: this.#deps.random.next(),
    });
    if (result.kind === "unchanged") return result;
    work.row = this.#moved(row, result.state, result.clearsExpiry);
    work.dirty = true;
    this.count(work.feedId, counterNames[state.status], -1);
    if (!isFinal(result.state.status)) work.feedId = row.feed_id;
    this.count(work.feedId, counterNames[result.state.status], 1);
    this.#follow(group, row, work.row);
    if (command.kind === "cancel" && state.status === "QUEUED") {
      this.cancelledQueued.push(jobGenerationKey(row.id, row.generation));
    }
    if (result.takesBackRest) await this.#takeBackRest(group, row);
    if (result.blocksGroup) this.#block(group, row.id);
    else if (group.blocked_job_id === row.id) this.unblock(group);
    return result;
  }

  /** Only what is kept of attempts that burnt nothing; the job itself stays as it is. */
  noteUnburnt(id: JobId, unburntAttempts: number): void {
    const work = this.#jobs.get(id);
    if (work === undefined) return;
    work.row = { ...work.row, unburnt_attempts: unburntAttempts };
    work.dirty = true;
  }

  /** The group goes on; the time it was blocked does not count towards anybody's expiry. */
  unblock(group: GroupRow): void {
    const clock = this.#feedTime(group.feed_id);
    group.blocked_total_ms += Math.max(0, clock - (group.blocked_since ?? clock));
    group.blocked_job_id = null;
    group.blocked_since = null;
  }

  /** Jobs of one status more or less in a feed. */
  count(feedId: number, counter: CounterName, by: number): void {
    this.#feed(feedId)[counter] += by;
  }

  /**
   * The feed is ready at that time at the latest, and not before now, because how long its oldest job has been waiting
   * gives it no turn before others that wait for theirs.
   */
  feedReady(feedId: number, readyAtMs: number): void {
    const feed = this.#feed(feedId);
    feed.ready_at = Math.min(feed.ready_at ?? Number.POSITIVE_INFINITY, Math.max(readyAtMs, this.nowMs));
  }

  /** It has had its turn: what is left of it comes after everybody who waits already. */
  recomputeFeed(feedId: number): void {
    this.#feed(feedId).recompute = true;
  }

  /** It was found with as many jobs out as it may have. */
  closeWindow(feedId: number, window: number): void {
    this.#feed(feedId).window = window;
  }

  /** Done after feeds are written: what locks feeds, or rows that everybody meets in. */
  beforeCommit(work: () => Promise<void>): void {
    this.#last.push(work);
  }

  /** Writes the jobs that have moved so far. */
  async flush(): Promise<void> {
    const dirty = [...this.#jobs.values()].filter((work) => work.dirty);
    if (dirty.length === 0) return;
    const kinds = [
      { statement: rewriteOpenJobs, fromFinal: false, toFinal: false },
      { statement: finishJobs, fromFinal: false, toFinal: true },
      { statement: reopenJobs, fromFinal: true, toFinal: false },
      { statement: rewriteFinalJobs, fromFinal: true, toFinal: true },
    ] as const;
    for (const { statement, fromFinal, toFinal } of kinds) {
      const works = dirty.filter((work) => work.storedFinal === fromFinal && isFinalRow(work.row) === toFinal);
      if (works.length === 0) continue;
      await this.session.run(statement, [toJsonRows(works.map((work) => this.#toStored(work.row)))]);
      for (const work of works) {
        work.storedFinal = toFinal;
        work.dirty = false;
      }
    }
  }

  /** Writes jobs, groups and feeds. True: something may be ready earlier than before. */
  async settle(): Promise<boolean> {
    await this.flush();
    await this.#decideReadiness();
    const ready = await this.#writeGroupsAndFeeds();
    for (const work of this.#last) await work();
    return ready;
  }

  async #writeGroupsAndFeeds(): Promise<boolean> {
    const groups = [...this.#groups.values()].filter(isChanged).map(({ row }) => row);
    const feeds: readonly FeedChange[] = [...this.#feeds.values()].toSorted((a, b) => a.id - b.id);
    if (feeds.length === 0) {
      if (groups.length > 0) await this.session.run(writeGroups, [toJsonRows(groups), this.nowMs]);
      return false;
    }
    const written = await this.#write(groups, feeds);
    if (written.length < feeds.length) throw new StaleDirectory("A feed is gone");
    return written.some((feed) => feed.ready_at !== null && feed.held_since === null);
  }

  async #write(groups: readonly GroupRow[], feeds: readonly FeedChange[]): Promise<readonly WrittenFeed[]> {
    const { session, nowMs } = this;
    const changes = toJsonRows(feeds);
    if (!feeds.some((feed) => feed.recompute)) {
      if (groups.length === 0) return session.query(writeFeeds, [changes, nowMs]);
      return session.query(writeGroupsAndFeeds, [toJsonRows(groups), changes, nowMs]);
    }
    if (groups.length > 0) await session.run(writeGroups, [toJsonRows(groups), nowMs]);
    await session.query(lockFeeds, [JSON.stringify(feeds.map((feed) => feed.id))]);
    return session.query(writeFeeds, [changes, nowMs]);
  }

  #keepGroup({ feed_held_since, feed_held_total_ms, ...row }: GroupRow & FeedPart): void {
    if (this.#groups.has(row.id)) return;
    this.#groups.set(row.id, { row, before: { ...row }, undecided: false });
    const clock = { held_since: feed_held_since, held_total_ms: feed_held_total_ms };
    this.#clocks.set(row.feed_id, feedClock(clock, this.nowMs));
  }

  #work(id: number): GroupWork {
    const work = this.#groups.get(id);
    if (work === undefined) throw new Error(`Group ${id} was not locked`);
    return work;
  }

  #feedTime(feedId: number): number {
    const time = this.#clocks.get(feedId);
    if (time === undefined) throw new Error(`No group of feed ${feedId} was locked`);
    return time;
  }

  #profile(id: number): DeliveryProfile {
    const profile = this.#profiles.get(id);
    if (profile === undefined) throw new Error(`Delivery profile ${id} was not loaded`);
    return profile;
  }

  #feed(id: number): FeedWork {
    let feed = this.#feeds.get(id);
    if (feed === undefined) {
      const counters = { pending: 0, queued: 0, completed: 0, failed: 0, cancelled: 0, expired: 0 };
      feed = { id, ...counters, ready_at: null, window: null, recompute: false };
      this.#feeds.set(id, feed);
    }
    return feed;
  }

  #moved(row: JobRow, next: JobState, clearsExpiry: boolean): JobRow {
    const expires =
      next.status === "QUEUED"
        ? (row.expires_clock ?? this.newExpiryOf(row.group_id, row.profile_id))
        : row.expires_clock;
    return {
      ...row,
      status: statusCodes[next.status],
      generation: next.generation,
      attempt_count: next.attemptCount,
      generation_attempts: next.generationAttempts,
      due_at: next.dueAtMs,
      queued_at: next.queuedAtMs,
      expires_clock: clearsExpiry ? null : expires,
      replay_count: next.replayCount,
      updated_at: this.nowMs,
      last_error: next.lastError,
    };
  }

  #toStored(row: JobRow): object {
    if (isFinalRow(row)) return row;
    const { ordered } = this.#work(row.group_id).row;
    return { ...row, sort_key: sortKey(toJobState(row), row.position, ordered) };
  }

  /** Keeps what the group knows of its jobs. */
  #follow(group: GroupRow, from: JobRow, to: JobRow): void {
    if (to.status === statusCodes.PENDING) {
      group.head_from = Math.min(group.head_from, sortKey(toJobState(to), to.position, group.ordered));
    }
    const wasQueued = from.status === statusCodes.QUEUED;
    const isQueued = to.status === statusCodes.QUEUED;
    if (wasQueued !== isQueued)
      countOutstanding(group, { by: isQueued ? 1 : -1, from: to.position, nowMs: this.nowMs });
  }

  async #takeBackRest(group: GroupRow, row: JobRow): Promise<void> {
    await this.flush();
    const limit = jobLimits.runMaxJobs - 1;
    const rest = await this.session.query(readRestOfRun, [group.id, row.position, limit]);
    await this.loadProfiles(rest.map((found) => found.profile_id));
    for (const found of rest) {
      this.keepJob(found, false);
      await this.apply(found.id, { kind: "takeBack" });
    }
  }

  #block(group: GroupRow, id: JobId): void {
    if (group.blocked_job_id !== null) return;
    group.blocked_job_id = id;
    group.blocked_since = this.#feedTime(group.feed_id);
  }

  async #decideReadiness(): Promise<void> {
    const works = [...this.#groups.values()].filter((work) => work.undecided);
    const looked = works.map(({ row }) => row).filter((row) => !isClosed(row));
    const heads = new Map<number, GroupHead>();
    if (looked.length > 0) {
      const asked = JSON.stringify(looked.map(({ id, head_from }) => ({ id, head_from })));
      for (const head of await this.session.query(readGroupHeads, [asked])) heads.set(head.group_id, head);
    }
    for (const { row } of works) {
      this.#decide(row, heads.get(row.id) ?? null);
      if (row.ready_at !== null) this.feedReady(row.feed_id, row.ready_at);
    }
  }

  #decide(group: GroupRow, head: GroupHead | null): void {
    if (group.blocked_job_id !== null) return this.#hold(group, "GROUP_BLOCKED", null);
    if (isClosed(group) || head === null) return this.#hold(group, null, null);
    group.head_from = head.sort_key;
    // An unordered group is never held as a whole: each of its jobs has its own time.
    if (!group.ordered) return this.#hold(group, null, head.due_at);
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

function isFinalRow(row: JobRow): boolean {
  return row.status !== statusCodes.PENDING && row.status !== statusCodes.QUEUED;
}
