/**
 * `flowcatalyst dev`: every stage in one process, on one SQLite file or a PostgreSQL database.
 *
 * ```
 *  platform API ──▶ event log ──▶ stream ──▶ jobs ──▶ scheduler ──▶ queue ──▶ router ──▶ targets
 * ```
 *
 * This is the production pipeline: the same stages, wired by the same functions as the services of their own
 * (stages.ts, platform-api.ts, router-service.ts), handed ports and not knowing that they share a process. What is
 * added for a developer is the receiver at `/dev/receiver/{name}`, a key for secrets that is made and kept in the data
 * directory, migrations without being asked for them, and a printed line per delivery.
 *
 * Start: the services in the order below, each ready before the next; the API, which has the built-in receiver, before
 * the router, or what waited for that receiver would find it closed. Stop: in reverse, so nothing more is matched and
 * scheduled, then the router lets calls under way finish, and the database is closed last.
 *
 * With FC_OUTBOX_DB_URL the outbox processor runs too, and sends to the API (or the router) of this process. It starts
 * last, and its table must be there (`flowcatalyst outbox init`).
 *
 * With `--queue nats` and no NATS_URL the NATS server is a child of this process (local-nats.ts), started before all
 * else and ended last.
 *
 * Failures: a database that cannot be opened, a taken port, or a setting nobody can honour ends the start with one
 * message. Later faults of the store are the stages' own affair (each tries again); readiness tells of them, by a write
 * that is tried at most once a second.
 */
import {
  CodedError,
  createSecretBox,
  loadOrCreateAppKey,
  placeOfAddress,
  type Service,
} from "@flowcatalyst/foundation";
import type { OutboxSource } from "../ports/outbox-source.ts";
import { createFetchTransport } from "../net/index.ts";
import { createSignatureCheck } from "../receiver/received-signature.ts";
import { createWebhookReceiver } from "../receiver/webhook-receiver.ts";
import { createDeliveryLines, type DeliveryLines } from "./delivery-lines.ts";
import { devGreeting, type Addresses } from "./dev-greeting.ts";
import { aborted, httpUrl } from "./http-service.ts";
import { createLeasedIds } from "./leased-ids.ts";
import { openStore, type OpenStore } from "./open-store.ts";
import { platformService, type PlatformParts } from "./platform-api.ts";
import type { LocalNats } from "./local-nats.ts";
import { isDatabaseQueue, type DevConfig } from "./process-config.ts";
import type { Composition, ProcessContext } from "./process-context.ts";
import { closeQueues, openQueuesAt, queueUrlsOf, type OpenQueue } from "./queue-at.ts";
import { eventDataMaxBytesOf, routerQueuesOf } from "./router-queue.ts";
import { storeJobs } from "./router-home.ts";
import { localNats, localNatsPort } from "./router-settings.ts";
import { createMetricsService, createRouterServices, createTargetGuard } from "./router-service.ts";
import { maintenanceService, replayRunner, schedulerService, streamProcessor } from "./stages.ts";

const msPerSecond = 1_000;
const msPerHour = 3_600_000;
const receiverPath = "/dev/receiver";

