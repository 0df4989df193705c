/**
 * `flowcatalyst dev`: every stage in one process, on one SQLite file.
 *
 * ```
 *  platform API ──▶ event log ──▶ stream ──▶ jobs ──▶ scheduler ──▶ queue ──▶ router ──▶ targets
 * ```
 *
 * This is the production pipeline with other stores: the stages are handed ports and do not know that they share a
 * process. What is added for a developer is the receiver at `/dev/receiver/{name}`, a key for secrets that is made and
 * kept in the data directory, and a printed line per delivery.
 *
 * Start: the services in the order below, each ready before the next; the API, which has the built-in receiver, before
 * the router, or what waited for that receiver would find it closed. Stop: in reverse, so nothing more is matched and
 * scheduled, then the router lets calls under way finish, and the database is closed last.
 *
 * Failures: a database that cannot be opened, a taken port, or a setting nobody can honour ends the start with one
 * message. Later faults of the store are the stages' own affair (each tries again); readiness tells of them, by a write
 * that is tried at most once a second.
 */
import { createTsidGenerator, type HealthResult, type Service } from "@flowcatalyst/foundation";
import { createFilterCompiler } from "../domain/filter.ts";
import { createIdSource, type IdSource } from "../domain/ids.ts";
import { createHealthRoutes } from "../http/health-routes.ts";
import { createMaintenance, maintenanceDefaults } from "../maintenance/maintenance.ts";
import { createFetchTransport } from "../net/index.ts";
import { createPlatformApp } from "../platform/app.ts";
import type { AddressGuard } from "../ports/transport.ts";
import { createSignatureCheck } from "../receiver/received-signature.ts";
import { createWebhookReceiver } from "../receiver/webhook-receiver.ts";
import { createReplayRunner, replayDefaults, type ReplayRunner } from "../scheduler/replay.ts";
import { createScheduler, schedulerDefaults } from "../scheduler/scheduler.ts";
import type { SqliteStore } from "../stores/sqlite/index.ts";
import { createStreamProcessor, streamDefaults, type StreamProcessor } from "../stream/stream-processor.ts";
import { createDeliveryLines } from "./delivery-lines.ts";
import { devGreeting, type Addresses } from "./dev-greeting.ts";
import { openEmbeddedStore } from "./embedded-store.ts";
import { aborted, createHttpService, httpUrl } from "./http-service.ts";
import type { DevConfig } from "./process-config.ts";
import type { Composition, ProcessContext } from "./process-context.ts";
import { openQueueAt, type OpenQueue } from "./queue-at.ts";
import { createMetricsService, createRouterServices, createTargetGuard } from "./router-service.ts";

const msPerSecond = 1_000;
const msPerHour = 3_600_000;
/** An id's node number: the data directory belongs to one process, so it need not be renewed. */
const nodeLeaseMs = 24 * msPerHour;
const healthLeaseMs = 1_000;
const receiverPath = "/dev/receiver";

/** What the stages share. */
interface Wired {
  readonly config: DevConfig;
  readonly context: ProcessContext;
  readonly store: SqliteStore;
  readonly queue: OpenQueue;
  readonly ids: IdSource;
  readonly guard: AddressGuard;
  readonly addresses: Addresses;
}

export async function composeDev(config: DevConfig, context: ProcessContext): Promise<Composition> {
  const store = await openEmbeddedStore(config, context);
  try {
    return compose(await wire(store, config, context));
  } catch (error) {
    await store.close();
    throw error;
  }
}

async function wire(store: SqliteStore, config: DevConfig, context: ProcessContext): Promise<Wired> {
  const { clock, holder } = context;
  const node = await store.nodeNumbers.lease(holder, nodeLeaseMs);
  const visibilityMs = config.routerVisibilityTimeoutSecs * msPerSecond;
  return {
    config,
    context,
    store,
    queue: await openQueueAt({ url: config.queueUrl, visibilityMs, connection: store.database }, clock),
    ids: createIdSource(createTsidGenerator({ clock, node }).next),
    guard: createTargetGuard(config.allowedTargetCidrs, context),
    addresses: {
      api: httpUrl(config.host, config.apiPort),
      router: httpUrl(config.host, config.routerPort),
      metrics: httpUrl(config.host, config.metricsPort),
    },
  };
}

