import type {
  CircuitBreakerState,
  ConsumerState,
  InFlightMessage as InFlightView,
  PoolState,
  QueueState,
  RouterHealth,
  RouterWarning,
  StandbyState,
} from "@flowcatalyst/contracts";
import { describeError, isoTime, type Clock } from "@flowcatalyst/foundation";
import type { Standby } from "../ports/standby-lease.ts";
import type { CircuitBreaker } from "./circuit-breaker.ts";
import type { CircuitBreakers } from "./circuit-breakers.ts";
import type { Delivery } from "./in-flight.ts";
import type { Intake } from "./intake.ts";
import type { Pipeline } from "./pipeline.ts";
import type { Pool } from "./pool.ts";
import type { PoolRegistry } from "./pool-registry.ts";
import type { RouterGauges } from "./router-metrics.ts";
import type { Warning, Warnings } from "./warnings.ts";

export const monitoringLimits = { inFlightMaxItems: 1_000, breakersMaxItems: 1_000 } as const;

/** What an operator sees of a router, and the little he may do to it. */
export interface RouterMonitoring {
  health(): RouterHealth;
  pools(): readonly PoolState[];
  queues(): Promise<readonly QueueState[]>;
  /** At most 1,000; those that are not closed first. */
  circuitBreakers(): readonly CircuitBreakerState[];
  /** At most 1,000 of them, and how many there are. */
  inFlight(): { readonly items: readonly InFlightView[]; readonly total: number };
  warnings(): readonly RouterWarning[];
  consumers(): readonly ConsumerState[];
  standby(): StandbyState;
  /** Null: no such breaker. */
  resetBreaker(name: string): CircuitBreakerState | null;
  /** Message or job ids, and whether each is in the pipeline. */
  checkInFlight(ids: readonly string[]): Readonly<Record<string, boolean>>;
  /** Null: no such warning. */
  acknowledgeWarning(id: string): RouterWarning | null;
  activeCalls(): number;
  gauges(): RouterGauges;
}

export interface MonitoringDeps {
  readonly clock: Clock;
  readonly warnings: Warnings;
  readonly pipeline: Pipeline;
  readonly pools: PoolRegistry;
  readonly breakers: CircuitBreakers;
  readonly intakes: () => Iterable<Intake>;
  readonly isReady: () => boolean;
  /** Absent: this router is active whatever others are. */
  readonly standby: Standby | null;
}

export function createMonitoring(deps: MonitoringDeps): RouterMonitoring {
  const { clock, warnings, pipeline, pools, breakers, intakes } = deps;
  const activeCalls = (): number => [...pools.all()].reduce((sum, pool) => sum + pool.active, 0);
  const wallTime = (monotonicMs: number): string => isoTime(clock.now() + (monotonicMs - clock.monotonicMs()));
  const breakerView = (breaker: CircuitBreaker): CircuitBreakerState => ({
    name: breaker.origin,
    state: breakerStates[breaker.phase.kind],
    calls: breaker.calls,
    failures: breaker.failures,
    openUntil: breaker.phase.kind === "open" ? wallTime(breaker.phase.untilMs) : null,
  });
  return {
    activeCalls,
    health: () => ({
      status: deps.isReady() ? "UP" : "DOWN",
      inPipeline: pipeline.size,
      activeWorkers: activeCalls(),
      warnings: warnings.unacknowledged,
    }),
    pools: () => [...pools.all()].map(poolView),
    queues: () => Promise.all(Array.from(intakes(), queueView)),
    circuitBreakers: () => listedBreakers(breakers).map(breakerView),
    inFlight: () => ({ items: listedDeliveries(pipeline, wallTime), total: pipeline.size }),
    warnings: () => warnings.list().map(warningView),
    consumers: () => Array.from(intakes(), consumerView),
    standby: () => deps.standby?.state() ?? { ...noStandby, active: deps.isReady() },
    resetBreaker: (name) => {
      const breaker = breakers.find(name);
      breaker?.reset();
      return breaker === undefined ? null : breakerView(breaker);
    },
    checkInFlight: (ids) => checkIds(pipeline, intakes(), ids),
    acknowledgeWarning: (id) => {
      const warning = warnings.acknowledge(id);
      return warning === null ? null : warningView(warning);
    },
    gauges: () => ({
      pools: pools.all(),
      breakers: troubled(breakers),
      inPipeline: pipeline.size,
      warnings: warnings.unacknowledgedBySeverity(),
      standbyActive: deps.standby?.isActive() ?? null,
    }),
  };
}

