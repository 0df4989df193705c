import type { Clock } from "@flowcatalyst/foundation";
import type { PostgresDatabase, PostgresSession } from "../../postgres/postgres-database.ts";
import { keyIs, statement, toJsonRows } from "../../postgres/statement.ts";
import type { ConsumerLease } from "./consumer-lease.ts";
import { rest } from "./group-places.ts";
import type { ClaimName, HeldClaims } from "./held-claims.ts";
import { postgresQueueLimits } from "./postgres-queue-config.ts";
import { freshRowsOf, queueLocks, rowKind, rowState, type PlacedRow } from "./queue-rows.ts";
import { bury } from "./queue-settling.ts";
import type { QueueTime } from "./queue-time.ts";

interface DueRow extends PlacedRow {
  readonly kind: number;
  readonly state: number;
  readonly abandoned_count: number;
  readonly body: string;
}

interface ClaimRow {
  readonly consumer_id: number;
  readonly claim: number;
}

interface Peek {
  readonly delayed: number | null;
  readonly in_flight: number | null;
  readonly claims: number | null;
  readonly is_somebody_gone: boolean;
}

const dueColumns = "m.seq, m.group_key, 0 AS floor, m.kind, m.state, m.abandoned_count, m.body";

const peek = statement<Peek, [nowMs: number]>(`
  SELECT
    (SELECT due_at_ms FROM queue_messages WHERE state = ${rowState.delayed} ORDER BY due_at_ms LIMIT 1) AS delayed,
    (SELECT due_at_ms FROM queue_messages WHERE state = ${rowState.inFlight} ORDER BY due_at_ms LIMIT 1) AS in_flight,
    (SELECT until_ms FROM queue_claims ORDER BY until_ms LIMIT 1) AS claims,
    EXISTS (SELECT 1 FROM queue_consumers WHERE lease_until_ms <= $1) AS is_somebody_gone`);
const tryTurn = statement<{ mine: boolean }, [lock: number]>("SELECT pg_try_advisory_xact_lock($1) AS mine");
const dueRowsOf = (state: number) =>
  statement<DueRow, [nowMs: number, max: number]>(`
    SELECT ${dueColumns} FROM queue_messages m
    WHERE m.state = ${state} AND m.due_at_ms <= $1 ORDER BY m.due_at_ms LIMIT $2 FOR UPDATE SKIP LOCKED`);
const dueDelayed = dueRowsOf(rowState.delayed);
const dueInFlight = dueRowsOf(rowState.inFlight);
const endedClaims = statement<ClaimRow, [nowMs: number, max: number]>(`
  SELECT consumer_id, claim FROM queue_claims
  WHERE until_ms <= $1 ORDER BY until_ms LIMIT $2 FOR UPDATE SKIP LOCKED`);
const goneConsumers = statement<{ id: number }, [nowMs: number, max: number]>(`
  SELECT id FROM queue_consumers WHERE lease_until_ms <= $1 ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED`);
const claimsOf = statement<ClaimRow, [consumers: readonly number[], max: number]>(`
  SELECT c.consumer_id, c.claim FROM queue_claims c WHERE c.consumer_id = ANY ($1::bigint[])
  ORDER BY c.consumer_id, c.claim LIMIT $2 FOR UPDATE`);
/** Walks through all that is in flight and says so itself; somebody has crashed, which is rare. */
const inFlightOf = statement<DueRow, [consumers: readonly number[], max: number]>(`
  SELECT ${dueColumns} FROM queue_messages m
  WHERE m.state = ${rowState.inFlight} AND m.consumer_id = ANY ($1::bigint[]) LIMIT $2 FOR UPDATE`);
/** The sum hides the state from the index of FRESH rows, which the second look-up must not walk. */
const freshOf = statement<DueRow, [claims: string]>(`
  SELECT ${dueColumns}
  FROM json_to_recordset($1::json) AS r (consumer_id bigint, claim bigint)
  JOIN queue_claims c ON ${keyIs("(c.consumer_id, c.claim)", "(r.consumer_id, r.claim)")}
  CROSS JOIN LATERAL ${freshRowsOf("m.seq")} AS f
  JOIN queue_messages m ON ${keyIs("m.seq", "f.seq")} AND m.state + 0 = ${rowState.fresh}
  FOR UPDATE OF m`);
const inFlightUnder = statement<DueRow, [claims: string, consumers: readonly number[]]>(`
  SELECT ${dueColumns}
  FROM json_to_recordset($1::json) AS r (consumer_id bigint, claim bigint)
  JOIN queue_messages m
    ON m.state = ${rowState.inFlight} AND m.consumer_id = r.consumer_id AND m.claim = r.claim
  WHERE m.consumer_id = ANY ($2::bigint[]) FOR UPDATE OF m`);
