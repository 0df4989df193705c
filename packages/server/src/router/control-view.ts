import { backoffMs, describeError, type Clock, type Random } from "@flowcatalyst/foundation";
import { jobGenerationKey, type JobId, type SubscriptionId } from "../domain/ids.ts";
import type { ControlState, DeliveryControl } from "../ports/delivery-control.ts";
import type { Warnings } from "./warnings.ts";

export const controlViewLimits = {
  waitMs: 20_000,
  retry: { baseMs: 200, capMs: 10_000, jitter: "equal" },
} as const;

export interface ControlViewDeps {
  readonly control: DeliveryControl;
  readonly clock: Clock;
  readonly random: Random;
  readonly warnings: Warnings;
  readonly changed: (state: ControlState) => void;
}

/**
 * What operators have set, as this router knows it: pools, pauses, cancellations. Followed by a long poll; while that
 * fails, the last known state stays in force (a pause that comes late is seen by the store when the result is
 * recorded).
 */
export class ControlView {
  readonly #deps: ControlViewDeps;
  #state: ControlState | null = null;

  constructor(deps: ControlViewDeps) {
    this.#deps = deps;
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
        this.#state = state;
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
    const state = await this.#deps.control.read(null, 0, signal);
    this.#adopt(state, true);
    return state.revision;
  }

  #adopt(state: ControlState, always = false): void {
    const isNew = state.revision !== this.#state?.revision;
    this.#state = state;
    if (isNew || always) this.#deps.changed(state);
  }

  async #read(waitMs: number, signal: AbortSignal): Promise<ControlState | null> {
    try {
      return await this.#deps.control.read(this.#state?.revision ?? null, waitMs, signal);
    } catch (error) {
      if (signal.aborted) return null;
      const message = `pools and pauses cannot be read: ${describeError(error)}`;
      this.#deps.warnings.add({ category: "CONTROL", severity: "ERROR", message, source: "delivery-control" });
      return null;
    }
  }

  #pause(failures: number, signal: AbortSignal): Promise<void> {
    return this.#deps.clock.sleep(backoffMs(controlViewLimits.retry, failures, this.#deps.random), signal);
  }
}
