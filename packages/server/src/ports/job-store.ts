import type { Attempt } from "../domain/attempt.ts";
import type { DispatchJob, FinalStatus, JobStatus, NewTaskJob } from "../domain/dispatch-job.ts";
import type { EventId, JobId, PoolCode, ReplayId, SubscriptionId } from "../domain/ids.ts";
import type { Scope } from "../domain/scope.ts";
import type { HeldGroup } from "./job-claims.ts";
import type { Page, PageRequest } from "./settings.ts";

export interface JobReader {
  byId(id: JobId, scope: Scope): Promise<DispatchJob | null>;
  /** Oldest first. */
  byEvent(eventId: EventId, page: PageRequest, scope: Scope): Promise<Page<DispatchJob>>;
  /** Newest first; at most those of the last generations kept. */
  attempts(id: JobId, page: PageRequest, scope: Scope): Promise<Page<StoredAttempt>>;
  /** Payload of a task; null for an event's job. */
  payload(id: JobId, scope: Scope): Promise<{ readonly payload: string; readonly contentType: string } | null>;
  heldGroups(page: PageRequest, scope: Scope): Promise<Page<HeldGroup>>;
  /** Jobs of a subscription by status; each counted to 10,000 at most. */
  stats(id: SubscriptionId): Promise<Readonly<Record<JobStatus, number>>>;
}

export type StoredAttempt = Attempt & { readonly generation: number };

export type CommandResult =
  | { readonly kind: "done"; readonly job: DispatchJob }
  | { readonly kind: "notFound" }
  /** The job's status does not allow it. */
  | { readonly kind: "conflict"; readonly status: JobStatus };

/** What operators and callers of the API do to jobs. Each call is one transaction. */
export interface JobCommands {
  /** By position; a known (client, idempotencyKey) answers the first job and creates nothing. Atomic. */
  createTasks(
    tasks: readonly NewTaskJob[],
  ): Promise<readonly { readonly kind: "created" | "repeated"; readonly job: DispatchJob }[]>;
  cancel(id: JobId, nowMs: number, scope: Scope): Promise<CommandResult>;
  /** Final -> PENDING with a fresh budget and expiry; `replay` also raises `replayCount`. */
  retry(id: JobId, options: { readonly replay: boolean; readonly nowMs: number }, scope: Scope): Promise<CommandResult>;
  /** Lets a blocked group go on: `skip` cancels the failed head, `retry` retries it. Null: no such held group. */
  unblock(key: string, action: "skip" | "retry", nowMs: number, scope: Scope): Promise<HeldGroup | null>;
  /**
   * Follows a subscription's pause, resume and archive. Archive cancels PENDING jobs in bounded steps: call until 0.
   */
  holdSubscription(id: SubscriptionId, held: boolean, nowMs: number): Promise<void>;
  holdPool(code: PoolCode, held: boolean, nowMs: number): Promise<void>;
  cancelPendingOf(id: SubscriptionId, maxJobs: number, nowMs: number): Promise<number>;
}

export interface ReplayFilter {
  readonly statuses: readonly FinalStatus[];
  readonly subscriptionId?: SubscriptionId;
  readonly eventType?: string;
  readonly createdAfterMs?: number;
  readonly createdBeforeMs?: number;
}

export interface Replay {
  readonly id: ReplayId;
  readonly filter: ReplayFilter;
  readonly total: number;
  readonly done: number;
  readonly status: "RUNNING" | "COMPLETED" | "CANCELLED";
  readonly jobsPerSecond: number;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

/** Bulk retry, in order of position, in small steps that survive a restart. */
export interface ReplayStore {
  count(filter: ReplayFilter, scope: Scope): Promise<number>;
  create(replay: Replay, scope: Scope): Promise<Replay>;
  byId(id: ReplayId, scope: Scope): Promise<Replay | null>;
  list(page: PageRequest, scope: Scope): Promise<Page<Replay>>;
  running(): Promise<readonly Replay[]>;
  /** Retries the next `maxJobs` jobs of it; returns it as it is now (COMPLETED when none were left). */
  advance(id: ReplayId, maxJobs: number, nowMs: number): Promise<Replay | null>;
  cancel(id: ReplayId, nowMs: number): Promise<Replay | null>;
}
