import {
  CodedError,
  createMetrics,
  FakeClock,
  seededRandom,
  silentLogger,
  type Clock,
  type Metrics,
} from "@flowcatalyst/foundation";
import type { DeliveryReport, ReportVerdict } from "../domain/attempt.ts";
import type { DispatchPool } from "../domain/dispatch-pool.ts";
import type { GroupKey, JobId, MessageId, PoolCode, PoolId, SubscriptionId } from "../domain/ids.ts";
import { newJobState, transition, type JobState } from "../domain/job-state.ts";
import type { JobDelivery, JobReference, PlatformMessage, StandaloneMessage } from "../domain/message.ts";
import type { DispatchMode } from "../domain/subscription.ts";
import type { AttemptSink } from "../ports/attempt-sink.ts";
import type { ControlState, DeliveryControl } from "../ports/delivery-control.ts";
import type { DeliveryReader } from "../ports/delivery-reader.ts";
import type { QueueConsumer } from "../ports/queue.ts";
import type { Standby } from "../ports/standby-lease.ts";
import type { AddressGuard, Resolution, Transport, TransportRequest, TransportResult } from "../ports/transport.ts";
import { openSqliteQueue, type SqliteQueue } from "../queues/sqlite/index.ts";
import { createRouter, routerDefaults, type Router, type RouterConfig } from "./router.ts";
import { Warnings } from "./warnings.ts";

export const testSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
export const retryDelaysMs = [1_000, 2_000, 60_000] as const;

/** What a test says of a job; the rest is usual. */
export interface JobSketch {
  readonly target?: string;
  readonly group?: string;
  readonly mode?: DispatchMode;
  readonly subscriptionId?: string;
  readonly secretRef?: string | null;
  readonly expiresInMs?: number;
  readonly payload?: string;
}

interface StoredJob {
  readonly delivery: JobDelivery;
  readonly mode: DispatchMode;
  readonly groupKey: GroupKey | null;
  state: JobState;
}

/** Jobs in memory, moved by the product's own transition function: what a store does, without the storing. */
export class JobBook implements AttemptSink, DeliveryReader {
  readonly reports: DeliveryReport[] = [];
  readonly jobs = new Map<JobId, StoredJob>();
  isDown = false;
  /** Jobs of which somebody asked whether they are owed. */
  readonly checked: JobId[] = [];
  /** The next batch is taken in, and the answer gets lost. */
  losesAnswer = false;
  readonly #clock: Clock;
  #lastId = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(sketch: JobSketch = {}): JobId {
    const jobId = `job_${String(++this.#lastId).padStart(4, "0")}` as JobId;
    const groupKey = sketch.group === undefined ? null : (sketch.group as GroupKey);
    const delivery: JobDelivery = {
      kind: "delivery",
      jobId,
      generation: 1,
      attemptCount: 0,
      generationAttempts: 0,
      clientId: null,
      subscriptionId: (sketch.subscriptionId ?? "sub_1") as SubscriptionId,
      target: sketch.target ?? "https://a.example/hook",
      contentType: "application/json",
      format: "data",
      headers: {},
      payloadKind: "json",
      payload: sketch.payload ?? `{"job":"${jobId}"}`,
      timeoutSeconds: 30,
      retry: { delaysMs: retryDelaysMs, maxRetries: retryDelaysMs.length },
      expiresAtMs: this.#clock.now() + (sketch.expiresInMs ?? 86_400_000),
      legacySignature: false,
      secretRef: sketch.secretRef ?? null,
      event: null,
    };
    const state: JobState = { ...newJobState(0), status: "QUEUED", queuedAtMs: this.#clock.now() };
    this.jobs.set(jobId, { delivery, groupKey, mode: sketch.mode ?? "NEXT_ON_ERROR", state });
    return jobId;
  }

  state(id: JobId): JobState {
    return this.#job(id).state;
  }

  groupOf(id: JobId): GroupKey | null {
    return this.#job(id).groupKey;
  }

  referenceTo(id: JobId): JobReference {
    return { kind: "reference", jobId: id, generation: this.state(id).generation, bytes: 100 };
  }

  deliveryOf(id: JobId): JobDelivery {
    const { delivery, state } = this.#job(id);
    const { generation, attemptCount, generationAttempts } = state;
    return { ...delivery, generation, attemptCount, generationAttempts };
  }

