import { describeError, type Clock } from "@flowcatalyst/foundation";
import { outboxStatus, type OutboxResult, type RefusedStatus, type WaitingStatus } from "../domain/outbox-row.ts";
import type { ItemOutcome, OutboxPublisher, PublishOutcome } from "../ports/outbox-publisher.ts";
import type { Gate } from "./gate.ts";
import type { Batch, HandRow } from "./hand.ts";

/** What became of a row; `release`: it was not sent, or what it depends on was not taken. */
export type RowVerdict = OutboxResult | { readonly kind: "release" };

export interface SendingDeps {
  readonly publisher: OutboxPublisher;
  readonly gate: Gate;
  readonly clock: Clock;
  readonly published: (batch: Batch, durationMs: number) => void;
  /** The lease may still be trusted. */
  readonly leads: () => boolean;
}

/** Rows in a request: halved by each fault of the other side, doubled by each answer. */
export class BatchSize {
  readonly #max: number;
  #rows: number;

  constructor(max: number) {
    this.#max = max;
    this.#rows = max;
  }

  get rows(): number {
    return this.#rows;
  }

  halve(): void {
    this.#rows = Math.max(1, Math.floor(this.#rows / 2));
  }

  double(): void {
    this.#rows = Math.min(this.#max, this.#rows * 2);
  }
}

/**
 * Sends one batch and says of each of its rows what became of it.
 *
 * A batch that is refused as a whole is halved until the one row is found that is at fault. Once a row has failed that
 * will be tried again, the rows of its group behind it are not sent any more.
 */
export class Sending {
  readonly verdicts = new Map<HandRow, RowVerdict>();
  readonly #deps: SendingDeps;
  readonly #batch: Batch;
  readonly #size: BatchSize;
  readonly #signal: AbortSignal;
  readonly #failedGroups = new Set<string>();
  readonly #releasedGroups = new Set<string>();

  constructor(deps: SendingDeps, batch: Batch, config: { readonly size: BatchSize; readonly signal: AbortSignal }) {
    this.#deps = deps;
    this.#batch = batch;
    this.#size = config.size;
    this.#signal = config.signal;
  }

  /** A row of the group failed that will be tried again, or goes back without having been sent. */
  hasFailed(group: string): boolean {
    return this.#failedGroups.has(group);
  }

  /** A row of the group goes back: what is behind it must not go before it. */
  hasReleased(group: string): boolean {
    return this.#releasedGroups.has(group);
  }

  async send(rows: readonly HandRow[] = this.#batch.rows, isPart = false): Promise<void> {
    const sendable: HandRow[] = [];
    for (const row of rows) {
      if (this.#isHeld(row)) this.#release(row);
      else sendable.push(row);
    }
    if (sendable.length === 0) return;
    if (this.#signal.aborted || (isPart && !this.#mayGoOn())) {
      for (const row of sendable) this.#release(row);
      return;
    }
    const outcome = await this.#publish(sendable);
    if (outcome.kind === "refused" && sendable.length > 1) {
      const half = Math.ceil(sendable.length / 2);
      this.#deps.gate.answered();
      await this.send(sendable.slice(0, half), true);
      await this.send(sendable.slice(half), true);
    } else this.#judge(sendable, outcome);
  }

  /** Halving takes many requests, and the lease may be over before the last. */
  #mayGoOn(): boolean {
    return this.#deps.gate.state !== "closed" && this.#deps.leads();
  }

  async #publish(rows: readonly HandRow[]): Promise<PublishOutcome> {
    const { publisher, clock, published } = this.#deps;
    const startedAtMs = clock.monotonicMs();
    try {
      const items = rows.map(({ row, json }) => ({ id: row.id, json }));
      return await publisher.publish({ kind: this.#batch.kind, items }, this.#signal);
    } catch (error) {
      return { kind: "unreachable", error: describeError(error), retryAfterMs: null };
    } finally {
      published(this.#batch, clock.monotonicMs() - startedAtMs);
    }
  }

  #judge(rows: readonly HandRow[], outcome: PublishOutcome): void {
    const { gate } = this.#deps;
    switch (outcome.kind) {
      case "answered":
        this.#size.double();
        gate.answered();
        for (const [at, row] of rows.entries()) this.#judgeItem(row, outcome.results[at]);
        return;
      case "refused":
        gate.answered();
        for (const row of rows) this.#refuse(row, outboxStatus.badRequest, `${outcome.status} ${outcome.error}`);
        return;
      case "forbidden":
        gate.answered();
        for (const row of rows) this.#refuse(row, outboxStatus.forbidden, outcome.error);
        return;
      case "unauthorized":
        gate.unreachable(outcome.error, null);
        return this.#failAll(rows, outboxStatus.unauthorized, { error: outcome.error, countsAsRetry: false });
      case "faulty": {
        const countsAsRetry = rows.length === 1;
        this.#size.halve();
        gate.faulted();
        const error = `${outcome.status} ${outcome.error}`;
        return this.#failAll(rows, outboxStatus.internalError, { error, countsAsRetry });
      }
      case "unreachable":
        // Told to stop while waiting for an answer: that says nothing about the other side.
        if (this.#signal.aborted) {
          for (const row of rows) this.#release(row);
          return;
        }
        gate.unreachable(outcome.error, outcome.retryAfterMs);
        return this.#failAll(rows, outboxStatus.gatewayError, { error: outcome.error, countsAsRetry: false });
    }
  }

  #judgeItem(row: HandRow, outcome: ItemOutcome | undefined): void {
    switch (outcome?.kind) {
      case "done":
        this.verdicts.set(row, { kind: "done", id: row.row.id });
        return;
      case "badRequest":
        return this.#refuse(row, outboxStatus.badRequest, outcome.error);
      case "forbidden":
        return this.#refuse(row, outboxStatus.forbidden, outcome.error);
      case "internalError":
      case undefined: {
        // The other side fails what stands behind a failed item of the same group: that is not its own fault.
        if (this.#isHeld(row)) return this.#release(row);
        const error = outcome?.error ?? "The answer says nothing of this row.";
        return this.#fail(row, outboxStatus.internalError, { error, countsAsRetry: true });
      }
    }
  }

  /** A row of its group before it has failed. */
  #isHeld({ row }: HandRow): boolean {
    return row.group !== null && this.#failedGroups.has(row.group);
  }

  #refuse(row: HandRow, status: RefusedStatus, error: string): void {
    this.verdicts.set(row, { kind: "refused", id: row.row.id, status, error });
  }

  #release(row: HandRow): void {
    this.verdicts.set(row, { kind: "release" });
    if (row.row.group === null) return;
    this.#failedGroups.add(row.row.group);
    this.#releasedGroups.add(row.row.group);
  }

  /** Of a group the first row waits; those behind it go back, so that one row a group is tried again. */
  #failAll(rows: readonly HandRow[], status: WaitingStatus, why: Failure): void {
    for (const row of rows) {
      if (this.#isHeld(row)) this.#release(row);
      else this.#fail(row, status, why);
    }
  }

  #fail(row: HandRow, status: WaitingStatus, { error, countsAsRetry }: Failure): void {
    this.verdicts.set(row, { kind: "failed", id: row.row.id, status, error, countsAsRetry });
    if (row.row.group !== null) this.#failedGroups.add(row.row.group);
  }
}

interface Failure {
  readonly error: string;
  readonly countsAsRetry: boolean;
}