export async function composeDev(config: DevConfig, context: ProcessContext): Promise<Composition> {
  const store = await openStore(
    {
      databaseUrl: config.databaseUrl,
      poolSize: config.databasePoolSize,
      migrates: true,
      hasQueueTables: config.queueUrls.some(isDatabaseQueue),
      dedupWindowMs: config.dedupWindowHours * msPerHour,
      secretBox: () => createSecretBox(config.appKey ?? loadOrCreateAppKey(config.dataDir)),
    },
    context,
  );
  try {
    const nats = await ownNats(config, context);
    try {
      const visibilityMs = config.routerVisibilityTimeoutSecs * msPerSecond;
      const connections = { parallelReceives: config.routerQueueConnections, poolSize: config.databasePoolSize };
      const place = { ...connections, visibilityMs, migrates: true, store };
      const queues = await openQueuesAt(queueUrlsOf(config), place, context);
      const outbox = await ownOutbox(config, context);
      return await compose({ store, nats, queues, outbox }, config, context);
    } catch (error) {
      await nats?.close();
      throw error;
    }
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** Null: the queue is elsewhere, or on a NATS that somebody else runs. */
async function ownNats({ queueUrls, natsUrl, dataDir }: DevConfig, context: ProcessContext): Promise<LocalNats | null> {
  if (!queueUrls.includes(localNats) || natsUrl !== undefined) return null;
  const { startLocalNats } = await import("./local-nats.ts");
  return startLocalNats({ dataDir, port: localNatsPort }, context);
}

/** Null: there is no table to read. */
async function ownOutbox(config: DevConfig, context: ProcessContext): Promise<OwnOutbox | null> {
  const { outboxDbUrl } = config;
  if (outboxDbUrl === undefined) return null;
  const { openVerifiedOutbox } = await import("./outbox.ts");
  const { source } = await openVerifiedOutbox({ ...config, outboxDbUrl }, context);
  return { source, place: placeOfAddress(outboxDbUrl) };
}

/** Sends to this process, where it listens. */
async function outboxServices(
  outbox: OwnOutbox | null,
  { addresses, config }: { readonly addresses: Addresses; readonly config: DevConfig },
  context: ProcessContext,
): Promise<readonly Service[]> {
  if (outbox === null) return [];
  const { source } = outbox;
  const { createOutboxService } = await import("./outbox-service.ts");
  const target = (): string => (config.outboxMode === "platform" ? addresses.api : addresses.router);
  const targetUrl = (): string => target().replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:");
  return [await createOutboxService({ source, targetUrl, token: config.apiTokens[0] ?? null }, config, context)];
}

interface Opened {
  readonly store: OpenStore;
  readonly nats: LocalNats | null;
  readonly queues: readonly OpenQueue[];
  readonly outbox: OwnOutbox | null;
}

interface OwnOutbox {
  readonly source: OutboxSource;
  /** For whoever looks at the greeting. */
  readonly place: string;
}

async function compose(
  { store, nats, queues, outbox }: Opened,
  config: DevConfig,
  context: ProcessContext,
): Promise<Composition> {
  const { clock, health } = context;
  const queue = firstOf(queues);
  const { ids, service: nodeNumber } = await createLeasedIds({ ...context, ...store }, context.holder);
  const addresses = {
    api: httpUrl(config.host, config.apiPort),
    router: httpUrl(config.host, config.routerPort),
    metrics: httpUrl(config.host, config.metricsPort),
  };
  const guard = createTargetGuard(config.allowedTargetCidrs, context);
  const lines = createDeliveryLines(
    createFetchTransport({ clock }, { trustedCertificates: null, proxy: null }),
    context,
  );
  const replays = replayRunner(store, context);
  const stream = streamProcessor({ store, ids, config }, context);
  const stopping = new AbortController();
  const verify = createSignatureCheck({ secrets: (ref) => store.secrets.valid(ref, clock.now()), clock });
  const receiver = createWebhookReceiver({ clock, verify, stopping: stopping.signal });
  const platform: PlatformParts = {
    store,
    ids,
    guard,
    addresses,
    routerQueues: routerQueuesOf(queueUrlsOf(config)),
    eventDataMaxBytes: eventDataMaxBytesOf(queue.queue.capabilities),
    extra: { path: receiverPath, routes: receiver },
    filterFaults: (id) => stream.filterFaults().get(id) ?? null,
    replayCreated: () => replays.wake(),
  };
  const router = {
    queues,
    control: store.control,
    jobs: storeJobs(store),
    transport: lines.transport,
    guard,
    addresses,
  };
  health.register("database", () => store.probe());
  return {
    services: [
      ...(nats === null ? [] : [nats.service]),
      ...store.services,
      nodeNumber,
      createMetricsService(config, context, addresses),
      lines.service,
      platformService(platform, config, context),
      ...createRouterServices(router, config, context),
      schedulerService({ store, queue: queue.queue, config }, context),
      { name: "replays", run: (signal) => replays.run(signal) },
      { name: "stream", run: (signal) => stream.run(signal) },
      maintenanceService(store, config, context),
      ...(await outboxServices(outbox, { addresses, config }, context)),
      // Told first: what the receiver holds back on purpose would hold up the router's stop.
      { name: "receiver", run: (signal) => aborted(signal).then(() => stopping.abort()) },
    ],
    started: () => announceDev({ addresses, store, lines, outbox }, config, context),
    close: async () => {
      await outbox?.source.close();
      await closeQueues(queues);
      await nats?.close();
      await store.close();
    },
  };
}

function announceDev(
  up: Pick<Opened, "store" | "outbox"> & { readonly addresses: Addresses; readonly lines: DeliveryLines },
  config: DevConfig,
  context: ProcessContext,
): void {
  const { addresses, store, lines, outbox } = up;
  const needsToken = config.apiTokens.length > 0;
  const place = outbox?.place ?? null;
  const facts = { version: context.version, addresses, database: store.place, outbox: place, needsToken };
  context.announce({ kind: "started", service: "dev", ...facts }, () => devGreeting(facts));
  lines.open();
}

/** What jobs are published to; routers receive from the others as well. */
function firstOf(queues: readonly OpenQueue[]): OpenQueue {
  const [queue] = queues;
  if (queue === undefined) throw new CodedError("INTERNAL", { context: { reason: "FC_QUEUE_URL has a default" } });
  return queue;
}