  /** As an operator does it, and then the scheduler. */
  cancelAndRetry(id: JobId): void {
    const job = this.#job(id);
    job.state = { ...job.state, generation: job.state.generation + 1 };
    this.queueAgain(id);
  }

  /** As the scheduler does it. */
  queueAgain(id: JobId): void {
    const job = this.#job(id);
    job.state = { ...job.state, status: "QUEUED", queuedAtMs: this.#clock.now() };
  }

  record(reports: readonly DeliveryReport[]): Promise<readonly ReportVerdict[]> {
    if (this.isDown) return Promise.reject(new CodedError("STORE_UNAVAILABLE"));
    const verdicts = reports.map((report) => this.#apply(report));
    if (!this.losesAnswer) return Promise.resolve(verdicts);
    this.losesAnswer = false;
    return Promise.reject(new CodedError("STORE_UNAVAILABLE"));
  }

  read(references: readonly JobReference[]): Promise<ReadonlyMap<JobId, JobDelivery>> {
    const found = new Map<JobId, JobDelivery>();
    for (const { jobId, generation } of references) {
      const job = this.jobs.get(jobId);
      const isCurrent = job?.state.generation === generation && ["PENDING", "QUEUED"].includes(job.state.status);
      if (job === undefined || !isCurrent) continue;
      const { attemptCount, generationAttempts } = job.state;
      found.set(jobId, { ...job.delivery, generation, attemptCount, generationAttempts });
    }
    return Promise.resolve(found);
  }

  /** As a platform answers a router whose messages carry whole deliveries. */
  owed(jobs: readonly { readonly jobId: JobId; readonly generation: number }[]): ReturnType<DeliveryReader["read"]> {
    if (this.isDown) return Promise.reject(new CodedError("STORE_UNAVAILABLE"));
    this.checked.push(...jobs.map(({ jobId }) => jobId));
    return this.read(jobs.map((job) => ({ ...job, kind: "reference", bytes: 0 })));
  }

  #job(id: JobId): StoredJob {
    const job = this.jobs.get(id);
    if (job === undefined) throw new Error(`no job ${id}`);
    return job;
  }

  #apply(report: DeliveryReport): ReportVerdict {
    this.reports.push(report);
    const job = this.jobs.get(report.jobId);
    if (job === undefined) return { kind: "ignored", reason: "UNKNOWN_JOB" };
    const around = this.#around(job);
    const { generation, result, attempt } = report;
    const next = transition(job.state, { kind: "report", generation, result, attempt, attemptIsNew: true }, around);
    if (next.kind === "unchanged") return { kind: "ignored", reason: next.reason === "FINAL" ? "FINAL" : "STALE" };
    job.state = next.state;
    if (next.takesBackRest) this.#takeBack(job);
    return next.verdict ?? { kind: "ignored", reason: "STALE" };
  }

  #takeBack(head: StoredJob): void {
    for (const job of this.jobs.values()) {
      if (job === head || job.groupKey !== head.groupKey || job.state.status !== "QUEUED") continue;
      const next = transition(job.state, { kind: "takeBack" }, this.#around(job));
      if (next.kind === "moved") job.state = next.state;
    }
  }

  #around(job: StoredJob) {
    const { retry, expiresAtMs } = job.delivery;
    return { nowMs: this.#clock.now(), expiresAtMs, retry, mode: job.mode, ordered: job.groupKey !== null, random: 0 };
  }
}

export type Behaviour = (call: TestCall) => TransportResult | Promise<TransportResult>;

export interface TestCall {
  readonly request: TransportRequest;
  readonly origin: string;
  /** `webhook-id`: the job, or the stand-alone message. */
  readonly id: string;
  /** From 1, over all calls. */
  readonly number: number;
}

export function answer(status: number, body = "", retryAfter: string | null = null): TransportResult {
  return { kind: "response", status, body, retryAfter };
}

/** Targets of every name, in memory: they answer 200 unless told otherwise, and keep what they got. */
export class Targets implements Transport, AddressGuard {
  readonly calls: TestCall[] = [];
  readonly active = new Map<string, number>();
  readonly peak = new Map<string, number>();
  behaviour: Behaviour = () => answer(200);
  resolution: (url: string) => Resolution = () => ({ kind: "allowed", address: "192.0.2.1" });

