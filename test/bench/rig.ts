import { join } from "node:path";
import { processUsage, type ProcessUsage } from "../harness/process-usage.ts";
import type { LedgerSummary } from "../harness/ledger.ts";
import type { GeneratorPlan, GeneratorResult } from "./generator.ts";
import { startSystem, type System } from "./system.ts";

/** What every scenario works with: system, receiver and generator in processes apart, and the yardstick. */
export interface Rig {
  readonly system: System;
  readonly receiver: Receiver;
  readonly options: RigOptions;
  api(method: string, path: string, body?: unknown): Promise<unknown>;
  generate(plan: Omit<GeneratorPlan, "url">): Promise<GeneratorResult>;
  startGenerator(plan: Omit<GeneratorPlan, "url">): { result: Promise<GeneratorResult>; pid: number };
  yardstick(concurrency: number, dataBytes: number): Promise<number>;
  /** Waits until the receiver's ledger counts this many; false when nothing moved for `stallSeconds`. */
  drained(expected: number, options?: DrainOptions): Promise<boolean>;
  usage(): Record<string, ProcessUsage>;
  storeCounters(): Promise<Record<string, number>>;
  close(): Promise<void>;
}

export interface DrainOptions {
  readonly stallSeconds?: number;
  /** Told each time the ledger is looked at. */
  readonly onProgress?: (delivered: number) => void;
}

export interface RigOptions {
  readonly short: boolean;
  readonly store: string;
  /** The services as processes of their own. */
  readonly services: boolean;
  readonly queue: string;
  readonly seconds: number | null;
  readonly rate: number | null;
  readonly profile: boolean;
  readonly verbose: boolean;
}

export interface Receiver {
  readonly pid: number;
  readonly url: string;
  readonly port: number;
  ledger(): Promise<ReceiverLedger>;
  control(path: string): Promise<void>;
}

export interface ReceiverLedger {
  readonly delivered: number;
  readonly yardCount: number;
  readonly firstUpAt: number;
  readonly targets: Readonly<Record<string, LedgerSummary>>;
  readonly latencies: Readonly<Record<string, Percentiles>>;
  /** By path, where no order is demanded: messages that arrived after a later one of their group. */
  readonly overtaken: Readonly<Record<string, number>>;
}

export interface Percentiles {
  readonly count: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
}

const here = import.meta.dir;
const bun = process.execPath;
const stallSecondsDefault = 30;

export async function createRig(options: RigOptions, serverArgs: readonly string[] = ["dev"]): Promise<Rig> {
  const receiver = await startReceiver();
  const { store, services, profile, queue } = options;
  const system = await startSystem({ args: serverArgs, store, queue, services, profile }).catch((error: unknown) => {
    process.kill(receiver.pid, "SIGKILL");
    throw error;
  });
  const generatorUsage: ProcessUsage[] = [];

  const rig: Rig = {
    system,
    receiver,
    options,
    api: (method, path, body) => callApi(system.apiUrl, { method, path, body }),
    generate: (plan) => rig.startGenerator(plan).result,
    startGenerator: (plan) => {
      const url = plan.messageTarget === undefined ? system.apiUrl : system.routerUrl;
      return startGenerator({ ...plan, url }, generatorUsage);
    },
    yardstick: (concurrency, dataBytes) => runYardstick(receiver, { concurrency, dataBytes, short: options.short }),
    drained: (expected, drain = {}) => untilDrained(receiver, expected, drain),
    usage: () => ({
      ...system.usage(),
      ...(system.database === null ? {} : { postgres: system.database.usage() }),
      receiver: processUsage(receiver.pid),
      generator: generatorUsage.at(-1) ?? { cpuSeconds: 0, peakMemoryMb: 0, residentMemoryMb: 0 },
    }),
    storeCounters: () => readCounters(system.metricsUrls),
    close: async () => {
      await system.stop();
      if (options.verbose) console.error(system.output());
      process.kill(receiver.pid, "SIGKILL");
      await system.close();
    },
  };
  return rig;
}

