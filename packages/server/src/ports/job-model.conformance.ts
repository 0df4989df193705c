import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { DeliveryReport, DeliveryResult } from "../domain/attempt.ts";
import type { GroupKey, JobId } from "../domain/ids.ts";
import { isFinal } from "../domain/job-state.ts";
import { anchorScope } from "../domain/scope.ts";
import { retryPolicyOf } from "../domain/retry-policy.ts";
import type { DueJob, DueRun } from "./job-claims.ts";
import { JobModel } from "./job-model.fixture.ts";
import {
  JobScenario,
  profileFor,
  sampleAttempt,
  subscriptionA,
  subscriptionB,
  type JobStoreSetup,
} from "./job-scenario.fixture.ts";

/**
 * Whatever happens to jobs, in whatever order, crashes included: the store says what a naive model says, order is kept,
 * and when everything heals every job comes to its end. A failure prints seed and path; `fc.assert(..., { seed, path
 * })` repeats it.
 */
const retry = retryPolicyOf([1_000, 60_000], 3);
const maxAgeSeconds = 1e9;
const profiles = {
  next: profileFor(subscriptionA, { retry, maxAgeSeconds }),
  block: profileFor(subscriptionB, { retry, maxAgeSeconds, mode: "BLOCK_ON_ERROR" }),
} as const;

/** About three seconds; 4,000 have been run at the time of writing. */
const NUM_RUNS = 100;

type Step =
  | { readonly kind: "append"; readonly jobs: readonly NewJob[] }
  /** Claims, publishes, and marks; or dies before it marks; or the queue refuses some. */
  | { readonly kind: "schedule"; readonly fate: "marked" | "crash" | "refused" }
  | { readonly kind: "work"; readonly which: number; readonly outcome: Outcome }
  /** A router stops: all that is left of a message is released. */
  | { readonly kind: "stop"; readonly which: number }
  /** A router died between its last result and the ack: the message it had done with comes once more. */
  | { readonly kind: "unacked" }
  /** The last report is sent once more. */
  | { readonly kind: "repeat" }
  | { readonly kind: "purge" }
  | { readonly kind: "cancel" | "retry"; readonly which: number }
  | { readonly kind: "unblock"; readonly which: number; readonly action: "skip" | "retry" }
  | { readonly kind: "pause"; readonly paused: boolean; readonly which: number }
  | { readonly kind: "advance"; readonly ms: number }
  | { readonly kind: "restart" };

interface NewJob {
  readonly profile: keyof typeof profiles;
  readonly group: string | null;
  readonly dueInMs: number;
}

type Outcome = "delivered" | "transient" | "permanent" | "held" | "heldLong" | "expired";

const newJobs = fc.record<NewJob>({
  profile: fc.constantFrom("next", "block"),
  group: fc.constantFrom("g", "h", null),
  dueInMs: fc.constantFrom(0, 0, 0, 20_000),
});
const which = fc.nat({ max: 50 });
const steps: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.array(newJobs, { minLength: 1, maxLength: 6 }).map((jobs): Step => ({ kind: "append", jobs })),
  },
  {
    weight: 5,
    arbitrary: fc
      .constantFrom("marked", "marked", "marked", "crash", "refused")
      .map((fate): Step => ({ kind: "schedule", fate: fate as "marked" })),
  },
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant("work" as const),
      which,
      outcome: fc.constantFrom<Outcome>(
        "delivered",
        "delivered",
        "delivered",
        "transient",
        "permanent",
        "held",
        "heldLong",
        "expired",
      ),
    }),
  },
  { weight: 1, arbitrary: which.map((index): Step => ({ kind: "stop", which: index })) },
  { weight: 2, arbitrary: fc.constant<Step>({ kind: "unacked" }) },
  { weight: 1, arbitrary: fc.constant<Step>({ kind: "repeat" }) },
  { weight: 1, arbitrary: fc.constant<Step>({ kind: "purge" }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("cancel" as const, "retry" as const), which }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("unblock" as const),
      which,
      action: fc.constantFrom("skip" as const, "retry" as const),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("pause" as const), paused: fc.boolean(), which }) },
  { weight: 2, arbitrary: fc.constantFrom(500, 15_000, 80_000).map((ms): Step => ({ kind: "advance", ms })) },
  { weight: 1, arbitrary: fc.constant<Step>({ kind: "restart" }) },
);

