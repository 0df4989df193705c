import {
  backoffMs,
  describeError,
  isCodedError,
  type BackoffPolicy,
  type Clock,
  type Logger,
  type Random,
} from "@flowcatalyst/foundation";
import type { OutboxResult, OutboxRow } from "../domain/outbox-row.ts";
import type { OutboxKind, OutboxPublisher } from "../ports/outbox-publisher.ts";
import type { OutboxClaim, OutboxClaimAnswer, OutboxRetryRule, OutboxSource } from "../ports/outbox-source.ts";
import { Gate } from "./gate.ts";
import { Hand, type Batch, type HandRow, type Line } from "./hand.ts";
import { Intake } from "./intake.ts";
import { readRow } from "./item-text.ts";
import { outboxProcessorLimits as limits } from "./outbox-limits.ts";
import type { OutboxMeters } from "./outbox-meters.ts";
import type { Look } from "./scan.ts";
import { BatchSize, Sending } from "./sending.ts";
import { Settlement } from "./settlement.ts";

export interface TermDeps {
  readonly source: OutboxSource;
  readonly publisher: OutboxPublisher;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly meters: OutboxMeters;
  /** The lease may still be trusted. */
  readonly leads: () => boolean;
}

export interface TermConfig extends OutboxRetryRule {
  readonly epoch: number;
  readonly pollIntervalMs: number;
  readonly batchMaxRows: number;
  readonly concurrency: number;
}

const claimRetry: BackoffPolicy = { baseMs: 50, capMs: 5_000, jitter: "equal" };
/** Claims that went well for so long: the next failure is news. */
const steadyMs = 30_000;

/**
 * One term of leadership: rows are claimed, sent and settled until it ends. All that is known of rows in hand dies with
 * it; what the source has as in progress then comes back by `recover`.
 */
export class Term {
  readonly #deps: TermDeps;
  readonly #config: TermConfig;
  readonly #hand = new Hand();
  readonly #gate: Gate;
  readonly #size: BatchSize;
  readonly #settlement: Settlement;
  readonly #underWay = new Set<Promise<void>>();
  /** Requests are cut off, and results not written are given up. */
  readonly #over = new AbortController();
  /** Why the term cannot go on. */
  readonly #broken = new AbortController();
  #intake: Intake | null = null;
  #sending = 0;
  #isStopping = false;
  #closedReasonTold: string | null = null;
  /** In a row. */
  #failedClaims = 0;
  #lastFailure: string | null = null;

  constructor(deps: TermDeps, config: TermConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#gate = new Gate({ ...deps, changed: () => this.#gateChanged() });
    this.#size = new BatchSize(config.batchMaxRows);
    this.#settlement = new Settlement(deps, this.#over.signal);
  }

  /** Why nothing is sent; null: it is. */
  get closedReason(): string | null {
    return this.#gate.reason;
  }

  get pausedReason(): string | null {
    return this.#intake?.pausedReason ?? null;
  }

  /** Why nothing can be claimed, however often it is tried; null: it can. */
  get fault(): string | null {
    return this.#failedClaims < limits.downAfterClaims ? null : this.#lastFailure;
  }

  told(): void {
    this.#intake?.told();
  }

  /** The lease is trusted: what came to hand while it was not is sent now. */
  goOn(): void {
    this.#pump();
    this.#intake?.wake();
  }

