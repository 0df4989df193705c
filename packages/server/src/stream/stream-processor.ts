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
import type { DeliveryProfile } from "../domain/dispatch-job.ts";
import type { FilterCompiler } from "../domain/filter.ts";
import type { FilterFaults } from "../domain/filter-faults.ts";
import type { EventPosition, IdSource, SubscriptionId } from "../domain/ids.ts";
import type { EventFeed, FeedEvent } from "../ports/event-log.ts";
import type { JobAppender, StreamCheckpoint } from "../ports/job-appender.ts";
import { createLeaseKeeper, type LeaseEpoch, type LeaseKeeper, type LeaseStore } from "../ports/lease.ts";
import type { SubscriptionReader } from "../ports/settings.ts";
import { fanOut } from "./fan-out.ts";
import { createFilterFaultLog, type FilterFaultLog } from "./filter-faults.ts";
import { createMatcher, type Matcher } from "./matcher.ts";

/**
 * The stream: from the event log to dispatch jobs.
 *
 * Purpose: one job for every pair of an event and a subscription that wants it, exactly once, in log order.
 *
 * It reads the events after its checkpoint, matches them (matcher.ts), makes the jobs (fan-out.ts) and writes jobs and
 * checkpoint in one transaction. Nothing else is written and nothing else is remembered, so a pass that died anywhere
 * simply happens again: before the commit nothing had happened, after it the checkpoint has moved.
 *
 * One instance is active, by a lease. The lease alone would not be enough, since its holder can stop for a minute and
 * go on believing in it; so each append carries the epoch of the lease and the checkpoint it started from, and the
 * store refuses it if either is not current. A refused pass changes nothing and the stage asks for both again.
 *
 * A pass is bounded: 500 events, 5,000 jobs, 8 MiB read. An event with more subscriptions than a pass has jobs is
 * spread over passes (fan-out.ts). Events are read with their data only if one of them has a candidate whose filter
 * looks at data; that is found out on the heads, and remembered as the guess for the next pass.
 *
 * Subscriptions are held ready for matching and read again when their revision has changed, which is asked at each
 * pass; an idle stream passes once per poll interval, so a change takes effect within a second.
 *
 * What each failure does:
 * - the store cannot be reached or is full: the pass throws, nothing was written, the loop tries again with backoff
 *   for ever; the first failure and the recovery are logged;
 * - the answer to an append is lost: the checkpoint is read again before the next pass;
 * - the lease is somebody else's: stand by, ask again at each poll;
 * - an event cannot be matched for a reason that lies in itself: it is set aside as poison in the same transaction;
 * - a filter faults: the event does not match that subscription; counted, and shown by `filterFaults()`;
 * - a wake-up is missed: the next poll finds the events.
 */
export interface StreamProcessor {
  /** Passes until the signal aborts; gives the lease back. Never throws for faults of the store. */
  run(signal: AbortSignal): Promise<void>;
  /** One bounded, idempotent step. Throws what the store throws. */
  pass(): Promise<PassResult>;
  /** Resolves when every event that is in the log now has its jobs. Somebody must be running the passes. */
  whenCaughtUp(): Promise<void>;
  /** Faults of filters per subscription since this process started. */
  filterFaults(): ReadonlyMap<SubscriptionId, FilterFaults>;
}

export type PassResult =
  /** Somebody else holds the lease. */
  | { readonly kind: "standby" }
  | { readonly kind: "idle" }
  /** The store refused the epoch or the checkpoint; nothing was written. */
  | { readonly kind: "refused" }
  /** `more`: pass again at once. */
  | {
      readonly kind: "advanced";
      readonly events: number;
      readonly jobs: number;
      readonly poison: number;
      readonly more: boolean;
    };

export interface StreamProcessorDeps {
  readonly feed: EventFeed;
  readonly subscriptions: SubscriptionReader;
  readonly jobs: JobAppender;
  readonly leases: LeaseStore;
  readonly ids: Pick<IdSource, "job">;
  readonly compiler: FilterCompiler;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

export interface StreamProcessorConfig {
  /** Names this process in the lease; unique among live ones. */
  readonly holder: string;
  /** Events a pass reads. */
  readonly batchSize: number;
  readonly pollIntervalMs: number;
  readonly leaseTtlMs: number;
  /** Jobs a pass makes. */
  readonly maxJobs: number;
  /** Bytes of data a pass reads, more or less. */
  readonly maxBytes: number;
}

export const streamDefaults = {
  batchSize: 500,
  pollIntervalMs: 1_000,
  leaseTtlMs: 10_000,
  maxJobs: 5_000,
  maxBytes: 8_388_608,
} as const;

export const streamLeaseName = "stream";

const storeRetry: BackoffPolicy = { baseMs: 50, capMs: 5_000, jitter: "equal" };

export function createStreamProcessor(deps: StreamProcessorDeps, config: StreamProcessorConfig): StreamProcessor {
  return new Stream(deps, config);
}

interface Waiter {
  readonly position: EventPosition;
  readonly resolve: () => void;
}

class Stream implements StreamProcessor {
  readonly #deps: StreamProcessorDeps;
  readonly #config: StreamProcessorConfig;
  readonly #lease: LeaseKeeper;
  readonly #faults: FilterFaultLog;
  readonly #wakeUp: WakeUp;
  readonly #meters: StreamMeters;
  #matcher: { readonly revision: number; readonly matcher: Matcher } | null = null;
  /** Null: not known, ask the store. */
  #checkpoint: StreamCheckpoint | null = null;
  /** The half-done event's profiles, under the checkpoint's keys. */
  #frozen: readonly (DeliveryProfile | null)[] = [];
  #frozenKeys: readonly string[] = [];
  #lastNeededData = false;
  #waiters: Waiter[] = [];