  check(url: string): Promise<Resolution> {
    return Promise.resolve(this.resolution(url));
  }

  async post(request: TransportRequest, signal: AbortSignal): Promise<TransportResult> {
    const { origin } = new URL(request.url);
    const call = { request, origin, id: request.headers["webhook-id"] ?? "", number: this.calls.length + 1 };
    this.calls.push(call);
    const active = (this.active.get(origin) ?? 0) + 1;
    this.active.set(origin, active);
    this.peak.set(origin, Math.max(this.peak.get(origin) ?? 0, active));
    const aborted = new Promise<TransportResult>((resolve) => {
      signal.addEventListener("abort", () => resolve({ kind: "connectionFailed", detail: "aborted" }), { once: true });
    });
    const result = await Promise.race([this.behaviour(call), aborted]);
    this.active.set(origin, (this.active.get(origin) ?? 1) - 1);
    return result;
  }

  ids(origin?: string): string[] {
    return this.calls.filter((call) => origin === undefined || call.origin === origin).map((call) => call.id);
  }
}

/** Settings a test changes while the router runs. */
export class Settings implements DeliveryControl {
  readonly secretsByRef = new Map<string, readonly string[]>([["known", [testSecret]]]);
  #state: ControlState;
  #changed: () => void = () => undefined;
  /** Nobody answers, not even that there is nobody. */
  isHanging = false;
  readonly #clock: Clock;

  constructor(clock: Clock, pools: readonly DispatchPool[]) {
    this.#clock = clock;
    this.#state = { revision: 1, pools, pausedSubscriptions: new Set(), cancelledJobs: new Set() };
  }

  change(changes: Partial<ControlState>): void {
    this.#state = { ...this.#state, ...changes, revision: this.#state.revision + 1 };
    this.#changed();
  }