/** One message on a queue with strict grouping, and how far a router has come with it. */
interface Message {
  readonly id: string;
  readonly groupKey: GroupKey | null;
  readonly jobs: readonly DueJob[];
  next: number;
}

class World {
  readonly scenario: JobScenario;
  readonly model = new JobModel();
  readonly #messages: Message[] = [];
  readonly #generations = new Map<JobId, number>();
  readonly #arrived = new Set<JobId>();
  #lastReport: DeliveryReport | null = null;
  #lastDropped: Message | null = null;

  constructor(scenario: JobScenario) {
    this.scenario = scenario;
  }

  async step(step: Step): Promise<void> {
    switch (step.kind) {
      case "append":
        return this.#append(step.jobs);
      case "schedule":
        return this.#schedule(step.fate);
      case "work":
        return this.#work(step.which, step.outcome);
      case "stop":
        return this.#stop(step.which);
      case "unacked":
        return this.#receiveAgain();
      case "repeat":
        return this.#lastReport === null ? undefined : this.#record([this.#lastReport]).then(() => undefined);
      case "purge":
        return this.#purge();
      case "cancel":
      case "retry":
        return this.#command(step.kind, step.which);
      case "unblock":
        return this.#unblock(step.which, step.action);
      case "pause":
        return this.#pause(step.which % 2 === 0 ? subscriptionA : subscriptionB, step.paused);
      case "advance":
        return this.scenario.store.advance(step.ms);
      case "restart":
        return this.scenario.store.restart();
    }
  }

  /** The store's jobs are the model's, and generations never go down. */
  async compare(): Promise<void> {
    for (const { made, state } of this.model.jobs) {
      const stored = await this.scenario.job(made.id);
      const { status, generation, attemptCount, generationAttempts, dueAtMs, lastError, replayCount } = stored;
      expect({ status, generation, attemptCount, generationAttempts, dueAtMs, lastError, replayCount }).toEqual({
        status: state.status,
        generation: state.generation,
        attemptCount: state.attemptCount,
        generationAttempts: state.generationAttempts,
        dueAtMs: state.dueAtMs,
        lastError: state.lastError,
        replayCount: state.replayCount,
      });
      expect(generation).toBeGreaterThanOrEqual(this.#generations.get(made.id) ?? 1);
      this.#generations.set(made.id, generation);
    }
  }

  /** Targets heal, operators resume and skip, lost messages are recovered: every job has to come to its end. */
  async heal(): Promise<void> {
    for (const id of [subscriptionA, subscriptionB]) await this.#pause(id, false);
    const rounds = 20 + this.model.jobs.length * 4;
    for (let round = 0; round < rounds && this.#openJobs() > 0; round++) {
      if (this.#messages.length === 0) await this.#purge();
      for (const key of this.model.blocked.keys()) await this.#unblockKey(key, "skip");
      await this.#schedule("marked");
      while (this.#messages.length > 0) await this.#work(0, "delivered");
      await this.scenario.store.advance(100_000);
    }
    await this.compare();
    expect(this.#openJobs()).toBe(0);
    const counts = await this.scenario.store.jobClaims.counts();
    expect(counts).toEqual({ pending: 0, heldGroups: this.model.blocked.size });
    await this.#compareStats();
  }

  async #compareStats(): Promise<void> {
    for (const id of [subscriptionA, subscriptionB]) {
      const expected = { PENDING: 0, QUEUED: 0, COMPLETED: 0, FAILED: 0, CANCELLED: 0, EXPIRED: 0 };
      for (const job of this.model.jobs) if (job.made.profile.subscriptionId === id) expected[job.state.status]++;
      expect(await this.scenario.store.jobs.stats(id)).toEqual(expected);
    }
  }

  #openJobs(): number {
    return this.model.jobs.filter((job) => !isFinal(job.state.status)).length;
  }

  async #append(specs: readonly NewJob[]): Promise<void> {
    const jobs = await this.scenario.newJobs(specs.map((spec) => ({ ...spec, profile: profiles[spec.profile] })));
    expect(await this.scenario.append(jobs)).toBe(true);
    this.model.add(jobs);
  }

  async #schedule(fate: "marked" | "crash" | "refused"): Promise<void> {
    const nowMs = this.scenario.store.now();
    const { runs } = await this.scenario.claim();
    const due: readonly string[] = runs.map((run) => run.jobs.map((job) => job.jobId).join(" ")).toSorted();
    expect(due).toEqual(this.model.dueRuns(nowMs));
    const taken = fate === "refused" ? runs.filter((_, index) => index % 2 === 0) : runs;
    for (const run of taken) this.#publish(run);
    if (fate === "crash") return this.scenario.store.restart();
    await this.scenario.mark(taken);
    for (const job of taken.flatMap((run) => run.jobs)) {
      this.model.apply(job.jobId, { kind: "queue", generation: job.generation }, nowMs);
    }
  }

