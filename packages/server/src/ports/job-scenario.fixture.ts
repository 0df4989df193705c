import type { Attempt, DeliveryReport, DeliveryResult, ReportVerdict } from "../domain/attempt.ts";
import type { DeliveryProfile, DispatchJob, NewEventJob, NewTaskJob } from "../domain/dispatch-job.ts";
import { eventGroupKey, taskGroupKey } from "../domain/group-key.ts";
import type { ClientId, EventPosition, JobId, PoolCode, SubscriptionId } from "../domain/ids.ts";
import { retryPolicyOf } from "../domain/retry-policy.ts";
import { anchorScope } from "../domain/scope.ts";
import type { AttemptSink } from "./attempt-sink.ts";
import type { DeliveryControl } from "./delivery-control.ts";
import type { DeliveryReader } from "./delivery-reader.ts";
import type { EventAppender, EventReader } from "./event-log.ts";
import type { Housekeeping } from "./housekeeping.ts";
import type { FanOut, JobAppender } from "./job-appender.ts";
import type { Claim, ClaimLimits, DueRun, JobClaims } from "./job-claims.ts";
import type { JobCommands, JobReader, ReplayStore } from "./job-store.ts";
import type { LeaseEpoch, LeaseStore } from "./lease.ts";
import { createSamples, type SampleEntities } from "./sample-entities.fixture.ts";
import type { DispatchPoolRepository, SubscriptionRepository } from "./settings.ts";

/** One store with every port that has to do with jobs, empty, and the time it lives in. */
export interface JobStoreFixture {
  readonly events: EventAppender;
  readonly eventReader: EventReader;
  readonly subscriptions: SubscriptionRepository;
  readonly pools: DispatchPoolRepository;
  readonly leases: LeaseStore;
  readonly control: DeliveryControl;
  readonly jobAppender: JobAppender;
  readonly jobClaims: JobClaims;
  readonly attemptSink: AttemptSink;
  readonly deliveryReader: DeliveryReader;
  readonly jobs: JobReader;
  readonly jobCommands: JobCommands;
  readonly replays: ReplayStore;
  readonly housekeeping: Housekeeping;
  now(): number;
  advance(ms: number): Promise<void>;
  /** The same data after the process died: what was remembered in memory is gone. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

export type JobStoreSetup = () => Promise<JobStoreFixture>;

export interface JobSpec {
  readonly group?: string | null;
  readonly profile?: DeliveryProfile;
  readonly dueInMs?: number;
  readonly clientId?: ClientId | null;
  readonly type?: string;
  readonly data?: string;
  /** Counted size of the payload, if it is to differ from that of the data. */
  readonly bytes?: number;
}

export interface Told {
  readonly result: DeliveryResult;
  readonly generation?: number;
  readonly attempt?: Partial<Attempt> | null;
}

/** Far longer than any test: a lease that never runs out. */
const LEASE_TTL_MS = 1e12;

export const poolA = "POOL-A" as PoolCode;
export const subscriptionA = "sub_0000000000AAA" as SubscriptionId;
export const subscriptionB = "sub_0000000000BBB" as SubscriptionId;

export function profileFor(
  subscriptionId: SubscriptionId | null,
  changes: Partial<DeliveryProfile> = {},
): DeliveryProfile {
  const profile = {
    subscriptionId,
    targetUrl: "https://example.com/hook",
    poolCode: poolA,
    mode: "NEXT_ON_ERROR",
    format: "data",
    timeoutSeconds: 30,
    retry: retryPolicyOf([1_000, 60_000], null),
    headers: {},
    maxAgeSeconds: 3_600,
    legacySignature: false,
    secretRef: null,
    ...changes,
  } as const;
  // Keys name content, so that profiles which differ never share one.
  return { key: `${subscriptionId ?? "task"}@${JSON.stringify(changes)}`, ...profile };
}

/** Drives a store through what stages do to it, in the fewest words. */
export class JobScenario {
  readonly store: JobStoreFixture;
  readonly samples: SampleEntities = createSamples();
  readonly epoch: LeaseEpoch;
  #jobs = 0;

  private constructor(store: JobStoreFixture, epoch: LeaseEpoch) {
    this.store = store;
    this.epoch = epoch;
  }

  static async start(setup: JobStoreSetup): Promise<JobScenario> {
    const store = await setup();
    const lease = await store.leases.acquire("scheduler", "scenario", LEASE_TTL_MS);
    if (lease === null) throw new Error("A fresh store has no lease");
    return new JobScenario(store, lease.epoch);
  }

  nextJobId(): JobId {
    return `job_${(++this.#jobs).toString().padStart(13, "0")}` as JobId;
  }

  /** Accepts events and makes one job of each. */
  async publish(...specs: readonly JobSpec[]): Promise<readonly JobId[]> {
    const jobs = await this.newJobs(specs);
    const done = await this.append(jobs);
    if (!done) throw new Error("The fan-out was refused");
    return jobs.map((job) => job.id);
  }

