// Generated from the OpenAPI documents by `npm run generate` (scripts/generators/sdk-sources.ts).
import { pathSegment, type CallOptions, type Send } from "../operation.ts";

export interface CircuitBreakerState {
  /** The target's origin. */
  readonly name: string;
  readonly state: "CLOSED" | "OPEN" | "HALF_OPEN";
  readonly calls: number;
  readonly failures: number;
  readonly openUntil: string | null;
}

export interface CircuitBreakerStateList {
  readonly items: readonly CircuitBreakerState[];
}

export interface ConsumerState {
  readonly name: string;
  readonly status: "RUNNING" | "PAUSED" | "STOPPED" | "FAILED";
  readonly lastReceivedAt: string | null;
  readonly received: number;
  readonly error: string | null;
}

export interface ConsumerStateList {
  readonly items: readonly ConsumerState[];
}

export interface InFlightCheck {
  readonly ids: readonly string[];
}

/** Each id that was asked for, and whether it is in the pipeline. */
export type InFlightCheckAnswer = Readonly<Record<string, boolean>>;

export interface InFlightList {
  readonly items: readonly InFlightMessage[];
  readonly total: number;
}

export interface InFlightMessage {
  readonly id: string;
  readonly jobId: string | null;
  readonly poolCode: string;
  readonly target: string;
  readonly groupKey: string | null;
  readonly state: "WAITING" | "CALLING" | "RECORDING";
  readonly since: string;
}

export interface PoolState {
  readonly code: string;
  readonly concurrency: number;
  readonly rateLimitPerMinute: number | null;
  readonly status: "ACTIVE" | "SUSPENDED" | "DRAINING";
  readonly activeWorkers: number;
  readonly queueDepth: number;
  readonly bufferMaxJobs: number;
  readonly bufferBytes: number;
  readonly rateLimitWaits: number;
  readonly delivered: number;
  readonly failed: number;
}

export interface PoolStateList {
  readonly items: readonly PoolState[];
}

export interface QueueState {
  readonly name: string;
  /** Null, here and below: this queue cannot tell. */
  readonly visible: number | null;
  readonly inFlight: number | null;
  readonly delayed: number | null;
  readonly dead: number | null;
  readonly oldestUnsettledAt: string | null;
  readonly error: string | null;
}

export interface QueueStateList {
  readonly items: readonly QueueState[];
}

export interface RouterHealth {
  readonly status: "UP" | "DOWN";
  readonly inPipeline: number;
  readonly activeWorkers: number;
  /** Not acknowledged. */
  readonly warnings: number;
}

export interface RouterWarning {
  readonly id: string;
  readonly category: string;
  readonly severity: "INFO" | "WARN" | "ERROR" | "CRITICAL";
  readonly message: string;
  readonly source: string;
  readonly at: string;
  readonly acknowledged: boolean;
}

export interface RouterWarningList {
  readonly items: readonly RouterWarning[];
}

export interface StandbyState {
  readonly enabled: boolean;
  /** Whether this router receives. Without standby every router does. */
  readonly active: boolean;
  /** This router's name among those that compete. */
  readonly instanceId: string | null;
  /** Who has the lease, as last seen; null: nobody, or not known. */
  readonly holder: string | null;
  /** When active became what it is. */
  readonly since: string | null;
  /** Until when this router trusts its lease. */
  readonly leaseUntil: string | null;
  /** Why the lease cannot be asked for at the moment. */
  readonly error: string | null;
}

/** Operations on `monitoring`, one method each. */
export interface MonitoringApi {
  /** Whether the router takes messages, and how many it has. `GET /api/router/health` */
  health(options?: CallOptions): Promise<RouterHealth>;

  /** Pools: slots, buffers, waits, counts. `GET /monitoring/pools` */
  poolStates(options?: CallOptions): Promise<PoolStateList>;

  /** Queues: how much waits, is in flight, delayed, set aside. `GET /monitoring/queues` */
  queueStates(options?: CallOptions): Promise<QueueStateList>;

  /** Circuit breakers by target origin, open ones first. `GET /monitoring/circuit-breakers` */
  circuitBreakers(options?: CallOptions): Promise<CircuitBreakerStateList>;

  /**
   * Close a breaker and lift a hold; the name is the target's origin, percent-encoded.
   * `POST /monitoring/circuit-breakers/{name}/reset`
   */
  resetCircuitBreaker(name: string, options?: CallOptions): Promise<CircuitBreakerState>;

  /** Deliveries in the pipeline: waiting, calling, awaiting their record. `GET /monitoring/in-flight` */
  inFlight(options?: CallOptions): Promise<InFlightList>;

  /** Which of these message or job ids are in the pipeline. `POST /monitoring/in-flight/check` */
  checkInFlight(body: InFlightCheck, options?: CallOptions): Promise<InFlightCheckAnswer>;

  /** Warnings of the last 8 hours, newest first. `GET /monitoring/warnings` */
  warnings(options?: CallOptions): Promise<RouterWarningList>;

  /** Mark a warning as seen. `POST /monitoring/warnings/{id}/acknowledge` */
  acknowledgeWarning(id: string, options?: CallOptions): Promise<RouterWarning>;

  /** Whether this router is the active one. `GET /monitoring/standby` */
  standby(options?: CallOptions): Promise<StandbyState>;

  /** The loops that receive from the queues. `GET /monitoring/consumers` */
  consumers(options?: CallOptions): Promise<ConsumerStateList>;
}

/** Makes them of something that sends. */
export function monitoringApi(send: Send): MonitoringApi {
  const api: MonitoringApi = {
    health: (options) => send({ method: "GET", path: "/api/router/health", options }),
    poolStates: (options) => send({ method: "GET", path: "/monitoring/pools", options }),
    queueStates: (options) => send({ method: "GET", path: "/monitoring/queues", options }),
    circuitBreakers: (options) => send({ method: "GET", path: "/monitoring/circuit-breakers", options }),
    resetCircuitBreaker: (name, options) =>
      send({ method: "POST", path: `/monitoring/circuit-breakers/${pathSegment(name)}/reset`, body: {}, options }),
    inFlight: (options) => send({ method: "GET", path: "/monitoring/in-flight", options }),
    checkInFlight: (body, options) => send({ method: "POST", path: "/monitoring/in-flight/check", body, options }),
    warnings: (options) => send({ method: "GET", path: "/monitoring/warnings", options }),
    acknowledgeWarning: (id, options) =>
      send({ method: "POST", path: `/monitoring/warnings/${pathSegment(id)}/acknowledge`, body: {}, options }),
    standby: (options) => send({ method: "GET", path: "/monitoring/standby", options }),
    consumers: (options) => send({ method: "GET", path: "/monitoring/consumers", options }),
  };
  return api;
}
