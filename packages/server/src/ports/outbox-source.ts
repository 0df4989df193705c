import type {
  OutboxForm,
  OutboxPosition,
  OutboxResult,
  OutboxRow,
  OutboxRowId,
  OutboxStatus,
} from "../domain/outbox-row.ts";

/**
 * An application's own database with an outbox table in it: PostgreSQL, MySQL or MariaDB, SQLite, MongoDB.
 *
 * Order: of a group, rows are claimed by `(created_at, id)`, and while one of them is in progress nobody gets another:
 * the rows of one claim are the only ones of their groups that are under way. Ids break ties; they are no positions.
 * A row is given only if its claim gives every earlier row of its group as well that is pending, or waits (waiting ones
 * do not count without `blockOnError`), wherever the look began. So the earliest row of a group is held by none.
 *
 * Failures: a call throws a CodedError (STORE_UNAVAILABLE, when the database cannot be asked) and has then done all of
 * its work or none. What a crash leaves in progress comes back by `recover`.
 *
 * Beside the outbox table there is one of a single row, `<table>_control`: the lease, and whether somebody paused it.
 */
export interface OutboxSource {
  readonly capabilities: OutboxSourceCapabilities;
  /** Throws CONFIG_INVALID, saying what to run, when a table or a column is not there. */
  verify(): Promise<void>;
  readonly lease: OutboxLease;
  /** Marks rows as in progress, and gives them. */
  claim(claim: OutboxClaim): Promise<OutboxClaimAnswer>;
  /**
   * Writes down what became of rows. `done` applies to every row that is not final; the others only to rows that are
   * in progress. Ids that are not there are passed over. Gives those that somebody else has locked now: nothing was
   * written of them, and they are to be settled again.
   */
  settle(results: readonly OutboxResult[]): Promise<readonly OutboxRowId[]>;
  /** Makes pending what was claimed and not sent, with its retries: rows in progress. Gives what `settle` does. */
  release(rows: readonly OutboxRow[]): Promise<readonly OutboxRowId[]>;
  /**
   * Makes pending what has been in progress for so long (0: all of it, whatever the clocks say), and keeps its retries;
   * how many those were. Besides, pending rows that an application wrote without a time, where the engine finds none of
   * those by their order, get one.
   */
  recover(inProgressForMs: number): Promise<number>;
  /** Deletes SUCCESS rows that were settled so long ago, at most `limit`; how many those were. */
  deleteFinished(settledForMs: number, limit: number): Promise<number>;
  counts(limits: OutboxRetryRule): Promise<OutboxCounts>;
  /**
   * Calls back when rows may have come, until the signal; reconnects by itself for ever, and calls back after that.
   * Where nothing can wake, it only waits for the signal.
   */
  listen(told: () => void, signal: AbortSignal): Promise<void>;
  probe(): Promise<void>;
  close(): Promise<void>;
}

export interface OutboxSourceCapabilities {
  /** Whether `listen` ever calls back. */
  readonly wakeUps: boolean;
  /** A claim with an epoch that is over takes nothing, however late it comes. False: it may, within one round trip. */
  readonly fencedClaims: boolean;
}

/** Which retries are left, and what a row that waits means for those behind it. */
export interface OutboxRetryRule {
  /** A row tried in vain so often is not tried again until an operator says so. */
  readonly maxRetries: number;
  /** A row that waits, or has no retries left, holds those behind it in its group. */
  readonly blockOnError: boolean;
}

export interface OutboxClaim extends OutboxRetryRule {
  readonly epoch: number;
  /**
   * `new`: pending rows, in the order of all. `retries`: waiting rows whose delay is over (outboxRetryDelayMs), if they
   * have retries left; those of them that may not go become pending, so that they hide nobody.
   */
  readonly which: "new" | "retries";
  readonly maxRows: number;
  /** Of all payloads that are read, together; one row is given whatever its size. */
  readonly maxBytes: number;
  /** A larger payload is not read: its row comes with null. */
  readonly payloadMaxBytes: number;
  /** Of `new`: only rows behind it are looked at. */
  readonly after: OutboxPosition | null;
  /** Rows looked at, so that a million rows behind a held one cost no more than this. */
  readonly maxScanned: number;
}