const removeClaims = statement<never, [claims: string]>(`
  DELETE FROM queue_claims c USING json_to_recordset($1::json) AS r (consumer_id bigint, claim bigint)
  WHERE ${keyIs("(c.consumer_id, c.claim)", "(r.consumer_id, r.claim)")}`);
const removeConsumers = statement<never, [ids: readonly number[]]>(
  "DELETE FROM queue_consumers WHERE id = ANY ($1::bigint[])",
);

/**
 * Nothing FRESH is in them: not after the cursor, and not before it, where a receive would hold it. What is there in
 * other states needs no cursor. The time is asked twice: a publisher that has just used the lane has changed the row,
 * and of a changed row only the outer conditions are looked at again.
 */
const dropIdleLanes = statement<never, [usedBeforeMs: number, max: number]>(`
  DELETE FROM queue_lanes WHERE used_at_ms < $1 AND lane = ANY (ARRAY(
    SELECT l.lane FROM queue_lanes l
    WHERE l.used_at_ms < $1 AND l.lane <> ALL (ARRAY(SELECT lane FROM queue_claims)) AND (
      SELECT m.seq FROM queue_messages m WHERE m.lane = l.lane AND m.state = ${rowState.fresh} AND m.seq > l.cursor
      ORDER BY m.seq LIMIT 1) IS NULL
    ORDER BY l.lane LIMIT $2))`);

/** Receives or consumers that end in one transaction. */
const endStep = 10;
/** Transactions of one sweep; what is left then waits for the next. */
const maxRounds = 50;

export interface QueueSweepDeps {
  readonly database: PostgresDatabase;
  readonly clock: Clock;
  readonly time: QueueTime;
  readonly lease: ConsumerLease;
  readonly claims: HeldClaims;
  /** Something became receivable. */
  readonly released: () => void;
  /** Something falls due in this many ms. */
  readonly expect: (inMs: number) => void;
}

/**
 * Brings back what was delayed until now, what was received and not settled in time, and what belongs to consumers
 * whose lease has ended, whoever they were. Every consumer sweeps each second, or when something of its own falls due,
 * one at a time over all processes. Lanes that nobody published to for an hour go, because who publishes may name any
 * number of them. Its own lease it renews before: a process that was stopped and wakes up first goes
 * on with what it holds.
 */
export class QueueSweep {
  readonly #deps: QueueSweepDeps;
  readonly #maxReceives: number;
  #nextAtMs = Number.NEGATIVE_INFINITY;
  #idleLanesAtMs = Number.NEGATIVE_INFINITY;
  #running: Promise<void> | null = null;

  constructor(deps: QueueSweepDeps, maxReceives: number) {
    this.#deps = deps;
    this.#maxReceives = maxReceives;
  }

  get isDue(): boolean {
    return this.#deps.clock.monotonicMs() >= this.#nextAtMs;
  }

  /** Something falls due then. */
  noteDue(inMs: number): void {
    this.#nextAtMs = Math.min(this.#nextAtMs, this.#deps.clock.monotonicMs() + inMs);
    this.#deps.expect(inMs);
  }

