import type { BoundCounter, BoundGauge, BoundHistogram, Metrics } from "@flowcatalyst/foundation";

/** A total that is read by the monitoring endpoints as well as by a scrape. */
export class Total {
  value = 0;
  readonly #counter: BoundCounter;

  constructor(counter: BoundCounter) {
    this.#counter = counter;
  }

  inc(by = 1): void {
    this.value += by;
    this.#counter.inc(by);
  }
}

/** The meters of one pool, looked up once: what is bound costs one addition. */
export interface PoolMeters {
  readonly rateLimitWaits: Total;
  readonly delivered: Total;
  readonly failed: Total;
  processed(outcome: string): void;
  failure(kind: string): void;
  duration(seconds: number): void;
}

/** What is read when somebody scrapes. */
export interface RouterGauges {
  readonly pools: Iterable<{ readonly code: string; readonly buffered: number; readonly active: number }>;
  /** Origin and 0 closed, 1 half open, 2 open; only targets that had a failure lately. */
  readonly breakers: Iterable<{ readonly origin: string; readonly state: number }>;
  readonly inPipeline: number;
  /** Not acknowledged, by severity. */
  readonly warnings: Readonly<Record<string, number>>;
  /** Null: this router is active whatever others are, and says nothing of it. */
  readonly standbyActive: boolean | null;
}

export interface RouterMetrics {
  pool(code: string): PoolMeters;
  dropPool(code: string): void;
  watch(gauges: () => RouterGauges): void;
}

/** The metrics of the router, under the names the reference page lists. Label values are bounded by `Metrics`. */
export function createRouterMetrics(metrics: Metrics): RouterMetrics {
  const processed = metrics.counter("fc_router_messages_processed_total", "Calls made, by what came of them.", [
    "pool",
    "outcome",
  ]);
  const failed = metrics.counter("fc_router_messages_failed_total", "Calls that did not deliver, by kind of failure.", [
    "pool",
    "kind",
  ]);
  const duration = metrics.histogram("fc_router_dispatch_duration_seconds", "From connect to the last byte read.", {
    labels: ["pool"],
  });
  const waits = metrics.counter("fc_router_rate_limit_waits_total", "Times a pool waited for its rate limit.", [
    "pool",
  ]);
  const depth = metrics.gauge("fc_router_pool_queue_depth", "Deliveries buffered and not under way.", ["pool"]);
  const workers = metrics.gauge("fc_router_pool_active_workers", "Calls under way.", ["pool"]);
  const breaker = metrics.gauge("fc_router_circuit_breaker_state", "0 closed, 1 half open, 2 open.", ["target"]);
  const inPipeline = metrics.gauge("fc_router_in_pipeline", "Deliveries received and not yet settled.");
  const warnings = metrics.gauge("fc_router_warnings", "Warnings that nobody has acknowledged.", ["severity"]);
  const known = new Set<string>();
  // Made when there is something to show: without standby a 0 would look like a router that must not work.
  let standby: BoundGauge | null = null;
  const showStandby = (isActive: boolean): void => {
    standby ??= metrics.gauge("fc_router_standby_active", "1 while this router is the active one, else 0.");
    standby.set(isActive ? 1 : 0);
  };
  return {
    pool(code) {
      const outcomes = new BoundByName((outcome) => processed.labels({ pool: code, outcome }));
      const kinds = new BoundByName((kind) => failed.labels({ pool: code, kind }));
      const seconds: BoundHistogram = duration.labels({ pool: code });
      return {
        rateLimitWaits: new Total(waits.labels({ pool: code })),
        delivered: new Total({ inc: () => undefined }),
        failed: new Total({ inc: () => undefined }),
        processed: (outcome) => outcomes.of(outcome).inc(),
        failure: (kind) => kinds.of(kind).inc(),
        duration: (value) => seconds.observe(value),
      };
    },
    dropPool(code) {
      depth.remove({ pool: code });
      workers.remove({ pool: code });
    },
    watch(gauges) {
      metrics.onCollect(() => {
        const now = gauges();
        for (const pool of now.pools) {
          depth.labels({ pool: pool.code }).set(pool.buffered - pool.active);
          workers.labels({ pool: pool.code }).set(pool.active);
        }
        const seen = new Set<string>();
        for (const { origin, state } of now.breakers) {
          seen.add(origin);
          known.add(origin);
          breaker.labels({ target: origin }).set(state);
        }
        for (const origin of known) {
          if (seen.has(origin)) continue;
          known.delete(origin);
          breaker.remove({ target: origin });
        }
        inPipeline.set(now.inPipeline);
        if (now.standbyActive !== null) showStandby(now.standbyActive);
        for (const severity in now.warnings) warnings.labels({ severity }).set(now.warnings[severity] ?? 0);
      });
    },
  };
}

/** Bound counters by a name of a closed set. */
class BoundByName {
  readonly #bind: (name: string) => BoundCounter;
  readonly #bound = new Map<string, BoundCounter>();

  constructor(bind: (name: string) => BoundCounter) {
    this.#bind = bind;
  }

  of(name: string): BoundCounter {
    const known = this.#bound.get(name);
    if (known !== undefined) return known;
    const bound = this.#bind(name);
    this.#bound.set(name, bound);
    return bound;
  }
}
