import type { DeliveryReport, ReportVerdict } from "../domain/attempt.ts";
import { jobLimits, type NewEventJob } from "../domain/dispatch-job.ts";
import type { JobId } from "../domain/ids.ts";
import { isFinal, type JobCommand, type JobState, newJobState, transition } from "../domain/job-state.ts";

/**
 * The job store as one would write it without a thought for speed: a list of jobs, looked through from the start every
 * time. What it says is due, and what becomes of each job, is what a store must say. Expiry is left out: it has tests
 * of its own.
 */
export interface ModelJob {
  readonly made: NewEventJob;
  readonly order: number;
  state: JobState;
}

export class JobModel {
  readonly jobs: ModelJob[] = [];
  readonly paused = new Set<string>();
  /** By group key, the job that blocks it. */
  readonly blocked = new Map<string, JobId>();
  /** Jobs that an operator took out of a final state. */
  readonly retried = new Set<JobId>();
  readonly #attempts = new Set<string>();

  add(jobs: readonly NewEventJob[]): void {
    for (const made of jobs) {
      this.jobs.push({ made, order: this.jobs.length, state: newJobState(made.dueAtMs) });
    }
  }

  job(id: JobId): ModelJob {
    const job = this.jobs.find((one) => one.made.id === id);
    if (job === undefined) throw new Error(`The model has no job ${id}`);
    return job;
  }

  openOf(groupKey: string): readonly ModelJob[] {
    return this.jobs.filter((job) => job.made.groupKey === groupKey && !isFinal(job.state.status));
  }

  /** The runs a claim without limits gives, each as its job ids, sorted. */
  dueRuns(nowMs: number): readonly string[] {
    const runs: string[] = [];
    const groups = new Set(this.jobs.map((job) => job.made.groupKey));
    for (const job of this.jobs) {
      if (job.made.groupKey === null && this.#isDue(job, nowMs)) runs.push(job.made.id);
    }
    for (const groupKey of groups) {
      if (groupKey === null || this.blocked.has(groupKey)) continue;
      const open = this.openOf(groupKey);
      if (open.some((job) => job.state.status === "QUEUED")) continue;
      const waiting = open.findIndex((job) => !this.#isDue(job, nowMs));
      const run = waiting < 0 ? open : open.slice(0, waiting);
      if (run.length > 0) runs.push(run.map((job) => job.made.id).join(" "));
    }
    return runs.toSorted();
  }

  #isDue(job: ModelJob, nowMs: number): boolean {
    const held = this.paused.has(job.made.profile.subscriptionId ?? "");
    return !held && job.state.status === "PENDING" && job.state.dueAtMs <= nowMs;
  }

  /** Applies what the store applied; the end of a wait is taken from its verdict, because it has a random part. */
  report(report: DeliveryReport, verdict: ReportVerdict, nowMs: number): string {
    const { attempt, generation, result } = report;
    const key = `${report.jobId}.${generation}.${attempt?.number}`;
    const attemptIsNew = attempt !== null && !this.#attempts.has(key);
    if (attempt !== null) this.#attempts.add(key);
    const command: JobCommand = { kind: "report", generation, result, attempt, attemptIsNew };
    const job = this.job(report.jobId);
    const applied = this.apply(report.jobId, command, nowMs);
    if (applied === null) return "ignored";
    if (verdict.kind === "parked") job.state = { ...job.state, dueAtMs: verdict.untilMs };
    return applied.verdict?.kind ?? "none";
  }

  apply(id: JobId, command: JobCommand, nowMs: number) {
    const job = this.job(id);
    const groupKey = job.made.groupKey;
    const result = transition(job.state, command, {
      nowMs,
      expiresAtMs: null,
      retry: job.made.profile.retry,
      mode: job.made.profile.mode,
      ordered: groupKey !== null,
      random: 0,
    });
    if (result.kind === "unchanged") return null;
    if (command.kind === "retry") this.retried.add(id);
    job.state = result.state;
    if (groupKey === null) return result;
    if (result.takesBackRest) {
      const behind = this.openOf(groupKey).filter((rest) => rest.order > job.order);
      for (const rest of behind.slice(0, jobLimits.runMaxJobs - 1)) {
        this.apply(rest.made.id, { kind: "takeBack" }, nowMs);
      }
    }
    if (result.blocksGroup) {
      if (!this.blocked.has(groupKey)) this.blocked.set(groupKey, id);
    } else if (this.blocked.get(groupKey) === id) this.blocked.delete(groupKey);
    return result;
  }
}
