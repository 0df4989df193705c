/** Branded identifiers. An id is never a position: order comes from positions alone. */

declare const brand: unique symbol;
type Branded<Base, Name extends string> = Base & { readonly [brand]: Name };

export type EventId = Branded<string, "EventId">;
export type JobId = Branded<string, "JobId">;
export type AttemptId = Branded<string, "AttemptId">;
export type SubscriptionId = Branded<string, "SubscriptionId">;
export type PoolId = Branded<string, "PoolId">;
export type EventTypeId = Branded<string, "EventTypeId">;
export type ClientId = Branded<string, "ClientId">;
export type PrincipalId = Branded<string, "PrincipalId">;
export type ReplayId = Branded<string, "ReplayId">;
export type AuditLogId = Branded<string, "AuditLogId">;
export type MessageId = Branded<string, "MessageId">;

/** The code of a dispatch pool; a lane of the queue bears the same name. */
export type PoolCode = Branded<string, "PoolCode">;
/** The key within which order is kept: `subscription:messageGroup`, or `client:task:messageGroup` for tasks. */
export type GroupKey = Branded<string, "GroupKey">;
/** Place in the event log, ascending in commit order, gap-free for readers. */
export type EventPosition = Branded<number, "EventPosition">;
/** Place in the job table, ascending in insertion order. */
export type JobPosition = Branded<number, "JobPosition">;

/** Place among the audit logs, ascending. */
export type AuditLogPosition = Branded<number, "AuditLogPosition">;

/** The text in front of the thirteen base32 characters of every id. */
export const idPrefixes = {
  event: "evt_",
  job: "job_",
  subscription: "sub_",
  pool: "pool_",
  eventType: "typ_",
  client: "cli_",
  replay: "rpl_",
  auditLog: "aud_",
} as const;

/** Makes new ids; built once in `main` from the TSID generator and handed to whoever creates entities. */
export interface IdSource {
  event(): EventId;
  job(): JobId;
  subscription(): SubscriptionId;
  pool(): PoolId;
  eventType(): EventTypeId;
  replay(): ReplayId;
  auditLog(): AuditLogId;
}

/** `next` gives thirteen characters of Crockford base32, unique among live processes. */
export function createIdSource(next: () => string): IdSource {
  return {
    event: () => (idPrefixes.event + next()) as EventId,
    job: () => (idPrefixes.job + next()) as JobId,
    subscription: () => (idPrefixes.subscription + next()) as SubscriptionId,
    pool: () => (idPrefixes.pool + next()) as PoolId,
    eventType: () => (idPrefixes.eventType + next()) as EventTypeId,
    replay: () => (idPrefixes.replay + next()) as ReplayId,
    auditLog: () => (idPrefixes.auditLog + next()) as AuditLogId,
  };
}

/** Names one entry of a job into PENDING; a cancelled job that is retried is another one. */
export function jobGenerationKey(jobId: JobId, generation: number): string {
  return `${jobId}.${generation}`;
}

/** Attempt ids are minted before the call from what identifies the attempt, so a repeated report is recognised. */
export function attemptId(jobId: JobId, generation: number, number: number): AttemptId {
  return `${jobId}.${generation}.${number}` as AttemptId;
}
