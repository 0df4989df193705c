import type { Clock } from "@flowcatalyst/foundation";
import type { PoolCode } from "../../domain/ids.ts";
import type { PostgresDatabase } from "../../postgres/postgres-database.ts";
import { statement } from "../../postgres/statement.ts";
import { postgresQueueLimits } from "./postgres-queue-config.ts";
import { rowState } from "./queue-rows.ts";

/** Newest place of all, also when it is settled already; a look below it is one that covers all lanes. */
const newestPlace = statement<{ seq: number | null }>("SELECT max(seq) AS seq FROM queue_messages");
const lanesWithFresh = statement<{ lane: string; newest: number }, [max: number]>(`
  SELECT l.lane, f.seq AS newest FROM queue_lanes l CROSS JOIN LATERAL (
    SELECT m.seq FROM queue_messages m
    WHERE m.lane = l.lane AND m.state = ${rowState.fresh} AND m.seq > l.cursor ORDER BY m.seq LIMIT 1
  ) AS f LIMIT $1`);
/** READY rows by a walk from lane to lane, and what was published since place $1. */
const lanesSince = statement<{ lane: string; newest: number | null }, [after: number, max: number]>(`
  WITH RECURSIVE lanes (lane) AS (
    (SELECT lane FROM queue_messages WHERE state = ${rowState.ready} ORDER BY lane LIMIT 1)
    UNION ALL
    SELECT (
      SELECT m.lane FROM queue_messages m WHERE m.state = ${rowState.ready} AND m.lane > lanes.lane
      ORDER BY m.lane LIMIT 1
    ) FROM lanes WHERE lanes.lane IS NOT NULL
  )
  (SELECT lane, NULL::bigint AS newest FROM lanes WHERE lane IS NOT NULL LIMIT $2)
  UNION ALL
  SELECT lane, max(seq) FROM queue_messages WHERE seq > $1 AND state = ${rowState.fresh} GROUP BY lane`);

/**
 * Which lanes may hold something. FRESH rows are noticed once, when they are newer than the last look, and their lane
 * is remembered until a receive has found its end: so a look costs what is new and what is READY, not the number of
 * lanes. Every 10 s all lanes are asked, in case another consumer's crash has moved a cursor back.
 */
export class LaneWatch {
  readonly #database: PostgresDatabase;
  readonly #clock: Clock;
  /** Lanes with FRESH rows, and the newest place known of each. */
  readonly #fresh = new Map<PoolCode, number>();
  #ready: ReadonlySet<PoolCode> = new Set();
  #readyKnownAtMs = Number.NEGATIVE_INFINITY;
  #doubts = 0;
  #lastSeq = 0;
  #askedAllAtMs = Number.NEGATIVE_INFINITY;

  constructor(database: PostgresDatabase, clock: Clock) {
    this.#database = database;
    this.#clock = clock;
  }

  async look(): Promise<readonly PoolCode[]> {
    await this.#askAllIfDue();
    const startedMs = this.#clock.monotonicMs();
    const doubts = this.#doubts;
    const { maxLanes } = postgresQueueLimits;
    const rows = await this.#database.query(lanesSince, [this.#lastSeq, maxLanes]);
    const ready = new Set<PoolCode>();
    for (const { lane, newest } of rows) {
      if (newest === null) ready.add(lane as PoolCode);
      else this.#notice(lane as PoolCode, newest);
    }
    this.#ready = ready;
    if (doubts === this.#doubts) this.#readyKnownAtMs = startedMs;
    return [...new Set([...ready, ...this.#fresh.keys()])].slice(0, maxLanes);
  }

  /** Whether a receive must ask for READY rows: unless the last look found none, and nothing was heard of since. */
  mayHoldReady(lane: PoolCode): boolean {
    const isOld = this.#clock.monotonicMs() - this.#readyKnownAtMs > postgresQueueLimits.sweepEveryMs;
    return isOld || this.#ready.has(lane);
  }

  /** What the last look said of READY rows does not hold any more. */
  doubt(): void {
    this.#doubts += 1;
    this.#readyKnownAtMs = Number.NEGATIVE_INFINITY;
  }

  newestFresh(lane: PoolCode): number {
    return this.#fresh.get(lane) ?? 0;
  }

  /** A receive found the end of the lane's FRESH rows; `newest` is what was known before it asked. */
  foundEnd(lane: PoolCode, newest: number): void {
    if (this.newestFresh(lane) === newest) this.#fresh.delete(lane);
  }

  #notice(lane: PoolCode, newest: number): void {
    this.#fresh.set(lane, Math.max(newest, this.newestFresh(lane)));
    this.#lastSeq = Math.max(this.#lastSeq, newest);
  }

  async #askAllIfDue(): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#askedAllAtMs < postgresQueueLimits.allLanesEveryMs) return;
    const newest = await this.#database.one(newestPlace, []);
    const rows = await this.#database.query(lanesWithFresh, [postgresQueueLimits.maxLanes]);
    this.#fresh.clear();
    this.#lastSeq = Math.max(0, newest?.seq ?? 0);
    for (const { lane, newest: seq } of rows) this.#fresh.set(lane as PoolCode, Math.max(seq, this.#lastSeq));
    this.#askedAllAtMs = nowMs;
  }
}
