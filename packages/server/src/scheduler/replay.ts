import {
  createWakeUp,
  describeError,
  type Clock,
  type Logger,
  type Metrics,
  type WakeUp,
} from "@flowcatalyst/foundation";
import type { ReplayId } from "../domain/ids.ts";
import type { Replay, ReplayStore } from "../ports/job-store.ts";
import { createLeaseKeeper, type LeaseKeeper, type LeaseStore } from "../ports/lease.ts";

/**
 * Replays: bulk retries that an operator asked for, at the speed the operator chose.
 *
 * The store keeps each replay with its filter and how far it has come, and advances it in small transactions. All that
 * lives here is the pace: each running replay earns its `jobsPerSecond`, at most one second's worth is saved up, and
 * whole jobs are spent in steps of at most 500. So a restart goes on where the last step ended, without a burst, and a
 * cancelled replay stops at the next step.
 *
 * One instance is active, by a lease, or two would replay at twice the pace. A failing store is tried again at the next
 * tick for ever; it is logged once until it works again.
 */
export interface ReplayRunner {
  /** Advances replays until the signal aborts. Never throws for faults of the store. */
  run(signal: AbortSignal): Promise<void>;
  /** One step of each running replay, as far as its pace allows by now. Throws what the store throws. */
  pass(): Promise<ReplayPass>;
  /** A replay was created: look at once. */
  wake(): void;
}

export interface ReplayPass {
  /** Replays that are running; 0 on standby. */
  readonly running: number;
  /** Jobs that went back to PENDING. */
  readonly jobs: number;
}

export interface ReplayRunnerDeps {
  readonly replays: Pick<ReplayStore, "running" | "advance">;
  readonly leases: LeaseStore;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Absent: the lease is not shown. */
  readonly metrics?: Metrics;
}

export interface ReplayRunnerConfig {
  readonly holder: string;
  readonly leaseTtlMs: number;
  /** Between looks when nothing is running. */
  readonly pollIntervalMs: number;
  /** Between steps while something is. */
  readonly stepIntervalMs: number;
  /** Jobs of one step. */
  readonly stepMaxJobs: number;
}

export const replayDefaults = {
  leaseTtlMs: 10_000,
  pollIntervalMs: 1_000,
  stepIntervalMs: 100,
  stepMaxJobs: 500,
} as const;

export const replayLeaseName = "replay";

const msPerSecond = 1_000;

export function createReplayRunner(deps: ReplayRunnerDeps, config: ReplayRunnerConfig): ReplayRunner {
  return new PacedReplays(deps, config);
}

/** What a replay may still spend, and when that was last reckoned. */
interface Purse {
  jobs: number;
  atMonotonicMs: number;
}

class PacedReplays implements ReplayRunner {
  readonly #deps: ReplayRunnerDeps;
  readonly #config: ReplayRunnerConfig;
  readonly #lease: LeaseKeeper;
  readonly #wakeUp: WakeUp;
  #purses = new Map<ReplayId, Purse>();

  constructor(deps: ReplayRunnerDeps, config: ReplayRunnerConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#lease = createLeaseKeeper(deps, { name: replayLeaseName, holder: config.holder, ttlMs: config.leaseTtlMs });
    this.#wakeUp = createWakeUp(deps.clock);
  }

  wake(): void {
    this.#wakeUp.wake();
  }

  async run(signal: AbortSignal): Promise<void> {
    let failing = false;
    while (!signal.aborted) {
      let waitMs = this.#config.pollIntervalMs;
      try {
        const { running } = await this.pass();
        if (running > 0) waitMs = this.#config.stepIntervalMs;
        failing = false;
      } catch (error) {
        this.#lease.doubt();
        if (!failing)
          this.#deps.logger.warn({ error: describeError(error) }, "Replays can't go on and are tried again");
        failing = true;
      }
      await this.#wakeUp.wait(waitMs, signal);
    }
    await this.#lease.release().catch((error: unknown) => {
      this.#deps.logger.debug({ error: describeError(error) }, "The replays' lease will run out by itself");
    });
  }

  async pass(): Promise<ReplayPass> {
    if ((await this.#lease.epoch()) === null) return { running: 0, jobs: 0 };
    const running = await this.#deps.replays.running();
    const purses = new Map<ReplayId, Purse>();
    let jobs = 0;
    for (const replay of running) {
      const purse = this.#fill(replay);
      purses.set(replay.id, purse);
      jobs += await this.#step(replay, purse);
    }
    // Those that have ended are forgotten.
    this.#purses = purses;
    return { running: running.length, jobs };
  }

  /** A replay not seen before starts with one step's worth, so that it starts at once. */
  #fill(replay: Replay): Purse {
    const nowMs = this.#deps.clock.monotonicMs();
    const known = this.#purses.get(replay.id);
    const sinceMs = known === undefined ? this.#config.stepIntervalMs : nowMs - known.atMonotonicMs;
    const earned = (replay.jobsPerSecond * sinceMs) / msPerSecond;
    const most = Math.max(1, replay.jobsPerSecond);
    return {
      jobs: Math.min(most, Math.max((known?.jobs ?? 0) + earned, known === undefined ? 1 : 0)),
      atMonotonicMs: nowMs,
    };
  }

  async #step(replay: Replay, purse: Purse): Promise<number> {
    const maxJobs = Math.min(Math.floor(purse.jobs), this.#config.stepMaxJobs);
    if (maxJobs === 0) return 0;
    const advanced = await this.#deps.replays.advance(replay.id, maxJobs, this.#deps.clock.now());
    const done = advanced === null ? 0 : Math.max(0, advanced.done - replay.done);
    purse.jobs -= done;
    if (advanced?.status === "COMPLETED") {
      this.#deps.logger.info({ replayId: replay.id, jobs: advanced.done }, "A replay has come to its end");
    }
    return done;
  }
}
