import { randomBytes } from "node:crypto";
import {
  freePorts,
  removeDataDir,
  runServer,
  startServer,
  temporaryDataDir,
  type ServerOptions,
  type ServerPorts,
  type ServerProcess,
} from "./server-process.ts";

/**
 * The production topology on one machine: any number of each service as processes of their own on one PostgreSQL.
 *
 * Members are known by name (`platform-1`, `router-3`). Each keeps its ports through restarts and can be stopped,
 * killed, frozen and started again while the others go on. Their environment is the same but for the ports. What
 * ends without having been told to is counted, because a service that vanishes is a fault whatever the ledger says.
 */
export interface Cluster {
  readonly members: readonly ClusterMember[];
  member(name: string): ClusterMember;
  of(kind: ServiceKind): readonly ClusterMember[];
  /** Of the running platforms, in turn. */
  apiUrl(): string;
  /** Members that ended by themselves, with exit code and the end of their output. */
  vanished(): readonly string[];
  /** Ends all members, those that receive messages and events first, and removes their folders. */
  end(): Promise<void>;
}

export interface ClusterMember {
  readonly name: string;
  readonly kind: ServiceKind;
  readonly ports: ServerPorts;
  readonly apiUrl: string;
  readonly routerUrl: string;
  readonly metricsUrl: string;
  /** Null: it is not running. */
  readonly pid: number | null;
  /** Of all its lives. */
  output(): string;
  start(): Promise<void>;
  /** SIGTERM; gives the exit code. */
  stop(): Promise<number>;
  kill(): Promise<void>;
  freeze(): void;
  thaw(): void;
}

export const serviceKinds = ["platform", "stream", "scheduler", "router"] as const;
export type ServiceKind = (typeof serviceKinds)[number];

export interface ClusterPlan {
  readonly databaseUrl: string;
  readonly counts: Readonly<Record<ServiceKind, number>>;
  /** For all members. */
  readonly env?: Readonly<Record<string, string>>;
  /** For the members of one kind; wins over `env`. An empty value takes a variable away. */
  readonly envOf?: Readonly<Partial<Record<ServiceKind, Readonly<Record<string, string>>>>>;
  /** Routers know the queue and a platform, in turn, and no database. */
  readonly routersWithoutDatabase?: boolean;
  readonly runtimeArgs?: readonly string[];
  readonly executable?: string;
  readonly readyWithinMs?: number;
}

const endsFirst: readonly ServiceKind[] = ["platform", "stream", "scheduler", "router"];

/** One environment for every process on a PostgreSQL: the database, and a key for its secrets. */
export function sharedEnv(databaseUrl: string): Readonly<Record<string, string>> {
  return {
    FC_DATABASE_URL: databaseUrl,
    FC_APP_KEY: randomBytes(32).toString("base64"),
    FC_ALLOWED_TARGET_CIDRS: "127.0.0.0/8",
  };
}

/** Migrates the database, then starts all members at once and waits until each is ready. */
export async function startCluster(plan: ClusterPlan): Promise<Cluster> {
  const dataDir = temporaryDataDir();
  // A queue with a place of its own carries whole deliveries; `db:` only names the jobs of the database.
  const queue: Record<string, string> = plan.routersWithoutDatabase === true ? { FC_QUEUE_URL: plan.databaseUrl } : {};
  const env = { ...sharedEnv(plan.databaseUrl), ...queue, ...plan.env };
  const migrated = await runServer({ ...launchOptions(plan), args: ["migrate"], env, dataDir });
  if (migrated.exitCode !== 0) throw new Error(`the database is not migrated:\n${migrated.stderr}${migrated.stdout}`);
  const members: Member[] = [];
  for (const kind of serviceKinds) {
    for (let number = 1; number <= plan.counts[kind]; number += 1) {
      const remote = kind === "router" && plan.routersWithoutDatabase === true ? remoteEnv(members, number) : {};
      const own = withoutEmpty({ ...env, ...remote, ...plan.envOf?.[kind] });
      const options = { ...launchOptions(plan), args: [kind], env: own, dataDir };
      members.push(createMember({ name: `${kind}-${number}`, kind, ports: await portsNotOf(members), options }));
    }
  }
  const cluster = describeCluster(members, dataDir);
  try {
    await Promise.all(members.map((member) => member.start()));
    return cluster;
  } catch (error) {
    await cluster.end();
    throw error;
  }
}

