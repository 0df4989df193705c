import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
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
import { processTree } from "./process-usage.ts";

/**
 * What the private brokers (NATS, RabbitMQ, ActiveMQ, the emulator of SQS) have in common: a free port on loopback,
 * data in a temporary folder that a start after any end finds again, and an end with the process that started them,
 * unless they are asked to outlive it (then `stopBrokerAt` ends them, from any process).
 *
 * States: running, frozen (still running, answers nobody), stopped. `stop` and `kill` are over when no process of the
 * server is left, so that its port is free for the next start. A server that does not answer in time after its start is
 * killed and reported with the line of its log that says most.
 */
export interface BrokerServer {
  readonly url: string;
  readonly folder: ServiceFolder;
  /** Changes with each start. */
  readonly pid: number;
  readonly version: string;
  /** As an operator does: what is accepted is written before it ends. */
  stop(): Promise<void>;
  /** SIGKILL for all of its processes at once. */
  kill(): Promise<void>;
  /** Again, on the same port and data. */
  start(): Promise<void>;
  /** SIGSTOP for all of its processes: connections stay open and nothing answers. */
  freeze(): void;
  /** SIGCONT for them. */
  thaw(): void;
  /** Ends it and removes its data. */
  remove(): Promise<void>;
}

/** One server at one port: how it is started, and how it tells that it is ready. */
export interface BrokerInstance {
  readonly url: string;
  readonly command: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** The server's version once it serves; null: not yet. */
  probe(): Promise<string | null>;
}

export interface BrokerKind {
  /** As faults call it: `RabbitMQ`. */
  readonly title: string;
  /** Part of the folder's name: `rabbitmq`. */
  readonly name: string;
  /** Whom root starts it as; null: root itself, for what has no account of its own. */
  readonly account: string | null;
  readonly outlives: boolean;
  readonly readyWithinMs: number;
  /** How often a start is asked whether it is over. */
  readonly pollMs: number;
  describe(folder: ServiceFolder, port: number): Promise<BrokerInstance>;
}

const portTries = 5;
const stopWithinMs = 30_000;
const freezeWithinMs = 5_000;
const pidFile = "pids";
const portTaken = /address already in use|eaddrinuse|bind: |Failed to bind|port .* in use/i;

export async function createBroker(kind: BrokerKind): Promise<BrokerServer> {
  const folder = makeServiceFolder(kind.name, kind.account);
  try {
    return await startFirst(kind, folder);
  } catch (error) {
    await stopBrokerAt(folder);
    throw error;
  }
}

async function startFirst(kind: BrokerKind, folder: ServiceFolder): Promise<BrokerServer> {
  for (let tries = 1; ; tries += 1) {
    const server = brokerAt(kind, folder, await kind.describe(folder, await freePort()));
    try {
      await server.start();
      return server;
    } catch (error) {
      const taken = error instanceof ServiceFault && portTaken.test(error.message);
      if (!taken || tries === portTries) throw error;
    }
  }
}

/** Ends all processes that an instance has, whoever started it, and removes its data; nothing there is no fault. */
export async function stopBrokerAt(folder: ServiceFolder): Promise<void> {
  await killAll(notedPids(folder).filter((pid) => worksIn(pid, folder)));
  removeServiceFolder(folder);
}

/** Starts a process beside the server that ends with it (RabbitMQ's port mapper), and notes it. */
export function launchBeside(
  folder: ServiceFolder,
  command: readonly string[],
  options: { readonly outlives: boolean; readonly environment: Readonly<Record<string, string>> },
): Bun.Subprocess {
  const logPath = join(folder.path, "log");
  const child = launch(command, { folder, logPath, endSignal: "TERM", ...options });
  notePid(folder, child.pid);
  return child;
}

function brokerAt(kind: BrokerKind, folder: ServiceFolder, instance: BrokerInstance): BrokerServer {
  const logPath = join(folder.path, "log");
  const { outlives } = kind;
  let child: Bun.Subprocess | null = null;
  let version = "";
  const running = (): Bun.Subprocess => {
    if (child === null) throw new Error(`${kind.title} is stopped`);
    return child;
  };
  const server: BrokerServer = {
    url: instance.url,
    folder,
    get pid() {
      return running().pid;
    },
    get version() {
      return version;
    },
    start: async () => {
      const environment = instance.environment ?? {};
      const launched = launch(instance.command, { folder, logPath, outlives, endSignal: "TERM", environment });
      notePid(folder, launched.pid);
      version = await untilReady(kind, { child: launched, probe: () => instance.probe(), logPath });
      child = launched;
    },
    stop: async () => {
      const ending = running();
      const tree = processTree(ending.pid);
      ending.kill("SIGTERM");
      await endsWithin(ending, stopWithinMs);
      await killAll(tree);
      child = null;
    },
    kill: async () => {
      const ending = running();
      await killAll(processTree(ending.pid));
      await ending.exited;
      child = null;
    },
    freeze: () => {
      const tree = processTree(running().pid);
      for (const pid of tree) signalQuietly(pid, "SIGSTOP");
      untilFrozen(tree);
    },
    thaw: () => {
      for (const pid of processTree(running().pid)) signalQuietly(pid, "SIGCONT");
    },
    remove: async () => {
      if (child !== null) await server.kill();
      await stopBrokerAt(folder);
    },
  };
  return server;
}

