import type { AttemptOut, DispatchJobOut } from "@flowcatalyst/contracts";
import { isoTime } from "@flowcatalyst/foundation";
import { attemptId, type JobId } from "../../domain/ids.ts";
import type { DispatchJob } from "../../domain/dispatch-job.ts";
import type { StoredAttempt } from "../../ports/job-store.ts";
import { retryOut } from "../retry-wire.ts";

/** A job as the API shows it. */
export function jobOut(job: DispatchJob): DispatchJobOut {
  const { profile } = job;
  return {
    id: job.id,
    kind: job.kind,
    status: job.status,
    clientId: job.clientId,
    eventId: job.eventId,
    subscriptionId: job.subscriptionId,
    code: job.code,
    messageGroup: job.messageGroup,
    groupKey: job.groupKey,
    targetUrl: profile.targetUrl,
    dispatchPoolId: profile.poolCode,
    mode: profile.mode,
    format: profile.format,
    timeoutSeconds: profile.timeoutSeconds,
    maxAgeSeconds: profile.maxAgeSeconds,
    retry: retryOut(profile.retry),
    headers: { ...profile.headers },
    generation: job.generation,
    attemptCount: job.attemptCount,
    replayCount: job.replayCount,
    nextAttemptAt: job.status === "PENDING" ? isoTime(job.dueAtMs) : null,
    queuedAt: timeOrNull(job.queuedAtMs),
    expiresAt: timeOrNull(job.expiresAtMs),
    finishedAt: timeOrNull(job.finishedAtMs),
    lastError: job.lastError,
    idempotencyKey: job.idempotencyKey,
    metadata: { ...job.metadata },
    payloadBytes: job.payloadBytes,
    createdAt: isoTime(job.createdAtMs),
    updatedAt: isoTime(job.updatedAtMs),
  };
}

export function attemptOut(jobId: JobId, attempt: StoredAttempt): AttemptOut {
  return {
    id: attemptId(jobId, attempt.generation, attempt.number),
    generation: attempt.generation,
    number: attempt.number,
    startedAt: isoTime(attempt.startedAtMs),
    durationMs: attempt.durationMs,
    outcome: attempt.outcome,
    statusCode: attempt.statusCode,
    burnt: attempt.burnt,
    error: attempt.error,
    responseBody: attempt.responseBody,
    signed: attempt.signed,
  };
}

function timeOrNull(ms: number | null): string | null {
  return ms === null ? null : isoTime(ms);
}
