/**
 * The pools of this router, kept like the settings say.
 *
 * `DEFAULT-POOL` is always there; the code `default` means the same, and a lane whose code nobody knows goes there
 * too, with a ROUTING warning. Changes apply in place. A pool that was removed takes nothing new and is forgotten when
 * it is empty.
 *
 * The concurrency of all pools together stays within the limit of calls at once of the process: more at the start is
 * refused (CONFIG_INVALID), because somebody who reads the settings would be misled; more by a later change is cut
 * with a warning, because a running router must not die of a setting.
 */
import { CodedError } from "@flowcatalyst/foundation";
import { defaultPoolCode, poolLimits, type DispatchPool } from "../domain/dispatch-pool.ts";
import type { PoolCode } from "../domain/ids.ts";
import { Pool, type PoolDeps, type PoolShape } from "./pool.ts";
import type { RouterMetrics } from "./router-metrics.ts";
import type { Warnings } from "./warnings.ts";

/** Codes that nobody knows: anybody who may publish can make up any number of them. */
export const unknownPoolLimits = {
  /** Remembered as warned of; the one remembered longest is forgotten first. */
  maxRemembered: 10_000,
  /** With a warning of their own; the others of a minute are counted by one. */
  toldPerMinute: 20,
} as const;

const msPerMinute = 60_000;

const defaultAlias = "default";

export interface PoolRegistryDeps {
  readonly pool: Omit<PoolDeps, "meters">;
  readonly metrics: RouterMetrics;
  readonly warnings: Warnings;
}

export class PoolRegistry {
  readonly #deps: PoolRegistryDeps;
  readonly #maxInFlight: number;
  readonly #defaultShape: PoolShape;
  readonly #pools = new Map<PoolCode, Pool>();
  readonly #draining = new Set<Pool>();
  readonly #warnedCodes = new Set<string>();
  #minuteBeganMs = Number.NEGATIVE_INFINITY;
  #toldInMinute = 0;
  #default: Pool;

  constructor(
    deps: PoolRegistryDeps,
    config: { readonly maxInFlight: number; readonly defaultPoolConcurrency: number },
  ) {
    this.#deps = deps;
    this.#maxInFlight = config.maxInFlight;
    this.#defaultShape = { ...unlimited, concurrency: config.defaultPoolConcurrency };
    this.#default = this.#open(defaultPoolCode, this.#defaultShape);
  }

  /** The pools of the settings at the start. Throws CONFIG_INVALID when together they exceed the process limit. */
  open(pools: readonly DispatchPool[]): void {
    const wanted = this.#withDefault(pools);
    const total = wanted.reduce((sum, [, shape]) => sum + shape.concurrency, 0);
    if (total > this.#maxInFlight) {
      const limit = `FC_ROUTER_MAX_IN_FLIGHT is ${this.#maxInFlight}`;
      // The pools may be reachable through this very process only, so the way out must not need it to run.
      const advice = `start with FC_ROUTER_MAX_IN_FLIGHT=${total}, then make pools smaller if that is too many`;
      throw new CodedError("CONFIG_INVALID", {
        message: `The pools together make ${total} calls at once; ${limit}: ${advice}`,
      });
    }
    this.#reconcile(wanted);
  }

  /** The pools of the settings as they have become. */
  apply(pools: readonly DispatchPool[]): void {
    this.#reconcile(this.#cut(this.#withDefault(pools)));
  }

  /** The pool that serves a lane; a message of a lane whose code nobody knows is a reason for a warning. */
  forLane(code: PoolCode): Pool {
    return this.#pools.get(code) ?? (code === (defaultAlias as PoolCode) ? this.#default : this.#unknown(code));
  }

  /** The same, of a lane that may be empty. */
  serving(code: PoolCode): Pool {
    return this.#pools.get(code) ?? this.#default;
  }

  has(code: PoolCode): boolean {
    return this.#pools.has(code) || code === (defaultAlias as PoolCode);
  }

  codes(): Iterable<PoolCode> {
    return this.#pools.keys();
  }

  *all(): Generator<Pool> {
    yield* this.#pools.values();
    yield* this.#draining;
  }

