import { jobLimits } from "../../domain/dispatch-job.ts";
import type { JobPosition, MessageId, PoolCode } from "../../domain/ids.ts";
import type { ClaimLimits, DueJob, DueRun } from "../../ports/job-claims.ts";
import type { JobChanges } from "./job-changes.ts";
import type { ClaimStatements, DueJobRow, ReadyFeedRow, ReadyGroupRow } from "./job-claim-statements.ts";
import type { JobDirectory } from "./job-directory.ts";
import { isDue } from "../job-row.ts";
import { runMessageId } from "../run-message-id.ts";

/**
 * One pass of the scheduler over what is ready.
 *
 * Feeds are served longest waiting first, each with a share of the pass; what room is left after that goes round again.
 * One that was served goes to the end of the line when its runs are marked, so however many feeds have a backlog, each
 * has its turn after at most a share of every other.
 * Within a feed, groups come in the order they became ready. Held feeds, and groups that are held, blocked or busy, are
 * in none of the indexes read here, so a million jobs behind a pause cost nothing.
 *
 * A pass moves no job but those past their expiry, which count among the jobs it may give.
 */
export interface ClaimedRun {
  readonly groupId: number;
  readonly feedId: number;
  readonly ordered: boolean;
  readonly positions: readonly JobPosition[];
  /** By job: what `expires_clock` is ahead of the time of publication. */
  readonly lifetimesMs: readonly number[];
}

/** Runs that were claimed and not marked yet. */
export type ClaimedRuns = Map<MessageId, ClaimedRun>;

export interface ClaimPassDeps {
  readonly sql: ClaimStatements;
  readonly directory: JobDirectory;
  readonly changes: JobChanges;
  readonly claimed: ClaimedRuns;
}

/** Ready groups read at a time. */
const GROUP_CHUNK = 64;

/** How far the pass has come in one feed. */
interface FeedVisit {
  readonly feed: ReadyFeedRow;
  /** Jobs it may still get outstanding. */
  windowLeft: number;
  /** Jobs it may still get in this round. */
  shareLeft: number;
  chunk: readonly ReadyGroupRow[];
  index: number;
  /** Cursor inside the unordered group at hand. */
  lastSortKey: number;
  lastPosition: number;
  given: number;
  exhausted: boolean;
}

export class ClaimPass {
  readonly runs: DueRun[] = [];
  expired = 0;
  /** More is due than fitted. */
  more = false;
  readonly #deps: ClaimPassDeps;
  readonly #limits: ClaimLimits;
  #jobsLeft: number;
  #bytesLeft: number;

  constructor(deps: ClaimPassDeps, limits: ClaimLimits) {
    this.#deps = deps;
    this.#limits = limits;
    this.#jobsLeft = limits.maxJobs;
    this.#bytesLeft = limits.maxBytes;
  }

  run(): void {
    const { nowMs, maxJobs } = this.#limits;
    const feeds = this.#deps.sql.readyFeeds.all(nowMs, maxJobs);
    const share = Math.max(jobLimits.runMaxJobs, Math.ceil(maxJobs / Math.max(feeds.length, 1)));
    let visits = feeds.map((feed) => this.#visit(feed)).filter((visit) => visit.windowLeft > 0);
    while (visits.length > 0 && this.#hasRoom()) {
      for (const visit of visits) {
        visit.shareLeft = share;
        if (this.#hasRoom()) this.#serve(visit);
      }
      visits = visits.filter((visit) => !visit.exhausted && visit.windowLeft > 0);
    }
    this.more ||= visits.length > 0 || feeds.length === maxJobs;
  }

  #hasRoom(): boolean {
    return this.#jobsLeft > 0 && this.#bytesLeft > 0;
  }

  #visit(feed: ReadyFeedRow): FeedVisit {
    const windowLeft = this.#limits.publishWindow - feed.queued;
    if (windowLeft <= 0) {
      // Not looked at again before results make room.
      const row = this.#deps.changes.feed(feed.id);
      row.window_full = this.#limits.publishWindow;
      row.ready_at = null;
    }
    return {
      feed,
      windowLeft,
      shareLeft: 0,
      chunk: [],
      index: 0,
      lastSortKey: -1,
      lastPosition: 0,
      given: 0,
      exhausted: false,
    };
  }