  /** Until the signal, or until the lease is seen to be lost. */
  async run(told: AbortSignal): Promise<"fenced" | "stopped"> {
    const { source, meters } = this.#deps;
    const signal = AbortSignal.any([told, this.#broken.signal]);
    meters.show(this.#hand);
    try {
      await source.recover(0);
      let failures = 0;
      while (!signal.aborted) {
        const end = await this.#takeIn(failures, signal);
        if (end === "fenced") return "fenced";
        failures = end === "failed" ? failures + 1 : 0;
      }
      if (this.#broken.signal.aborted) throw this.#broken.signal.reason;
      return "stopped";
    } finally {
      await this.#end();
      meters.show(null);
    }
  }

  async #takeIn(failures: number, signal: AbortSignal): Promise<"fenced" | "stopped" | "failed"> {
    const { logger, clock, random } = this.#deps;
    const intake = this.#newIntake();
    this.#intake = intake;
    const startedAtMs = clock.monotonicMs();
    try {
      return await intake.run(signal);
    } catch (error) {
      if (isCodedError(error) && error.code !== "STORE_UNAVAILABLE") throw error;
      this.#failedClaims++;
      this.#lastFailure = describeError(error);
      const isNews = failures === 0 || clock.monotonicMs() - startedAtMs > steadyMs;
      if (isNews) logger.error({ error: describeError(error) }, "The outbox cannot be asked, and is asked again");
      await clock.sleep(backoffMs(claimRetry, isNews ? 0 : failures, random), signal);
      // Rows may have been claimed by a call whose answer was lost.
      if (!signal.aborted) await this.#recover(signal);
      return "failed";
    }
  }

  #newIntake(): Intake {
    const room = () => this.#room();
    const claim = async (what: OutboxClaim): Promise<OutboxClaimAnswer> => {
      const answer = await this.#deps.source.claim(what);
      this.#failedClaims = 0;
      return answer;
    };
    const took = (rows: readonly OutboxRow[], look: Look): void => this.#took(rows, look);
    return new Intake({ ...this.#deps, source: { claim }, room, took }, this.#config);
  }

  /** Once all that is in hand is settled, whatever is in progress was left behind. */
  async #recover(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && this.#underWay.size > 0) await Promise.race(this.#underWay);
    await this.#putBack(this.#hand.takeWaiting());
    if (!signal.aborted && this.#hand.rows === 0) await this.#deps.source.recover(0);
  }

  #room(): { readonly rows: number; readonly bytes: number } | null {
    if (!this.#deps.leads()) return null;
    const { rows, bytes } = this.#hand;
    switch (this.#gate.state) {
      case "closed":
        return null;
      case "probing":
        return rows > 0 ? null : { rows: this.#size.rows, bytes: limits.batchMaxChars };
      case "open": {
        const isHalfFull = rows > limits.inHandMaxRows / 2 || bytes > limits.inHandMaxBytes / 2;
        return isHalfFull ? null : { rows: limits.inHandMaxRows - rows, bytes: limits.inHandMaxBytes - bytes };
      }
    }
  }

  #took(rows: readonly OutboxRow[], look: Look): void {
    const claimedAtMs = this.#deps.clock.monotonicMs();
    const inHand: HandRow[] = [];
    const refused: OutboxResult[] = [];
    for (const row of rows) {
      const read = readRow(row);
      if (read.kind === "bad") refused.push(read.result);
      else inHand.push({ row, kind: read.of, json: read.json, claimedAtMs });
    }
    this.#hand.add(inHand, look);
    if (refused.length > 0) this.#track(this.#refuse(refused, look));
    this.#pump();
  }

  async #refuse(results: readonly OutboxResult[], look: Look): Promise<void> {
    if (await this.#settle({ results, kind: null, released: [] })) this.#intake?.finished(new Set([look]));
  }

  /** Starts as many requests as may be under way. */
  #pump(): void {
    if (this.#isStopping || !this.#deps.leads()) return;
    const sinceMs = this.#hand.waitingSinceMs();
    if (sinceMs !== null && this.#deps.clock.monotonicMs() - sinceMs > limits.inHandMaxMs)
      return this.#releaseWaiting();
    while (this.#sending < this.#gate.capacity(this.#config.concurrency)) {
      const batch = this.#hand.takeBatch({ maxRows: this.#size.rows, maxChars: limits.batchMaxChars });
      if (batch === null) return;
      this.#track(this.#send(batch));
    }
  }

  async #send(batch: Batch): Promise<void> {
    const { publisher, clock, meters, leads } = this.#deps;
    const published = (sent: Batch, durationMs: number): void => meters.published(sent.kind, durationMs);
    const sending = new Sending({ publisher, gate: this.#gate, clock, published, leads }, batch, {
      size: this.#size,
      signal: this.#over.signal,
    });
    this.#sending++;
    try {
      await sending.send();
    } finally {
      this.#sending--;
    }
    await this.#answered(batch, sending);
  }

  async #answered(batch: Batch, sending: Sending): Promise<void> {
    const results: OutboxResult[] = [];
    const released: HandRow[] = [];
    const settled: HandRow[] = [];
    for (const row of batch.rows) {
      const verdict = sending.verdicts.get(row) ?? { kind: "release" };
      if (verdict.kind === "release") released.push(row);
      else {
        settled.push(row);
        results.push(verdict);
      }
    }
    const finished: Line[] = [];
    const isClosed = this.#gate.state === "closed" || this.#isStopping;
    for (const line of batch.lines) {
      const { isEmpty, released: behind } = this.#hand.giveBack(line, isClosed || this.#isHeld(line, sending));
      released.push(...behind);
      if (isEmpty) finished.push(line);
    }
    this.#pump();
    const rows = released.map(({ row }) => row);
    const isWritten = await this.#settle({ results, kind: batch.kind, released: rows });
    this.#hand.settled(settled);
    this.#hand.settled(released);
    if (isWritten) this.#intake?.finished(new Set(finished.map(({ look }) => look)));
    this.#intake?.wake();
  }

  /** A row of it is tried again, or was not sent: what is behind may not go. */
  #isHeld(line: Line, sending: Sending): boolean {
    if (line.group === null) return false;
    return this.#config.blockOnError ? sending.hasFailed(line.group) : sending.hasReleased(line.group);
  }

  async #settle(what: {
    readonly results: readonly OutboxResult[];
    readonly kind: OutboxKind | null;
    readonly released: readonly OutboxRow[];
  }): Promise<boolean> {
    if (what.results.length === 0 && what.released.length === 0) return true;
    const isWritten = await this.#settlement.write(what);
    if (isWritten) for (const result of what.results) this.#deps.meters.settled(what.kind, result);
    return isWritten;
  }