function compose(wired: Wired): Composition {
  const { config, context, store, queue, guard, addresses } = wired;
  context.health.register("database", databaseProbe(store, context));
  const transport = createFetchTransport({ clock: context.clock }, { trustedCertificates: null, proxy: null });
  const lines = createDeliveryLines(transport, context);
  const replays = replayRunner(wired);
  const stream = streamProcessor(wired);
  const stopping = new AbortController();
  const router = createRouterServices(
    {
      queue,
      control: store.control,
      jobs: { deliveries: store.deliveryReader, sink: store.attemptSink },
      transport: lines.transport,
      guard,
      addresses,
    },
    config,
    context,
  );
  return {
    services: [
      { name: "checkpointer", run: (signal) => store.checkpointer.run(signal) },
      createMetricsService(config, context, addresses),
      lines.service,
      platformService(wired, { replays, stream, stopping: stopping.signal }),
      ...router,
      schedulerService(wired),
      { name: "replays", run: (signal) => replays.run(signal) },
      { name: "stream", run: (signal) => stream.run(signal) },
      maintenanceService(wired),
      // Told first: what the receiver holds back on purpose would hold up the router's stop.
      { name: "receiver", run: (signal) => aborted(signal).then(() => stopping.abort()) },
    ],
    started: () => {
      const needsToken = config.apiTokens.length > 0;
      const facts = { version: context.version, addresses, database: store.database.path, needsToken };
      context.announce({ kind: "started", service: "dev", ...facts }, () => devGreeting(facts));
      lines.open();
    },
    close: async () => {
      queue.close();
      await store.close();
    },
  };
}

function streamProcessor({ store, ids, config, context }: Wired): StreamProcessor {
  const { clock, random, logger, metrics, holder } = context;
  return createStreamProcessor(
    {
      feed: store.eventFeed,
      subscriptions: store.subscriptionReader,
      jobs: store.jobAppender,
      leases: store.leases,
      ids,
      compiler: createFilterCompiler(),
      clock,
      random,
      logger,
      metrics,
    },
    {
      ...streamDefaults,
      holder,
      batchSize: config.streamBatchSize,
      pollIntervalMs: config.streamPollIntervalMs,
    },
  );
}

function schedulerService({ store, queue, config, context }: Wired): Service {
  const { clock, random, logger, metrics, holder } = context;
  const scheduler = createScheduler(
    {
      claims: store.jobClaims,
      publisher: queue.queue,
      leases: store.leases,
      queueMetrics: () => queue.queue.metrics(),
      clock,
      random,
      logger,
      metrics,
    },
    {
      ...schedulerDefaults,
      holder,
      pollIntervalMs: config.schedulerPollIntervalMs,
      batchSize: config.schedulerBatchSize,
      publishWindow: config.schedulerPublishWindow,
    },
  );
  return { name: "scheduler", run: (signal) => scheduler.run(signal) };
}

function replayRunner({ store, context }: Wired): ReplayRunner {
  const { clock, logger, metrics, holder } = context;
  return createReplayRunner(
    { replays: store.replays, leases: store.leases, clock, logger, metrics },
    { ...replayDefaults, holder },
  );
}

function maintenanceService({ store, config, context }: Wired): Service {
  const { clock, logger, metrics, holder } = context;
  const maintenance = createMaintenance(
    { housekeeping: store.housekeeping, leases: store.leases, clock, logger, metrics },
    { ...maintenanceDefaults, holder, retentionDays: config.retentionDays },
  );
  return { name: "maintenance", run: (signal) => maintenance.run(signal) };
}

function platformService(
  wired: Wired,
  stages: { readonly replays: ReplayRunner; readonly stream: StreamProcessor; readonly stopping: AbortSignal },
): Service {
  const { config, context, store, queue, ids, guard, addresses } = wired;
  const { clock, random, logger, metrics, health, version } = context;
  const app = createPlatformApp(
    {
      ...store,
      replays: {
        ...store.replays,
        async create(replay, scope) {
          const created = await store.replays.create(replay, scope);
          stages.replays.wake();
          return created;
        },
      },
      filterFaults: (id) => stages.stream.filterFaults().get(id) ?? null,
      clock,
      random,
      ids,
      log: logger,
      metrics,
      addressGuard: guard,
    },
    {
      version,
      apiTokens: config.apiTokens,
      corsOrigins: config.corsOrigins,
      addresses,
      routerQueues: [{ queueName: queue.queue.name, queueUri: queue.uri }],
      poolConcurrencyMax: config.routerMaxInFlight,
      deliveryPathPrefixes: [`${receiverPath}/`],
    },
  );
  app.route("/", createHealthRoutes(health, metrics));
  const verify = createSignatureCheck({ secrets: (ref) => store.secrets.valid(ref, clock.now()), clock });
  app.route(receiverPath, createWebhookReceiver({ clock, verify, stopping: stages.stopping }));
  return createHttpService(app, {
    name: "api",
    host: config.host,
    port: config.apiPort,
    portSetting: "FC_API_PORT",
    clock,
    onListening: (url) => {
      addresses.api = url;
    },
  });
}

/** Whether the database takes writes: a full disk is seen here, and that it has room again. */
function databaseProbe(store: SqliteStore, context: ProcessContext): () => Promise<HealthResult> {
  let last: HealthResult = { status: "UP" };
  let nextMs = 0;
  return async () => {
    const nowMs = context.clock.monotonicMs();
    if (nowMs < nextMs) return last;
    nextMs = nowMs + healthLeaseMs;
    try {
      await store.leases.acquire("health", context.holder, healthLeaseMs);
      last = { status: "UP" };
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      last = { status: "DOWN", data: { reason } };
    }
    return last;
  };
}
