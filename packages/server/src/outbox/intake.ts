import { createWakeUp, type Clock, type Logger, type WakeUp } from "@flowcatalyst/foundation";
import type { OutboxPosition, OutboxRow } from "../domain/outbox-row.ts";
import type { OutboxClaimAnswer, OutboxRetryRule, OutboxSource } from "../ports/outbox-source.ts";
import { outboxProcessorLimits as limits } from "./outbox-limits.ts";
import { Sweep, Tail, type Look, type SweepLook } from "./scan.ts";

export interface IntakeDeps {
  readonly source: Pick<OutboxSource, "claim">;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Rows that may be claimed now; null: none, until `wake`. */
  readonly room: () => { readonly rows: number; readonly bytes: number } | null;
  readonly took: (rows: readonly OutboxRow[], look: Look) => void;
}

export interface IntakeConfig extends OutboxRetryRule {
  readonly epoch: number;
  readonly pollIntervalMs: number;
}

/** Why an intake ends before it is told to. */
export type IntakeEnd = "fenced" | "stopped";

const msPerSecond = 1_000;
const emptyEveryMs = msPerSecond / limits.emptyLooksPerSecond;

/**
 * Claims rows while there is room for them: those whose retry is due, those at the end of the table, and those that a
 * sweep from its start finds. A poll makes all three due; a wake-up the tail; a group that was finished the place where
 * rows behind it were passed over.
 */
export class Intake {
  readonly #deps: IntakeDeps;
  readonly #config: IntakeConfig;
  readonly #tail: Tail;
  readonly #sweep = new Sweep();
  readonly #wakeUp: WakeUp;
  #isTold = false;
  #isTailDue = false;
  #areRetriesDue = true;
  #passedOver = false;
  /** By the looks at the tail since they last began at its start. */
  #passedOverByTail = 0;
  /** How the groups were found that were finished since the last claim began, which may have seen them as held. */
  #freed = new Set<Look>();
  /** By this sweep. */
  #hasSwept = false;
  #pollAtMs: number;
  #tailAtMs = 0;
  #sweepAtMs = 0;
  /** Null: the next look at the tail begins at its start. */
  #tailAfter: OutboxPosition | null = null;
  #lastLookOf: Look["of"] = "sweep";
  #pausedUntilMs = 0;
  #pausedReason: string | null = null;

  constructor(deps: IntakeDeps, config: IntakeConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#tail = new Tail(deps.clock);
    this.#wakeUp = createWakeUp(deps.clock);
    this.#pollAtMs = deps.clock.monotonicMs() + config.pollIntervalMs;
  }

  /** Null: nobody has paused it. */
  get pausedReason(): string | null {
    return this.#pausedReason;
  }

  /** There may be room now. */
  wake(): void {
    this.#wakeUp.wake();
  }

  /** New rows may have come. */
  told(): void {
    this.#isTold = true;
    this.#wakeUp.wake();
  }

  /** As if the poll were due: the other side answers again. */
  lookAgain(): void {
    this.#pollAtMs = this.#deps.clock.monotonicMs();
    this.#wakeUp.wake();
  }