  #track(task: Promise<void | boolean>): void {
    const tracked = task.then(
      () => void this.#underWay.delete(tracked),
      (error: unknown) => {
        this.#underWay.delete(tracked);
        this.#broken.abort(error);
      },
    );
    this.#underWay.add(tracked);
  }

  /** Once for each reason: an outage of an hour is two lines. */
  #tellOfGate(): void {
    const { reason } = this.#gate;
    if (reason === this.#closedReasonTold) return;
    this.#closedReasonTold = reason;
    if (reason === null) this.#deps.logger.info({}, "The outbox's rows are sent again");
    else this.#deps.logger.warn({ reason }, "The outbox's rows wait, since nobody takes them now");
  }

  #gateChanged(): void {
    this.#tellOfGate();
    if (this.#gate.state === "closed") return this.#releaseWaiting();
    this.#intake?.lookAgain();
    this.#pump();
  }

  #releaseWaiting(): void {
    const rows = this.#hand.takeWaiting();
    if (rows.length > 0) this.#track(this.#putBack(rows));
  }

  async #putBack(rows: readonly HandRow[]): Promise<void> {
    await this.#settle({ results: [], kind: null, released: rows.map(({ row }) => row) });
    this.#hand.settled(rows);
    this.#intake?.wake();
  }

  /** Requests under way may end; what is in hand goes back; then whatever is left is given up. */
  async #end(): Promise<void> {
    this.#isStopping = true;
    this.#gate.stop();
    this.#releaseWaiting();
    const cancel = this.#deps.clock.setTimer(limits.stopGraceMs, () => this.#over.abort());
    if (!this.#deps.leads()) this.#over.abort();
    while (this.#underWay.size > 0) await Promise.race(this.#underWay);
    cancel();
    this.#over.abort();
  }
}
