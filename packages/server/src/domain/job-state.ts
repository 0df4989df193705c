/**
 * The life of a dispatch job: one union of commands, one pure transition function. Whoever stores jobs loads the state,
 * asks `transition`, and writes what it answers; nobody else decides what a job becomes.
 *
 * ```mermaid
 * stateDiagram-v2
 *   [*] --> PENDING: made (generation 1)
 *   PENDING --> QUEUED: queue, the queue took its message
 *   PENDING --> FAILED: unpublishable
 *   PENDING --> EXPIRED: expire, found too old by the scheduler
 *   QUEUED --> QUEUED: report, a wait of at most 10 s is spent in the router
 *   QUEUED --> PENDING: report, parked or released (generation + 1)
 *   QUEUED --> PENDING: takeBack, the job before it in its run was parked or holds the group (generation + 1)
 *   PENDING --> PENDING: takeBack, it may be in a message that was never marked (generation + 1)
 *   QUEUED --> PENDING: recover, its message is lost (generation + 1)
 *   QUEUED --> COMPLETED: report, delivered
 *   QUEUED --> FAILED: report, permanent, or no retry left
 *   QUEUED --> EXPIRED: report, expired
 *   PENDING --> CANCELLED: cancel
 *   QUEUED --> CANCELLED: cancel
 *   FAILED --> CANCELLED: cancel
 *   COMPLETED --> PENDING: retry (generation + 1)
 *   FAILED --> PENDING: retry (generation + 1)
 *   CANCELLED --> PENDING: retry (generation + 1)
 *   EXPIRED --> PENDING: retry (generation + 1)
 * ```
 *
 * Generations. Every entry into PENDING raises `generation`; a message and its results carry it. A report moves a job
 * that is QUEUED in the same generation, and one that is PENDING in the same generation too: then the process died
 * between publishing the message and marking the job, and the report is the proof that the message exists. One report
 * applies from an *older* generation as well: delivered, because what the target has taken must not be sent again. A
 * final state is never changed by a report; only an operator's retry leads out of it.
 *
 * Retries are decided here from the stored number of burnt attempts. An attempt that is reported twice is counted once:
 * the caller says whether the attempt's row is new. A wait of at most ten seconds stays with the router (same
 * generation); a longer one parks the job. No wait passes the expiry: it is cut there, and the job then expires where
 * it waits. Jitter comes from the `random` that is passed in.
 *
 * What a transition means for the ordered group around the job is told as `takesBackRest` and `blocksGroup`: when the
 * job was parked, released or lost, the untouched rest of its run goes back too (`takeBack`, which burns nothing), and
 * with BLOCK_ON_ERROR a failure or expiry holds the group until an operator retries, skips or unblocks. The rest of its
 * run is whatever a message with this job in it can carry behind it, the next `runMaxJobs - 1` open jobs of the group:
 * QUEUED ones, and PENDING ones too, because a process may have died between publishing a run and marking it. Without
 * that such a message, received once more, would carry them past the job that waits.
 */
import type { Attempt, DeliveryResult, ReportVerdict } from "./attempt.ts";
import type { FinalStatus, JobStatus } from "./dispatch-job.ts";
import { jobLimits } from "./dispatch-job.ts";
import { nextDelayMs, type RetryPolicy, withJitter } from "./retry-policy.ts";
import type { DispatchMode } from "./subscription.ts";

/** What of a job can change. */
export interface JobState {
  readonly status: JobStatus;
  readonly generation: number;
  /** Attempts of this retry budget that were burnt. */
  readonly attemptCount: number;
  /** Attempts recorded of the current generation, burnt or not. */
  readonly generationAttempts: number;
  readonly dueAtMs: number;
  readonly queuedAtMs: number | null;
  readonly finishedAtMs: number | null;
  readonly lastError: string | null;
  readonly replayCount: number;
}

/** What does not change while a command is applied. */
export interface JobSurroundings {
  readonly nowMs: number;
  /** Null: not published yet, so it has no expiry. */
  readonly expiresAtMs: number | null;
  readonly retry: RetryPolicy;
  readonly mode: DispatchMode;
  /** Does it belong to an ordered group? */
  readonly ordered: boolean;
  /** Uniform in [0, 1): the jitter of this decision. */
  readonly random: number;
}