  async read(known: number | null, waitMs: number, signal: AbortSignal): Promise<ControlState> {
    if (this.isHanging) return new Promise(() => undefined);
    if (known !== this.#state.revision) return this.#state;
    const changed = new Promise<void>((resolve) => (this.#changed = resolve));
    await Promise.race([changed, this.#clock.sleep(waitMs, signal)]);
    return this.#state;
  }

  secrets(ref: string): Promise<readonly string[]> {
    if (this.isHanging) return new Promise(() => undefined);
    return Promise.resolve(this.secretsByRef.get(ref) ?? []);
  }
}

export function pool(code: string, changes: Partial<DispatchPool> = {}): DispatchPool {
  return {
    id: `pool_${code}` as PoolId,
    code: code as PoolCode,
    name: null,
    clientId: null,
    concurrency: 10,
    rateLimitPerMinute: null,
    burst: null,
    timeoutSeconds: null,
    status: "ACTIVE",
    version: 1,
    createdAtMs: 0,
    updatedAtMs: 0,
    ...changes,
  };
}

export interface TestRouter {
  readonly clock: FakeClock;
  readonly queue: SqliteQueue;
  readonly book: JobBook;
  readonly targets: Targets;
  readonly settings: Settings;
  readonly warnings: Warnings;
  readonly metrics: Metrics;
  readonly router: Router;
  /** Another router on the same queue, jobs and targets, not started. */
  another(): Router;
  /** Starts it and waits until it is ready. */
  start(): Promise<void>;
  /** Tells it to stop; resolves when it has. */
  stop(): Promise<void>;
  /** Publishes one message for these jobs. */
  publishRun(jobs: readonly JobId[], lane?: string): Promise<void>;
  /** Publishes a message for each. */
  publishSingles(jobs: readonly JobId[], lane?: string): Promise<void>;
  publishStandalone(message: Partial<StandaloneMessage> & { readonly id: MessageId }): Promise<void>;
  /** Lets time pass, timer by timer, and between two of them everything that can happen. */
  elapse(ms: number): Promise<void>;
  dispose(): Promise<void>;
}

export interface TestRouterOptions {
  readonly pools?: readonly DispatchPool[];
  readonly config?: Partial<RouterConfig>;
  readonly withoutPlatform?: boolean;
  /** Messages carry whole deliveries, and the router can only ask which are owed. */
  readonly carriesDeliveries?: boolean;
  /** What it receives from at the start, in place of the SQLite queue. */
  readonly queues?: (clock: FakeClock) => readonly QueueConsumer[];
  /** What the router takes for the queue's visibility, which is 60 s: it then extends too late. */
  readonly believedVisibilityMs?: number;
  /** Made with the router's own clock. */
  readonly standby?: (clock: FakeClock) => Standby;
}

/** The real router on a real queue, with jobs, settings and targets in memory and a clock that the test moves. */
export function setupRouter(options: TestRouterOptions = {}): TestRouter {
  const clock = new FakeClock();
  const carriesReferences = options.carriesDeliveries !== true;
  const { queue, close } = openSqliteQueue({ clock }, { path: ":memory:", carriesReferences });
  const consumer = withVisibility(queue, options.believedVisibilityMs ?? queue.visibilityMs);
  const queues = options.queues?.(clock) ?? [consumer];
  const book = new JobBook(clock);
  const targets = new Targets();
  const settings = new Settings(clock, options.pools ?? [pool("main")]);
  const logger = silentLogger();
  const warnings = new Warnings(clock, logger);
  const metrics = createMetrics();
  const withoutDatabase = { deliveries: null, check: book, sink: book };
  const withPlatform = carriesReferences ? { deliveries: book, sink: book } : withoutDatabase;
  const ports = options.withoutPlatform === true ? { deliveries: null, sink: null } : withPlatform;
  const standby = options.standby?.(clock) ?? null;
  const rest = { transport: targets, guard: targets, clock, random: seededRandom(1), logger, metrics, warnings };
  const config = { ...routerDefaults, gatherMs: 0, userAgent: "FlowCatalyst/test", ...options.config };
  const create = (): Router => createRouter({ queues, control: settings, standby, ...ports, ...rest }, config);
  const router = create();
  const abort = new AbortController();
  let running: Promise<void> = Promise.resolve();
  let messages = 0;
  const publish = async (jobs: readonly JobId[], lane: string): Promise<void> => {
    const message: PlatformMessage = {
      kind: "platform",
      id: `msg_${++messages}` as MessageId,
      lane: lane as PoolCode,
      groupKey: jobs[0] === undefined ? null : book.groupOf(jobs[0]),
      jobs: jobs.map((jobId) => (carriesReferences ? book.referenceTo(jobId) : book.deliveryOf(jobId))),
      traceparent: null,
    };
    await queue.publish([message]);
  };
  return {
    clock,
    queue,
    book,
    targets,
    settings,
    warnings,
    metrics,
    router,
    another: create,
    start: async () => {
      running = router.run(abort.signal);
      await Promise.race([router.ready(), running]);
    },
    stop: async () => {
      abort.abort();
      await running;
    },
    publishRun: (jobs, lane = "main") => publish(jobs, lane),
    publishSingles: async (jobs, lane = "main") => {
      for (const job of jobs) await publish([job], lane);
    },
    publishStandalone: async (message) => {
      await queue.publish([{ ...standaloneDefaults, ...message }]);
    },
    elapse: (ms) => elapse(clock, ms),
    dispose: async () => {
      abort.abort();
      // What hangs is cut off when the time for stopping is over.
      await Promise.all([running, elapse(clock, config.drainMs + 10_000)]);
      close();
    },
  };
}

function withVisibility(queue: SqliteQueue, visibilityMs: number): QueueConsumer {
  return new Proxy(queue, {
    get: (target, key) => {
      if (key === "visibilityMs") return visibilityMs;
      const value: unknown = Reflect.get(target, key);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** Turns of the event loop in which a call, its record and its ack happen, with room to spare. */
const TURNS = 12;

async function elapse(clock: FakeClock, ms: number): Promise<void> {
  const endMs = clock.monotonicMs() + ms;
  for (;;) {
    for (let turn = 0; turn < TURNS; turn++) await clock.advance(0);
    const leftMs = endMs - clock.monotonicMs();
    if (leftMs <= 0) return;
    await clock.advance(Math.min(leftMs, clock.nextTimerMs ?? leftMs));
  }
}

export const standaloneDefaults: Omit<StandaloneMessage, "id"> = {
  kind: "standalone",
  lane: "main" as PoolCode,
  groupKey: null,
  deduplicationId: null,
  highPriority: false,
  target: "https://a.example/hook",
  payload: "{}",
  contentType: "application/json",
  headers: {},
  secretRef: null,
  traceparent: null,
};
