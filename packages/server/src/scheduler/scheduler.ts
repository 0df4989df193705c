import {
  backoffMs,
  createWakeUp,
  describeError,
  type BackoffPolicy,
  type Clock,
  type Logger,
  type Metrics,
  type Random,
  type WakeUp,
} from "@flowcatalyst/foundation";
import type { JobClaims } from "../ports/job-claims.ts";
import { createLeaseKeeper, type LeaseEpoch, type LeaseKeeper, type LeaseStore } from "../ports/lease.ts";
import type { QueueMetrics, QueuePublisher } from "../ports/queue.ts";
import { composeMessages, publishRuns, type Published } from "./publishing.ts";
import { createLostJobRecovery, recoveryDefaults, type LostJobRecovery } from "./recovery.ts";

/**
 * The scheduler: from due jobs to messages on the queue.
 *
 * Purpose: whatever may be delivered now is on the queue, and nothing else is. Waiting, holding and order live in the
 * job store; the queue carries what is due.
 *
 * A pass claims what is ready (500 jobs, 8 MiB, at most 1,000 unsettled jobs a subscription, round robin over
 * subscriptions), publishes it run by run, and marks what the queue took as QUEUED. A run is one job, or the next jobs
 * of one ordered group; the store gives out no further run of a group while one is outstanding, which is all that order
 * needs from this side.
 *
 * A claim marks nothing, so a pass that dies anywhere simply happens again. Between publishing and marking lies the one
 * window in which a message exists for a PENDING job: the next pass publishes it again under the same deduplication
 * id, and where a queue's window has passed the router knows the pair of job and generation; results count for
 * PENDING as well.
 *
 * Answers per message: taken (or known already) -> QUEUED; never to be taken (too large, invalid) -> FAILED with the
 * code, at once; not taken now -> stays, and comes with the next pass after a growing pause.
 *
 * One instance is active, by a lease; each write carries its epoch and the store refuses a stale one.
 *
 * Beside the passes, every few seconds, it looks for jobs whose message the queue has lost (recovery.ts) and counts
 * what is pending and held for the metrics.
 *
 * What each failure does:
 * - the queue cannot be reached: what it took before the failure is marked, the rest stays PENDING; retried with
 *   backoff for ever, logged once until it works again;
 * - the store cannot be reached: the same; nothing is marked, and publishing again is recognised;
 * - the lease is somebody else's: stand by, ask again at each poll;
 * - recovery or counting fails: logged once, and tried again a few seconds later; passes go on.
 */
export interface Scheduler {
  /** Passes until the signal aborts; gives the lease back. Never throws for faults of the store or the queue. */
  run(signal: AbortSignal): Promise<void>;
  /** One bounded, idempotent step. Throws what store and queue throw. */
  pass(): Promise<SchedulerPass>;
}

export type SchedulerPass =
  /** Somebody else holds the lease. */
  | { readonly kind: "standby" }
  | {
      readonly kind: "passed";
      /** Jobs that are QUEUED now. */
      readonly queued: number;
      readonly unpublishable: number;
      readonly expired: number;
      /** Messages the queue did not take now. */
      readonly refused: number;
      /** Pass again at once. */
      readonly more: boolean;
      readonly nextDueAtMs: number | null;
    };

export interface SchedulerDeps {
  readonly claims: JobClaims;
  readonly publisher: QueuePublisher;
  readonly leases: LeaseStore;
  /** Of the queue that `publisher` publishes to. */
  readonly queueMetrics: () => Promise<QueueMetrics>;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

export interface SchedulerConfig {
  /** Names this process in the lease; unique among live ones. */
  readonly holder: string;
  readonly pollIntervalMs: number;
  /** Jobs a pass claims. */
  readonly batchSize: number;
  /** Unsettled jobs a subscription may have. */
  readonly publishWindow: number;
  readonly maxBytes: number;
  readonly leaseTtlMs: number;
  readonly recoveryIntervalMs: number;
}

export const schedulerDefaults = {
  pollIntervalMs: 1_000,
  batchSize: 500,
  publishWindow: 1_000,
  maxBytes: 8_388_608,
  leaseTtlMs: 10_000,
  recoveryIntervalMs: 5_000,
} as const;

export const schedulerLeaseName = "scheduler";

const retryPause: BackoffPolicy = { baseMs: 50, capMs: 5_000, jitter: "equal" };

export function createScheduler(deps: SchedulerDeps, config: SchedulerConfig): Scheduler {
  return new PassingScheduler(deps, config);
}

class PassingScheduler implements Scheduler {
  readonly #deps: SchedulerDeps;
  readonly #config: SchedulerConfig;
  readonly #lease: LeaseKeeper;
  readonly #wakeUp: WakeUp;
  readonly #recovery: LostJobRecovery;
  readonly #meters: SchedulerMeters;
  #nextRecoveryMonotonicMs = 0;
  #recoveryFailing = false;

  constructor(deps: SchedulerDeps, config: SchedulerConfig) {
    const { holder, leaseTtlMs: ttlMs } = config;
    this.#deps = deps;
    this.#config = config;
    this.#lease = createLeaseKeeper(deps, { name: schedulerLeaseName, holder, ttlMs });
    this.#wakeUp = createWakeUp(deps.clock);
    this.#recovery = createLostJobRecovery(deps, recoveryDefaults);
    this.#meters = createMeters(deps.metrics);
  }