export type OutboxClaimAnswer =
  | {
      readonly kind: "claimed";
      /** In order. */
      readonly rows: readonly OutboxRow[];
      /**
       * Of `new`: the last row looked at, given or passed over, from which the next look goes on. Null: there was none
       * behind `after`. Of `retries`: null.
       */
      readonly next: OutboxPosition | null;
      /** Rows looked at, up to `next`, that may not go yet: another one of their group is under way or before them. */
      readonly passedOver: number;
    }
  | { readonly kind: "paused"; readonly reason: string }
  /** The lease is somebody else's. */
  | { readonly kind: "fenced" };

export interface OutboxLease {
  /** Takes or renews; null: another one holds it. The epoch rises with each change of hands. */
  acquire(holder: string, ttlMs: number): Promise<{ readonly epoch: number } | null>;
  /** Gives it back early; no effect if the holder does not have it. */
  release(holder: string): Promise<void>;
}

export interface OutboxCounts {
  readonly pending: number;
  readonly inProgress: number;
  /** Will be tried again. */
  readonly waiting: number;
  /** No retries left: an operator must retry or skip them. */
  readonly exhausted: number;
  /** With rows in a state that there is not: nobody sends them, and they are listed as bad requests. */
  readonly refused: number;
  /** Counts stop here; a number equal to it means that many or more. */
  readonly countedTo: number;
  /** Of what is not final. */
  readonly oldestAgeMs: number | null;
}

/** What `flowcatalyst outbox …` does to a table; the processor needs none of it. */
export interface OutboxAdmin {
  readonly source: OutboxSource;
  /** The statements that make the tables with their indexes, for this engine and form. */
  ddl(): readonly string[];
  /** Runs them; what is there already stays as it is. */
  init(): Promise<void>;
  control(): Promise<OutboxControl>;
  pause(reason: string): Promise<void>;
  resume(): Promise<void>;
  /** Rows of these states, oldest first. */
  list(query: OutboxQuery): Promise<OutboxPage>;
  /** How many rows that act would touch, all of them counted. */
  count(which: OutboxSelection, act: OutboxAct): Promise<number>;
  /** Makes them BAD_REQUEST with that reason, at most `limit`: not sent, and nobody waits for them. How many. */
  skip(which: OutboxSelection, reason: string, limit: number): Promise<number>;
  /** Makes them pending with all retries, at most `limit`. How many. */
  retry(which: OutboxSelection, limit: number): Promise<number>;
}

export interface OutboxControl {
  readonly pausedReason: string | null;
  readonly holder: string | null;
  readonly leaseUntil: Date | null;
}

export interface OutboxQuery {
  readonly states: readonly OutboxStatus[];
  readonly group: string | null;
  readonly limit: number;
  readonly after: OutboxPosition | null;
}

export interface OutboxPage {
  readonly rows: readonly OutboxListedRow[];
  /** Null: that was the last page. */
  readonly next: OutboxPosition | null;
}

export interface OutboxListedRow {
  readonly id: OutboxRowId;
  readonly form: OutboxForm;
  readonly position: OutboxPosition;
  readonly type: string;
  readonly group: string | null;
  readonly status: OutboxStatus;
  readonly retryCount: number;
  readonly error: string | null;
  readonly payloadBytes: number;
}

export type OutboxAct = "skip" | "retry";

/** Rows in progress are never among them. */
export type OutboxSelection =
  | { readonly kind: "ids"; readonly ids: readonly OutboxRowId[] }
  /** Of a group, those of these states; skip takes pending and waiting ones, retry waiting and refused ones. */
  | { readonly kind: "group"; readonly group: string; readonly states: readonly OutboxStatus[] }
  | { readonly kind: "states"; readonly states: readonly OutboxStatus[] };
