/**
 * Rows of an application's outbox table, as the outbox processor sees them.
 *
 * ```mermaid
 * stateDiagram-v2
 *   [*] --> PENDING : the application commits
 *   PENDING --> IN_PROGRESS : claimed
 *   IN_PROGRESS --> SUCCESS : the platform took it
 *   IN_PROGRESS --> REFUSED : bad request, forbidden
 *   IN_PROGRESS --> WAITING : internal error, unauthorized, gateway error
 *   WAITING --> IN_PROGRESS : its delay is over, and retries are left
 *   IN_PROGRESS --> PENDING : released, or left behind by a crash
 *   WAITING --> PENDING : operator retries
 *   REFUSED --> PENDING : operator retries
 *   PENDING --> REFUSED : operator skips
 *   WAITING --> REFUSED : operator skips
 * ```
 */

/** What stands in the column `status`. SUCCESS, BAD_REQUEST and FORBIDDEN are final. */
export const outboxStatus = {
  pending: 0,
  success: 1,
  badRequest: 2,
  internalError: 3,
  unauthorized: 4,
  forbidden: 5,
  gatewayError: 6,
  inProgress: 9,
} as const;

export type OutboxStatus = (typeof outboxStatus)[keyof typeof outboxStatus];
/** Of a row that is tried again. */
export type WaitingStatus = 3 | 4 | 6;
/** Of a row that is not, and was not taken. */
export type RefusedStatus = 2 | 5;

/** Made by the application: a TSID or ULID of at most 26 characters. */
export type OutboxRowId = string & { readonly __outboxRowId: unique symbol };

/**
 * Where a row stands among all: by `created_at`, then by id. `createdAt` is the engine's own text of it, with all its
 * digits; only the engine reads it.
 */
export interface OutboxPosition {
  readonly createdAt: string;
  readonly id: OutboxRowId;
}

interface RowCommon {
  readonly id: OutboxRowId;
  readonly position: OutboxPosition;
  /** Order is kept within it; null: none is asked for. */
  readonly group: string | null;
  /** JSON as the application wrote it, not looked at yet; null: it is larger than the claim wanted to see. */
  readonly payload: string | null;
  readonly payloadBytes: number;
  /** JSON text of an object, not looked at yet. */
  readonly headers: string | null;
  /** How often it was tried in vain. */
  readonly retryCount: number;
}

/** Of the table `outbox_messages`: goes to the platform. */
export interface PlatformRow extends RowCommon {
  readonly form: "platform";
  /** EVENT, DISPATCH_JOB or AUDIT_LOG, if the application wrote what it should. */
  readonly type: string;
  readonly clientId: string | null;
}

/** Of the older table `outbox`: goes to the router. */
export interface RouterRow extends RowCommon {
  readonly form: "router";
  readonly poolCode: string | null;
  readonly target: string;
  readonly deduplicationId: string | null;
}

export type OutboxRow = PlatformRow | RouterRow;
export type OutboxForm = OutboxRow["form"];

/** What became of a row that was sent. */
export type OutboxResult =
  | { readonly kind: "done"; readonly id: OutboxRowId }
  | { readonly kind: "refused"; readonly id: OutboxRowId; readonly status: RefusedStatus; readonly error: string }
  | {
      readonly kind: "failed";
      readonly id: OutboxRowId;
      readonly status: WaitingStatus;
      readonly error: string;
      /** False: the fault was not the row's, so its retries are not used up. */
      readonly countsAsRetry: boolean;
    };

export const outboxLimits = {
  /** Of `error_message`. */
  errorMaxChars: 1_000,
  /** The delay before the first retry; it doubles with each. */
  firstRetryDelayMs: 1_000,
  maxRetryDelayMs: 60_000,
} as const;

/** How long a row that was tried in vain so often is left alone: 1 s, 2 s, 4 s and so on up to 60 s. */
export function outboxRetryDelayMs(retryCount: number): number {
  if (retryCount <= 0) return 0;
  // 2^16 s is past the maximum by far, and no number is lost up to there.
  return Math.min(outboxLimits.firstRetryDelayMs * 2 ** Math.min(retryCount - 1, 16), outboxLimits.maxRetryDelayMs);
}