  #serve(visit: FeedVisit): void {
    while (visit.shareLeft > 0 && visit.windowLeft > 0 && this.#hasRoom()) {
      const group = this.#currentGroup(visit);
      if (group === null) {
        visit.exhausted = true;
        // Its time was only a bound; what is true is told by its groups, and those just claimed are among them.
        if (visit.given === 0) this.#correctReadyTime(visit.feed.id);
        return;
      }
      if (group.ordered === 1) this.#takeRun(visit, group);
      else this.#takeSingles(visit, group);
    }
  }

  #correctReadyTime(feedId: number): void {
    this.#deps.changes.feed(feedId).ready_at = this.#deps.sql.nextGroupReady.get(feedId)?.ready_at ?? null;
  }

  #currentGroup(visit: FeedVisit): ReadyGroupRow | null {
    const group = visit.chunk[visit.index];
    if (group !== undefined) return group;
    const last = visit.chunk.at(-1);
    if (last !== undefined && visit.chunk.length < GROUP_CHUNK) return null;
    visit.chunk = this.#deps.sql.readyGroups.all(
      visit.feed.id,
      this.#limits.nowMs,
      last?.ready_at ?? -1,
      last?.id ?? 0,
      GROUP_CHUNK,
    );
    visit.index = 0;
    return visit.chunk[0] ?? null;
  }

  #room(visit: FeedVisit): number {
    return Math.min(visit.shareLeft, visit.windowLeft, this.#jobsLeft);
  }

  /** The due jobs at the head of an ordered group, as one message. */
  #takeRun(visit: FeedVisit, group: ReadyGroupRow): void {
    const { sql, changes } = this.#deps;
    visit.index++;
    const maxJobs = Math.min(jobLimits.runMaxJobs, this.#room(visit));
    const rows = sql.groupJobs.all(group.id, maxJobs);
    const run: DueJobRow[] = [];
    let bytes = 0;
    for (const row of rows) {
      if (!isDue(row, this.#limits.nowMs)) break;
      if (this.#expire(visit, row)) {
        if (changes.group(group.id).blocked_position !== null) break;
        continue;
      }
      const first = run[0];
      if (first !== undefined && !this.#fits(first, row, bytes)) break;
      run.push(row);
      bytes += row.payload_bytes;
    }
    if (run.length > 0) this.#give(visit, group, run);
    else {
      // Nothing to publish here after all: when the group is ready is decided anew at the end of the transaction.
      changes.group(group.id);
      this.more ||= rows.length === maxJobs;
    }
  }

  /** One lane, 256 KiB and the room of the pass bound a run; its first job is taken whatever its size. */
  #fits(first: DueJobRow, row: DueJobRow, bytes: number): boolean {
    const total = bytes + row.payload_bytes;
    return total <= jobLimits.runMaxBytes && total <= this.#bytesLeft && this.#lane(first) === this.#lane(row);
  }

  /** Jobs of an unordered group, each as a message of its own. */
  #takeSingles(visit: FeedVisit, group: ReadyGroupRow): void {
    const { nowMs } = this.#limits;
    const room = this.#room(visit);
    const rows = this.#deps.sql.unorderedJobs.all(group.id, nowMs, visit.lastSortKey, visit.lastPosition, room);
    for (const row of rows) {
      if (!this.#hasRoom()) return;
      visit.lastSortKey = row.sort_key;
      visit.lastPosition = row.position;
      if (!this.#expire(visit, row)) this.#give(visit, group, [row]);
    }
    if (rows.length === room) return;
    if (visit.given === 0) this.#deps.changes.group(group.id);
    visit.index++;
    visit.lastSortKey = -1;
    visit.lastPosition = 0;
  }

  /** One that has expired takes room as well: after a long outage there may be a million of them. */
  #expire(visit: FeedVisit, row: DueJobRow): boolean {
    if (row.expires_clock === null) return false;
    const expiresAtMs = this.#deps.changes.expiresAtMs(row);
    if (expiresAtMs === null || expiresAtMs > this.#limits.nowMs) return false;
    this.#deps.changes.apply(row, { kind: "expire" });
    this.expired++;
    visit.shareLeft--;
    this.#jobsLeft--;
    return true;
  }

  #lane(row: DueJobRow): PoolCode {
    return this.#deps.directory.profile(row.profile_id).poolCode;
  }

  #give(visit: FeedVisit, group: ReadyGroupRow, rows: readonly DueJobRow[]): void {
    const first = rows[0];
    if (first === undefined) return;
    const jobs: DueJob[] = rows.map((row) => ({ jobId: row.id, generation: row.generation, bytes: row.payload_bytes }));
    const ordered = group.ordered === 1;
    const messageId = runMessageId(jobs);
    this.runs.push({ messageId, lane: this.#lane(first), groupKey: ordered ? group.key : null, jobs });
    const heldMs = visit.feed.held_total_ms + group.blocked_total_ms;
    this.#deps.claimed.set(messageId, {
      groupId: group.id,
      feedId: visit.feed.id,
      ordered,
      positions: rows.map((row) => row.position),
      lifetimesMs: rows.map((row) => this.#deps.directory.profile(row.profile_id).maxAgeSeconds * 1_000 - heldMs),
    });
    visit.given += rows.length;
    visit.shareLeft -= rows.length;
    visit.windowLeft -= rows.length;
    this.#jobsLeft -= rows.length;
    for (const row of rows) this.#bytesLeft -= row.payload_bytes;
  }
}