export type JobCommand =
  | { readonly kind: "queue"; readonly generation: number }
  | {
      readonly kind: "report";
      readonly generation: number;
      readonly result: DeliveryResult;
      readonly attempt: Attempt | null;
      /** False: this attempt is recorded already (the report came twice), so it counts nothing. */
      readonly attemptIsNew: boolean;
    }
  | { readonly kind: "unpublishable"; readonly generation: number; readonly code: string }
  | { readonly kind: "expire" }
  | { readonly kind: "takeBack" }
  | { readonly kind: "recover" }
  | { readonly kind: "cancel" }
  | { readonly kind: "retry"; readonly replay: boolean };

export type Transition =
  | {
      readonly kind: "moved";
      readonly state: JobState;
      /** Null for commands that are not reports. */
      readonly verdict: ReportVerdict | null;
      /** The next `runMaxJobs - 1` open jobs of the ordered group behind this one are taken back. */
      readonly takesBackRest: boolean;
      /** The ordered group is held because of this job. */
      readonly blocksGroup: boolean;
      /** The job has to be published anew, so its age counts from then. */
      readonly clearsExpiry: boolean;
    }
  | { readonly kind: "unchanged"; readonly reason: "STALE" | "FINAL" | "NOT_ALLOWED" };

export function isFinal(status: JobStatus): status is FinalStatus {
  return status !== "PENDING" && status !== "QUEUED";
}

/** The state of a job that was just made. */
export function newJobState(dueAtMs: number): JobState {
  return {
    status: "PENDING",
    generation: 1,
    attemptCount: 0,
    generationAttempts: 0,
    dueAtMs,
    queuedAtMs: null,
    finishedAtMs: null,
    lastError: null,
    replayCount: 0,
  };
}

/** What `command` makes of a job. Pure: equal arguments give equal answers. */
export function transition(state: JobState, command: JobCommand, around: JobSurroundings): Transition {
  switch (command.kind) {
    case "queue":
      if (state.status !== "PENDING") return notAllowed;
      if (state.generation !== command.generation) return stale;
      return moved({ ...state, status: "QUEUED", queuedAtMs: around.nowMs });
    case "report":
      return applyReport(state, command, around);
    case "unpublishable":
      if (state.status !== "PENDING") return notAllowed;
      return state.generation === command.generation ? finish(state, "FAILED", { around, error: command.code }) : stale;
    case "expire":
      return state.status === "PENDING" ? finish(state, "EXPIRED", { around, error: state.lastError }) : notAllowed;
    case "takeBack":
      return isFinal(state.status) ? notAllowed : moved(takenBack(state, around.nowMs));
    case "recover":
      if (state.status !== "QUEUED") return notAllowed;
      return { ...moved(pendingAgain(state, around.nowMs)), takesBackRest: around.ordered };
    case "cancel":
      if (isFinal(state.status) && state.status !== "FAILED") return notAllowed;
      return moved({ ...state, status: "CANCELLED", finishedAtMs: around.nowMs });
    case "retry":
      return isFinal(state.status) ? retried(state, command.replay, around.nowMs) : notAllowed;
  }
}

const stale: Transition = { kind: "unchanged", reason: "STALE" };
const final: Transition = { kind: "unchanged", reason: "FINAL" };
const notAllowed: Transition = { kind: "unchanged", reason: "NOT_ALLOWED" };

type Moved = Extract<Transition, { kind: "moved" }>;
type Report = Extract<JobCommand, { kind: "report" }>;

function moved(state: JobState, verdict: ReportVerdict | null = null): Moved {
  return { kind: "moved", state, verdict, takesBackRest: false, blocksGroup: false, clearsExpiry: false };
}

/** Back to PENDING: a new generation, nothing recorded of it yet. */
function pendingAgain(state: JobState, dueAtMs: number): JobState {
  return {
    ...state,
    status: "PENDING",
    generation: state.generation + 1,
    generationAttempts: 0,
    dueAtMs,
    queuedAtMs: null,
    finishedAtMs: null,
  };
}

/** One that was not marked keeps its own time: only a message that may exist is made stale. */
function takenBack(state: JobState, nowMs: number): JobState {
  return pendingAgain(state, state.status === "PENDING" ? state.dueAtMs : nowMs);
}

