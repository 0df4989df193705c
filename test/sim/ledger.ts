/**
 * What arrives at targets, held against what is allowed to arrive.
 *
 * A delivery owed is known by its event and its subscription (a task by its job), because a power cut may undo a job
 * that is then made again under another id. Each call is judged the moment it leaves, against what the database says
 * just then:
 *
 * - its job is open: a job that is final is not sent any more, but for moments after a cancellation;
 * - order: every earlier job of its group is final, or was acknowledged to this very process (after a crash everything
 *   that was not recorded is done again, in order);
 * - of an ordered group one call is under way at a time; behind a job that blocks its group there is none, until an
 *   operator has let it pass;
 * - what was acknowledged is not sent again by the same process, unless an operator asked for it;
 * - pauses, suspensions, concurrency and rate of its pool are kept.
 */
import type { TransportRequest } from "../../packages/server/src/ports/transport.ts";
import type { SqliteDatabase } from "../../packages/server/src/stores/sqlite/index.ts";
import type { DeliveryProfile } from "../../packages/server/src/domain/dispatch-job.ts";
import type { History } from "./history.ts";
import type { Life } from "./life.ts";
import { Violation } from "./violation.ts";

export interface LedgerDeps {
  readonly database: () => SqliteDatabase;
  readonly history: History;
  readonly elapsedMs: () => number;
}

/** One call to a target. */
export interface SimulatedCall {
  readonly key: string;
  readonly jobId: string;
  readonly process: number;
  readonly group: string | null;
  readonly pool: string;
  readonly subscriptionId: string | null;
  readonly startedMs: number;
  /** How often an operator had cancelled or retried it by then. */
  readonly commandsThen: number;
  /** How often an operator had asked for it again by then. */
  readonly touchesThen: number;
}

/** All that is known of one delivery owed. */
interface Owed {
  calls: number;
  /** Processes that got a 2xx for it, and how often an operator had retried it by then. */
  acknowledgedBy: number;
  touchesThen: number;
  acknowledged: boolean;
}

interface JobAtCall {
  readonly position: number;
  readonly status: number;
  readonly replay_count: number;
  readonly event_id: string | null;
  readonly ordered: number;
  readonly group_key: string;
  readonly group_id: number;
  readonly blocked_position: number | null;
  readonly subscription_id: string | null;
  readonly subscription_status: string | null;
  readonly profile: string;
}

const OPEN_STATUSES = 2;
const COMPLETED = 2;
const FAILED = 3;
const CANCELLED = 4;
const EXPIRED = 5;
const statusNames = ["PENDING", "QUEUED", "COMPLETED", "FAILED", "CANCELLED", "EXPIRED"] as const;

const selectJob = `SELECT j.position, j.status, j.replay_count, e.id AS event_id, g.ordered, g.key AS group_key,
    g.id AS group_id, g.blocked_position, f.subscription_id, p.body AS profile,
    (SELECT status FROM subscriptions s WHERE s.id = f.subscription_id) AS subscription_status
  FROM jobs j JOIN job_groups g ON g.id = j.group_id JOIN job_feeds f ON f.id = j.feed_id
    JOIN delivery_profiles p ON p.id = j.profile_id
    LEFT JOIN events e ON e.position = j.stream_position AND j.task = 0
  WHERE j.id = ?1`;

const selectEarlier = `SELECT j.id, j.status, j.replay_count, e.id AS event_id, f.subscription_id,
    p.body ->> '$.mode' = 'BLOCK_ON_ERROR' AS blocks
  FROM jobs j JOIN job_feeds f ON f.id = j.feed_id JOIN delivery_profiles p ON p.id = j.profile_id
    LEFT JOIN events e ON e.position = j.stream_position AND j.task = 0
  WHERE j.group_id = ?1 AND j.position < ?2`;

interface EarlierJob {
  readonly id: string;
  readonly status: number;
  readonly replay_count: number;
  readonly event_id: string | null;
  readonly subscription_id: string | null;
  readonly blocks: number;
}

export class Ledger {
  readonly #deps: LedgerDeps;
  readonly #owed = new Map<string, Owed>();
  readonly #callsOfJob = new Map<string, number>();
  #process = 0;
  #active: SimulatedCall[] = [];
  #started: SimulatedCall[] = [];
  calls = 0;
  duplicates = 0;

  constructor(deps: LedgerDeps) {
    this.#deps = deps;
  }

