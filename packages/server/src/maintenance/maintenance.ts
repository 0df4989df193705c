import { describeError, type Clock, type Logger, type Metrics } from "@flowcatalyst/foundation";
import type { Housekeeping } from "../ports/housekeeping.ts";
import { createLeaseKeeper, type LeaseEpoch, type LeaseKeeper, type LeaseStore } from "../ports/lease.ts";

/**
 * Housekeeping: what accumulates and must go.
 *
 * Purpose: nothing in the store grows for ever. History older than the retention, deduplication keys and idempotency
 * keys whose window has passed, audit logs older than theirs, groups without jobs, profiles no job refers to, and
 * temporary subscriptions whose lease nobody renewed. Subscriptions archived longer ago than the retention go with
 * their last job, ended replays too.
 *
 * Where the store keeps history by months, those to come are prepared here.
 *
 * It is never in a hurry. Each chore works in steps of a bounded number of rows, one transaction each; between two
 * steps the loop pauses, so that a chore that has a million rows to remove shares the one writer of the store with
 * whoever is delivering. A chore that has nothing left to do rests until its interval has passed.
 *
 * Jobs that are not final stay, however old, and their events with them: retention never loses a delivery.
 *
 * One instance is active, by a lease, and each step carries its epoch. All steps are idempotent: one that died half-way
 * did nothing, and the next run of the chore takes it up again.
 *
 * What each failure does: a chore that fails is logged once, rests for its interval and is tried again; the other
 * chores go on. A lease held by somebody else means waiting for the next tick.
 */
export interface Maintenance {
  /** Works until the signal aborts; gives the lease back. Never throws for faults of the store. */
  run(signal: AbortSignal): Promise<void>;
  /** One step of each chore that is due. Faults of chores are logged, not thrown. */
  pass(): Promise<MaintenancePass>;
}

export type MaintenancePass =
  /** Somebody else holds the lease. */
  | { readonly kind: "standby" }
  /** `more`: some chore has more to do right away. */
  | { readonly kind: "worked"; readonly rows: number; readonly more: boolean };

export interface MaintenanceDeps {
  readonly housekeeping: Housekeeping;
  readonly leases: LeaseStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

export interface MaintenanceConfig {
  readonly holder: string;
  readonly leaseTtlMs: number;
  /** Events, final jobs and attempts older than this go. */
  readonly retentionDays: number;
  /** Audit logs older than this go. */
  readonly auditRetentionDays: number;
  /** Rows one step removes at most. */
  readonly stepMaxRows: number;
  /** Pause between two steps of a chore that has more to do. */
  readonly stepPauseMs: number;
  /** Pause between looks when nothing is due. */
  readonly tickMs: number;
  /** A group without jobs goes after this. */
  readonly groupIdleMs: number;
}

const minuteMs = 60_000;
const hourMs = 3_600_000;
const dayMs = 86_400_000;

export const maintenanceDefaults = {
  leaseTtlMs: 10_000,
  retentionDays: 90,
  auditRetentionDays: 365,
  stepMaxRows: 500,
  stepPauseMs: 50,
  tickMs: 5_000,
  groupIdleMs: hourMs,
} as const;

export const maintenanceLeaseName = "maintenance";

/** How long a chore rests when it has nothing left to do. A temporary subscription is to go within a minute. */
const restMs = {
  partitions: hourMs,
  history: 10 * minuteMs,
  deduplication: minuteMs,
  idempotency: minuteMs,
  groups: 10 * minuteMs,
  profiles: hourMs,
  archived: hourMs,
  auditLogs: 10 * minuteMs,
  subscriptions: 5_000,
} as const;

type ChoreName = keyof typeof restMs;

interface Chore {
  readonly name: ChoreName;
  /** One step; the number of rows that went. */
  readonly step: (epoch: LeaseEpoch) => Promise<number>;
  /** When it is to be looked at again, by the monotonic clock. */
  dueAtMonotonicMs: number;
  failing: boolean;
}

export function createMaintenance(deps: MaintenanceDeps, config: MaintenanceConfig): Maintenance {
  return new Housekeeper(deps, config);
}

class Housekeeper implements Maintenance {
  readonly #deps: MaintenanceDeps;
  readonly #config: MaintenanceConfig;
  readonly #lease: LeaseKeeper;
  readonly #chores: readonly Chore[];
  readonly #removed: ReturnType<typeof removedCounter>;