  async run(signal: AbortSignal): Promise<void> {
    const unsubscribe = this.#deps.claims.onReady(() => this.#wakeUp.wake());
    let failures = 0;
    try {
      while (!signal.aborted) failures = await this.#turn(signal, failures);
    } finally {
      unsubscribe();
      await this.#giveUpLease();
    }
  }

  async pass(): Promise<SchedulerPass> {
    const epoch = await this.#lease.epoch();
    if (epoch === null) return { kind: "standby" };
    const { claims, publisher, clock } = this.#deps;
    const { batchSize: maxJobs, maxBytes, publishWindow } = this.#config;
    const claim = await claims.claim({ nowMs: clock.now(), maxJobs, maxBytes, publishWindow }, epoch);
    const outgoing = claim.runs.length === 0 ? [] : await composeMessages(claims, publisher, claim.runs);
    const askedAtMs = clock.now();
    const published = await publishRuns(publisher, outgoing);
    const queued = await this.#mark(published, askedAtMs, epoch);
    if (published.fault !== null) throw published.fault;
    const unpublishable = published.unpublishable.length;
    const moved = queued + unpublishable + claim.expired;
    return {
      kind: "passed",
      queued,
      unpublishable,
      expired: claim.expired,
      refused: published.refused,
      // A claim of which nothing moved must not be repeated at once.
      more: claim.more && moved > 0,
      nextDueAtMs: claim.nextDueAtMs,
    };
  }

  /**
   * The time is taken after the queue has answered, and is not before it was asked, should the clock have gone back in
   * between: recovery relies on no job being marked before its message.
   */
  async #mark(published: Published, askedAtMs: number, epoch: LeaseEpoch): Promise<number> {
    const { claims, clock, logger } = this.#deps;
    let jobs = 0;
    for (const run of published.queued) jobs += run.jobs.length;
    if (jobs > 0) await claims.markQueued(published.queued, Math.max(askedAtMs, clock.now()), epoch);
    this.#meters.queued.inc(jobs);
    if (published.unpublishable.length === 0) return jobs;
    await claims.markUnpublishable(published.unpublishable, clock.now(), epoch);
    for (const { run, code } of published.unpublishable) {
      logger.warn({ jobId: run.jobs[0]?.jobId, code }, "A job can't be published and has failed");
    }
    return jobs;
  }

  /** A pass and the wait after it; gives back how many passes in a row have failed or were refused by the queue. */
  async #turn(signal: AbortSignal, failures: number): Promise<number> {
    const { clock, random, logger } = this.#deps;
    try {
      const result = await this.pass();
      if (result.kind === "standby") {
        await this.#wakeUp.wait(this.#config.pollIntervalMs, signal);
        return 0;
      }
      await this.#recoverAtTimes();
      if (result.refused > 0) {
        if (failures === 0) logger.warn({ messages: result.refused }, "The queue does not take messages now");
        await clock.sleep(backoffMs(retryPause, failures, random), signal);
        return failures + 1;
      }
      if (failures > 0) logger.info({ failures }, "The scheduler goes on");
      await this.#waitAfter(result, signal);
      return 0;
    } catch (error) {
      this.#lease.doubt();
      if (failures === 0) logger.error({ error: describeError(error) }, "The scheduler can't go on and tries again");
      await clock.sleep(backoffMs(retryPause, failures, random), signal);
      return failures + 1;
    }
  }

  async #waitAfter(result: Extract<SchedulerPass, { kind: "passed" }>, signal: AbortSignal): Promise<void> {
    if (result.more) {
      await turnOfOthers();
      return;
    }
    const untilDueMs = result.nextDueAtMs === null ? Infinity : result.nextDueAtMs - this.#deps.clock.now();
    await this.#wakeUp.wait(Math.max(1, Math.min(this.#config.pollIntervalMs, untilDueMs)), signal);
  }

  async #recoverAtTimes(): Promise<void> {
    const { clock, claims, logger } = this.#deps;
    if (clock.monotonicMs() < this.#nextRecoveryMonotonicMs) return;
    this.#nextRecoveryMonotonicMs = clock.monotonicMs() + this.#config.recoveryIntervalMs;
    try {
      const epoch = await this.#lease.epoch();
      if (epoch === null) return;
      this.#meters.recovered.inc(await this.#recovery.pass(epoch));
      const counts = await claims.counts();
      this.#meters.pending.set(counts.pending);
      this.#meters.heldGroups.set(counts.heldGroups);
      this.#recoveryFailing = false;
    } catch (error) {
      if (!this.#recoveryFailing) logger.warn({ error: describeError(error) }, "Looking for lost jobs has failed");
      this.#recoveryFailing = true;
    }
  }

  async #giveUpLease(): Promise<void> {
    try {
      await this.#lease.release();
    } catch (error) {
      this.#deps.logger.debug({ error: describeError(error) }, "The scheduler's lease will run out by itself");
    }
  }
}

/** A store in this process answers without ever leaving the microtask queue; timers and sockets need their turn. */
function turnOfOthers(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

type SchedulerMeters = ReturnType<typeof createMeters>;

function createMeters(metrics: Metrics) {
  return {
    queued: metrics.counter("fc_scheduler_jobs_queued_total", "Jobs published to the queue"),
    recovered: metrics.counter(
      "fc_scheduler_stale_jobs_recovered_total",
      "Jobs published again because the queue has lost their message",
    ),
    pending: metrics.gauge("fc_scheduler_pending_jobs", "Jobs waiting to be published, counted to 100,000 at most"),
    heldGroups: metrics.gauge("fc_scheduler_held_groups", "Groups whose jobs are held"),
  };
}