  #publish(run: DueRun): void {
    if (this.#messages.some((message) => message.id === run.messageId)) return;
    this.#messages.push({ id: run.messageId, groupKey: run.groupKey, jobs: run.jobs, next: 0 });
  }

  /** Of a group only the first message is handed out. */
  #receivable(index: number): Message | null {
    const heads = this.#messages.filter((message, at) => {
      const before = this.#messages.slice(0, at);
      return message.groupKey === null || !before.some((other) => other.groupKey === message.groupKey);
    });
    return heads[index % Math.max(heads.length, 1)] ?? null;
  }

  #drop(message: Message): void {
    this.#messages.splice(this.#messages.indexOf(message), 1);
    this.#lastDropped = message;
  }

  #receiveAgain(): void {
    if (this.#lastDropped === null) return;
    this.#messages.unshift({ ...this.#lastDropped, next: 0 });
    this.#lastDropped = null;
  }

  async #work(index: number, outcome: Outcome): Promise<void> {
    const message = this.#receivable(index);
    if (message === null) return;
    const job = message.jobs[message.next];
    if (job === undefined) return this.#drop(message);
    const deliveries = await this.scenario.store.deliveryReader.read([{ kind: "reference", ...job }]);
    const delivery = deliveries.get(job.jobId);
    if (delivery === undefined) {
      message.next++;
      return;
    }
    this.#arrives(job.jobId);
    const nowMs = this.scenario.store.now();
    const burnt = outcome !== "held" && outcome !== "heldLong";
    const attempt = { ...sampleAttempt(nowMs, delivery.generationAttempts + 1), burnt };
    const report = { jobId: job.jobId, generation: job.generation, attempt, result: resultOf(outcome, nowMs) };
    const [verdict] = await this.#record([report]);
    if (verdict === undefined) throw new Error("A report has a verdict");
    if (verdict.kind === "wait") return;
    const ends = verdict.kind === "parked" || (verdict.kind === "settled" && verdict.holdsGroup);
    if (ends) this.#drop(message);
    else message.next++;
  }

  /** The law of order: what stands before it in its group is at its end when a job first reaches its target. */
  #arrives(id: JobId): void {
    const job = this.model.job(id);
    if (this.#arrived.has(id)) return;
    this.#arrived.add(id);
    if (job.made.groupKey === null) return;
    const before = this.model.openOf(job.made.groupKey).filter((other) => other.order < job.order);
    const overtaken = before.map((other) => other.made.id).filter((other) => !this.#arrived.has(other));
    // What was at its end once and was retried by an operator has lost its place to those that went on meanwhile.
    expect(overtaken.filter((other) => !this.model.retried.has(other))).toEqual([]);
  }

  async #record(reports: readonly DeliveryReport[]) {
    const nowMs = this.scenario.store.now();
    const verdicts = await this.scenario.store.attemptSink.record(reports);
    reports.forEach((report, index) => {
      const verdict = verdicts[index];
      if (verdict === undefined) throw new Error("A report has a verdict");
      expect(this.model.report(report, verdict, nowMs)).toBe(verdict.kind);
    });
    this.#lastReport = reports.at(-1) ?? null;
    return verdicts;
  }

  async #stop(index: number): Promise<void> {
    const message = this.#receivable(index);
    if (message === null) return;
    this.#drop(message);
    const result: DeliveryResult = { kind: "released", dueAtMs: 0 };
    const left = message.jobs.slice(message.next);
    await this.#record(left.map(({ jobId, generation }) => ({ jobId, generation, attempt: null, result })));
  }

  /** The queue loses everything, and recovery finds that out. */
  async #purge(): Promise<void> {
    this.#messages.length = 0;
    this.#lastDropped = null;
    await this.scenario.store.advance(1_000);
    const nowMs = this.scenario.store.now();
    const lost = { queuedBeforeMs: nowMs, maxJobs: 1_000, nowMs };
    const queued = this.model.jobs.filter((job) => job.state.status === "QUEUED");
    const count = await this.scenario.store.jobClaims.recoverLost(lost, this.scenario.epoch);
    for (const job of queued) this.model.apply(job.made.id, { kind: "recover" }, nowMs);
    expect(count).toBe(queued.length);
  }

  async #command(kind: "cancel" | "retry", index: number): Promise<void> {
    const job = this.model.jobs[index % Math.max(this.model.jobs.length, 1)];
    if (job === undefined) return;
    const nowMs = this.scenario.store.now();
    const { jobCommands } = this.scenario.store;
    const result =
      kind === "cancel"
        ? await jobCommands.cancel(job.made.id, nowMs, anchorScope)
        : await jobCommands.retry(job.made.id, { replay: false, nowMs }, anchorScope);
    const command = kind === "cancel" ? ({ kind } as const) : ({ kind, replay: false } as const);
    expect(result.kind === "done").toBe(this.model.apply(job.made.id, command, nowMs) !== null);
  }

  async #unblock(index: number, action: "skip" | "retry"): Promise<void> {
    const keys = [...this.model.blocked.keys()];
    const key = keys[index % Math.max(keys.length, 1)];
    if (key !== undefined) await this.#unblockKey(key, action);
  }

  async #unblockKey(key: string, action: "skip" | "retry"): Promise<void> {
    const nowMs = this.scenario.store.now();
    const head = this.model.blocked.get(key);
    const held = await this.scenario.store.jobCommands.unblock(key, action, nowMs, anchorScope);
    if (head === undefined) throw new Error(`${key} is not blocked`);
    expect(held?.headJobId).toBe(head);
    if (action === "retry") this.model.apply(head, { kind: "retry", replay: false }, nowMs);
    else if (this.model.apply(head, { kind: "cancel" }, nowMs) === null) this.model.blocked.delete(key);
  }

  async #pause(id: typeof subscriptionA, paused: boolean): Promise<void> {
    await this.scenario.store.jobCommands.holdSubscription(id, paused, this.scenario.store.now());
    if (paused) this.model.paused.add(id);
    else this.model.paused.delete(id);
  }
}

function resultOf(outcome: Outcome, nowMs: number): DeliveryResult {
  switch (outcome) {
    case "delivered":
    case "expired":
      return { kind: outcome };
    case "transient":
      return { kind: "transient", error: "HTTP 500" };
    case "permanent":
      return { kind: "permanent", error: "HTTP 400", pauseSubscription: null };
    case "held":
      return { kind: "held", untilMs: nowMs + 5_000, error: "HTTP 429" };
    case "heldLong":
      return { kind: "held", untilMs: nowMs + 30_000, error: "HTTP 429" };
  }
}

export function describeJobModelConformance(name: string, setup: JobStoreSetup): void {
  describe(`${name}: jobs against a model`, () => {
    const law = async (sequence: readonly Step[]): Promise<void> => {
      const world = new World(await JobScenario.start(setup));
      try {
        for (const step of sequence) {
          await world.step(step);
          await world.compare();
        }
        await world.heal();
      } finally {
        await world.scenario.store.close();
      }
    };

    test("any sequence of steps and crashes", async () => {
      await fc.assert(fc.asyncProperty(fc.array(steps, { minLength: 1, maxLength: 60, size: "max" }), law), {
        numRuns: NUM_RUNS,
      });
    }, 120_000);
  });
}
