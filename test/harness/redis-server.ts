import { randomBytes } from "node:crypto";
import { chownSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "./free-port.ts";
import {
  faultInLog,
  launch,
  makeServiceFolder,
  removeServiceFolder,
  ServiceFault,
  type ServiceFolder,
} from "./private-service.ts";

/**
 * A private Redis: a free port on loopback, a password nobody else knows, nothing kept on disk, so that a start after
 * a stop is one with everything forgotten. It ends with the process that started it, unless it is asked to outlive it.
 */
export interface RedisServer {
  readonly url: string;
  readonly folder: ServiceFolder;
  readonly pid: number;
  readonly version: string;
  stop(mode: "fast" | "kill"): Promise<void>;
  /** Again, on the same port, with nothing in it. */
  start(): Promise<void>;
  /** SIGSTOP: connections stay open and nothing answers. */
  freeze(): void;
  thaw(): void;
  remove(): Promise<void>;
}

const account = "redis";
const readyWithinMs = 10_000;
const portTries = 5;

/** Where the server's executable is; null: it is not installed. */
export function findRedis(): string | null {
  return Bun.which("redis-server") ?? Bun.which("valkey-server");
}

export async function createRedisServer(options: { outlives?: boolean } = {}): Promise<RedisServer> {
  const executable = findRedis();
  if (executable === null) throw new ServiceFault("Redis is not installed");
  const folder = makeServiceFolder("redis", account);
  try {
    return await startFirst({ executable, folder, outlives: options.outlives ?? false });
  } catch (error) {
    removeServiceFolder(folder);
    throw error;
  }
}

/** Ends an instance that another process started; one that has gone already is no fault. */
export async function stopRedisAt(url: string, folder: ServiceFolder): Promise<void> {
  if (await answersRedis(url)) {
    const client = new Bun.RedisClient(url, { autoReconnect: false });
    // The answer to this command is a closed connection.
    await client.send("SHUTDOWN", ["NOSAVE", "NOW"]).catch(() => {});
    client.close();
  }
  removeServiceFolder(folder);
}

/** True if the instance answers at this URL, which only it can: the password is its own. */
export async function answersRedis(url: string): Promise<boolean> {
  return (await serverVersion(url)) !== null;
}

interface Plan {
  readonly executable: string;
  readonly folder: ServiceFolder;
  readonly outlives: boolean;
}

async function startFirst(plan: Plan): Promise<RedisServer> {
  for (let tries = 1; ; tries += 1) {
    const server = describe(plan, await freePort());
    try {
      await server.start();
      return server;
    } catch (error) {
      const taken = error instanceof ServiceFault && /in use|Failed listening/.test(error.message);
      if (!taken || tries === portTries) throw error;
    }
  }
}

function describe(plan: Plan, port: number): RedisServer {
  const { folder } = plan;
  const password = randomBytes(16).toString("hex");
  const url = `redis://:${password}@127.0.0.1:${port}`;
  const logPath = join(folder.path, "log");
  const configPath = join(folder.path, "redis.conf");
  const config = ["bind 127.0.0.1", `port ${port}`, `requirepass ${password}`, 'save ""', "appendonly no"];
  writeFileSync(configPath, [...config, `dir ${folder.path}`, ""].join("\n"), { mode: 0o600 });
  const { uid, gid } = statSync(folder.path);
  chownSync(configPath, uid, gid);
  let child: Bun.Subprocess | null = null;
  let version = "";
  const running = (): Bun.Subprocess => {
    if (child === null) throw new Error("Redis is stopped");
    return child;
  };
  const server: RedisServer = {
    url,
    folder,
    get pid() {
      return running().pid;
    },
    get version() {
      return version;
    },
    start: async () => {
      const { outlives } = plan;
      const launched = launch([plan.executable, configPath], { folder, logPath, outlives, endSignal: "TERM" });
      version = await untilReady(launched, url, logPath);
      child = launched;
    },
    stop: async (mode) => {
      const ending = running();
      ending.kill(mode === "kill" ? "SIGKILL" : "SIGTERM");
      await ending.exited;
      child = null;
    },
    freeze: () => running().kill("SIGSTOP"),
    thaw: () => running().kill("SIGCONT"),
    remove: async () => {
      if (child !== null) await server.stop("kill");
      removeServiceFolder(folder);
    },
  };
  return server;
}

async function untilReady(child: Bun.Subprocess, url: string, logPath: string): Promise<string> {
  const until = performance.now() + readyWithinMs;
  for (;;) {
    const version = await serverVersion(url);
    if (version !== null) return version;
    if (child.exitCode !== null) throw new ServiceFault(`Redis does not start: ${faultInLog(logPath)}`);
    if (performance.now() > until) {
      child.kill("SIGKILL");
      throw new ServiceFault(`Redis is not ready after ${readyWithinMs / 1000} s: ${faultInLog(logPath)}`);
    }
    await Bun.sleep(20);
  }
}

async function serverVersion(url: string): Promise<string | null> {
  const client = new Bun.RedisClient(url, { autoReconnect: false, connectionTimeout: 2_000 });
  try {
    const info = String(await client.send("INFO", ["server"]));
    return /^(?:redis|valkey)_version:(\S+)/m.exec(info)?.[1] ?? "";
  } catch {
    return null;
  } finally {
    client.close();
  }
}
