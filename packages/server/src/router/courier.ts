/**
 * One attempt of one delivery, from the free slot to what it means.
 *
 * Before a slot is taken: is the delivery still wanted (`isWanted`)? Expired, cancelled, paused and suspended ones are
 * dealt with without a call. Then, in the slot: the signing keys are looked up (an unknown secret holds the delivery;
 * it is never sent unsigned by mistake), the mediator makes the call, the answer is classified, the circuit breaker is
 * told, the slot is given back, and the settlement takes over. Nothing here waits for the record.
 */
import { describeError, type Clock } from "@flowcatalyst/foundation";
import type { Attempt, DeliveryResult } from "../domain/attempt.ts";
import { classifyAnswer, type ResponseOutcome } from "../domain/response-outcome.ts";
import type { SigningKey } from "../domain/signature.ts";
import type { CallResult } from "./circuit-breaker.ts";
import type { ControlView } from "./control-view.ts";
import type { Delivery } from "./in-flight.ts";
import type { Mediator } from "./mediators/http.ts";
import type { Settlement } from "./settlement.ts";
import type { SigningKeys } from "./signing-keys.ts";
import type { Warnings } from "./warnings.ts";

export const courierLimits = {
  /** A delivery whose secret nobody knows, or can be asked for, comes again after this. */
  secretHoldMs: 30_000,
  /** A stand-alone message of a suspended pool comes again after this. */
  suspendedMs: 30_000,
  /**
   * A job of a suspended pool or a paused subscription is given back for this long. The store holds it longer; but
   * while it does not know of the pause, or this router not of its end, the job would go to and fro without a pause.
   */
  pausedMs: 1_000,
} as const;

export interface CourierDeps {
  readonly clock: Clock;
  readonly control: ControlView;
  readonly keys: SigningKeys;
  readonly mediator: Mediator;
  readonly settlement: Settlement;
  readonly warnings: Warnings;
  /** Ends all calls: the time for stopping is over. */
  readonly abort: AbortSignal;
}

const unsigned: readonly SigningKey[] = [];

export class Courier {
  readonly #deps: CourierDeps;

  constructor(deps: CourierDeps) {
    this.#deps = deps;
  }

  /** False: the head was dealt with without a call, and its line has moved on. */
  isWanted(delivery: Delivery): boolean {
    const { control, settlement, clock } = this.#deps;
    const { job, line } = delivery;
    if (line === null) return false;
    if (line.pool.shape.isSuspended) {
      const { suspendedMs, pausedMs } = courierLimits;
      if (delivery.message.standalone === null) settlement.release(line, pausedMs);
      else settlement.leaveAlone(line, suspendedMs);
      return false;
    }
    if (delivery.notBeforeMs > 0) {
      const earlyMs = delivery.notBeforeMs - clock.monotonicMs();
      delivery.notBeforeMs = 0;
      if (earlyMs > 0) {
        settlement.leaveAlone(line, earlyMs);
        return false;
      }
    }
    if (control.isCancelled(job)) {
      settlement.skip(delivery);
      return false;
    }
    if (job.subscriptionId !== null && control.isPaused(job.subscriptionId)) {
      settlement.release(line, courierLimits.pausedMs);
      return false;
    }
    if (clock.now() >= job.expiresAtMs) {
      settlement.conclude(delivery, null, { kind: "expired" });
      return false;
    }
    return true;
  }

  call(delivery: Delivery): void {
    void this.#attempt(delivery);
  }