  constructor(deps: StreamProcessorDeps, config: StreamProcessorConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#lease = createLeaseKeeper(deps, { name: streamLeaseName, holder: config.holder, ttlMs: config.leaseTtlMs });
    this.#faults = createFilterFaultLog(() => deps.clock.now());
    this.#wakeUp = createWakeUp(deps.clock);
    this.#meters = createMeters(deps, () => this.#faults.total);
  }

  filterFaults(): ReadonlyMap<SubscriptionId, FilterFaults> {
    return this.#faults.all();
  }

  async run(signal: AbortSignal): Promise<void> {
    const unsubscribe = this.#deps.feed.onAppended(() => this.#wakeUp.wake());
    let failures = 0;
    try {
      while (!signal.aborted) failures = await this.#turn(signal, failures);
    } finally {
      unsubscribe();
      await this.#giveUpLease();
    }
  }

  /** A pass and the wait after it; gives back how many passes in a row have failed. */
  async #turn(signal: AbortSignal, failures: number): Promise<number> {
    const { clock, random, logger } = this.#deps;
    try {
      const result = await this.pass();
      if (failures > 0) logger.info({ failures }, "The stream goes on");
      if (result.kind === "advanced" && result.more) await turnOfOthers();
      else await this.#wakeUp.wait(this.#config.pollIntervalMs, signal);
      return 0;
    } catch (error) {
      if (failures === 0) logger.error({ error: describeError(error) }, "The stream cannot go on and tries again");
      await clock.sleep(backoffMs(storeRetry, failures, random), signal);
      return failures + 1;
    }
  }

