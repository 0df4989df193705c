import { configInvalid, type HealthResult, type Service } from "@flowcatalyst/foundation";
import { showLease, type LeaseStore } from "../ports/lease.ts";
import type { Standby, StandbyLease } from "../ports/standby-lease.ts";
import type { RouterConfig } from "./process-config.ts";
import type { ProcessContext } from "./process-context.ts";

/** Of several routers one is active: FC_STANDBY_ENABLED. */
export interface OpenStandby {
  readonly standby: Standby;
  /** Competes for the lease. To be started before the router, and so stopped after it: then the lease is given back. */
  readonly service: Service;
  /** After the service has stopped. */
  close(): void;
}

/** Where the lease is, and how to let go of that. */
interface LeasePlace {
  readonly lease: StandbyLease;
  close(): void;
}

const msPerSecond = 1_000;
/** As metrics name it, whatever its key is where it is kept. */
const shownName = "router";

/**
 * The lease of FC_STANDBY_REDIS_URL, else one in the database. Adds the check `standby` to the health: it is DOWN while
 * the lease cannot be asked for, and UP in whoever waits for it. Throws CONFIG_INVALID when there is neither.
 */
export async function openStandby(
  config: RouterConfig,
  leases: LeaseStore | null,
  context: ProcessContext,
): Promise<OpenStandby> {
  const place = await openLease(config, leases);
  const { createStandbyKeeper } = await import("../leases/standby-keeper.ts");
  const { clock, random, logger, metrics } = context;
  const keeper = createStandbyKeeper(
    { lease: place.lease, clock, random, logger },
    {
      instanceId: config.standbyInstanceId,
      ttlMs: config.standbyLockTtlSecs * msPerSecond,
      refreshMs: config.standbyRefreshIntervalSecs * msPerSecond,
    },
  );
  context.health.register("standby", () => standbyHealth(keeper));
  showLease(metrics, shownName, () => keeper.isActive());
  return {
    standby: keeper,
    service: { name: "standby", run: (signal) => keeper.run(signal) },
    close: () => place.close(),
  };
}

async function openLease(config: RouterConfig, leases: LeaseStore | null): Promise<LeasePlace> {
  const { standbyRedisUrl, standbyLockKey } = config;
  if (standbyRedisUrl !== undefined) {
    const { createRedisStandbyLease } = await import("../leases/redis/index.ts");
    const lease = createRedisStandbyLease({ url: standbyRedisUrl, key: standbyLockKey });
    return { lease, close: () => lease.close() };
  }
  if (leases === null) {
    const reason = "is on, which needs FC_STANDBY_REDIS_URL or FC_DATABASE_URL to keep the lease in";
    throw configInvalid([{ key: "FC_STANDBY_ENABLED", source: "", reason }]);
  }
  const { createStoreStandbyLease } = await import("../leases/store-standby-lease.ts");
  return { lease: createStoreStandbyLease({ leases }, { name: standbyLockKey }), close: () => undefined };
}

function standbyHealth(standby: Standby): HealthResult {
  const { active, holder, error } = standby.state();
  if (error !== null) return { status: "DOWN", data: { reason: error, active } };
  return { status: "UP", data: { active, ...(holder === null ? {} : { holder }) } };
}