  async #attempt(delivery: Delivery): Promise<void> {
    const { clock, mediator, abort } = this.#deps;
    const { job, message } = delivery;
    const beganMs = clock.monotonicMs();
    const keys = job.secretRef === null ? unsigned : await this.#keysOf(job.secretRef, beganMs);
    if (keys === null) {
      this.#holdForSecret(delivery);
      return;
    }
    const startedAtMs = clock.now();
    const call = {
      job,
      nowMs: startedAtMs,
      attempt: delivery.attemptCount + 1,
      keys,
      traceparent: message.traceparent,
      timeoutMs: timeoutMsOf(delivery),
    };
    const { answer, signed } = await mediator.mediate(call, abort);
    if (abort.aborted && answer.kind !== "response") {
      this.#abandon(delivery);
      return;
    }
    const endedAtMs = clock.now();
    const endedMs = clock.monotonicMs();
    const durationMs = endedMs - beganMs;
    const outcome = classifyAnswer(answer, endedAtMs);
    const attempt: Attempt = {
      number: delivery.generationAttempts + 1,
      startedAtMs,
      durationMs: Math.round(durationMs * 1_000) / 1_000,
      outcome: outcome.outcome,
      statusCode: outcome.statusCode,
      burnt: outcome.burnt,
      error: outcome.error,
      responseBody: outcome.responseBody,
      signed,
    };
    this.#meter(delivery, outcome, durationMs);
    if (outcome.warning !== null) this.#warn(delivery, outcome);
    this.#endCall(delivery, outcome, endedMs);
    this.#deps.settlement.conclude(delivery, attempt, resultOf(outcome, endedAtMs));
    delivery.share?.pool.pump();
  }

  /** Null: unknown, or cannot be asked for now. */
  async #keysOf(ref: string, nowMs: number): Promise<readonly SigningKey[] | null> {
    const atHand = this.#deps.keys.atHand(ref, nowMs);
    if (atHand !== undefined) return atHand;
    try {
      return await this.#deps.keys.fetch(ref);
    } catch (error) {
      const message = `the secret ${ref} cannot be read: ${describeError(error)}`;
      this.#deps.warnings.add({ category: "SECRET", severity: "ERROR", message, source: ref });
      return null;
    }
  }

  #holdForSecret(delivery: Delivery): void {
    const { clock, warnings, settlement } = this.#deps;
    const ref = delivery.job.secretRef ?? "";
    const error = `SECRET_UNKNOWN: no secret is known as ${ref}`;
    warnings.add({ category: "SECRET", severity: "ERROR", message: error, source: ref });
    this.#giveSlotBack(delivery, "abandoned", this.#deps.clock.monotonicMs());
    settlement.conclude(delivery, null, { kind: "held", untilMs: clock.now() + courierLimits.secretHoldMs, error });
    delivery.share?.pool.pump();
  }

  /** The call was cut off by the stop; whether it arrived is unknown, so the job is owed still. */
  #abandon(delivery: Delivery): void {
    this.#giveSlotBack(delivery, "abandoned", this.#deps.clock.monotonicMs());
    if (delivery.line !== null) this.#deps.settlement.release(delivery.line, 0);
  }

  #endCall(delivery: Delivery, outcome: ResponseOutcome, nowMs: number): void {
    const { meaning } = outcome;
    if (meaning.kind === "held" && meaning.holdsTarget) {
      delivery.share?.breaker.hold(nowMs + meaning.delayMs);
    }
    // What never reached the target says nothing of it.
    const result: CallResult = outcome.breakerFailure ? "failure" : "success";
    this.#giveSlotBack(delivery, outcome.outcome === "BLOCKED_ADDRESS" ? "abandoned" : result, nowMs);
  }

  #giveSlotBack(delivery: Delivery, result: CallResult, nowMs: number): void {
    const { share } = delivery;
    if (share === null) return;
    share.breaker.end(delivery.ticket, result, nowMs);
    share.pool.callEnded(delivery, result === "failure");
  }

  #meter(delivery: Delivery, outcome: ResponseOutcome, durationMs: number): void {
    const meters = delivery.share?.pool.meters;
    if (meters === undefined) return;
    meters.processed(outcome.outcome);
    meters.duration(durationMs / 1_000);
    if (outcome.meaning.kind === "delivered") meters.delivered.inc();
    else {
      meters.failure(outcome.outcome);
      meters.failed.inc();
    }
  }

  #warn(delivery: Delivery, outcome: ResponseOutcome): void {
    if (outcome.warning === null) return;
    const { category, severity } = outcome.warning;
    const message = outcome.error ?? outcome.outcome;
    this.#deps.warnings.add({ category, severity, message, source: delivery.origin });
  }
}

function timeoutMsOf(delivery: Delivery): number {
  const { timeoutSeconds } = delivery.job;
  const capSeconds = delivery.share?.pool.shape.timeoutSeconds ?? null;
  return (capSeconds === null ? timeoutSeconds : Math.min(timeoutSeconds, capSeconds)) * 1_000;
}

function resultOf({ meaning, error }: ResponseOutcome, nowMs: number): DeliveryResult {
  const text = error ?? "";
  switch (meaning.kind) {
    case "delivered":
      return { kind: "delivered" };
    case "permanent":
      return { kind: "permanent", error: text, pauseSubscription: meaning.pauseSubscription };
    case "transient":
      return { kind: "transient", error: text };
    case "held":
      return { kind: "held", untilMs: nowMs + meaning.delayMs, error: text };
  }
}
