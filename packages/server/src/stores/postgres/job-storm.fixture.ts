import { CodedError, isCodedError, seededRandom, type Random } from "@flowcatalyst/foundation";
import type { DeliveryReport, DeliveryResult, ReportVerdict } from "../../domain/attempt.ts";
import type { JobId, PoolCode } from "../../domain/ids.ts";
import { retryPolicyOf } from "../../domain/retry-policy.ts";
import { anchorScope } from "../../domain/scope.ts";
import type { DueRun } from "../../ports/job-claims.ts";
import {
  JobScenario,
  poolA,
  profileFor,
  sampleAttempt,
  subscriptionA,
  subscriptionB,
} from "../../ports/job-scenario.fixture.ts";
import type { LeaseEpoch } from "../../ports/lease.ts";
import { adHoc } from "../../postgres/statement.ts";
import type { PostgresStore } from "./index.ts";
import type { TestJobs } from "./job-store.fixture.ts";

/**
 * Several processes that do to a few groups, at the same time, whatever stages, routers and operators do: two streams
 * with one checkpoint, two schedulers that take the lease from each other and die between publishing and marking, a
 * queue without any order that loses messages and hands them out twice, routers that crash, operators, housekeeping,
 * and connections that are cut. The seed decides what is done; how it interleaves is up to the machine.
 */
export interface StormConfig {
  readonly seed: number;
  readonly steps: number;
  readonly cutConnections: boolean;
  readonly retention: boolean;
}

export const stormLimits = {
  workers: 10,
  publishWindow: 5,
  /** Of history that is dropped while the storm lasts. */
  retentionMs: 120_000,
} as const;

const leaseTtlMs = 1e12;
const poolB = "POOL-B" as PoolCode;
const retry = retryPolicyOf([1_000, 60_000], 2);
const eventProfiles = [
  profileFor(subscriptionA, { retry, maxAgeSeconds: 300 }),
  profileFor(subscriptionB, { retry, mode: "BLOCK_ON_ERROR" }),
];
const taskProfiles = [
  profileFor(null, { retry }),
  profileFor(null, { retry, poolCode: poolB }),
  profileFor(null, { retry, poolCode: poolB, mode: "BLOCK_ON_ERROR" }),
];

interface Message {
  readonly run: DueRun;
  readonly publishedAtMs: number;
  held: boolean;
}

interface Stage {
  readonly store: PostgresStore;
  readonly holder: string;
  epoch: LeaseEpoch | null;
  busy: boolean;
}

/** Reports of several routers, written together. */
interface Sink {
  readonly waiting: { report: DeliveryReport; done(verdict: ReportVerdict): void }[];
  busy: boolean;
}