const noStandby = {
  enabled: false,
  instanceId: null,
  holder: null,
  since: null,
  leaseUntil: null,
  error: null,
} as const;
const breakerStates = { closed: "CLOSED", open: "OPEN", halfOpen: "HALF_OPEN" } as const;
const breakerGauge = { closed: 0, halfOpen: 1, open: 2 } as const;

function poolView(pool: Pool): PoolState {
  const { shape } = pool;
  return {
    code: pool.code,
    concurrency: shape.concurrency,
    rateLimitPerMinute: shape.rateLimitPerMinute,
    status: pool.isDraining ? "DRAINING" : shape.isSuspended ? "SUSPENDED" : "ACTIVE",
    activeWorkers: pool.active,
    queueDepth: pool.buffered - pool.active,
    bufferMaxJobs: pool.bufferMaxJobs,
    bufferBytes: pool.bufferedBytes,
    rateLimitWaits: pool.rateLimitWaits,
    delivered: pool.meters.delivered.value,
    failed: pool.meters.failed.value,
  };
}

async function queueView({ link }: Intake): Promise<QueueState> {
  const { name } = link.consumer;
  try {
    const { visible, inFlight, delayed, dead, oldestUnsettledAtMs } = await link.consumer.metrics();
    const oldestUnsettledAt = oldestUnsettledAtMs === null ? null : isoTime(oldestUnsettledAtMs);
    return { name, visible, inFlight, delayed, dead, oldestUnsettledAt, error: null };
  } catch (error) {
    const unknown = { visible: null, inFlight: link.messages.size, delayed: null, dead: null, oldestUnsettledAt: null };
    return { name, ...unknown, error: describeError(error) };
  }
}

function consumerView(intake: Intake): ConsumerState {
  const { status, received, error, lastReceivedAtMs } = intake;
  const lastReceivedAt = lastReceivedAtMs === null ? null : isoTime(lastReceivedAtMs);
  return { name: intake.link.consumer.name, status, lastReceivedAt, received, error };
}

function warningView(warning: Warning): RouterWarning {
  const { id, category, severity, source, acknowledged, count } = warning;
  const message = count > 1 ? `${warning.message} (${count} times)` : warning.message;
  return { id, category, severity, message, source, at: isoTime(warning.lastAtMs), acknowledged };
}

function listedBreakers(breakers: CircuitBreakers): readonly CircuitBreaker[] {
  const all = [...breakers.all()].sort((a, b) => breakerGauge[b.phase.kind] - breakerGauge[a.phase.kind]);
  return all.slice(0, monitoringLimits.breakersMaxItems);
}

/** As a metric only targets that are or were in trouble are of interest, and their number is bounded. */
function* troubled(breakers: CircuitBreakers): Generator<{ readonly origin: string; readonly state: number }> {
  let listed = 0;
  for (const breaker of breakers.all()) {
    if (breaker.phase.kind === "closed" && breaker.failures === 0) continue;
    if (++listed > monitoringLimits.breakersMaxItems) return;
    yield { origin: breaker.origin, state: breakerGauge[breaker.phase.kind] };
  }
}

function listedDeliveries(pipeline: Pipeline, wallTime: (monotonicMs: number) => string): readonly InFlightView[] {
  const items: InFlightView[] = [];
  for (const delivery of pipeline.all()) {
    if (items.length >= monitoringLimits.inFlightMaxItems) break;
    items.push(deliveryView(delivery, wallTime));
  }
  return items;
}

function deliveryView(delivery: Delivery, wallTime: (monotonicMs: number) => string): InFlightView {
  const { message, job, line, isCalling, share } = delivery;
  const isRecording = !isCalling && (line === null || line.state === "recording");
  return {
    id: message.id,
    jobId: message.standalone === null ? job.jobId : null,
    poolCode: share?.pool.code ?? "",
    target: job.target,
    groupKey: line?.key ?? null,
    state: isCalling ? "CALLING" : isRecording ? "RECORDING" : "WAITING",
    since: wallTime(isCalling ? delivery.callStartedMs : delivery.admittedAtMs),
  };
}

function checkIds(
  pipeline: Pipeline,
  intakes: Iterable<Intake>,
  ids: readonly string[],
): Readonly<Record<string, boolean>> {
  const present = new Set<string>();
  for (const { link } of intakes) for (const { id } of link.messages.values()) present.add(id);
  for (const { job } of pipeline.all()) present.add(job.jobId);
  return Object.fromEntries(ids.map((id) => [id, present.has(id)]));
}