  constructor(deps: MaintenanceDeps, config: MaintenanceConfig) {
    const { holder, leaseTtlMs: ttlMs } = config;
    this.#deps = deps;
    this.#config = config;
    this.#lease = createLeaseKeeper(deps, { name: maintenanceLeaseName, holder, ttlMs });
    this.#chores = choresOf(deps, config);
    this.#removed = removedCounter(deps.metrics);
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#deps;
    let failing = false;
    while (!signal.aborted) {
      let pauseMs = this.#config.tickMs;
      try {
        const result = await this.pass();
        if (result.kind === "worked" && result.more) pauseMs = this.#config.stepPauseMs;
        failing = false;
      } catch (error) {
        if (!failing) logger.warn({ error: describeError(error) }, "Housekeeping can't go on and tries again");
        failing = true;
      }
      await clock.sleep(pauseMs, signal);
    }
    await this.#lease.release().catch((error: unknown) => {
      logger.debug({ error: describeError(error) }, "The lease of housekeeping will run out by itself");
    });
  }

  async pass(): Promise<MaintenancePass> {
    let rows = 0;
    let more = false;
    for (const chore of this.#chores) {
      if (chore.dueAtMonotonicMs > this.#deps.clock.monotonicMs()) continue;
      // Asked before each step: a long series of steps must renew it on the way.
      const epoch = await this.#lease.epoch();
      if (epoch === null) return { kind: "standby" };
      const removed = await this.#work(chore, epoch);
      rows += removed;
      more ||= removed > 0;
      // One step may fill a turn of the event loop; requests in between must not wait for all of them.
      await turnOfOthers();
    }
    return { kind: "worked", rows, more };
  }

  async #work(chore: Chore, epoch: LeaseEpoch): Promise<number> {
    const { clock, logger } = this.#deps;
    try {
      const removed = await chore.step(epoch);
      if (chore.failing) logger.info({ chore: chore.name }, "A chore of housekeeping works again");
      chore.failing = false;
      if (removed > 0) this.#removed.labels({ kind: chore.name }).inc(removed);
      else chore.dueAtMonotonicMs = clock.monotonicMs() + restMs[chore.name];
      return removed;
    } catch (error) {
      this.#lease.doubt();
      if (!chore.failing)
        logger.warn({ chore: chore.name, error: describeError(error) }, "A chore of housekeeping failed");
      chore.failing = true;
      chore.dueAtMonotonicMs = clock.monotonicMs() + restMs[chore.name];
      return 0;
    }
  }
}

function choresOf({ housekeeping, clock }: MaintenanceDeps, config: MaintenanceConfig): readonly Chore[] {
  const { stepMaxRows, retentionDays, auditRetentionDays, groupIdleMs } = config;
  const steps: Readonly<Record<ChoreName, Chore["step"]>> = {
    // Months are made ahead: nothing goes, so there is nothing to count and never more to do right away.
    partitions: async (epoch) => {
      await housekeeping.prepareHistory(clock.now(), epoch);
      return 0;
    },
    subscriptions: (epoch) => housekeeping.archiveExpiredSubscriptions(clock.now(), epoch),
    history: (epoch) => housekeeping.dropHistory(clock.now() - retentionDays * dayMs, stepMaxRows, epoch),
    deduplication: (epoch) => housekeeping.expireDeduplication(clock.now(), stepMaxRows, epoch),
    idempotency: (epoch) => housekeeping.expireIdempotencyKeys(clock.now(), stepMaxRows, epoch),
    groups: (epoch) => housekeeping.dropIdleGroups(clock.now() - groupIdleMs, stepMaxRows, epoch),
    profiles: (epoch) => housekeeping.dropUnusedProfiles(stepMaxRows, epoch),
    auditLogs: (epoch) => housekeeping.dropAuditLogs(clock.now() - auditRetentionDays * dayMs, stepMaxRows, epoch),
    archived: (epoch) => housekeeping.dropArchived(clock.now() - retentionDays * dayMs, stepMaxRows, epoch),
  };
  return (Object.keys(steps) as ChoreName[]).map((name) => ({
    name,
    step: steps[name],
    dueAtMonotonicMs: 0,
    failing: false,
  }));
}

function removedCounter(metrics: Metrics) {
  return metrics.counter("fc_maintenance_rows_removed_total", "Rows that housekeeping has removed, by kind", ["kind"]);
}

/** A store in this process answers without ever leaving the microtask queue; timers and sockets need their turn. */
function turnOfOthers(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