  async newJobs(specs: readonly JobSpec[]): Promise<readonly NewEventJob[]> {
    const nowMs = this.store.now();
    const events = specs.map((spec) =>
      this.samples.event({
        clientId: spec.clientId ?? null,
        messageGroup: spec.group ?? null,
        type: spec.type ?? "order.created",
        data: spec.data ?? `{"n":1}`,
        createdAtMs: nowMs,
      }),
    );
    const appended = await this.store.events.append(events);
    return appended.map(({ event }, index) => this.jobOf(event, specs[index] ?? {}));
  }

  jobOf(event: Awaited<ReturnType<EventAppender["append"]>>[number]["event"], spec: JobSpec): NewEventJob {
    const profile = spec.profile ?? profileFor(subscriptionA);
    const subscriptionId = profile.subscriptionId ?? subscriptionA;
    return {
      kind: "EVENT",
      id: this.nextJobId(),
      clientId: event.clientId,
      eventId: event.id,
      eventPosition: event.position,
      code: event.type,
      messageGroup: event.messageGroup,
      groupKey: eventGroupKey(subscriptionId, profile.mode, event.messageGroup),
      profile,
      dueAtMs: this.store.now() + (spec.dueInMs ?? 0),
      payloadBytes: spec.bytes ?? Buffer.byteLength(event.data ?? ""),
      createdAtMs: this.store.now(),
    };
  }

  async append(jobs: readonly NewEventJob[], changes: Partial<FanOut> = {}): Promise<boolean> {
    const from = await this.store.jobAppender.checkpoint();
    const position = Math.max(from.position, ...jobs.map((job) => job.eventPosition)) as EventPosition;
    const to = { position, ordinal: 0, frozenProfileKeys: [] };
    return this.store.jobAppender.append({ jobs, poison: [], from, to, epoch: this.epoch, ...changes });
  }

  newTask(changes: Partial<NewTaskJob> = {}): NewTaskJob {
    const profile = changes.profile ?? profileFor(null);
    const clientId = changes.clientId ?? null;
    const messageGroup = changes.messageGroup ?? null;
    return {
      kind: "TASK",
      id: this.nextJobId(),
      clientId,
      eventId: null,
      subscriptionId: null,
      code: "send-mail",
      messageGroup,
      groupKey: taskGroupKey(clientId, profile.mode, messageGroup),
      profile,
      payload: `{"to":"a"}`,
      contentType: "application/json",
      dueAtMs: this.store.now(),
      idempotencyKey: null,
      metadata: {},
      createdAtMs: this.store.now(),
      ...changes,
    };
  }

  claim(limits: Partial<ClaimLimits> = {}): Promise<Claim> {
    return this.store.jobClaims.claim(
      { nowMs: this.store.now(), maxJobs: 500, maxBytes: 8_388_608, publishWindow: 1_000, ...limits },
      this.epoch,
    );
  }

  async mark(runs: readonly DueRun[]): Promise<void> {
    await this.store.jobClaims.markQueued(runs, this.store.now(), this.epoch);
  }

  /** Everything that is due is published. */
  async queue(limits: Partial<ClaimLimits> = {}): Promise<readonly DueRun[]> {
    const { runs } = await this.claim(limits);
    await this.mark(runs);
    return runs;
  }

  async report(id: JobId, told: Told): Promise<ReportVerdict> {
    const [verdict] = await this.store.attemptSink.record([await this.newReport(id, told)]);
    if (verdict === undefined) throw new Error("A report has a verdict");
    return verdict;
  }

  async newReport(id: JobId, told: Told): Promise<DeliveryReport> {
    const job = await this.store.jobs.byId(id, anchorScope);
    const generation = told.generation ?? job?.generation ?? 1;
    const number = (job?.generation === generation ? job.generationAttempts : 0) + 1;
    const attempt = told.attempt === null ? null : { ...sampleAttempt(this.store.now(), number), ...told.attempt };
    return { jobId: id, generation, attempt, result: told.result };
  }

  deliver(id: JobId): Promise<ReportVerdict> {
    return this.report(id, { result: { kind: "delivered" }, attempt: { outcome: "DELIVERED", statusCode: 200 } });
  }

  fail(id: JobId): Promise<ReportVerdict> {
    return this.report(id, { result: { kind: "permanent", error: "HTTP 400", pauseSubscription: null } });
  }

  async job(id: JobId): Promise<DispatchJob> {
    const job = await this.store.jobs.byId(id, anchorScope);
    if (job === null) throw new Error(`No job ${id}`);
    return job;
  }

  async statuses(ids: readonly JobId[]): Promise<readonly string[]> {
    const jobs = await Promise.all(ids.map((id) => this.job(id)));
    return jobs.map((job) => job.status);
  }
}

export function sampleAttempt(nowMs: number, number: number): Attempt {
  return {
    number,
    startedAtMs: nowMs,
    durationMs: 12,
    outcome: "SERVER_ERROR",
    statusCode: 500,
    burnt: true,
    error: null,
    responseBody: null,
    signed: true,
  };
}

/** The job ids of each run. */
export function idsOf(runs: readonly DueRun[]): readonly (readonly JobId[])[] {
  return runs.map((run) => run.jobs.map((job) => job.jobId));
}
