import {
  createMetrics,
  createSecretBox,
  createTsidGenerator,
  HealthRegistry,
  newAppKey,
  silentLogger,
  systemClock,
  systemRandom,
  type Service,
} from "@flowcatalyst/foundation";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createIdSource } from "../domain/ids.ts";
import type { HttpHandler } from "./http-service.ts";
import { createFetchTransport } from "../net/index.ts";
import { createPlatformApp } from "../platform/app.ts";
import { openSqliteQueue, type SqliteQueue } from "../queues/sqlite/index.ts";
import { createSqliteStore, openDatabase, type SqliteStore } from "../stores/sqlite/index.ts";
import type { ProcessContext } from "./process-context.ts";
import { loadProcessConfig } from "./process-config.ts";
import { openRemoteHome } from "./remote-home.ts";
import { createRouterServices, createTargetGuard } from "./router-service.ts";
import { schedulerService, streamProcessor } from "./stages.ts";

export const pipelineToken = "the-router's-token";

/** One arrival at the target, in the order of arrival. */
export interface Arrival {
  readonly group: number;
  readonly place: number;
  readonly jobId: string;
  readonly isSigned: boolean;
}

/**
 * The whole pipeline in real time: platform, stream and scheduler on one store, a queue that carries whole deliveries,
 * and routers that have neither the store nor anything else but the platform's API, over a real port.
 */
export interface RemotePipeline {
  readonly queue: SqliteQueue;
  readonly arrivals: Arrival[];
  /** Acks that the queue was asked for. */
  readonly acks: { count: number };
  /** Requests to the platform's API, by path. */
  readonly apiCalls: ReadonlyMap<string, number>;
  answer: (arrival: Arrival) => number;
  call(line: string, body?: unknown): Promise<Readonly<Record<string, unknown>>>;
  /** Events in groups, numbered from 1 in each. */
  publish(groups: number, eventsPerGroup: number): Promise<void>;
  /** A router without a database; ends when it has stopped. */
  startRouter(token?: string): Promise<RemoteRouter>;
  /** The port is closed, as when the process is gone. */
  takePlatformAway(): Promise<void>;
  bringPlatformBack(): void;
  /** Asks until it is true; throws what it waited for after 20 s. */
  until(what: string, isTrue: () => boolean | Promise<boolean>): Promise<void>;
  pass(ms: number): Promise<void>;
  close(): Promise<void>;
}

export interface RemoteRouter {
  readonly context: ProcessContext;
  get(path: string): Promise<Readonly<Record<string, unknown>>>;
  stop(): Promise<void>;
}

const drainSecs = 1;
/** So long a message stays away from others when its router is gone. */
const visibilitySecs = 3;
const visibilityMs = visibilitySecs * 1_000;
const waitMaxMs = 20_000;

