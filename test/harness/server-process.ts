import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { freePort } from "./free-port.ts";

/**
 * Starts the real product as its own process, the way a user does, on free ports with a data folder of its own, and
 * ends only that process. Used by end-to-end tests, the demo, kill tests and benchmarks.
 */
export interface ServerProcess {
  readonly pid: number;
  readonly apiUrl: string;
  readonly routerUrl: string;
  readonly metricsUrl: string;
  readonly dataDir: string;
  readonly ports: ServerPorts;
  /** From spawn to the first answer of the API. */
  readonly startedInMs: number;
  readonly exited: Promise<number>;
  output(): string;
  /** SIGTERM, then waits for the exit code. */
  stop(): Promise<number>;
  /** SIGKILL, then waits until it is gone. */
  kill(): Promise<void>;
  /** SIGSTOP: nothing of it runs, and nobody is told. */
  freeze(): void;
  /** SIGCONT: it goes on as if no time had passed. */
  thaw(): void;
}

export interface ServerPorts {
  readonly api: number;
  readonly router: number;
  readonly metrics: number;
}

export interface ServerOptions {
  /** The service (`dev` if absent), with further arguments. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Kept and given back to go on with the same data. */
  readonly dataDir?: string;
  readonly ports?: ServerPorts;
  /** A compiled executable instead of the sources. */
  readonly executable?: string;
  readonly readyWithinMs?: number;
  /** Extra arguments for the runtime, e.g. a profiler's. */
  readonly runtimeArgs?: readonly string[];
  /** A command that becomes the server in the end (`exec`), e.g. one that limits it. */
  readonly through?: readonly string[];
  /** Told at once, so that whoever starts it can end it before it is ready. */
  readonly onSpawn?: (child: Bun.Subprocess) => void;
}

/** A process that ended by itself. */
export interface EndedProcess {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly tookMs: number;
}

const root = resolve(import.meta.dir, "../..");
const outputKeptChars = 200_000;

export function temporaryDataDir(): string {
  return mkdtempSync(join(tmpdir(), "flowcatalyst-test-"));
}

export function removeDataDir(path: string): void {
  rmSync(path, { recursive: true, force: true });
}

export async function freePorts(): Promise<ServerPorts> {
  const ports = new Set<number>();
  while (ports.size < 3) ports.add(await freePort());
  const [api = 0, router = 0, metrics = 0] = ports;
  return { api, router, metrics };
}

export async function startServer(options: ServerOptions = {}): Promise<ServerProcess> {
  const ports = options.ports ?? (await freePorts());
  const dataDir = options.dataDir ?? temporaryDataDir();
  const spawnedAt = performance.now();
  const child = spawnServer(options, ports, dataDir);
  const output = collect(child.stdout, child.stderr);
  const urls = {
    apiUrl: `http://127.0.0.1:${ports.api}`,
    routerUrl: `http://127.0.0.1:${ports.router}`,
    metricsUrl: `http://127.0.0.1:${ports.metrics}`,
  };
  const hasApi = ["dev", "platform"].includes(options.args?.[0] ?? "dev");
  await untilReady(`${hasApi ? urls.apiUrl : urls.metricsUrl}/q/ready`, child, {
    withinMs: options.readyWithinMs ?? 20_000,
    output,
  });
  return {
    pid: child.pid,
    ...urls,
    dataDir,
    ports,
    startedInMs: performance.now() - spawnedAt,
    exited: child.exited,
    output,
    stop: () => {
      child.kill("SIGTERM");
      return child.exited;
    },
    kill: async () => {
      child.kill("SIGKILL");
      await child.exited;
    },
    freeze: () => child.kill("SIGSTOP"),
    thaw: () => child.kill("SIGCONT"),
  };
}

/** Starts it where it is expected to end by itself, and waits for that; ends it with SIGKILL when it does not. */
export async function runServer(options: ServerOptions = {}): Promise<EndedProcess> {
  const spawnedAt = performance.now();
  const child = spawnServer(options, options.ports ?? (await freePorts()), options.dataDir ?? temporaryDataDir());
  const late = setTimeout(() => child.kill("SIGKILL"), options.readyWithinMs ?? 20_000);
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  const exitCode = await child.exited;
  clearTimeout(late);
  return { exitCode, stdout, stderr, tookMs: performance.now() - spawnedAt };
}

function spawnServer(
  options: ServerOptions,
  ports: ServerPorts,
  dataDir: string,
): Bun.Subprocess<"ignore", "pipe", "pipe"> {
  const args = options.args ?? ["dev"];
  const command = options.executable
    ? [options.executable, ...args]
    : [process.execPath, ...(options.runtimeArgs ?? []), join(root, "packages/cli/src/main.ts"), ...args];
  const child = Bun.spawn([...(options.through ?? []), ...command], {
    cwd: root,
    env: {
      PATH: process.env["PATH"] ?? "",
      HOME: process.env["HOME"] ?? "",
      BUN_CONFIG_MAX_HTTP_REQUESTS: "8192",
      NO_COLOR: "1",
      FC_API_PORT: String(ports.api),
      FC_ROUTER_PORT: String(ports.router),
      FC_METRICS_PORT: String(ports.metrics),
      FC_DATA_DIR: dataDir,
      FC_LOG_LEVEL: "warn",
      ...options.env,
    },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  options.onSpawn?.(child);
  return child;
}

async function untilReady(
  probe: string,
  child: Bun.Subprocess,
  limits: { withinMs: number; output: () => string },
): Promise<void> {
  const until = performance.now() + limits.withinMs;
  for (;;) {
    try {
      const answer = await fetch(probe);
      await answer.arrayBuffer();
      if (answer.status === 200) return;
    } catch {
      // Not listening yet.
    }
    if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}:\n${limits.output()}`);
    if (performance.now() > until) {
      child.kill("SIGKILL");
      throw new Error(`the server was not ready within ${limits.withinMs} ms:\n${limits.output()}`);
    }
    await Bun.sleep(2);
  }
}

function collect(...streams: readonly ReadableStream<Uint8Array>[]): () => string {
  let text = "";
  const read = async (stream: ReadableStream<Uint8Array>): Promise<void> => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) text = (text + decoder.decode(chunk, { stream: true })).slice(-outputKeptChars);
  };
  for (const stream of streams) void read(stream);
  return () => text;
}