  async pass(): Promise<PassResult> {
    const epoch = await this.#lease.epoch();
    if (epoch === null) {
      this.#checkpoint = null;
      this.#meters.waitingSince(null);
      return { kind: "standby" };
    }
    const matcher = await this.#currentMatcher();
    const from = (this.#checkpoint ??= await this.#deps.jobs.checkpoint());
    const events = await this.#read(from, matcher);
    this.#meters.waitingSince(events[0]?.createdAtMs ?? null);
    if (events.length === 0) {
      this.#tellWaiters(from);
      return { kind: "idle" };
    }
    return this.#write({ epoch, from, events, matcher });
  }

  async whenCaughtUp(): Promise<void> {
    const position = await this.#deps.feed.newest();
    if (this.#checkpoint !== null && hasPassed(this.#checkpoint, position)) return;
    await new Promise<void>((resolve) => {
      this.#waiters.push({ position, resolve });
      this.#wakeUp.wake();
    });
  }

  async #write(batch: {
    readonly epoch: LeaseEpoch;
    readonly from: StreamCheckpoint;
    readonly events: readonly FeedEvent[];
    readonly matcher: Matcher;
  }): Promise<PassResult> {
    const { epoch, from, events, matcher } = batch;
    const { jobs, ids, clock, logger } = this.#deps;
    const frozen = await this.#frozenProfiles(from, matcher);
    const nowMs = clock.now();
    const made = fanOut({ events, from, matcher, frozen, ids, nowMs, maxJobs: this.#config.maxJobs });
    // Until the store has answered nobody knows which checkpoint holds.
    this.#checkpoint = null;
    const { to, poison, frozenProfiles } = made;
    const taken = await jobs.append({ jobs: made.jobs, poison, from, to, epoch, frozenProfiles });
    if (!taken) {
      this.#lease.doubt();
      return { kind: "refused" };
    }
    this.#checkpoint = to;
    if (made.frozenProfiles.length === 0 && to.ordinal === 0) this.#forgetFrozen();
    const more = made.more || events.length >= this.#config.batchSize;
    this.#meters.passed(made, more ? (events[made.events]?.createdAtMs ?? nowMs) : null);
    for (const { eventId, reason } of poison) logger.warn({ eventId, reason }, "An event was set aside");
    this.#tellWaiters(to);
    return { kind: "advanced", events: made.events, jobs: made.jobs.length, poison: poison.length, more };
  }

  /** The heads tell whether the data is needed; if the last pass needed it, this one probably does. */
  async #read(from: StreamCheckpoint, matcher: Matcher): Promise<readonly FeedEvent[]> {
    const limits = { maxEvents: this.#config.batchSize, maxBytes: this.#config.maxBytes };
    const withData = matcher.mayNeedData && this.#lastNeededData;
    const events = await this.#deps.feed.readAfter(from.position, { ...limits, withData });
    if (!matcher.mayNeedData) return events;
    // A malformed head is found when it is matched, where it becomes poison.
    const needed = events.some((event) => typeof event.type !== "string" || matcher.needsData(event));
    this.#lastNeededData = needed;
    if (!needed || withData) return events;
    return this.#deps.feed.readAfter(from.position, { ...limits, withData: true });
  }

  async #currentMatcher(): Promise<Matcher> {
    // The revision is asked first: a change in between makes it differ at the next pass.
    const revision = await this.#deps.subscriptions.revision();
    if (this.#matcher?.revision === revision) return this.#matcher.matcher;
    const subscriptions = await this.#deps.subscriptions.matching();
    const parts = { compiler: this.#deps.compiler, faults: this.#faults };
    const matcher = createMatcher(parts, subscriptions, this.#matcher?.matcher);
    if (matcher.invalidBindings > 0) {
      this.#deps.logger.warn({ bindings: matcher.invalidBindings }, "Patterns that are not valid match nothing");
    }
    this.#matcher = { revision, matcher };
    return matcher;
  }

  /** By key and in order: from the current subscriptions where they have not changed, else from the store. */
  async #frozenProfiles(from: StreamCheckpoint, matcher: Matcher): Promise<readonly (DeliveryProfile | null)[]> {
    if (from.ordinal === 0) return [];
    if (this.#frozenKeys === from.frozenProfileKeys) return this.#frozen;
    const known = new Map<string, DeliveryProfile>();
    for (const { profile } of matcher.targets.values()) known.set(profile.key, profile);
    const unknown = from.frozenProfileKeys.filter((key) => !known.has(key));
    if (unknown.length > 0) {
      for (const profile of await this.#deps.jobs.profiles(unknown)) known.set(profile.key, profile);
    }
    this.#frozenKeys = from.frozenProfileKeys;
    this.#frozen = from.frozenProfileKeys.map((key) => known.get(key) ?? null);
    return this.#frozen;
  }

  #forgetFrozen(): void {
    this.#frozen = [];
    this.#frozenKeys = [];
  }

  #tellWaiters(checkpoint: StreamCheckpoint): void {
    if (this.#waiters.length === 0) return;
    const told = this.#waiters.filter(({ position }) => hasPassed(checkpoint, position));
    this.#waiters = this.#waiters.filter((waiter) => !told.includes(waiter));
    for (const { resolve } of told) resolve();
  }

  async #giveUpLease(): Promise<void> {
    this.#checkpoint = null;
    try {
      await this.#lease.release();
    } catch (error) {
      this.#deps.logger.debug({ error: describeError(error) }, "The stream's lease will run out by itself");
    }
  }
}

function hasPassed(checkpoint: StreamCheckpoint, position: EventPosition): boolean {
  return checkpoint.position >= position;
}

/** A store in this process answers without ever leaving the microtask queue; timers and sockets need their turn. */
function turnOfOthers(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

interface StreamMeters {
  passed(
    made: { readonly events: number; readonly jobs: readonly unknown[]; readonly poison: readonly unknown[] },
    waitingSinceMs: number | null,
  ): void;
  /**
   * When the oldest event not passed yet was accepted; null: there is none, or somebody else sees to it. Told before
   * the jobs are written as well, so that the lag grows while the store takes none.
   */
  waitingSince(ms: number | null): void;
}

const msPerSecond = 1_000;

function createMeters({ metrics, clock }: StreamProcessorDeps, faultsTotal: () => number): StreamMeters {
  const events = metrics.counter("fc_stream_events_processed_total", "Events the stream has passed");
  const jobs = metrics.counter("fc_stream_dispatch_jobs_created_total", "Dispatch jobs the stream has made");
  const poison = metrics.counter("fc_stream_poison_events_total", "Events set aside because they cannot be matched");
  const faults = metrics.counter("fc_stream_filter_faults_total", "Filters that could not be evaluated on an event");
  const lag = metrics.gauge("fc_stream_lag_seconds", "Age of the oldest event the stream has not passed");
  let faultsTold = 0;
  let waitingSinceMs: number | null = null;
  metrics.onCollect(() => {
    lag.set(waitingSinceMs === null ? 0 : Math.max(0, clock.now() - waitingSinceMs) / msPerSecond);
    faults.inc(faultsTotal() - faultsTold);
    faultsTold = faultsTotal();
  });
  return {
    passed(made, sinceMs) {
      events.inc(made.events);
      jobs.inc(made.jobs.length);
      if (made.poison.length > 0) poison.inc(made.poison.length);
      waitingSinceMs = sinceMs;
    },
    waitingSince: (ms) => {
      waitingSinceMs = ms;
    },
  };
}