async function callApi(baseUrl: string, call: { method: string; path: string; body: unknown }): Promise<unknown> {
  const response = await fetch(baseUrl + call.path, {
    method: call.method,
    headers: { "content-type": "application/json" },
    ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${call.method} ${call.path}: ${response.status} ${text}`);
  return text === "" ? null : (JSON.parse(text) as unknown);
}

export async function startReceiver(): Promise<Receiver> {
  const child = Bun.spawn([bun, join(here, "receiver.ts")], { stdout: "pipe", stderr: "inherit" });
  const { port, controlPort } = JSON.parse(await firstLine(child.stdout)) as { port: number; controlPort: number };
  const control = `http://127.0.0.1:${controlPort}`;
  return {
    pid: child.pid,
    port,
    url: `http://127.0.0.1:${port}`,
    ledger: async () => (await (await fetch(`${control}/ledger`)).json()) as ReceiverLedger,
    control: async (path) => {
      await (await fetch(control + path, { method: "POST" })).arrayBuffer();
    },
  };
}

/** Runs a load generator to its end. */
export async function runGenerator<Result>(
  file: "generator.ts" | "queue-generator.ts" | "outbox-generator.ts",
  plan: object,
  env: Readonly<Record<string, string>> = {},
): Promise<Result> {
  const command = [bun, join(here, file), JSON.stringify(plan)];
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "inherit", env: { ...process.env, ...env } });
  return JSON.parse(await firstLine(child.stdout)) as Result;
}

function startGenerator(plan: GeneratorPlan, usage: ProcessUsage[]): { result: Promise<GeneratorResult>; pid: number } {
  const child = Bun.spawn([bun, join(here, "generator.ts"), JSON.stringify(plan)], {
    stdout: "pipe",
    stderr: "inherit",
  });
  const sample = setInterval(() => {
    const now = processUsage(child.pid);
    if (now.cpuSeconds > 0) usage[0] = now;
  }, 250);
  const result = firstLine(child.stdout).then(
    (line) => {
      clearInterval(sample);
      return JSON.parse(line) as GeneratorResult;
    },
    (error: unknown) => {
      clearInterval(sample);
      throw error;
    },
  );
  return { result, pid: child.pid };
}

export async function runYardstick(
  receiver: Receiver,
  run: { readonly concurrency: number; readonly dataBytes: number; readonly short: boolean },
): Promise<number> {
  const seconds = run.short ? 1 : 5;
  const args = [`${receiver.url}/yard`, ...[seconds, run.concurrency, run.dataBytes].map(String)];
  const child = Bun.spawn([bun, join(here, "yardstick.ts"), ...args], { stdout: "pipe", stderr: "inherit" });
  return (JSON.parse(await firstLine(child.stdout)) as { perSecond: number }).perSecond;
}

export async function untilDrained(receiver: Receiver, expected: number, drain: DrainOptions): Promise<boolean> {
  const { stallSeconds = stallSecondsDefault, onProgress } = drain;
  let last = -1;
  let movedAt = performance.now();
  for (;;) {
    const { delivered } = await receiver.ledger();
    onProgress?.(delivered);
    if (delivered >= expected) return true;
    if (delivered !== last) {
      last = delivered;
      movedAt = performance.now();
    }
    if (performance.now() - movedAt > stallSeconds * 1000) return false;
    await Bun.sleep(20);
  }
}

/** Sums of the counters whose names end in `_total`, over their labels and the processes. */
async function readCounters(metricsUrls: readonly string[]): Promise<Record<string, number>> {
  const texts = await Promise.all(metricsUrls.map(async (url) => (await fetch(`${url}/metrics`)).text()));
  const sums: Record<string, number> = {};
  for (const line of texts.join("\n").split("\n")) {
    const match = /^(fc_[a-z_]+_total)(?:\{[^}]*\})? ([0-9.e+]+)$/.exec(line);
    if (match?.[1] !== undefined) sums[match[1]] = (sums[match[1]] ?? 0) + Number(match[2]);
  }
  return sums;
}

export async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    const end = text.indexOf("\n");
    if (end >= 0) return text.slice(0, end);
  }
  throw new Error(`the process ended without an answer: ${text}`);
}