  callsOfJob(jobId: string): number {
    return this.#callsOfJob.get(jobId) ?? 0;
  }

  wasAcknowledged(key: string): boolean {
    return this.#owed.get(key)?.acknowledged ?? false;
  }

  /** A process has made it through to an answer 2xx of this one. */
  acknowledgedBy(key: string): number | null {
    const owed = this.#owed.get(key);
    return owed?.acknowledged === true ? owed.acknowledgedBy : null;
  }

  /** A call leaves the process. Throws a Violation if it must not. */
  begin(request: TransportRequest, life: Life): SimulatedCall {
    if (life.number !== this.#process) {
      this.#process = life.number;
      this.#active = [];
      this.#started = [];
    }
    const jobId = request.headers["webhook-id"] ?? "";
    const job = this.#deps.database().statement<JobAtCall, [string]>(selectJob).get(jobId);
    if (job === null) throw new Violation("known", `a call for job ${jobId}, which does not exist`);
    const profile = JSON.parse(job.profile) as DeliveryProfile;
    const call: SimulatedCall = {
      key: owedKey(jobId, job.event_id, job.subscription_id),
      jobId,
      process: life.number,
      group: job.ordered === 1 ? job.group_key : null,
      pool: profile.poolCode,
      subscriptionId: job.subscription_id,
      startedMs: this.#deps.elapsedMs(),
      commandsThen: this.#deps.history.commands(jobId),
      touchesThen: this.#touches(jobId),
    };
    this.#judgeState(call, job);
    if (job.ordered === 1) this.#judgeOrder(call, job);
    this.#judgePool(call);
    this.#note(call);
    return call;
  }

  /** The call has ended with an answer that reached the process. */
  end(call: SimulatedCall, isAcknowledged: boolean): void {
    this.#active = this.#active.filter((one) => one !== call);
    if (!isAcknowledged) return;
    const owed = this.#owed.get(call.key);
    if (owed === undefined) return;
    if (owed.acknowledged) this.duplicates++;
    owed.acknowledged = true;
    owed.acknowledgedBy = call.process;
    owed.touchesThen = call.touchesThen;
  }

