/** One thing that is wrong with a request, and where. */
export interface RequestFault {
  /** The member, such as `eventTypes[0]`; empty for the whole. */
  readonly path: string;
  /** What is wrong with it. */
  readonly message: string;
}

/** What is known of a refused request. */
export interface ErrorDetails {
  readonly code: string;
  readonly message: string;
  readonly status?: number;
  readonly faults?: readonly RequestFault[];
  readonly retryAfterMs?: number | null;
  readonly requestId?: string | null;
  readonly cause?: unknown;
}

/**
 * What the server said when it refused, or why there is no answer of it.
 *
 * `code` is from a closed set that docs/reference/errors.md lists with what to do about each. The client's own are
 * SERVER_UNREACHABLE (`status` 0), UNEXPECTED_ANSWER (of something that is no platform: look at the address and at what
 * is in between) and BATCH_INCOMPLETE (`PublishBatchError`).
 */
export class FlowCatalystError extends Error {
  /** Of the answer; 0 when there was none. */
  readonly status: number;
  /** UPPER_SNAKE, to be compared in programs. */
  readonly code: string;
  /** Each thing that is wrong with the request. */
  readonly faults: readonly RequestFault[];
  /** How long the server asked to wait; null if it did not say. */
  readonly retryAfterMs: number | null;
  /** Names the request in the server's log. */
  readonly requestId: string | null;

  constructor({ code, message, status = 0, faults = [], retryAfterMs = null, requestId = null, cause }: ErrorDetails) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "FlowCatalystError";
    this.status = status;
    this.code = code;
    this.faults = faults;
    this.retryAfterMs = retryAfterMs;
    this.requestId = requestId;
  }
}