  /** Throws STORE_UNAVAILABLE. */
  async runIfDue(): Promise<void> {
    await this.#freeDoubtful();
    if (this.#running === null && !this.isDue) return;
    this.#running ??= this.#run();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock, time, lease } = this.#deps;
    const startedMs = clock.monotonicMs();
    try {
      await lease.renewIfDue();
      this.#nextAtMs = startedMs + postgresQueueLimits.sweepEveryMs;
      const nowMs = await time.now();
      for (let round = 0; round < maxRounds; round++) {
        if (!(await this.#sweepOnce(nowMs))) break;
        if (round === maxRounds - 1) this.#nextAtMs = startedMs;
      }
      await this.#dropIdleLanes(nowMs);
    } finally {
      this.#running = null;
    }
  }

  async #dropIdleLanes(nowMs: number): Promise<void> {
    if (nowMs < this.#idleLanesAtMs) return;
    const { idleLanesEveryMs, idleLanesStep, laneIdleMs } = postgresQueueLimits;
    this.#idleLanesAtMs = nowMs + idleLanesEveryMs;
    await this.#deps.database.run(dropIdleLanes, [nowMs - laneIdleMs, idleLanesStep]);
  }

  /** True: something was brought back, so there may be more. */
  async #sweepOnce(nowMs: number): Promise<boolean> {
    const { database, released } = this.#deps;
    const found = await database.one(peek, [nowMs]);
    if (found === null) return false;
    const dueTimes = [found.delayed, found.in_flight, found.claims].filter((atMs) => atMs !== null);
    const earliestMs = Math.min(...dueTimes);
    if (earliestMs > nowMs && !found.is_somebody_gone) {
      if (dueTimes.length > 0) this.noteDue(earliestMs - nowMs);
      return false;
    }
    const freed = await database.transaction(async (session) => {
      const turn = await session.one(tryTurn, [queueLocks.sweeping]);
      return turn?.mine === true ? this.#free(session, found, nowMs) : 0;
    });
    if (freed > 0) released();
    return freed > 0;
  }

  /** Returns how many rows, receives and consumers ended. */
  async #free(session: PostgresSession, found: Peek, nowMs: number): Promise<number> {
    const { releaseStep } = postgresQueueLimits;
    const isDue = (atMs: number | null): boolean => atMs !== null && atMs <= nowMs;
    const rows: DueRow[] = [];
    let ended = 0;
    if (isDue(found.delayed)) rows.push(...(await session.query(dueDelayed, [nowMs, releaseStep])));
    if (isDue(found.in_flight)) rows.push(...(await session.query(dueInFlight, [nowMs, releaseStep])));
    if (isDue(found.claims)) {
      const claims = await session.query(endedClaims, [nowMs, endStep]);
      rows.push(...(await endClaims(session, claims)));
      ended += claims.length;
    }
    if (found.is_somebody_gone) {
      const gone = await this.#endConsumers(session, nowMs);
      rows.push(...gone.rows);
      ended += gone.ended;
    }
    await this.#release(session, rows, nowMs);
    return rows.length + ended;
  }

  async #endConsumers(session: PostgresSession, nowMs: number): Promise<{ rows: readonly DueRow[]; ended: number }> {
    const { releaseStep } = postgresQueueLimits;
    const ids = (await session.query(goneConsumers, [nowMs, endStep])).map(({ id }) => id);
    if (ids.length === 0) return { rows: [], ended: 0 };
    const claims = await session.query(claimsOf, [ids, endStep]);
    const rows = [...(await endClaims(session, claims)), ...(await session.query(inFlightOf, [ids, releaseStep]))];
    if (claims.length < endStep && rows.length < releaseStep) await session.run(removeConsumers, [ids]);
    return { rows, ended: claims.length + ids.length };
  }

  async #release(session: PostgresSession, found: readonly DueRow[], nowMs: number): Promise<void> {
    const rows = new Map(found.map((row) => [row.seq, row]));
    const isGivenUp = ({ kind, state, abandoned_count: before }: DueRow): boolean =>
      kind === rowKind.standalone && state !== rowState.delayed && before + 1 >= this.#maxReceives;
    const givenUp = [...rows.values()].filter(isGivenUp);
    const reason = `MAX_RECEIVES: received ${this.#maxReceives} times without being settled`;
    await bury(
      session,
      givenUp.map((row) => ({ ...row, reason })),
      nowMs,
    );
    const kept = [...rows.values()].filter((row) => !isGivenUp(row));
    await rest(
      session,
      kept.map((row) => ({ ...row, abandoned: row.state === rowState.delayed ? 0 : 1 })),
    );
  }

  /**
   * Receives whose answer was lost hold messages that nobody knows of: nobody was given them, so that counts for none.
   */
  async #freeDoubtful(): Promise<void> {
    const { database, claims, released } = this.#deps;
    const doubtful = claims.takeDoubtful();
    if (doubtful.length === 0) return;
    try {
      await database.transaction((session) => freeClaims(session, doubtful));
      released();
    } catch (error) {
      for (const claim of doubtful) claims.doubt(claim);
      throw error;
    }
  }
}

async function freeClaims(session: PostgresSession, doubtful: readonly ClaimName[]): Promise<void> {
  const claims = doubtful.map(({ consumer, claim }) => ({ consumer_id: consumer, claim }));
  const consumers = [...new Set(doubtful.map(({ consumer }) => consumer))];
  const marked = await session.query(inFlightUnder, [toJsonRows(claims), consumers]);
  const rows = [...(await endClaims(session, claims)), ...marked];
  await rest(
    session,
    rows.map((row) => ({ ...row, abandoned: 0 })),
  );
}

async function endClaims(session: PostgresSession, claims: readonly ClaimRow[]): Promise<readonly DueRow[]> {
  if (claims.length === 0) return [];
  const json = toJsonRows(claims.map(({ consumer_id, claim }) => ({ consumer_id, claim })));
  const rows = await session.query(freshOf, [json]);
  await session.run(removeClaims, [json]);
  return rows;
}
