import { jobLimits } from "../../domain/dispatch-job.ts";
import type { JobId, JobPosition, MessageId, PoolCode } from "../../domain/ids.ts";
import type { ClaimLimits, DueRun } from "../../ports/job-claims.ts";
import type { PostgresSession } from "../../postgres/postgres-database.ts";
import { isDue } from "../job-row.ts";
import { runMessageId } from "../run-message-id.ts";
import {
  readReadyFeeds,
  readReadyGroups,
  readRuns,
  readSingles,
  type DueJobRow,
  type ReadyFeedRow,
  type ReadyGroupRow,
} from "./job-claim-statements.ts";
import type { JobDirectory } from "./job-directory.ts";

/**
 * One pass of the scheduler over what is ready.
 *
 * Feeds are served longest waiting first, each with a share of the pass; what room is left after that goes round again.
 * One that was served goes to the end of the line when its runs are marked, so however many feeds have a backlog, each
 * has its turn after at most a share of every other. Within a feed, groups come in the order they became ready. Held
 * feeds, and groups that are held, blocked or busy, are in none of the indexes read here, so a million jobs behind a
 * pause cost nothing.
 *
 * The pass reads and locks nothing: whoever moves a group meanwhile is found out when the runs are marked. It reads in
 * few statements, whatever the number of feeds and groups: groups of all feeds at once, then jobs of as many groups as
 * are likely to fill the pass, by the length runs had of late.
 *
 * Jobs past their expiry are handed to `expire` before anything of their group is given; they count among the jobs a
 * pass may give. What turns out not to be ready after all is noted in `corrections`.
 */
export interface ClaimedRun {
  readonly groupId: number;
  readonly feedId: number;
  readonly ordered: boolean;
  readonly profileIds: readonly number[];
}

/** Runs that were claimed and not marked yet. */
export type ClaimedRuns = Map<MessageId, ClaimedRun>;

export interface ClaimPassDeps {
  readonly session: PostgresSession;
  readonly directory: JobDirectory;
  readonly claimed: ClaimedRuns;
  /** Jobs a run had of late, on average: at least 1. */
  readonly runJobs: number;
  /** Moves jobs that are past their expiry; answers which really were. */
  expire(ids: readonly JobId[]): Promise<ReadonlySet<JobId>>;
}

/** What a pass found to be other than stored. */
export interface ClaimCorrections {
  readonly fullFeeds: number[];
  readonly idleFeeds: number[];
  readonly idleGroups: number[];
}

/** Groups of a feed that are read at once, at least. */
const GROUP_CHUNK_MIN = 16;

interface GroupVisit {
  readonly group: ReadyGroupRow;
  afterKey: number;
  afterPosition: number;
  given: number;
}

/** How far the pass has come in one feed. */
interface FeedVisit {
  readonly feed: ReadyFeedRow;
  /** Jobs it may still get outstanding. */
  windowLeft: number;
  /** Jobs it may still get in this round. */
  shareLeft: number;
  groups: GroupVisit[];
  index: number;
  moreGroups: boolean;
  given: number;
}

interface Pick {
  readonly visit: FeedVisit;
  readonly groupVisit: GroupVisit;
  readonly max: number;
}

export class ClaimPass {
  readonly runs: DueRun[] = [];
  expired = 0;
  /** More is due than fitted. */
  more = false;
  readonly corrections: ClaimCorrections = { fullFeeds: [], idleFeeds: [], idleGroups: [] };
  readonly #deps: ClaimPassDeps;
  readonly #limits: ClaimLimits;
  /** By profile. */
  readonly #lanes = new Map<number, PoolCode>();
  #jobsLeft: number;
  #bytesLeft: number;

  constructor(deps: ClaimPassDeps, limits: ClaimLimits) {
    this.#deps = deps;
    this.#limits = limits;
    this.#jobsLeft = limits.maxJobs;
    this.#bytesLeft = limits.maxBytes;
  }

  async run(): Promise<void> {
    const { nowMs, maxJobs } = this.#limits;
    const feeds = await this.#deps.session.query(readReadyFeeds, [nowMs, maxJobs]);
    const share = Math.max(jobLimits.runMaxJobs, Math.ceil(maxJobs / Math.max(feeds.length, 1)));
    let visits = feeds.map((feed) => this.#visit(feed)).filter((visit) => visit.windowLeft > 0);
    while (visits.length > 0 && this.#hasRoom()) {
      for (const visit of visits) visit.shareLeft = share;
      await this.#round(visits, share);
      visits = visits.filter((visit) => this.#goesOn(visit));
    }
    this.more ||= visits.length > 0 || feeds.length === maxJobs;
  }

  #hasRoom(): boolean {
    return this.#jobsLeft > 0 && this.#bytesLeft > 0;
  }

  #visit(feed: ReadyFeedRow): FeedVisit {
    const windowLeft = this.#limits.publishWindow - feed.queued;
    if (windowLeft <= 0) this.corrections.fullFeeds.push(feed.id);
    return { feed, windowLeft, shareLeft: 0, groups: [], index: 0, moreGroups: true, given: 0 };
  }

