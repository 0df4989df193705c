import { sharedEnv, startCluster, type Cluster, type ClusterMember } from "../harness/cluster.ts";
import { processUsage, type ProcessUsage } from "../harness/process-usage.ts";
import { removeDataDir, startServer, temporaryDataDir } from "../harness/server-process.ts";
import { startBenchDatabase, type BenchDatabase } from "./bench-database.ts";

/** What is measured: one process or several, on SQLite or on a PostgreSQL of its own. */
export interface System {
  readonly apiUrl: string;
  readonly routerUrl: string;
  readonly metricsUrls: readonly string[];
  /** Null: SQLite, within the process. */
  readonly database: BenchDatabase | null;
  /** Of each process, by name; not of the database. */
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
  readonly services: boolean;
  readonly profile: boolean;
}

/** What a router without a platform needs to do the same as one with: room for 64 calls, and loopback targets. */
const serverEnv = { FC_ROUTER_POOL_CONCURRENCY: "64", FC_ALLOWED_TARGET_CIDRS: "127.0.0.0/8" };
const profileArgs = ["--cpu-prof", "--cpu-prof-dir=/tmp/flowcatalyst-profile"];

export async function startSystem(options: SystemOptions): Promise<System> {
  const database = options.store === "postgres" ? await startBenchDatabase() : null;
  try {
    const runtimeArgs = options.profile ? profileArgs : [];
    if (database === null || !options.services) return await startOne({ args: options.args, runtimeArgs }, database);
    return await startServices(runtimeArgs, database);
  } catch (error) {
    await database?.remove();
    throw error;
  }
}

async function startOne(
  launched: { args: readonly string[]; runtimeArgs: readonly string[] },
  database: BenchDatabase | null,
): Promise<System> {
  const dataDir = temporaryDataDir();
  const env = { ...serverEnv, ...(database === null ? {} : sharedEnv(database.url)) };
  const options = { ...launched, dataDir, env };
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
      await database?.remove();
      removeDataDir(dataDir);
    },
  };
}

async function startServices(runtimeArgs: readonly string[], database: BenchDatabase): Promise<System> {
  const counts = { platform: 1, stream: 1, scheduler: 1, router: 1 };
  const plan = { databaseUrl: database.url, counts, env: serverEnv, runtimeArgs };
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
    close: async () => {
      await stop();
      await database.remove();
    },
  };
}

async function restartEach(cluster: Cluster): Promise<void> {
  for (const member of cluster.members) {
    await member.kill();
    await member.start();
  }
}