  #judgeState(call: SimulatedCall, job: JobAtCall): void {
    const { history } = this.#deps;
    if (job.status >= OPEN_STATUSES && !this.#mayBeCalledStill(call, job.status)) {
      throw new Violation("settled", `${call.jobId} is ${statusNames[job.status]} and is called again`);
    }
    // What an archived subscription has with the router may still be sent, though it was paused before.
    const isArchived = job.subscription_status === "ARCHIVED";
    for (const key of [isArchived ? "" : (call.subscriptionId ?? ""), `pool:${call.pool}`]) {
      if (history.mustBePaused(key)) throw new Violation("paused", `${call.jobId} is called although ${key} is held`);
    }
    // A job that is cancelled while it is called, and retried at once, may be called again meanwhile.
    const isUnderWay = this.#active.some(
      (other) => other.jobId === call.jobId && other.commandsThen === call.commandsThen,
    );
    if (isUnderWay) {
      throw new Violation("once", `${call.jobId} is called while a call of it is under way`);
    }
    const owed = this.#owed.get(call.key);
    const isRepeat = owed?.acknowledged === true && owed.acknowledgedBy === call.process;
    if (isRepeat && owed.touchesThen === call.touchesThen) {
      throw new Violation("once", `${call.jobId} was acknowledged to this process and is called again`);
    }
  }

  #mayBeCalledStill(call: SimulatedCall, status: number): boolean {
    if (status === CANCELLED) return !this.#deps.history.mustBeCancelled(call.jobId);
    // It was cancelled and retried while it was called, that call came through, and the router has the retry already.
    const owed = this.#owed.get(call.key);
    return status === COMPLETED && owed?.acknowledged === true && owed.touchesThen < call.touchesThen;
  }

  #judgeOrder(call: SimulatedCall, job: JobAtCall): void {
    if (job.blocked_position !== null && job.blocked_position < job.position) {
      throw new Violation("blocked", `${call.jobId} is called although its group is blocked; ${this.#group(job)}`);
    }
    const under = this.#active.find((other) => other.group === call.group);
    if (under !== undefined && !this.#deps.history.isCancelled(under.jobId)) {
      throw new Violation("one at a time", `${call.jobId} is called while ${under.jobId} of its group is under way`);
    }
    const earlier = this.#deps
      .database()
      .statement<EarlierJob, [number, number]>(selectEarlier)
      .all(job.group_id, job.position);
    const blocking = earlier.find((other) => this.#blocks(other));
    if (blocking !== undefined) {
      const what = `${call.jobId} is called although ${blocking.id} has failed and nobody has let it pass`;
      throw new Violation("blocked", `${what}; ${this.#group(job)}`);
    }
    const unpassed = earlier.find((other) => !this.#isPassed(other));
    if (unpassed === undefined) return;
    const what = `${call.jobId} is called before ${unpassed.id} of its group, which is ${statusNames[unpassed.status]}`;
    throw new Violation("order", `${what}; ${this.#group(job)}`);
  }

  /** The group as it is stored, for the report. */
  #group(job: JobAtCall): string {
    const sql = `SELECT id, position, status, generation, attempt_count AS attempts, due_at, queued_at, last_error
      FROM jobs WHERE group_id = ?1 ORDER BY position`;
    const jobs = this.#deps.database().statement<Record<string, unknown>, [number]>(sql).all(job.group_id);
    return `blocked by ${job.blocked_position}, of ${JSON.stringify(jobs)}`;
  }

  #blocks(other: EarlierJob): boolean {
    if (other.blocks === 0 || (other.status !== FAILED && other.status !== EXPIRED)) return false;
    const { history } = this.#deps;
    return other.replay_count === 0 && history.touches(other.id) === 0 && !history.passedOver.has(other.id);
  }

  #isPassed(other: EarlierJob): boolean {
    if (other.status >= OPEN_STATUSES) return true;
    if (other.replay_count > 0 || this.#deps.history.touches(other.id) > 0) return true;
    return this.acknowledgedBy(owedKey(other.id, other.event_id, other.subscription_id)) === this.#process;
  }

  #judgePool(call: SimulatedCall): void {
    const { history } = this.#deps;
    const nowMs = call.startedMs;
    const shapes = history.shapesSince(call.pool, nowMs);
    const most = Math.max(...shapes.map(({ concurrency }) => concurrency));
    const active = this.#active.filter(({ pool }) => pool === call.pool).length + 1;
    if (active > most) throw new Violation("concurrency", `${call.pool} has ${active} calls under way, of ${most}`);
    const mine = this.#started.filter(({ pool }) => pool === call.pool);
    for (let at = mine.length - 1; at >= 0; at--) {
      const startedMs = mine[at]?.startedMs ?? nowMs;
      this.#judgeWindow(call.pool, { fromMs: startedMs, toMs: nowMs, calls: mine.length - at + 1 });
    }
  }

  #judgeWindow(pool: string, window: { fromMs: number; toMs: number; calls: number }): void {
    const shapes = this.#deps.history.shapesSince(pool, window.fromMs);
    const rates = shapes.map(({ rateLimitPerMinute }) => rateLimitPerMinute);
    if (rates.includes(null)) return;
    const perMinute = Math.max(...rates.map((rate) => rate ?? 0));
    const burst = Math.max(...shapes.map((shape) => shape.burst ?? shape.concurrency));
    const lengthMs = window.toMs - window.fromMs;
    const allowed = burst + (lengthMs * perMinute) / 60_000;
    if (window.calls <= allowed + 0.001) return;
    throw new Violation("rate", `${pool}: ${window.calls} calls in ${lengthMs} ms, of ${allowed}`);
  }

  #note(call: SimulatedCall): void {
    this.calls++;
    const known = this.#owed.get(call.key);
    if (known === undefined) {
      this.#owed.set(call.key, { calls: 1, acknowledgedBy: 0, touchesThen: 0, acknowledged: false });
    } else known.calls++;
    this.#callsOfJob.set(call.jobId, this.callsOfJob(call.jobId) + 1);
    this.#active.push(call);
    this.#started.push(call);
  }

  /** How often an operator has asked for the job again. */
  #touches(jobId: string): number {
    const sql = "SELECT replay_count FROM jobs WHERE id = ?1";
    const replays = this.#deps.database().statement<{ replay_count: number }, [string]>(sql).get(jobId)?.replay_count;
    return this.#deps.history.touches(jobId) + (replays ?? 0);
  }
}

export function owedKey(jobId: string, eventId: string | null, subscriptionId: string | null): string {
  return eventId === null ? jobId : `${eventId} ${subscriptionId ?? ""}`;
}