export class JobStorm {
  readonly jobs: TestJobs;
  /** Made for certain: the call that made them has answered. */
  readonly made = new Set<JobId>();
  readonly violations: string[] = [];
  readonly #config: StormConfig;
  readonly #scenario: JobScenario;
  readonly #random: Random;
  readonly #stores: readonly PostgresStore[];
  readonly #messages: Message[] = [];
  readonly #arrived = new Set<JobId>();
  readonly #retried = new Set<JobId>();
  readonly #streams: readonly Stage[];
  readonly #schedulers: readonly Stage[];
  readonly #sinks: readonly Sink[] = [
    { waiting: [], busy: false },
    { waiting: [], busy: false },
  ];
  #maintenance: LeaseEpoch | null = null;
  #emptySinceMs: number | null = null;
  #recovering = false;
  #calm = false;

  private constructor(
    world: { readonly jobs: TestJobs; readonly scenario: JobScenario; readonly stores: readonly PostgresStore[] },
    config: StormConfig,
  ) {
    this.jobs = world.jobs;
    this.#scenario = world.scenario;
    this.#stores = world.stores;
    this.#config = config;
    this.#random = seededRandom(config.seed);
    const stage = (holder: string, index: number): Stage => ({
      store: world.stores[index % world.stores.length]!,
      holder,
      epoch: null,
      busy: false,
    });
    this.#streams = [stage("stream-0", 0), stage("stream-1", 1)];
    this.#schedulers = [stage("scheduler-0", 2), stage("scheduler-1", 3)];
  }

  static async start(jobs: TestJobs, config: StormConfig): Promise<JobStorm> {
    const scenario = await JobScenario.start(() => Promise.resolve(jobs));
    const stores = await Promise.all([0, 1, 2, 3].map(() => jobs.another()));
    const storm = new JobStorm({ jobs, scenario, stores }, config);
    const lease = await stores[0]!.leases.acquire("maintenance", "storm", leaseTtlMs);
    storm.#maintenance = lease?.epoch ?? null;
    return storm;
  }

  async blow(): Promise<void> {
    let left = this.#config.steps;
    const work = async (): Promise<void> => {
      while (left-- > 0) await this.#tolerant(this.#chooseStep());
    };
    await Promise.all(Array.from({ length: stormLimits.workers }, work));
  }

  /** Targets heal, operators resume and skip, what is lost is found: gives back whether every job came to its end. */
  async calmDown(): Promise<boolean> {
    this.#calm = true;
    this.#messages.length = 0;
    const { store } = this.#schedulers[0]!;
    for (const scheduler of this.#schedulers) scheduler.epoch = null;
    await this.#takeLease(this.#schedulers[0]!, "storm-scheduler");
    for (const id of [subscriptionA, subscriptionB]) await store.jobCommands.holdSubscription(id, false, this.#now());
    for (const code of [poolA, poolB]) await store.jobCommands.holdPool(code, false, this.#now());
    for (let round = 0; round < 200; round++) {
      await this.#skipBlocked(store);
      await this.#recover(this.#now() + 1);
      await this.#schedule(this.#schedulers[0]!);
      while (this.#messages.length > 0) await this.#route();
      const open = await this.#ask<{ open: number }>("SELECT count(*)::bigint AS open FROM open_jobs");
      if (open[0]?.open === 0) return true;
      await this.jobs.test.clock.advance(this.#random.next() < 0.3 ? 61_000 : 1_000);
    }
    return false;
  }

  async #skipBlocked(store: PostgresStore): Promise<void> {
    const blocked = await this.#ask<{ key: string }>("SELECT key FROM job_groups WHERE blocked_job_id IS NOT NULL");
    for (const { key } of blocked) await store.jobCommands.unblock(key, "skip", this.#now(), anchorScope);
  }

  #chooseStep(): () => Promise<void> {
    const stage = (stages: readonly Stage[]): Stage => stages[this.#below(stages.length)]!;
    const steps: readonly (readonly [weight: number, step: () => Promise<unknown>])[] = [
      [10, () => this.#exclusive(stage(this.#streams), (one) => this.#append(one))],
      [6, () => this.#createTasks()],
      [14, () => this.#exclusive(stage(this.#schedulers), (one) => this.#schedule(one))],
      [30, () => this.#route()],
      [3, () => this.#cancel()],
      [3, () => this.#retry()],
      [3, () => this.#unblock()],
      [2, () => this.#hold()],
      [5, () => this.#keepHouse()],
      [3, () => this.#lookForLost()],
      [2, () => this.#loseMessage()],
      [8, () => this.jobs.test.clock.advance(this.#random.next() < 0.1 ? 60_000 : this.#below(3_000))],
      [this.#config.cutConnections ? 1 : 0, () => this.#cutConnection()],
    ];
    let at = this.#random.next() * steps.reduce((sum, [weight]) => sum + weight, 0);
    for (const [weight, step] of steps) {
      at -= weight;
      if (at < 0) return async () => void (await step());
    }
    return () => Promise.resolve();
  }

  /** What services live through: the store away for a moment, a lease that went to another. */
  async #tolerant(step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      if (!isCodedError(error, "STORE_UNAVAILABLE") && !isCodedError(error, "LEASE_LOST")) throw error;
    }
  }

  async #exclusive(stage: Stage, step: (stage: Stage) => Promise<void>): Promise<void> {
    if (stage.busy) return;
    stage.busy = true;
    try {
      await step(stage);
    } catch (error) {
      if (isCodedError(error, "LEASE_LOST")) stage.epoch = null;
      throw error;
    } finally {
      stage.busy = false;
    }
  }

  /** Now and then the lease changes hands though its holder does not know. */
  async #takeLease(stage: Stage, name: string): Promise<LeaseEpoch> {
    if (stage.epoch !== null) return stage.epoch;
    for (const other of name === "storm-stream" ? this.#streams : this.#schedulers) {
      if (other !== stage) await stage.store.leases.release(name, other.holder);
    }
    const lease = await stage.store.leases.acquire(name, stage.holder, leaseTtlMs);
    if (lease === null) throw new CodedError("LEASE_LOST");
    stage.epoch = lease.epoch;
    return lease.epoch;
  }

  async #append(stage: Stage): Promise<void> {
    const epoch = await this.#takeLease(stage, "storm-stream");
    const specs = Array.from({ length: 1 + this.#below(6) }, () => ({
      profile: eventProfiles[this.#below(eventProfiles.length)]!,
      group: this.#oneOf(["g", "h", null]),
      dueInMs: this.#oneOf([0, 0, 0, 5_000]),
    }));
    const jobs = await this.#scenario.newJobs(specs);
    const from = await stage.store.jobAppender.checkpoint();
    const position = jobs.reduce(
      (highest, job) => (job.eventPosition > highest ? job.eventPosition : highest),
      from.position,
    );
    const to = { position, ordinal: 0, frozenProfileKeys: [] };
    if (await stage.store.jobAppender.append({ jobs, poison: [], from, to, epoch })) {
      for (const job of jobs) this.made.add(job.id);
    } else if (this.#random.next() < 0.5) stage.epoch = null;
  }

  async #createTasks(): Promise<void> {
    const tasks = Array.from({ length: 1 + this.#below(4) }, () =>
      this.#scenario.newTask({
        profile: taskProfiles[this.#below(taskProfiles.length)]!,
        messageGroup: this.#oneOf(["t", "u", "v", null]),
        idempotencyKey: this.#oneOf([null, null, `k${this.#below(20)}`]),
        dueAtMs: this.#now() + this.#oneOf([0, 0, 0, 5_000, -5_000]),
      }),
    );
    const keyed = tasks.map((task) => {
      const { messageGroup, profile } = task;
      const groupKey = this.#scenario.newTask({ messageGroup, profile }).groupKey;
      return { ...task, groupKey };
    });
    for (const { job } of await this.#store().jobCommands.createTasks(keyed)) this.made.add(job.id);
  }

  async #schedule(stage: Stage): Promise<void> {
    const epoch = await this.#takeLease(stage, "storm-scheduler");
    const { jobClaims } = stage.store;
    const maxJobs = this.#calm ? 500 : 5 + this.#below(60);
    const limits = { nowMs: this.#now(), maxJobs, maxBytes: 1e6, publishWindow: stormLimits.publishWindow };
    const { runs } = await jobClaims.claim(limits, epoch);
    const fate = this.#calm ? 1 : this.#random.next();
    const taken = fate < 0.2 ? runs.filter(() => this.#random.next() < 0.5) : runs;
    for (const run of taken) this.#publish(run);
    if (fate < 0.1) return;
    const invalid = fate > 0.95 && fate < 1 ? taken.slice(0, 1) : [];
    await jobClaims.markQueued(taken.slice(invalid.length), this.#now(), epoch);
    await jobClaims.markUnpublishable(
      invalid.map((run) => ({ run, code: "TOO_LARGE" })),
      this.#now(),
      epoch,
    );
  }

  /** Known ids are recognised most of the time. */
  #publish(run: DueRun): void {
    const known = this.#messages.some((message) => message.run.messageId === run.messageId);
    if (known && this.#random.next() < 0.8) return;
    this.#messages.push({ run, publishedAtMs: this.#now(), held: false });
  }

  async #route(): Promise<void> {
    const free = this.#messages.filter((message) => !message.held);
    const message = free[this.#below(Math.max(free.length, 1))];
    if (message === undefined) return;
    message.held = true;
    const settled = await this.#deliver(message.run);
    message.held = false;
    if (settled) this.#settle(message);
  }

  #settle(message: Message): void {
    const index = this.#messages.indexOf(message);
    // Sometimes the ack is lost, and the message comes again.
    if (index >= 0 && (this.#calm || this.#random.next() < 0.9)) this.#messages.splice(index, 1);
  }

  /** One after the other; false: the router died. */
  async #deliver({ jobs }: DueRun): Promise<boolean> {
    for (let next = 0; next < jobs.length;) {
      const job = jobs[next]!;
      const read = () => this.#store().deliveryReader.read([{ kind: "reference", ...job }]);
      const delivery = (await this.#persist(read)).get(job.jobId);
      if (delivery === undefined) {
        next++;
        continue;
      }
      await this.#arrives(job.jobId);
      const fate = this.#calm ? 0 : this.#random.next();
      if (fate > 0.97) return false;
      if (fate > 0.93) {
        await this.#release(jobs.slice(next));
        return true;
      }
      const result = resultOf(fate, this.#now());
      const attempt = { ...sampleAttempt(this.#now(), delivery.generationAttempts + 1), burnt: result.kind !== "held" };
      const verdict = await this.#report({ ...job, attempt, result });
      if (verdict.kind === "wait") continue;
      if (verdict.kind === "parked" || (verdict.kind === "settled" && verdict.holdsGroup)) return true;
      next++;
    }
    return true;
  }

  async #release(jobs: DueRun["jobs"]): Promise<void> {
    const result: DeliveryResult = { kind: "released", dueAtMs: 0 };
    const reports = jobs.map(({ jobId, generation }) => ({ jobId, generation, attempt: null, result }));
    await this.#persist(() => this.#store().attemptSink.record(reports));
  }

  /** What stands before a job in its group has reached its target, or is at its end. */
  async #arrives(id: JobId): Promise<void> {
    if (this.#arrived.has(id)) return;
    const before = await this.#persist(() =>
      this.#ask<{ id: JobId }>(
        `SELECT b.id FROM open_jobs o JOIN job_groups g ON g.id = o.group_id AND g.ordered
         JOIN open_jobs b ON b.group_id = o.group_id AND b.position < o.position WHERE o.id = '${id}'`,
      ),
    );
    const overtaken = before
      .map((row) => row.id)
      .filter((other) => !this.#arrived.has(other) && !this.#retried.has(other));
    if (overtaken.length > 0) this.violations.push(`${id} came before ${overtaken.join(", ")}`);
    this.#arrived.add(id);
  }

  #report(report: DeliveryReport): Promise<ReportVerdict> {
    const sink = this.#sinks[this.#below(this.#sinks.length)]!;
    return new Promise<ReportVerdict>((done, failed) => {
      sink.waiting.push({ report, done });
      if (!sink.busy) this.#flush(sink).catch(failed);
    });
  }

  async #flush(sink: Sink): Promise<void> {
    sink.busy = true;
    while (sink.waiting.length > 0) {
      await new Promise((resolve) => setImmediate(resolve));
      const taken = sink.waiting.splice(0);
      const reports = taken.map(({ report }) => report);
      const again = this.#random.next() < 0.1 ? [reports[0]!] : [];
      const copy = this.#random.next() < 0.1 ? reports : [];
      const [verdicts] = await Promise.all([
        this.#persist(() => this.#store().attemptSink.record([...reports, ...again])),
        this.#persist(() => this.#store().attemptSink.record(copy)),
      ]);
      for (const [index, { done }] of taken.entries()) done(verdicts[index]!);
    }
    sink.busy = false;
  }

  async #cancel(): Promise<void> {
    await this.#store().jobCommands.cancel(this.#oneOf([...this.made]), this.#now(), anchorScope);
  }

  async #retry(): Promise<void> {
    const id = this.#oneOf([...this.made]);
    this.#retried.add(id);
    await this.#store().jobCommands.retry(id, { replay: false, nowMs: this.#now() }, anchorScope);
  }

  async #unblock(): Promise<void> {
    const blocked = await this.#ask<{ key: string; id: JobId }>(
      "SELECT key, blocked_job_id AS id FROM job_groups WHERE blocked_job_id IS NOT NULL ORDER BY id",
    );
    if (blocked.length === 0) return;
    const { key, id } = this.#oneOf(blocked);
    const action = this.#oneOf(["skip", "retry"] as const);
    // Whichever blocks it by then.
    if (action === "retry") for (const one of blocked) this.#retried.add(one.id);
    this.#retried.add(id);
    await this.#store().jobCommands.unblock(key, action, this.#now(), anchorScope);
  }

  async #hold(): Promise<void> {
    const held = this.#random.next() < 0.4;
    const { jobCommands } = this.#store();
    if (this.#random.next() < 0.5) await jobCommands.holdPool(this.#oneOf([poolA, poolB]), held, this.#now());
    else await jobCommands.holdSubscription(this.#oneOf([subscriptionA, subscriptionB]), held, this.#now());
  }

  async #keepHouse(): Promise<void> {
    const epoch = this.#maintenance;
    if (epoch === null) return;
    const { housekeeping, jobCommands } = this.#store();
    const nowMs = this.#now();
    const choice = this.#below(this.#config.retention ? 4 : 3);
    if (choice === 0) await housekeeping.dropIdleGroups(nowMs + 1, 100, epoch);
    else if (choice === 1) await housekeeping.dropUnusedProfiles(10, epoch);
    else if (choice === 2 && this.#random.next() < 0.2) await jobCommands.cancelPendingOf(subscriptionA, 5, nowMs);
    else if (choice === 3) await housekeeping.dropHistory(nowMs - stormLimits.retentionMs, 20, epoch);
  }

  /** By the evidence of the queue: its oldest message, or twice nothing at all. */
  async #lookForLost(): Promise<void> {
    if (this.#recovering) return;
    this.#recovering = true;
    try {
      const nowMs = this.#now();
      const oldestMs = this.#messages.reduce((oldest, one) => Math.min(oldest, one.publishedAtMs), Infinity);
      const provenMs = this.#messages.length > 0 ? oldestMs : this.#emptySinceMs;
      this.#emptySinceMs = this.#messages.length > 0 ? null : nowMs;
      if (provenMs !== null) await this.#recover(provenMs);
    } finally {
      this.#recovering = false;
    }
  }

  async #recover(queuedBeforeMs: number): Promise<void> {
    const { store, epoch } = this.#schedulers.find((one) => one.epoch !== null) ?? this.#schedulers[0]!;
    if (epoch !== null) await store.jobClaims.recoverLost({ queuedBeforeMs, maxJobs: 50, nowMs: this.#now() }, epoch);
  }

  #loseMessage(): Promise<void> {
    const free = this.#messages.filter((message) => !message.held);
    const lost = free[this.#below(Math.max(free.length, 1))];
    if (lost !== undefined) this.#messages.splice(this.#messages.indexOf(lost), 1);
    return Promise.resolve();
  }

  async #cutConnection(): Promise<void> {
    await this.#ask(`
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1`);
  }

  /** A router keeps what it has to say until it is taken. */
  async #persist<Result>(act: () => Promise<Result>): Promise<Result> {
    for (;;) {
      try {
        return await act();
      } catch (error) {
        if (!isCodedError(error, "STORE_UNAVAILABLE")) throw error;
      }
    }
  }

  #ask<Row>(text: string): Promise<readonly Row[]> {
    return this.jobs.test.database.query(adHoc<Row>(text), []);
  }

  #store(): PostgresStore {
    return this.#oneOf(this.#stores);
  }

  #now(): number {
    return this.jobs.test.clock.now();
  }

  #below(limit: number): number {
    return Math.floor(this.#random.next() * limit);
  }

  #oneOf<Item>(items: readonly Item[]): Item {
    return items[this.#below(items.length)]!;
  }
}

function resultOf(fate: number, nowMs: number): DeliveryResult {
  if (fate < 0.65) return { kind: "delivered" };
  if (fate < 0.75) return { kind: "transient", error: "HTTP 500" };
  if (fate < 0.82) return { kind: "permanent", error: "HTTP 400", pauseSubscription: null };
  if (fate < 0.87) return { kind: "held", untilMs: nowMs + 5_000, error: "HTTP 429" };
  if (fate < 0.92) return { kind: "held", untilMs: nowMs + 30_000, error: "HTTP 429" };
  return { kind: "expired" };
}