function retried(state: JobState, replay: boolean, nowMs: number): Moved {
  const fresh = { ...pendingAgain(state, nowMs), attemptCount: 0, lastError: null };
  return { ...moved({ ...fresh, replayCount: state.replayCount + (replay ? 1 : 0) }), clearsExpiry: true };
}

function applyReport(state: JobState, report: Report, around: JobSurroundings): Transition {
  if (isFinal(state.status)) return final;
  const ofThisGeneration = report.generation === state.generation;
  const deliveredEarlier = report.result.kind === "delivered" && report.generation < state.generation;
  if (!ofThisGeneration && !deliveredEarlier) return stale;
  const counted = ofThisGeneration ? countAttempt(state, report) : countOlderAttempt(state, report);
  const { result } = report;
  switch (result.kind) {
    case "delivered":
      return finish(counted, "COMPLETED", { around, error: null });
    case "permanent":
      return finish(counted, "FAILED", { around, error: result.error });
    case "expired":
      return finish(counted, "EXPIRED", { around, error: counted.lastError });
    case "transient":
      return tryAgain({ ...counted, lastError: result.error }, around);
    case "held":
      return wait({ ...counted, lastError: result.error ?? counted.lastError }, result.untilMs - around.nowMs, around);
    case "released":
      return park(counted, Math.min(result.dueAtMs, around.expiresAtMs ?? result.dueAtMs), around);
  }
}

function countAttempt(state: JobState, report: Report): JobState {
  const { attempt } = report;
  if (attempt === null || !report.attemptIsNew) return state;
  return {
    ...state,
    attemptCount: state.attemptCount + (attempt.burnt ? 1 : 0),
    generationAttempts: Math.max(state.generationAttempts + 1, attempt.number),
  };
}

/** An attempt of a generation before: it was made, but it is not one of this generation's numbers. */
function countOlderAttempt(state: JobState, report: Report): JobState {
  const burnt = report.attempt?.burnt === true && report.attemptIsNew;
  return burnt ? { ...state, attemptCount: state.attemptCount + 1 } : state;
}

function tryAgain(state: JobState, around: JobSurroundings): Transition {
  const delayMs = nextDelayMs(around.retry, state.attemptCount);
  if (delayMs === null) return finish(state, "FAILED", { around, error: state.lastError });
  return wait(state, withJitter(delayMs, around.random), around);
}

/** Short waits are spent in the router, long ones in the store, and none goes past the expiry. */
function wait(state: JobState, delayMs: number, around: JobSurroundings): Transition {
  const leftMs = around.expiresAtMs === null ? Number.POSITIVE_INFINITY : around.expiresAtMs - around.nowMs;
  if (leftMs <= 0) return finish(state, "EXPIRED", { around, error: state.lastError });
  const waitMs = Math.min(Math.max(delayMs, 0), leftMs);
  if (waitMs > jobLimits.routerWaitMaxMs) return park(state, around.nowMs + waitMs, around);
  // A job that was PENDING is with a router after all: from here on it is QUEUED like any other.
  const queued: JobState = { ...state, status: "QUEUED", queuedAtMs: state.queuedAtMs ?? around.nowMs };
  return moved(queued, { kind: "wait", delayMs: waitMs, attemptCount: state.attemptCount });
}

function park(state: JobState, dueAtMs: number, around: JobSurroundings): Transition {
  // Whole milliseconds, whatever a router has reckoned with.
  const untilMs = Math.ceil(Math.max(dueAtMs, around.nowMs));
  const parked = moved(pendingAgain(state, untilMs), { kind: "parked", untilMs });
  return { ...parked, takesBackRest: around.ordered };
}

function finish(
  state: JobState,
  status: FinalStatus,
  cause: { readonly around: JobSurroundings; readonly error: string | null },
): Transition {
  const { around, error } = cause;
  const unsuccessful = status === "FAILED" || status === "EXPIRED";
  const blocksGroup = unsuccessful && around.ordered && around.mode === "BLOCK_ON_ERROR";
  const finished: JobState = { ...state, status, finishedAtMs: around.nowMs, lastError: error };
  const verdict: ReportVerdict = { kind: "settled", status, holdsGroup: blocksGroup };
  return { ...moved(finished, verdict), blocksGroup, takesBackRest: blocksGroup };
}
