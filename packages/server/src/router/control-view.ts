import { backoffMs, describeError, type Clock, type Random } from "@flowcatalyst/foundation";
import { jobGenerationKey, type JobId, type SubscriptionId } from "../domain/ids.ts";
import type { ControlState, DeliveryControl } from "../ports/delivery-control.ts";
import { withinTime } from "./within-time.ts";
import type { Warnings } from "./warnings.ts";

export const controlViewLimits = {
  waitMs: 20_000,
  /** How much longer than its wait an answer may take. */
  slackMs: 10_000,
  /** Older settings are not acted on: a pause or a cancellation could have gone unnoticed for longer. */
  maxAgeMs: 60_000,
  retry: { baseMs: 200, capMs: 10_000, jitter: "equal" },
} as const;

export interface ControlViewDeps {
  readonly control: DeliveryControl;
  readonly clock: Clock;
  readonly random: Random;
  readonly warnings: Warnings;
  readonly changed: (state: ControlState) => void;
  /** The settings were too old to act on, and are not any more. */
  readonly freshAgain: () => void;
}

/**
 * What operators have set, as this router knows it: pools, pauses, cancellations. Followed by a long poll. While that
 * fails, the last known state stays in force for a minute from when it was answered; then `isFresh` turns false, upon
 * which no call for a job starts until there is an answer again. (A pause that comes late within that minute is seen by
 * the store when the result is recorded.)
 */
export class ControlView {
  readonly #deps: ControlViewDeps;
  #state: ControlState | null = null;
  /** Monotonic; when the state was last answered, changed or not. */
  #answeredAtMs = Number.NEGATIVE_INFINITY;

  constructor(deps: ControlViewDeps) {
    this.#deps = deps;
  }

  get isFresh(): boolean {
    return this.#deps.clock.monotonicMs() - this.#answeredAtMs < controlViewLimits.maxAgeMs;
  }

  isPaused(id: SubscriptionId): boolean {
    return this.#state !== null && this.#state.pausedSubscriptions.has(id);
  }

  isCancelled({ jobId, generation }: { readonly jobId: JobId; readonly generation: number }): boolean {
    const cancelled = this.#state?.cancelledJobs;
    return cancelled !== undefined && cancelled.size > 0 && cancelled.has(jobGenerationKey(jobId, generation));
  }

  /** Reads the first state, trying until it succeeds; null when told to stop before. */
  async first(signal: AbortSignal): Promise<ControlState | null> {
    for (let failures = 0; !signal.aborted; failures++) {
      const state = await this.#read(0, signal);
      if (state !== null) {
        this.#note(state);
        return state;
      }
      await this.#pause(failures, signal);
    }
    return null;
  }

  async follow(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      const state = await this.#read(controlViewLimits.waitMs, signal);
      if (signal.aborted) return;
      if (state === null) await this.#pause(failures++, signal);
      else {
        failures = 0;
        this.#adopt(state);
      }
    }
  }

  /** Reads once, now, whatever the revision. */
  async reload(signal: AbortSignal): Promise<number | null> {
    const state = await this.#ask(null, 0, signal);
    this.#adopt(state, true);
    return state.revision;
  }

  #adopt(state: ControlState, always = false): void {
    const isNew = state.revision !== this.#state?.revision;
    const wasFresh = this.isFresh;
    this.#note(state);
    if (isNew || always) this.#deps.changed(state);
    if (!wasFresh) this.#deps.freshAgain();
  }

  #note(state: ControlState): void {
    this.#state = state;
    this.#answeredAtMs = this.#deps.clock.monotonicMs();
  }

  async #read(waitMs: number, signal: AbortSignal): Promise<ControlState | null> {
    try {
      return await this.#ask(this.#state?.revision ?? null, waitMs, signal);
    } catch (error) {
      if (signal.aborted) return null;
      this.#warn(`pools and pauses cannot be read: ${describeError(error)}`, "ERROR");
      if (this.#state !== null && !this.isFresh) {
        this.#warn(
          "no job is started: pools and pauses are known only as they were a minute ago or longer",
          "CRITICAL",
        );
      }
      return null;
    }
  }

  #ask(knownRevision: number | null, waitMs: number, signal: AbortSignal): Promise<ControlState> {
    const { clock, control } = this.#deps;
    return withinTime(clock, waitMs + controlViewLimits.slackMs, (late) =>
      control.read(knownRevision, waitMs, AbortSignal.any([signal, late])),
    );
  }

  #warn(message: string, severity: "ERROR" | "CRITICAL"): void {
    this.#deps.warnings.add({ category: "CONTROL", severity, message, source: "delivery-control" });
  }

  #pause(failures: number, signal: AbortSignal): Promise<void> {
    return this.#deps.clock.sleep(backoffMs(controlViewLimits.retry, failures, this.#deps.random), signal);
  }
}