export async function openRemotePipeline(): Promise<RemotePipeline> {
  const directory = mkdtempSync(join(tmpdir(), "remote-pipeline-"));
  const context = contextOf("platform");
  const { clock, random, logger } = context;
  const database = openDatabase({ path: join(directory, "flowcatalyst.db") }, { clock, pid: process.pid });
  const secretBox = createSecretBox(newAppKey());
  const store = createSqliteStore({ database, clock, logger, random, secretBox }, { dedupWindowMs: 3_600_000 });
  const { queue, close: closeQueue } = openSqliteQueue({ clock }, { path: join(directory, "queue.db"), visibilityMs });
  const acks = countAcks(queue);
  const arrivals: Arrival[] = [];
  const pipeline = { answer: (() => 200) as (arrival: Arrival) => number };
  const target = serveTarget(arrivals, (arrival) => pipeline.answer(arrival));
  const apiCalls = new Map<string, number>();
  const app = appOf(store, context);
  const serve = (port: number) =>
    Bun.serve({
      hostname: "127.0.0.1",
      port,
      idleTimeout: 0,
      fetch: (request) => {
        const { pathname } = new URL(request.url);
        apiCalls.set(pathname, (apiCalls.get(pathname) ?? 0) + 1);
        return app.fetch(request);
      },
    });
  let server = serve(0);
  const port = server.port ?? 0;
  const apiUrl = `http://127.0.0.1:${port}`;
  const stopStages = startStages(store, queue, context);
  const routers: RemoteRouter[] = [];

  const call = async (line: string, body?: unknown): Promise<Readonly<Record<string, unknown>>> => {
    const [method = "", path = ""] = line.split(" ");
    const headers = { authorization: `Bearer ${pipelineToken}`, "content-type": "application/json" };
    const response = await fetch(apiUrl + path, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${line}: ${response.status} ${text}`);
    return JSON.parse(text) as Readonly<Record<string, unknown>>;
  };

  await call("POST /api/subscriptions", { name: "all", eventTypes: ["test.**"], targetUrl: target.url });
  return Object.assign(pipeline, {
    queue,
    arrivals,
    acks,
    apiCalls,
    call,
    publish: async (groups: number, eventsPerGroup: number) => {
      for (let place = 1; place <= eventsPerGroup; place++) {
        const events = Array.from({ length: groups }, (_, group) => ({
          type: "test.happened",
          source: "test",
          messageGroup: `g${group}`,
          data: { group, place },
        }));
        await call("POST /api/events/batch", { events });
      }
    },
    startRouter: async (token = pipelineToken) => {
      const router = await startRouter({ apiUrl, token, queue }, contextOf(`router-${routers.length}`));
      routers.push(router);
      return router;
    },
    takePlatformAway: () => server.stop(true),
    bringPlatformBack: () => {
      server = serve(port);
    },
    until,
    pass: (ms: number) => Bun.sleep(ms),
    close: async () => {
      for (const router of routers) await router.stop();
      await stopStages();
      await server.stop(true);
      await target.stop();
      closeQueue();
      await store.close();
      rmSync(directory, { recursive: true, force: true });
    },
  });
}

function contextOf(holder: string): ProcessContext {
  const clock = systemClock();
  return {
    version: "1.2.3",
    holder,
    clock,
    steerClock: () => undefined,
    random: systemRandom(),
    logger: silentLogger(),
    metrics: createMetrics(),
    health: new HealthRegistry(clock),
    maxSimultaneousRequests: 8_192,
    announce: () => undefined,
  };
}

function countAcks(queue: SqliteQueue): { count: number } {
  const acks = { count: 0 };
  const { ack } = queue;
  queue.ack = (receipts) => {
    acks.count += receipts.length;
    return ack.call(queue, receipts);
  };
  return acks;
}

function serveTarget(arrivals: Arrival[], answer: (arrival: Arrival) => number) {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    fetch: async (request) => {
      const { group, place } = (await request.json()) as { group: number; place: number };
      const jobId = request.headers.get("webhook-id") ?? "";
      const arrival = { group, place, jobId, isSigned: request.headers.has("webhook-signature") };
      arrivals.push(arrival);
      return new Response("", { status: answer(arrival) });
    },
  });
  return { url: `http://127.0.0.1:${server.port}/`, stop: () => server.stop(true) };
}

function appOf(store: SqliteStore, context: ProcessContext): HttpHandler {
  const { clock, random, logger, metrics, version } = context;
  const ids = createIdSource(createTsidGenerator({ clock, node: 1 }).next);
  const addressGuard = createTargetGuard(["127.0.0.0/8"], context);
  return createPlatformApp(
    { ...store, clock, random, ids, log: logger, metrics, addressGuard },
    { version, apiTokens: [pipelineToken], corsOrigins: [], addresses: {}, routerQueues: [] },
  );
}

/** Stream and scheduler, until told to stop. */
function startStages(store: SqliteStore, queue: SqliteQueue, context: ProcessContext): () => Promise<void> {
  const ids = createIdSource(createTsidGenerator({ clock: context.clock, node: 2 }).next);
  const config = {
    streamBatchSize: 500,
    streamPollIntervalMs: 100,
    schedulerPollIntervalMs: 100,
    schedulerBatchSize: 500,
    schedulerPublishWindow: 1_000,
  };
  const stop = new AbortController();
  const stream = streamProcessor({ store, ids, config }, context);
  const scheduler = schedulerService({ store, queue, config }, context);
  const running = [stream.run(stop.signal), scheduler.run(stop.signal), store.checkpointer.run(stop.signal)];
  return async () => {
    stop.abort();
    await Promise.all(running);
  };
}

interface RouterPlace {
  readonly apiUrl: string;
  readonly token: string;
  readonly queue: SqliteQueue;
}

async function startRouter({ apiUrl, token, queue }: RouterPlace, context: ProcessContext): Promise<RemoteRouter> {
  const env = {
    FC_API_BASE_URL: apiUrl,
    FC_API_TOKEN: token,
    FC_QUEUE_URL: "sqlite:shared",
    FC_ROUTER_PORT: "0",
    FC_METRICS_PORT: "0",
    FC_ROUTER_VISIBILITY_TIMEOUT_SECS: String(visibilitySecs),
    FC_ROUTER_DRAIN_TIMEOUT_SECS: String(drainSecs),
  };
  const facts = { isTerminal: false, hostName: "here", pid: process.pid };
  const loaded = await loadProcessConfig("router", { env, facts });
  if (loaded.kind === "faulty") throw new Error(JSON.stringify(loaded.faults));
  const { config } = loaded;
  const home = await openRemoteHome({ ...config, apiBaseUrl: apiUrl }, context);
  const addresses: Record<string, string> = {};
  const services = createRouterServices(
    {
      queues: [{ queue, uri: "sqlite:shared", close: () => undefined }],
      control: home.control,
      jobs: home.jobs,
      transport: createFetchTransport({ clock: context.clock }, { trustedCertificates: null, proxy: null }),
      guard: createTargetGuard(["127.0.0.0/8"], context),
      addresses,
    },
    config,
    context,
  );
  const stop = new AbortController();
  const running = services.map((service: Service) => service.run(stop.signal));
  const ended = Promise.all(running);
  await Promise.race([services.at(-1)?.ready?.(), ended]);
  return {
    context,
    get: async (path) => {
      const response = await fetch(`${addresses["router"] ?? ""}${path}`);
      return (await response.json()) as Readonly<Record<string, unknown>>;
    },
    stop: async () => {
      stop.abort();
      await ended;
    },
  };
}

async function until(what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + waitMaxMs;
  while (!(await isTrue())) {
    if (performance.now() > endMs) throw new Error(`waited ${waitMaxMs} ms in vain for ${what}`);
    await Bun.sleep(10);
  }
}