  /** Each feed gets its share, or what it has. */
  async #round(visits: readonly FeedVisit[], share: number): Promise<void> {
    while (this.#hasRoom()) {
      await this.#readGroups(visits, share);
      const picks = this.#pick(visits);
      if (picks.length === 0) return;
      const rows = await this.#readJobs(picks);
      for (const pick of picks) this.#serve(pick, rows.get(pick.groupVisit.group.id) ?? []);
    }
  }

  #goesOn(visit: FeedVisit): boolean {
    if (visit.index < visit.groups.length || visit.moreGroups) return visit.windowLeft > 0;
    // Its time was only a bound; what is true is told by its groups, and those just claimed are among them.
    if (visit.given === 0) this.corrections.idleFeeds.push(visit.feed.id);
    return false;
  }

  async #readGroups(visits: readonly FeedVisit[], share: number): Promise<void> {
    const empty = visits.filter((visit) => visit.moreGroups && visit.index >= visit.groups.length && roomOf(visit) > 0);
    if (empty.length === 0) return;
    const limit = Math.max(GROUP_CHUNK_MIN, Math.ceil(share / this.#deps.runJobs));
    const asked = empty.map((visit) => {
      const last = visit.groups.at(-1)?.group;
      return { feed: visit.feed.id, afterReadyAt: last?.ready_at ?? -1, afterId: last?.id ?? 0 };
    });
    const rows = await this.#deps.session.query(readReadyGroups, [JSON.stringify(asked), this.#limits.nowMs, limit]);
    const byFeed = Map.groupBy(rows, (row) => row.feed_id);
    for (const visit of empty) {
      const found = byFeed.get(visit.feed.id) ?? [];
      visit.moreGroups = found.length === limit;
      visit.groups = found.map(toGroupVisit);
      visit.index = 0;
    }
  }

  /** Groups that are likely to fill what room there is, in the order they are served. */
  #pick(visits: readonly FeedVisit[]): Pick[] {
    const picks: Pick[] = [];
    let left = this.#jobsLeft;
    for (const visit of visits) {
      let ofVisit = Math.min(roomOf(visit), left);
      for (let index = visit.index; index < visit.groups.length && ofVisit > 0; index++) {
        const groupVisit = visit.groups[index];
        if (groupVisit === undefined) break;
        const { ordered } = groupVisit.group;
        picks.push({ visit, groupVisit, max: ordered ? Math.min(jobLimits.runMaxJobs, ofVisit) : ofVisit });
        const likely = ordered ? Math.min(Math.ceil(this.#deps.runJobs), ofVisit) : ofVisit;
        ofVisit -= likely;
        left -= likely;
      }
    }
    return picks;
  }

  /** Rows by group; those past their expiry are out of them, and out of the way. */
  async #readJobs(picks: readonly Pick[]): Promise<Map<number, DueJobRow[]>> {
    const { session, directory } = this.#deps;
    const runs = picks.filter(({ groupVisit }) => groupVisit.group.ordered);
    const singles = picks.filter(({ groupVisit }) => !groupVisit.group.ordered);
    const askedRuns = runs.map(({ groupVisit: { group }, max }) => ({ id: group.id, headFrom: group.head_from, max }));
    const askedSingles = singles.map(({ groupVisit, max }) => {
      const { group, afterKey, afterPosition } = groupVisit;
      return { id: group.id, afterKey, afterPosition, max };
    });
    const rows = [
      ...(runs.length === 0 ? [] : await session.query(readRuns, [JSON.stringify(askedRuns)])),
      ...(singles.length === 0
        ? []
        : await session.query(readSingles, [JSON.stringify(askedSingles), this.#limits.nowMs])),
    ];
    const profiles = await directory.loadProfiles(
      session,
      rows.map((row) => row.profile_id),
    );
    for (const [id, { poolCode }] of profiles) this.#lanes.set(id, poolCode);
    const byGroup = Map.groupBy(rows, (row) => row.group_id);
    await this.#expireOld(picks, byGroup);
    return byGroup;
  }

  async #expireOld(picks: readonly Pick[], byGroup: Map<number, DueJobRow[]>): Promise<void> {
    const old: JobId[] = [];
    for (const { visit, groupVisit } of picks) {
      const clock = this.#limits.nowMs - visit.feed.held_total_ms - groupVisit.group.blocked_total_ms;
      const rows = byGroup.get(groupVisit.group.id) ?? [];
      for (const row of rows) {
        if (groupVisit.group.ordered && !isDue(row, this.#limits.nowMs)) break;
        if (row.expires_clock !== null && row.expires_clock <= clock && old.length < this.#jobsLeft) old.push(row.id);
      }
    }
    if (old.length === 0) return;
    const gone = await this.#deps.expire(old);
    this.expired += gone.size;
    this.#jobsLeft -= gone.size;
    const asked = new Set(old);
    for (const { visit, groupVisit } of picks) {
      const { id, ordered } = groupVisit.group;
      const rows = byGroup.get(id) ?? [];
      const touched = rows.some((row) => asked.has(row.id));
      if (!touched) continue;
      // Where one of an ordered group expired, it may hold the group now: the next pass knows. The others go on.
      this.more = true;
      visit.given += rows.filter((row) => gone.has(row.id)).length;
      const kept = ordered ? [] : rows.filter((row) => !asked.has(row.id));
      byGroup.set(id, kept);
    }
  }

  #serve(pick: Pick, rows: readonly DueJobRow[]): void {
    const { visit, groupVisit } = pick;
    // Served in order: behind a group that found no room nothing of its feed is taken.
    if (visit.groups[visit.index] !== groupVisit || !this.#hasRoom() || roomOf(visit) <= 0) return;
    if (groupVisit.group.ordered) this.#takeRun(pick, rows);
    else this.#takeSingles(pick, rows);
  }

  /** The due jobs at the head of an ordered group, as one message. */
  #takeRun({ visit, groupVisit }: Pick, rows: readonly DueJobRow[]): void {
    visit.index++;
    const maxJobs = Math.min(jobLimits.runMaxJobs, roomOf(visit), this.#jobsLeft);
    const run: DueJobRow[] = [];
    let bytes = 0;
    for (const row of rows) {
      if (run.length === maxJobs || !isDue(row, this.#limits.nowMs)) break;
      const first = run[0];
      if (first !== undefined && !this.#fits(first, row, bytes)) break;
      run.push(row);
      bytes += row.payload_bytes;
    }
    if (run.length > 0) this.#give(visit, groupVisit, run);
    else this.corrections.idleGroups.push(groupVisit.group.id);
  }

  /** One lane, 256 KiB and the room of the pass bound a run; its first job is taken whatever its size. */
  #fits(first: DueJobRow, row: DueJobRow, bytes: number): boolean {
    const total = bytes + row.payload_bytes;
    return total <= jobLimits.runMaxBytes && total <= this.#bytesLeft && this.#lane(first) === this.#lane(row);
  }

  /** Jobs of an unordered group, each as a message of its own. */
  #takeSingles({ visit, groupVisit, max }: Pick, rows: readonly DueJobRow[]): void {
    for (const row of rows) {
      if (!this.#hasRoom() || roomOf(visit) <= 0) return;
      groupVisit.afterKey = row.sort_key;
      groupVisit.afterPosition = row.position;
      this.#give(visit, groupVisit, [row]);
    }
    if (rows.length === max) return;
    visit.index++;
    if (groupVisit.given === 0) this.corrections.idleGroups.push(groupVisit.group.id);
  }

  #lane(row: DueJobRow): PoolCode {
    const lane = this.#lanes.get(row.profile_id);
    if (lane === undefined) throw new Error(`Delivery profile ${row.profile_id} of job ${row.id} is missing`);
    return lane;
  }

  #give(visit: FeedVisit, groupVisit: GroupVisit, rows: readonly DueJobRow[]): void {
    const [first] = rows;
    if (first === undefined) return;
    const { group } = groupVisit;
    const jobs = rows.map((row) => ({ jobId: row.id, generation: row.generation, bytes: row.payload_bytes }));
    const messageId = runMessageId(jobs);
    this.runs.push({ messageId, lane: this.#lane(first), groupKey: group.ordered ? group.key : null, jobs });
    this.#deps.claimed.set(messageId, {
      groupId: group.id,
      feedId: visit.feed.id,
      ordered: group.ordered,
      profileIds: rows.map((row) => row.profile_id),
    });
    groupVisit.given += rows.length;
    visit.given += rows.length;
    visit.shareLeft -= rows.length;
    visit.windowLeft -= rows.length;
    this.#jobsLeft -= rows.length;
    for (const row of rows) this.#bytesLeft -= row.payload_bytes;
  }
}

function roomOf(visit: FeedVisit): number {
  return Math.min(visit.shareLeft, visit.windowLeft);
}

function toGroupVisit(group: ReadyGroupRow): GroupVisit {
  const beforeAll = Number.MAX_SAFE_INTEGER as JobPosition;
  return { group, afterKey: group.head_from - 1, afterPosition: beforeAll, given: 0 };
}
