import {
  createMetrics,
  HealthRegistry,
  seededRandom,
  silentLogger,
  supervise,
  systemClock,
  type HealthReport,
} from "@flowcatalyst/foundation";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { StandaloneMessage } from "../../domain/message.ts";
import { parseStandaloneMessage } from "../../domain/standalone-message.ts";
import { openSqliteQueue } from "../../queues/sqlite/index.ts";
import { requireProcessConfig } from "../process-config.ts";
import type { Composition, ProcessContext } from "../process-context.ts";
import { composeRouter } from "../router.ts";

/** A router as its process composes it, with real queues, a real server to be configured by, and a real target. */
export interface RunningRouter {
  readonly context: ProcessContext;
  readonly ready: () => Promise<HealthReport>;
  call<T>(path: string, init?: RequestInit): Promise<{ readonly status: number; readonly body: T }>;
  warnings(): Promise<readonly { readonly message: string; readonly category: string; readonly severity: string }[]>;
  consumers(): Promise<readonly string[]>;
  pools(): Promise<Readonly<Record<string, PoolView>>>;
  stop(): Promise<void>;
}

interface PoolView {
  readonly code: string;
  readonly concurrency: number;
  readonly rateLimitPerMinute: number | null;
  readonly status: string;
}

export interface Bench {
  readonly folder: string;
  readonly target: Target;
  configServer(): ConfigServer;
  /** Queues that it is told of may be files here, as they may not be anywhere else, unless the last says otherwise. */
  start(env: Readonly<Record<string, string>>, isAwaited?: boolean, opensToldFiles?: boolean): Promise<RunningRouter>;
  /** Messages in a file that nobody has open. */
  fill(path: string, ids: readonly string[], fields?: object): Promise<void>;
  /** What is left in a file that nobody has open. */
  left(path: string): Promise<number>;
  close(): Promise<void>;
}

export interface Target {
  readonly url: string;
  /** In the order in which they came. */
  readonly ids: string[];
  readonly signatures: Map<string, string | null>;
  /** How long it takes to answer. */
  answerAfterMs: number;
}

export interface ConfigServer {
  readonly url: string;
  answer: (request: Request) => Response | Promise<Response>;
  readonly authorizations: (string | null)[];
}

const waitMaxMs = 15_000;

/** Polls what no event tells: state of another part, over its public door. */
export async function until(what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + waitMaxMs;
  while (!(await isTrue())) {
    if (performance.now() > endMs) throw new Error(`waited ${waitMaxMs} ms in vain for ${what}`);
    await Bun.sleep(10);
  }
}

export function openBench(): Bench {
  const folder = mkdtempSync(join(tmpdir(), "flowcatalyst-configured-"));
  const ends: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })];
  const target = startTarget(ends);
  return {
    folder,
    target,
    configServer: () => startConfigServer(ends),
    start: async (env, isAwaited = true, opensToldFiles = true) => {
      const router = await startRouter(env, { isAwaited, opensToldFiles });
      ends.push(() => router.stop());
      return router;
    },
    fill: (path, ids, fields = {}) => fill({ path, ids }, { target: target.url, ...fields }),
    left: (path) => withQueue(path, async (queue) => (await queue.metrics()).visible ?? 0),
    close: async () => {
      for (const end of ends.splice(0).toReversed()) await end();
    },
  };
}

export function messageOf(fields: object): StandaloneMessage {
  const parsed = parseStandaloneMessage({ payload: {}, ...fields }, "refuseUnknownFields");
  if (parsed.kind === "malformed" || parsed.message.kind !== "standalone") throw new Error("the message is one");
  return parsed.message;
}

async function withQueue<T>(
  path: string,
  use: (queue: ReturnType<typeof openSqliteQueue>["queue"]) => Promise<T>,
): Promise<T> {
  const { queue, close } = openSqliteQueue({ clock: systemClock() }, { path });
  try {
    return await use(queue);
  } finally {
    close();
  }
}

