import { randomBytes } from "node:crypto";
import { chownSync, existsSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import pg from "pg";
import { freePort } from "./free-port.ts";
import {
  faultInLog,
  launch,
  makeServiceFolder,
  removeServiceFolder,
  runAs,
  ServiceFault,
  type ServiceFolder,
} from "./private-service.ts";
import { processTree } from "./process-usage.ts";

/**
 * A private PostgreSQL: its own data in a temporary folder, a free port on loopback, a password nobody else knows.
 *
 * Tests, benchmarks and `scripts/services` start it by this; it can be stopped in each of the server's three ways,
 * killed, stopped by SIGSTOP with all of its processes, and started again on the same data and port. It ends with the
 * process that started it, unless it is asked to outlive it (then `stopPostgresAt` ends it, from any process).
 *
 * The collation of its databases is that of English, not of bytes, so that a column that must sort by bytes and does
 * not say so is noticed. All settings but those given are the server's own defaults.
 */
export interface PostgresServer {
  readonly url: string;
  readonly folder: ServiceFolder;
  /** Of the process that started all others; changes with each start. */
  readonly pid: number;
  /** As the server tells it: `15.14`. */
  readonly version: string;
  /** What was set beyond the defaults. */
  readonly settings: PostgresSettings;
  /** fast: ends connections, then stops cleanly. immediate: as a crash; the next start recovers. kill: SIGKILL. */
  stop(mode: "smart" | "fast" | "immediate" | "kill"): Promise<void>;
  /** Again, on the same data and port. */
  start(): Promise<void>;
  /** SIGSTOP for all of its processes: connections stay open and nothing answers. */
  freeze(): void;
  /** SIGCONT for them. */
  thaw(): void;
  /** A new, empty database; gives its URL. */
  createDatabase(name: string): Promise<string>;
  /** Stops it and removes its data. */
  remove(): Promise<void>;
}

export type PostgresSettings = Readonly<Record<string, string>>;

export interface PostgresServerOptions {
  readonly settings?: PostgresSettings;
  readonly outlives?: boolean;
}

/** Nothing of a unit test's database must survive a crash of the machine. */
export const forgetfulSettings: PostgresSettings = {
  fsync: "off",
  full_page_writes: "off",
  synchronous_commit: "off",
  max_connections: "200",
};

const oldestVersion = 15;
const readyWithinMs = 60_000;
const portTries = 5;
const stopSignals = { smart: "SIGTERM", fast: "SIGINT", immediate: "SIGQUIT", kill: "SIGKILL" } as const;

export interface PostgresInstallation {
  readonly bin: string;
  readonly version: number;
}

/** The newest PostgreSQL of this machine, from Debian's place or the path; null: none that is new enough. */
export function findPostgres(): PostgresInstallation | null {
  const debian = "/usr/lib/postgresql";
  const versions = existsSync(debian) ? readdirSync(debian).map((name) => join(debian, name, "bin")) : [];
  const onPath = Bun.which("postgres");
  const places = [...versions, ...(onPath === null ? [] : [dirname(onPath)])];
  const found = places.filter((bin) => existsSync(join(bin, "initdb"))).map((bin) => ({ bin, version: majorOf(bin) }));
  const usable = found.filter(({ version }) => version >= oldestVersion);
  return usable.toSorted((a, b) => b.version - a.version)[0] ?? null;
}

export async function createPostgresServer(options: PostgresServerOptions = {}): Promise<PostgresServer> {
  const installation = findPostgres();
  if (installation === null) throw new ServiceFault(`PostgreSQL ${oldestVersion} or later is not installed`);
  const folder = makeServiceFolder("postgres", "postgres");
  try {
    const password = randomBytes(16).toString("hex");
    initialize(installation.bin, folder, password);
    return await startFirst({ bin: installation.bin, folder, password, options });
  } catch (error) {
    removeServiceFolder(folder);
    throw error;
  }
}

/** Ends an instance that another process started, and removes its data; one that has gone already is no fault. */
export function stopPostgresAt(folder: ServiceFolder): void {
  const installation = findPostgres();
  if (installation !== null && existsSync(join(folder.path, "data", "postmaster.pid"))) {
    const data = join(folder.path, "data");
    try {
      runAs(folder, [join(installation.bin, "pg_ctl"), "stop", "-D", data, "-m", "fast", "-w", "-t", "30"]);
    } catch (error) {
      if (!(error instanceof ServiceFault) || !/not running|does not exist|No such process/.test(error.message))
        throw error;
    }
  }
  removeServiceFolder(folder);
}

/** True if the instance answers at this URL, which only it can: the password is its own. */
export async function answersPostgres(url: string): Promise<boolean> {
  return (await serverVersion(url)) !== null;
}

interface Plan {
  readonly bin: string;
  readonly folder: ServiceFolder;
  readonly password: string;
  readonly options: PostgresServerOptions;
}

function initialize(bin: string, folder: ServiceFolder, password: string): void {
  const passwordFile = join(folder.path, "password");
  writeFileSync(passwordFile, password, { mode: 0o600 });
  const { uid, gid } = statSync(folder.path);
  chownSync(passwordFile, uid, gid);
  const common = ["-D", join(folder.path, "data"), "-U", "postgres", `--pwfile=${passwordFile}`, "--auth=md5"];
  const collation = ["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"];
  runAs(folder, [join(bin, "initdb"), ...common, ...collation, "-E", "UTF8", "--no-sync", "--no-instructions"]);
}

async function startFirst(plan: Plan): Promise<PostgresServer> {
  for (let tries = 1; ; tries += 1) {
    const server = describe(plan, await freePort());
    try {
      await server.start();
      return server;
    } catch (error) {
      const taken = error instanceof ServiceFault && /in use|could not create any TCP/.test(error.message);
      if (!taken || tries === portTries) throw error;
    }
  }
}

function describe(plan: Plan, port: number): PostgresServer {
  const { folder } = plan;
  const settings = plan.options.settings ?? {};
  const url = `postgres://postgres:${plan.password}@127.0.0.1:${port}/postgres`;
  const logPath = join(folder.path, "log");
  const own = { port: String(port), listen_addresses: "127.0.0.1", unix_socket_directories: "" };
  const flags = Object.entries({ ...own, ...settings }).flatMap(([key, value]) => ["-c", `${key}=${value}`]);
  const command = [join(plan.bin, "postgres"), "-D", join(folder.path, "data"), ...flags];
  let child: Bun.Subprocess | null = null;
  let version = "";
  const running = (): Bun.Subprocess => {
    if (child === null) throw new Error("PostgreSQL is stopped");
    return child;
  };
  const signalAll = (signal: "SIGSTOP" | "SIGCONT"): void => {
    for (const pid of processTree(running().pid)) process.kill(pid, signal);
  };
  const server: PostgresServer = {
    url,
    folder,
    settings,
    get pid() {
      return running().pid;
    },
    get version() {
      return version;
    },
    start: async () => {
      const launched = launch(command, {
        folder,
        logPath,
        outlives: plan.options.outlives ?? false,
        endSignal: "INT",
      });
      version = await untilReady(launched, url, logPath);
      child = launched;
    },
    stop: async (mode) => {
      const ending = running();
      const tree = mode === "kill" ? processTree(ending.pid) : [ending.pid];
      for (const pid of tree) endQuietly(pid, stopSignals[mode]);
      await ending.exited;
      child = null;
    },
    freeze: () => signalAll("SIGSTOP"),
    thaw: () => signalAll("SIGCONT"),
    createDatabase: async (name) => {
      await withClient(url, (client) => client.query(`CREATE DATABASE ${pg.escapeIdentifier(name)}`));
      const own = new URL(url);
      own.pathname = `/${name}`;
      return own.href;
    },
    remove: async () => {
      if (child !== null) await server.stop("immediate");
      removeServiceFolder(folder);
    },
  };
  return server;
}

/** Resolves to the version; throws the reason in the server's log when it ends before it answers. */
async function untilReady(child: Bun.Subprocess, url: string, logPath: string): Promise<string> {
  const until = performance.now() + readyWithinMs;
  for (;;) {
    const version = await serverVersion(url);
    if (version !== null) return version;
    if (child.exitCode !== null) throw new ServiceFault(`PostgreSQL does not start: ${faultInLog(logPath)}`);
    if (performance.now() > until) {
      child.kill("SIGQUIT");
      throw new ServiceFault(`PostgreSQL is not ready after ${readyWithinMs / 1000} s: ${faultInLog(logPath)}`);
    }
    await Bun.sleep(20);
  }
}

async function serverVersion(url: string): Promise<string | null> {
  try {
    return await withClient(url, async (client) => {
      const { rows } = await client.query<{ server_version: string }>("SHOW server_version");
      return rows[0]?.server_version.split(" ")[0] ?? "";
    });
  } catch {
    return null;
  }
}

export async function withClient<Result>(url: string, work: (client: pg.Client) => Promise<Result>): Promise<Result> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  // A server that is being stopped breaks the connection between two queries, when nobody waits for an answer.
  client.on("error", () => {});
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end().catch(() => {});
  }
}

function majorOf(bin: string): number {
  const asked = Bun.spawnSync([join(bin, "postgres"), "--version"]);
  return Number(/(\d+)/.exec(asked.stdout.toString())?.[1] ?? 0);
}

function endQuietly(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // Gone already.
  }
}
