/**
 * One start of the product: the real stages over the real SQLite store and queue, wired as `flowcatalyst dev` wires
 * them, on a simulated clock, with ports that may fail and a process that may die.
 */
import {
  createMetrics,
  createSecretBox,
  createTsidGenerator,
  seededRandom,
  silentLogger,
  type Random,
} from "@flowcatalyst/foundation";
import { createFilterCompiler, type FilterCompiler } from "../../packages/server/src/domain/filter.ts";
import { createIdSource, type IdSource } from "../../packages/server/src/domain/ids.ts";
import type { EventAppender } from "../../packages/server/src/ports/event-log.ts";
import type { AddressGuard, Transport } from "../../packages/server/src/ports/transport.ts";
import { createMaintenance, maintenanceDefaults } from "../../packages/server/src/maintenance/maintenance.ts";
import { createSigningSecrets } from "../../packages/server/src/platform/subscriptions/signing-secrets.ts";
import { SubscriptionService } from "../../packages/server/src/platform/subscriptions/subscription-service.ts";
import { createSqliteQueue, type SqliteQueue } from "../../packages/server/src/queues/sqlite/index.ts";
import { createRouter, routerDefaults } from "../../packages/server/src/router/router.ts";
import { Warnings } from "../../packages/server/src/router/warnings.ts";
import { createReplayRunner, replayDefaults } from "../../packages/server/src/scheduler/replay.ts";
import { createScheduler, schedulerDefaults } from "../../packages/server/src/scheduler/scheduler.ts";
import {
  createSqliteStore,
  type SqliteDatabase,
  type SqliteStore,
} from "../../packages/server/src/stores/sqlite/index.ts";
import { createStreamProcessor, streamDefaults } from "../../packages/server/src/stream/stream-processor.ts";
import { faultyPort, type PortFaults } from "./faulty-port.ts";
import { databaseOf, type Life } from "./life.ts";
import type { Scenario } from "./scenario.ts";
import type { SimulatedTime } from "./simulated-time.ts";

export interface IncarnationDeps {
  readonly scenario: Scenario;
  readonly time: SimulatedTime;
  readonly life: Life;
  readonly database: SqliteDatabase;
  readonly faults: PortFaults;
  readonly transport: Transport;
  readonly compiler: FilterCompiler;
  /** A stage has ended although nobody told it to. */
  readonly stageEnded: (stage: string, error: unknown) => void;
}

export interface Incarnation {
  readonly life: Life;
  readonly store: SqliteStore;
  /** As applications reach it: an answer may get lost on the way. */
  readonly events: EventAppender;
  readonly queue: SqliteQueue;
  readonly ids: IdSource;
  readonly subscriptionService: SubscriptionService;
  readonly clock: { now(): number };
  wakeReplays(): void;
  /** SIGTERM: resolves when everything has stopped. */
  stop(): Promise<void>;
}

export const dedupWindowMs = 3_600_000;
const LEASE_TTL_MS = 10_000;
/** Monotonic clocks do not tell whole milliseconds. */
const MONOTONIC_START_MS = 1_000.371;
const GROUP_IDLE_MS = 20_000;

/** Making the filter language takes a while, and it holds no state: one serves all seeds. */
export const createSharedCompiler = createFilterCompiler;

/** Any 32 bytes: nobody reads these secrets. */
const APP_KEY = Buffer.alloc(32, 7).toString("base64");

/** Throws what the store throws when it cannot be opened just now. */
export async function startIncarnation(deps: IncarnationDeps): Promise<Incarnation> {
  const { scenario, time, life } = deps;
  const clock = time.clockOf(() => !life.isDead, life.number * MONOTONIC_START_MS);
  const database = databaseOf(life, deps.database);
  const random = seededRandom(scenario.seed * 7_919 + life.number);
  const logger = silentLogger();
  const secretBox = createSecretBox(APP_KEY);
  const store = createSqliteStore({ database, clock, logger, secretBox, random }, { dedupWindowMs });
  const queue = createSqliteQueue({ connection: database, clock }, { visibilityMs: scenario.visibilityMs });
  const holder = `process-${life.number}`;
  const node = await store.nodeNumbers.lease(holder, LEASE_TTL_MS);
  const ids = createIdSource(createTsidGenerator({ clock, node }).next);
  const stages = createStages(deps, { store, queue, ids, clock, random });
  const abort = new AbortController();
  const running = stages.services.map(async ([name, run]) => {
    try {
      await run(abort.signal);
      if (!abort.signal.aborted && !life.isDead) deps.stageEnded(name, "it just ended");
    } catch (error) {
      if (!life.isDead) deps.stageEnded(name, error);
    }
  });
  const secrets = createSigningSecrets({ clock, random, secrets: store.secrets });
  return {
    life,
    store,
    events: faultyPort(store.events, "events", { life, faults: deps.faults, calls: ["append"] }),
    queue,
    ids,
    clock,
    subscriptionService: new SubscriptionService({
      clock,
      ids,
      subscriptions: store.subscriptions,
      jobCommands: store.jobCommands,
      pools: store.pools,
      addressGuard: everyAddress,
      signingSecrets: secrets,
    }),
    wakeReplays: stages.wakeReplays,
    stop: async () => {
      abort.abort();
      await Promise.all(running);
      queue.close();
      await store.close();
    },
  };
}