function fill({ path, ids }: { path: string; ids: readonly string[] }, fields: object): Promise<void> {
  return withQueue(path, async (queue) => {
    await queue.publish(ids.map((id) => messageOf({ id, ...fields })));
  });
}

function startTarget(ends: (() => unknown)[]): Target {
  const ids: string[] = [];
  const signatures = new Map<string, string | null>();
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      const id = request.headers.get("webhook-id") ?? "";
      ids.push(id);
      signatures.set(id, request.headers.get("webhook-signature"));
      if (target.answerAfterMs > 0) await Bun.sleep(target.answerAfterMs);
      return new Response();
    },
  });
  const target: Target = { url: `http://127.0.0.1:${server.port}/hook`, ids, signatures, answerAfterMs: 0 };
  ends.push(() => server.stop(true));
  return target;
}

function startConfigServer(ends: (() => unknown)[]): ConfigServer {
  const authorizations: (string | null)[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request) => {
      authorizations.push(request.headers.get("authorization"));
      return configServer.answer(request);
    },
  });
  const configServer: ConfigServer = {
    url: `http://127.0.0.1:${server.port}/api/config/router`,
    answer: () => Response.json({ processingPools: [], queues: [] }),
    authorizations,
  };
  ends.push(() => server.stop(true));
  return configServer;
}

interface StartOptions {
  readonly isAwaited: boolean;
  readonly opensToldFiles: boolean;
}

async function startRouter(
  env: Readonly<Record<string, string>>,
  { isAwaited, opensToldFiles }: StartOptions,
): Promise<RunningRouter> {
  const all = {
    FC_ROUTER_PORT: "0",
    FC_METRICS_PORT: "0",
    FC_ROUTER_CONFIG_INTERVAL_SECS: "1",
    FC_ROUTER_DRAIN_TIMEOUT_SECS: "5",
    FC_ALLOWED_TARGET_CIDRS: "127.0.0.0/8",
    ...env,
  };
  const facts = { isTerminal: false, hostName: "here", pid: process.pid };
  const { config } = await requireProcessConfig("router", { env: all, facts });
  let addresses: Readonly<Record<string, string>> = {};
  const context: ProcessContext = {
    version: "1.2.3",
    env: all,
    opensToldFiles,
    holder: "here:1:1",
    clock: systemClock(),
    steerClock: () => undefined,
    random: seededRandom(1),
    logger: silentLogger(),
    metrics: createMetrics(),
    health: new HealthRegistry(systemClock()),
    maxSimultaneousRequests: 8_192,
    announce: (document) => ({ addresses } = document as { addresses: typeof addresses }),
  };
  const composition = await composeRouter(config, context);
  return runRouter(composition, context, { isAwaited, addresses: () => addresses });
}

async function runRouter(
  composition: Composition,
  context: ProcessContext,
  start: { readonly isAwaited: boolean; readonly addresses: () => Readonly<Record<string, string>> },
): Promise<RunningRouter> {
  const stop = new AbortController();
  const { clock, logger, health } = context;
  const deadlines = { softDeadlineMs: 10_000, hardDeadlineMs: 12_000 };
  const running = supervise(composition.services, { signal: stop.signal, clock, logger, health, ...deadlines });
  const started = running.started.then(() => composition.started());
  if (start.isAwaited) await started;
  const call = async <T>(path: string, init?: RequestInit): Promise<{ status: number; body: T }> => {
    const response = await fetch(`${start.addresses()["router"] ?? ""}${path}`, init);
    return { status: response.status, body: (await response.json()) as T };
  };
  const items = async <T>(path: string): Promise<readonly T[]> =>
    (await call<{ items: readonly T[] }>(`/monitoring/${path}`)).body.items;
  return {
    context,
    ready: () => health.ready(),
    call,
    warnings: () => items("warnings"),
    consumers: async () => (await items<{ name: string }>("consumers")).map(({ name }) => name),
    pools: async () => {
      const pools = await items<PoolView>("pools");
      return Object.fromEntries(pools.map((pool) => [pool.code, pool]));
    },
    stop: async () => {
      stop.abort();
      await running.stopped;
      await composition.close();
    },
  };
}