  /** Forgets removed pools that have become empty. Part of the router's sweep. */
  dropDrained(): void {
    for (const pool of this.#draining) {
      if (pool.buffered > 0) continue;
      this.#draining.delete(pool);
      if (!this.#pools.has(pool.code)) this.#deps.metrics.dropPool(pool.code);
    }
  }

  #reconcile(wanted: readonly (readonly [PoolCode, PoolShape])[]): void {
    this.#warnedCodes.clear();
    const codes = new Set(wanted.map(([code]) => code));
    for (const [code, pool] of this.#pools) {
      if (codes.has(code)) continue;
      this.#pools.delete(code);
      pool.isDraining = true;
      this.#draining.add(pool);
    }
    for (const [code, shape] of wanted) {
      const pool = this.#pools.get(code);
      if (pool === undefined) this.#open(code, shape);
      else if (!sameShape(pool.shape, shape)) {
        pool.reshape(shape);
        pool.pump();
      }
    }
  }

  #open(code: PoolCode, shape: PoolShape): Pool {
    const pool = new Pool(code, shape, { ...this.#deps.pool, meters: this.#deps.metrics.pool(code) });
    this.#pools.set(code, pool);
    if (code === defaultPoolCode) this.#default = pool;
    return pool;
  }

  #cut(wanted: readonly (readonly [PoolCode, PoolShape])[]): (readonly [PoolCode, PoolShape])[] {
    // Each pool keeps at least one slot, so what the others leave is counted from the far end.
    let left = this.#maxInFlight;
    return wanted.map(([code, shape], at) => {
      const forOthers = wanted.length - at - 1;
      const concurrency = Math.max(1, Math.min(shape.concurrency, left - forOthers));
      left -= concurrency;
      if (concurrency < shape.concurrency) {
        const limit = `the process makes at most ${this.#maxInFlight} calls at once`;
        const message = `concurrency cut from ${shape.concurrency} to ${concurrency}: ${limit}`;
        this.#deps.warnings.add({ category: "POOL_CAPACITY", severity: "WARN", message, source: code });
      }
      return [code, { ...shape, concurrency }] as const;
    });
  }

  /** By code, the default pool always among them; of two with one code the later one counts. */
  #withDefault(pools: readonly DispatchPool[]): (readonly [PoolCode, PoolShape])[] {
    const shapes = new Map<PoolCode, PoolShape>([[defaultPoolCode, this.#defaultShape]]);
    for (const pool of pools.slice(0, poolLimits.maxPools)) {
      const code = pool.code === (defaultAlias as PoolCode) ? defaultPoolCode : pool.code;
      shapes.set(code, {
        concurrency: Math.max(1, pool.concurrency),
        rateLimitPerMinute: pool.rateLimitPerMinute,
        burst: pool.burst,
        timeoutSeconds: pool.timeoutSeconds,
        isSuspended: pool.status === "SUSPENDED",
      });
    }
    return [...shapes];
  }

  #unknown(code: PoolCode): Pool {
    if (this.#warnedCodes.has(code)) return this.#default;
    this.#warnedCodes.add(code);
    for (const oldest of this.#warnedCodes) {
      if (this.#warnedCodes.size <= unknownPoolLimits.maxRemembered) break;
      this.#warnedCodes.delete(oldest);
    }
    const isTold = this.#mayTell();
    const { toldPerMinute } = unknownPoolLimits;
    const message = isTold
      ? `there is no pool ${code}; its messages go through ${defaultPoolCode}`
      : `messages name more than ${toldPerMinute} pools a minute that do not exist; each further one is counted here`;
    this.#deps.warnings.add({
      category: "ROUTING",
      severity: "WARN",
      message,
      source: isTold ? code : defaultPoolCode,
    });
    return this.#default;
  }

  #mayTell(): boolean {
    const nowMs = this.#deps.pool.clock.monotonicMs();
    if (nowMs - this.#minuteBeganMs >= msPerMinute) {
      this.#minuteBeganMs = nowMs;
      this.#toldInMinute = 0;
    }
    this.#toldInMinute += 1;
    return this.#toldInMinute <= unknownPoolLimits.toldPerMinute;
  }
}

const unlimited = { rateLimitPerMinute: null, burst: null, timeoutSeconds: null, isSuspended: false } as const;

function sameShape(left: PoolShape, right: PoolShape): boolean {
  return (
    left.concurrency === right.concurrency &&
    left.rateLimitPerMinute === right.rateLimitPerMinute &&
    left.burst === right.burst &&
    left.timeoutSeconds === right.timeoutSeconds &&
    left.isSuspended === right.isSuspended
  );
}