function remoteEnv(members: readonly ClusterMember[], number: number): Record<string, string> {
  const platforms = members.filter(({ kind }) => kind === "platform");
  const platform = platforms[number % platforms.length];
  if (platform === undefined) throw new Error("routers without a database need a platform");
  return {
    FC_DATABASE_URL: "",
    FC_APP_KEY: "",
    FC_API_BASE_URL: platform.apiUrl,
  };
}

function withoutEmpty(env: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ""));
}

function launchOptions(plan: ClusterPlan): ServerOptions {
  const { runtimeArgs, executable, readyWithinMs = 30_000 } = plan;
  return {
    readyWithinMs,
    ...(runtimeArgs === undefined ? {} : { runtimeArgs }),
    ...(executable === undefined ? {} : { executable }),
  };
}

/** Ports are looked for before anybody opens them, so those given out already must be avoided. */
async function portsNotOf(members: readonly ClusterMember[]): Promise<ServerPorts> {
  const taken = new Set(members.flatMap(({ ports }) => Object.values(ports)));
  for (;;) {
    const ports = await freePorts();
    if (!Object.values(ports).some((port) => taken.has(port))) return ports;
  }
}

function describeCluster(members: readonly Member[], dataDir: string): Cluster {
  let turn = 0;
  return {
    members,
    member: (name) => {
      const found = members.find((member) => member.name === name);
      if (found === undefined) throw new Error(`no ${name} in the cluster`);
      return found;
    },
    of: (kind) => members.filter((member) => member.kind === kind),
    apiUrl: () => {
      const platforms = members.filter(({ kind }) => kind === "platform");
      const running = platforms.filter(({ pid }) => pid !== null);
      const candidates = running.length > 0 ? running : platforms;
      return candidates[turn++ % candidates.length]?.apiUrl ?? "";
    },
    vanished: () => members.flatMap((member) => member.vanished),
    end: async () => {
      for (const kind of endsFirst) {
        const ending = members.filter((member) => member.kind === kind && member.pid !== null);
        await Promise.all(ending.map((member) => member.end()));
      }
      removeDataDir(dataDir);
    },
  };
}

interface Member extends ClusterMember {
  readonly vanished: readonly string[];
  /** By SIGTERM, and by SIGKILL if that takes too long. */
  end(): Promise<void>;
}

const endWithinMs = 40_000;
const outputShownChars = 2_000;

function createMember(plan: { name: string; kind: ServiceKind; ports: ServerPorts; options: ServerOptions }): Member {
  const { name, kind, ports, options } = plan;
  const vanished: string[] = [];
  let earlier = "";
  let server: ServerProcess | null = null;
  const running = (): ServerProcess => {
    if (server === null) throw new Error(`${name} is not running`);
    return server;
  };
  const toldToEnd = (): ServerProcess => {
    const ending = running();
    server = null;
    earlier += ending.output();
    return ending;
  };
  const watch = async (started: ServerProcess): Promise<void> => {
    const exitCode = await started.exited;
    if (server !== started) return;
    toldToEnd();
    vanished.push(`${name} ended by itself with ${exitCode}: ${started.output().slice(-outputShownChars)}`);
  };
  const member: Member = {
    name,
    kind,
    ports,
    apiUrl: `http://127.0.0.1:${ports.api}`,
    routerUrl: `http://127.0.0.1:${ports.router}`,
    metricsUrl: `http://127.0.0.1:${ports.metrics}`,
    vanished,
    get pid() {
      return server?.pid ?? null;
    },
    output: () => earlier + (server?.output() ?? ""),
    start: async () => {
      if (server !== null) throw new Error(`${name} runs already`);
      server = await startServer({ ...options, ports });
      void watch(server);
    },
    stop: () => toldToEnd().stop(),
    kill: () => toldToEnd().kill(),
    freeze: () => running().freeze(),
    thaw: () => running().thaw(),
    end: async () => {
      const ending = toldToEnd();
      ending.thaw();
      const late = setTimeout(() => void ending.kill(), endWithinMs);
      await ending.stop();
      clearTimeout(late);
    },
  };
  return member;
}