  /** The rows that a look took of some groups are settled, so that others of these groups may follow. */
  finished(looks: ReadonlySet<Look>): void {
    for (const look of looks) this.#freed.add(look);
    if (this.#passedOver && looks.size > 0) this.#goBack(looks);
  }

  #goBack(looks: ReadonlySet<Look>): void {
    if (looks.size > 0 && this.#passedOverByTail > 0) this.#isTailDue = true;
    for (const look of looks) {
      if (look.of === "tail") this.#isTailDue = true;
      else this.#sweep.backTo(look);
    }
    this.#wakeUp.wake();
  }

  /** Throws what the source throws. */
  async run(signal: AbortSignal): Promise<IntakeEnd> {
    while (!signal.aborted) {
      this.#note();
      const look = this.#nextLook();
      if (look === null) {
        await this.#wakeUp.wait(this.#waitMs(), signal);
        continue;
      }
      const answer = await this.#claim(look);
      if (answer === "fenced") return "fenced";
    }
    return "stopped";
  }

  /** Turns what has come to pass since into what is due. */
  #note(): void {
    const nowMs = this.#deps.clock.monotonicMs();
    if (this.#isTold && this.#tailAfter === null) {
      this.#isTold = false;
      this.#isTailDue = true;
    }
    if (nowMs < this.#pollAtMs) return;
    this.#pollAtMs = nowMs + this.#config.pollIntervalMs;
    this.#areRetriesDue = true;
    this.#isTailDue = true;
    // It sees again all that was passed over.
    if (this.#sweep.startAnew()) this.#passedOver = false;
  }

  #nextLook(): Look | null {
    const nowMs = this.#deps.clock.monotonicMs();
    if (nowMs < this.#pausedUntilMs || this.#deps.room() === null) return null;
    const isSweepDue = this.#sweep.look !== null && nowMs >= this.#sweepAtMs;
    const isTailDue = this.#mayTail && nowMs >= this.#tailAtMs;
    // Retries that come back at once do not keep out what is new.
    const areOthersFirst = this.#lastLookOf === "retries" && (isSweepDue || isTailDue);
    if (this.#areRetriesDue && !areOthersFirst) return { of: "retries" };
    if (isTailDue) return { of: "tail", after: this.#tailAfter ?? this.#tail.start };
    return isSweepDue ? this.#sweep.look : null;
  }

  /** Until the first sweep has reached the end there is no tail to speak of. */
  get #mayTail(): boolean {
    return this.#isTailDue && !this.#sweep.isFirst;
  }

  #waitMs(): number {
    const nowMs = this.#deps.clock.monotonicMs();
    let untilMs = this.#pollAtMs;
    if (nowMs >= this.#pausedUntilMs && this.#deps.room() !== null) {
      if (this.#mayTail) untilMs = Math.min(untilMs, this.#tailAtMs);
      if (this.#sweep.look !== null) untilMs = Math.min(untilMs, this.#sweepAtMs);
    }
    return Math.max(0, untilMs - nowMs);
  }

  async #claim(look: Look): Promise<"fenced" | "looked"> {
    const room = this.#deps.room();
    if (room === null) return "looked";
    const { epoch, maxRetries, blockOnError } = this.#config;
    this.#lastLookOf = look.of;
    if (look.of === "tail") this.#tailAtMs = this.#deps.clock.monotonicMs() + limits.wakeSpacingMs;
    this.#freed = new Set();
    const answer = await this.#deps.source.claim({
      epoch,
      maxRetries,
      blockOnError,
      which: look.of === "retries" ? "retries" : "new",
      maxRows: room.rows,
      maxBytes: room.bytes,
      payloadMaxBytes: limits.payloadMaxBytes,
      after: look.of === "retries" ? null : look.after,
      maxScanned: limits.maxScanned,
    });
    switch (answer.kind) {
      case "fenced":
        return "fenced";
      case "paused":
        this.#pause(answer.reason);
        return "looked";
      case "claimed":
        this.#pausedReason = null;
        this.#looked(look, answer);
        return "looked";
    }
  }

  #looked(look: Look, { rows, next, passedOver }: Claimed): void {
    if (passedOver > 0) this.#passedOver = true;
    const last = next ?? rows.at(-1)?.position ?? null;
    switch (look.of) {
      case "retries":
        this.#areRetriesDue = rows.length > 0;
        // Those that were due and may not go are pending now.
        if (passedOver > 0) this.#sweep.startAnew();
        break;
      case "tail":
        if (last !== null) this.#tail.saw(last);
        this.#lookedAtTail({ rows, next, passedOver });
        break;
      case "sweep":
        if (last !== null && this.#sweep.isFirst) this.#tail.saw(last);
        this.#lookedBySweep(look, rows.length > 0, next);
        break;
    }
    // What the claim passed over may have become free after the claim had seen it as held.
    if (passedOver > 0) this.#goBack(this.#freed);
    if (rows.length > 0) this.#deps.took(rows, look);
  }

  #lookedBySweep(look: SweepLook, hasTaken: boolean, next: OutboxPosition | null): void {
    const { isFirst } = this.#sweep;
    if (hasTaken) this.#hasSwept = true;
    else if (!isFirst) this.#sweepAtMs = this.#deps.clock.monotonicMs() + emptyEveryMs;
    if (!this.#sweep.passed(look, next)) return;
    // The last look saw nothing; the one before it saw the end of the table.
    if (!isFirst) this.#tail.swept(look.before?.after ?? null, this.#hasSwept);
    this.#hasSwept = false;
  }

  #lookedAtTail({ rows, next, passedOver }: Pick<Claimed, "rows" | "next" | "passedOver">): void {
    this.#passedOverByTail = passedOver + (this.#tailAfter === null ? 0 : this.#passedOverByTail);
    this.#tailAfter = rows.length + passedOver < limits.fullLookRows ? null : next;
    this.#isTailDue = this.#tailAfter !== null;
    if (this.#tailAfter !== null) return;
    const restMs = Math.min(this.#passedOverByTail / limits.passedOverRowsPerMs, emptyEveryMs);
    this.#tailAtMs = Math.max(this.#tailAtMs, this.#deps.clock.monotonicMs() + restMs);
  }

  #pause(reason: string): void {
    if (this.#pausedReason === null) this.#deps.logger.info({ reason }, "The outbox is paused");
    this.#pausedReason = reason;
    this.#pausedUntilMs = this.#deps.clock.monotonicMs() + this.#config.pollIntervalMs;
    this.#pollAtMs = this.#pausedUntilMs;
  }
}

type Claimed = OutboxClaimAnswer & { readonly kind: "claimed" };