interface Starting {
  readonly child: Bun.Subprocess;
  readonly logPath: string;
  probe(): Promise<string | null>;
}

async function untilReady(kind: BrokerKind, { child, logPath, probe }: Starting): Promise<string> {
  const until = performance.now() + kind.readyWithinMs;
  for (;;) {
    const version = await probe();
    if (version !== null) return version;
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new ServiceFault(`${kind.title} does not start: ${faultInLog(logPath)}`);
    }
    if (performance.now() > until) {
      await killAll(processTree(child.pid));
      throw new ServiceFault(`${kind.title} is not ready after ${kind.readyWithinMs / 1000} s: ${faultInLog(logPath)}`);
    }
    await Bun.sleep(kind.pollMs);
  }
}

/** The first bytes that whoever listens there sends; null: nobody listens, or nothing came. */
export function firstBytes(port: number): Promise<Buffer | null> {
  const { promise, resolve } = Promise.withResolvers<Buffer | null>();
  const socket = connect({ port, host: "127.0.0.1", timeout: 2_000 });
  const end = (bytes: Buffer | null): void => {
    resolve(bytes);
    socket.destroy();
  };
  socket.once("data", end);
  for (const event of ["error", "close", "timeout"]) socket.once(event, () => end(null));
  return promise;
}

async function endsWithin(child: Bun.Subprocess, limitMs: number): Promise<void> {
  const timer = setTimeout(() => signalQuietly(child.pid, "SIGKILL"), limitMs);
  await child.exited;
  clearTimeout(timer);
}

/** Over when the last of them has ended. */
async function killAll(pids: readonly number[]): Promise<void> {
  for (const pid of pids) signalQuietly(pid, "SIGKILL");
  const until = performance.now() + stopWithinMs;
  while (pids.some(isAlive)) {
    if (performance.now() > until) throw new ServiceFault(`processes ${pids.join(", ")} do not end`);
    await Bun.sleep(5);
  }
}

/** A thread that runs on another core when its process is stopped may still answer. */
function untilFrozen(pids: readonly number[]): void {
  const until = performance.now() + freezeWithinMs;
  while (!pids.every((pid) => threadStates(pid).every((state) => /[TZX]/.test(state)))) {
    if (performance.now() > until) throw new ServiceFault(`processes ${pids.join(", ")} do not freeze`);
    Bun.sleepSync(1);
  }
}

function threadStates(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map((thread) => stateOf(`/proc/${pid}/task/${thread}/stat`));
  } catch {
    return [];
  }
}

function stateOf(statPath: string): string {
  try {
    const stat = readFileSync(statPath, "utf8");
    return stat.charAt(stat.lastIndexOf(")") + 2);
  } catch {
    return "X";
  }
}

/** False for a zombie, which has ended and waits for its parent to ask. */
export function isAlive(pid: number): boolean {
  return !/[ZX]/.test(stateOf(`/proc/${pid}/stat`));
}

function notePid(folder: ServiceFolder, pid: number): void {
  writeFileSync(join(folder.path, pidFile), `${pid}\n`, { flag: "a", mode: 0o600 });
}

function notedPids(folder: ServiceFolder): readonly number[] {
  const path = join(folder.path, pidFile);
  if (!existsSync(path)) return [];
  const noted = readFileSync(path, "utf8").trim().split("\n").map(Number);
  return noted.flatMap((pid) => processTree(pid));
}

/**
 * A noted pid may be somebody else's by now: a process of the instance works in its folder, or has a file open there.
 */
function worksIn(pid: number, folder: ServiceFolder): boolean {
  try {
    const descriptors = readdirSync(`/proc/${pid}/fd`).map((fd) => `/proc/${pid}/fd/${fd}`);
    return [`/proc/${pid}/cwd`, ...descriptors].some((link) => linkTarget(link).startsWith(folder.path));
  } catch {
    return false;
  }
}

function linkTarget(link: string): string {
  try {
    return readlinkSync(link);
  } catch {
    return "";
  }
}

function signalQuietly(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // Gone already.
  }
}
