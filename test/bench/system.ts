import { sharedEnv, startCluster, type Cluster, type ClusterMember } from "../harness/cluster.ts";
import { processUsage, type ProcessUsage } from "../harness/process-usage.ts";
import { removeDataDir, startServer, temporaryDataDir } from "../harness/server-process.ts";
import { queueNames, startBenchBroker, type BenchBroker } from "./bench-broker.ts";
import { startBenchDatabase, type BenchDatabase } from "./bench-database.ts";

/** What is measured: one process or several, on SQLite or on a PostgreSQL of its own. */
export interface System {
  readonly apiUrl: string;
  readonly routerUrl: string;
  readonly metricsUrls: readonly string[];
  /** Null: SQLite, within the process. */
  readonly database: BenchDatabase | null;
  /** Name and version; null: the queue is in the store. */
  readonly broker: string | null;
  /** Of each process, by name, the broker included; not of the database. */
  usage(): Record<string, ProcessUsage>;
  output(): string;
  /** SIGKILL and a new start: of the one process, or of each service in turn. */
  restart(): Promise<void>;
  /** Stops the processes, and leaves the database. May be called again. */
  stop(): Promise<void>;
  /** Stops and removes everything. */
  close(): Promise<void>;
}

export interface SystemOptions {
  /** For one process: the service, with its arguments. */
  readonly args: readonly string[];
  readonly store: string;
  readonly queue: string;
  readonly services: boolean;
  readonly profile: boolean;
}

/** What a router without a platform needs to do the same as one with: room for 64 calls, and loopback targets. */
const serverEnv = { FC_ROUTER_POOL_CONCURRENCY: "64", FC_ALLOWED_TARGET_CIDRS: "127.0.0.0/8" };
const profileArgs = ["--cpu-prof", "--cpu-prof-dir=/tmp/flowcatalyst-profile"];

export async function startSystem(options: SystemOptions): Promise<System> {
  const undo: (() => Promise<void>)[] = [];
  const end = async (): Promise<void> => {
    for (const step of undo.splice(0).toReversed()) await step();
  };
  try {
    const database = options.store === "postgres" ? await startBenchDatabase() : null;
    if (database !== null) undo.push(() => database.remove());
    const broker = await brokerOf(options.queue);
    if (broker !== null) undo.push(() => broker.remove());
    const runtimeArgs = options.profile ? profileArgs : [];
    const queue = broker === null ? {} : { ...broker.env, FC_QUEUE_URL: broker.queueUrl };
    const parts: SystemParts = { runtimeArgs, env: { ...serverEnv, ...queue }, database };
    const system = await (database === null || !options.services
      ? startOne(options.args, parts)
      : startServices(database, parts));
    return {
      ...system,
      broker: broker?.title ?? null,
      usage: () => ({ ...system.usage(), ...withUsage(broker) }),
      close: async () => {
        await system.close();
        await end();
      },
    };
  } catch (error) {
    await end();
    throw error;
  }
}

/** Null: the queue is in the store. */
async function brokerOf(queue: string): Promise<BenchBroker | null> {
  const kind = queueNames[queue] ?? "db";
  return kind === "db" ? null : startBenchBroker(kind);
}

function withUsage(broker: BenchBroker | null): Record<string, ProcessUsage> {
  const usage = broker?.usage() ?? null;
  return usage === null ? {} : { broker: usage };
}

interface SystemParts {
  readonly runtimeArgs: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly database: BenchDatabase | null;
}

async function startOne(args: readonly string[], parts: SystemParts): Promise<Omit<System, "broker">> {
  const { runtimeArgs, database } = parts;
  const dataDir = temporaryDataDir();
  const env = { ...parts.env, ...(database === null ? {} : sharedEnv(database.url)) };
  const options = { args, runtimeArgs, dataDir, env };
  let server = await startServer(options).catch((error: unknown) => {
    removeDataDir(dataDir);
    throw error;
  });
  let stopped: Promise<number> | null = null;
  const stop = async (): Promise<void> => {
    stopped ??= server.stop();
    await stopped;
  };
  return {
    apiUrl: server.apiUrl,
    routerUrl: server.routerUrl,
    metricsUrls: [server.metricsUrl],
    database,
    usage: () => ({ server: processUsage(server.pid) }),
    output: () => server.output(),
    restart: async () => {
      await server.kill();
      server = await startServer({ ...options, ports: server.ports });
    },
    stop,
    close: async () => {
      await stop();
      removeDataDir(dataDir);
    },
  };
}

async function startServices(database: BenchDatabase, parts: SystemParts): Promise<Omit<System, "broker">> {
  const counts = { platform: 1, stream: 1, scheduler: 1, router: 1 };
  const plan = { databaseUrl: database.url, counts, env: parts.env, runtimeArgs: parts.runtimeArgs };
  const cluster = await startCluster(plan);
  const [platform] = cluster.of("platform") as [ClusterMember];
  const [router] = cluster.of("router") as [ClusterMember];
  let stopped: Promise<void> | null = null;
  const stop = async (): Promise<void> => {
    stopped ??= cluster.end();
    await stopped;
  };
  return {
    apiUrl: platform.apiUrl,
    routerUrl: router.routerUrl,
    metricsUrls: cluster.members.map(({ metricsUrl }) => metricsUrl),
    database,
    usage: () => Object.fromEntries(cluster.members.map(({ kind, pid }) => [kind, processUsage(pid ?? 0)])),
    output: () => cluster.members.map((member) => `== ${member.name}\n${member.output()}`).join("\n"),
    restart: () => restartEach(cluster),
    stop,
    close: stop,
  };
}

async function restartEach(cluster: Cluster): Promise<void> {
  for (const member of cluster.members) {
    await member.kill();
    await member.start();
  }
}