const everyAddress: AddressGuard = { check: async () => ({ kind: "allowed", address: "192.0.2.1" }) };

interface Foundation {
  readonly store: SqliteStore;
  readonly queue: SqliteQueue;
  readonly ids: IdSource;
  readonly clock: ReturnType<SimulatedTime["clockOf"]>;
  readonly random: Random;
}

type Run = (signal: AbortSignal) => Promise<void>;

function createStages(
  deps: IncarnationDeps,
  foundation: Foundation,
): { readonly services: readonly (readonly [string, Run])[]; readonly wakeReplays: () => void } {
  const { scenario, life } = deps;
  const { store, clock } = foundation;
  const port = <Port extends object>(name: string, real: Port, calls: readonly string[]): Port =>
    faultyPort(real, name, { life, faults: deps.faults, calls });
  const logger = silentLogger();
  const leases = store.leases;
  const services: (readonly [string, Run])[] = [];
  for (const which of scenario.standbys ? ["a", "b"] : ["a"]) {
    const holder = `process-${life.number}-${which}`;
    const stream = createStream(deps, foundation, { holder, port });
    const scheduler = createSchedulerStage(deps, foundation, { holder, port });
    services.push([`stream ${which}`, (signal) => stream.run(signal)]);
    services.push([`scheduler ${which}`, (signal) => scheduler.run(signal)]);
  }
  const holder = `process-${life.number}`;
  const replays = createReplayRunner(
    { replays: port("replays", store.replays, ["running", "advance"]), leases, clock, logger },
    { ...replayDefaults, holder, pollIntervalMs: scenario.pollIntervalMs },
  );
  services.push(["replay", (signal) => replays.run(signal)]);
  const maintenance = createMaintenance(
    { housekeeping: store.housekeeping, leases, clock, logger, metrics: createMetrics() },
    { ...maintenanceDefaults, holder, groupIdleMs: GROUP_IDLE_MS },
  );
  services.push(["maintenance", (signal) => maintenance.run(signal)]);
  const router = createRouterStage(deps, foundation, port);
  services.push(["router", (signal) => router.run(signal)]);
  return { services, wakeReplays: () => replays.wake() };
}

type PortMaker = <Port extends object>(name: string, real: Port, calls: readonly string[]) => Port;
interface LeasedStage {
  readonly holder: string;
  readonly port: PortMaker;
}

function createStream(deps: IncarnationDeps, foundation: Foundation, { holder, port }: LeasedStage) {
  const { scenario, compiler } = deps;
  const { store, ids, clock, random } = foundation;
  return createStreamProcessor(
    {
      feed: store.eventFeed,
      subscriptions: store.subscriptionReader,
      jobs: port("jobAppender", store.jobAppender, ["checkpoint", "append", "profiles"]),
      leases: store.leases,
      ids,
      compiler,
      clock,
      random,
      logger: silentLogger(),
      metrics: createMetrics(),
    },
    {
      ...streamDefaults,
      holder,
      pollIntervalMs: scenario.pollIntervalMs,
      leaseTtlMs: LEASE_TTL_MS,
      batchSize: scenario.batchSize,
      maxJobs: scenario.batchSize === 1 ? 1 : streamDefaults.maxJobs,
    },
  );
}

function createSchedulerStage(deps: IncarnationDeps, foundation: Foundation, { holder, port }: LeasedStage) {
  const { scenario } = deps;
  const { store, queue, clock, random } = foundation;
  const claimCalls = ["claim", "markQueued", "markUnpublishable", "recoverLost"];
  return createScheduler(
    {
      claims: port("claims", store.jobClaims, claimCalls),
      publisher: port("queue", queue, ["publish"]),
      leases: store.leases,
      queueMetrics: () => queue.metrics(),
      clock,
      random,
      logger: silentLogger(),
      metrics: createMetrics(),
    },
    {
      ...schedulerDefaults,
      holder,
      pollIntervalMs: scenario.pollIntervalMs,
      leaseTtlMs: LEASE_TTL_MS,
      batchSize: scenario.batchSize,
      publishWindow: scenario.publishWindow,
    },
  );
}

function createRouterStage(deps: IncarnationDeps, foundation: Foundation, port: PortMaker) {
  const { transport } = deps;
  const { store, queue, clock, random } = foundation;
  const logger = silentLogger();
  const queueCalls = ["readyLanes", "receive", "ack", "nack", "extend"];
  return createRouter(
    {
      queues: [port("queue", queue, queueCalls)],
      deliveries: port("deliveries", store.deliveryReader, ["read"]),
      control: port("control", store.control, ["read"]),
      sink: port("sink", store.attemptSink, ["record"]),
      transport,
      guard: everyAddress,
      clock,
      random,
      logger,
      metrics: createMetrics(),
      warnings: new Warnings(clock, logger),
    },
    { ...routerDefaults, userAgent: "FlowCatalyst/simulation" },
  );
}
