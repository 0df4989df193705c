/**
 * The life of a process, from the command line to its exit code.
 *
 * Configuration is read once; what is wrong with it is printed whole. Then the service is wired and supervised until a
 * signal comes: the first SIGTERM or SIGINT stops it in order (exit code 0, or 1 if something had to be given up), the
 * second ends it at once (exit code 130). What cannot start says so in one line: what, and what to do.
 *
 * Failures: a start that fails stops what already ran and exits 1. A service that dies later is the supervisor's
 * affair.
 */
import {
  CodedError,
  createLogger,
  createMetrics,
  describeConfig,
  describeFault,
  errorCodes,
  exitCodes,
  HealthRegistry,
  supervise,
  systemClock,
  systemRandom,
  type ConfigEntry,
  type ConfigFacts,
  type ConfigFault,
  type LogFormat,
  type Logger,
  type LogLevel,
} from "@flowcatalyst/foundation";
import { hostname } from "node:os";
import { maxSimultaneousRequests } from "../net/index.ts";
import { notBuiltForDev, notBuiltForRouter, refuse } from "./not-built.ts";
import type { Announce, Composition, ProcessContext } from "./process-context.ts";
import { loadProcessConfig, requireProcessConfig, type ProcessName } from "./process-config.ts";

export interface ServiceInput {
  readonly version: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly flags: Readonly<Record<string, string>>;
  readonly isTerminal: boolean;
  /** What the service announces, as one JSON document a line instead of text. */
  readonly json: boolean;
  readonly print: (line: string) => void;
  readonly printError: (line: string) => void;
}

/** Above the router's drain deadline, so that calls under way can finish. */
const stopMarginMs = 5_000;
const hardStopMarginMs = 10_000;
const exitCodeInterrupted = 130;
const msPerSecond = 1_000;
/** A pid comes back after a restart; a number beside it keeps the new process apart from the old one. */
const holderNumbers = 1_000_000;

/** Runs `flowcatalyst dev` or `flowcatalyst router` until it is told to stop; gives the exit code. */
export async function runService(name: "dev" | "router", input: ServiceInput): Promise<number> {
  try {
    return name === "dev" ? await runDev(input) : await runRouter(input);
  } catch (error) {
    input.printError(`flowcatalyst: ${whyItEnded(error)}`);
    return exitCodes.failed;
  }
}

/** What happened, and what to do about it. */
function whyItEnded(error: unknown): string {
  if (!(error instanceof CodedError)) return error instanceof Error ? (error.stack ?? error.message) : String(error);
  const said = error.publicMessage;
  const { advice } = errorCodes[error.code];
  if (said.includes(advice)) return said;
  if (said.includes("\n")) return `${said}\n${advice}`;
  return `${said}${/[.?!]$/.test(said) ? "" : "."} ${advice}`;
}

async function runDev(input: ServiceInput): Promise<number> {
  const { config, entries } = await requireProcessConfig("dev", sourcesOf(input));
  refuse(notBuiltForDev(config, entries));
  const context = contextOf(config, input);
  const { composeDev } = await import("./dev.ts");
  return runComposition(await composeDev(config, context), { context, drainMs: drainMsOf(config) });
}

async function runRouter(input: ServiceInput): Promise<number> {
  const { config, entries } = await requireProcessConfig("router", sourcesOf(input));
  refuse(notBuiltForRouter(config, entries));
  const context = contextOf(config, input);
  const { composeRouter } = await import("./router.ts");
  return runComposition(await composeRouter(config, context), { context, drainMs: drainMsOf(config) });
}

function drainMsOf(config: { readonly routerDrainTimeoutSecs: number }): number {
  return config.routerDrainTimeoutSecs * msPerSecond;
}

async function runComposition(
  composition: Composition,
  run: { context: ProcessContext; drainMs: number },
): Promise<number> {
  const { logger, clock, health, random } = run.context;
  const soft = new AbortController();
  const hard = new AbortController();
  const release = onSignals(soft, hard);
  const supervisor = supervise(composition.services, {
    signal: soft.signal,
    hardSignal: hard.signal,
    logger,
    clock,
    health,
    random,
    softDeadlineMs: run.drainMs + stopMarginMs,
    hardDeadlineMs: run.drainMs + hardStopMarginMs,
  });
  try {
    await supervisor.started;
    if (!soft.signal.aborted) composition.started();
    compileAsUsual();
    const report = await supervisor.stopped;
    if (hard.signal.aborted) return exitCodeInterrupted;
    return report.clean ? 0 : 1;
  } catch (error) {
    await supervisor.stopped;
    throw error;
  } finally {
    release();
    if (!hard.signal.aborted) await composition.close();
  }
}

/** An executable starts with compilation to machine code held back (scripts/build-compile.ts); from now on it pays. */
function compileAsUsual(): void {
  if (Bun.isStandaloneExecutable) Bun.unsafe.setJITPolicy(1);
}

/** The first signal asks, the second insists. */
function onSignals(soft: AbortController, hard: AbortController): () => void {
  const handle = (): void => {
    if (soft.signal.aborted) hard.abort();
    else soft.abort();
  };
  const names = ["SIGTERM", "SIGINT", "SIGHUP"] as const;
  for (const name of names) process.on(name, handle);
  return () => {
    for (const name of names) process.off(name, handle);
  };
}

function contextOf(config: { logLevel: LogLevel; logFormat: LogFormat }, input: ServiceInput): ProcessContext {
  const clock = systemClock();
  const random = systemRandom();
  const logger: Logger = createLogger({ level: config.logLevel, format: config.logFormat });
  return {
    version: input.version,
    holder: `${hostname()}:${process.pid}:${Math.floor(random.next() * holderNumbers)}`,
    clock,
    random,
    logger,
    metrics: createMetrics(),
    health: new HealthRegistry(clock),
    maxSimultaneousRequests: maxSimultaneousRequests(input.env),
    announce: announceOf(input),
  };
}

function announceOf({ json, print }: Pick<ServiceInput, "json" | "print">): Announce {
  return (document, lines) => {
    if (json) print(JSON.stringify(document));
    else for (const line of lines()) print(line);
  };
}

function sourcesOf(input: Pick<ServiceInput, "env" | "flags" | "isTerminal">): ConfigSources {
  const facts = { isTerminal: input.isTerminal, hostName: hostname(), pid: process.pid };
  return { env: input.env, flags: input.flags, facts };
}

interface ConfigSources {
  readonly env: ServiceInput["env"];
  readonly flags: ServiceInput["flags"];
  readonly facts: ConfigFacts;
}

/** Every setting of a process, where it comes from, and each fault as a line. */
export async function checkConfig(
  name: ProcessName,
  input: Pick<ServiceInput, "env" | "flags" | "isTerminal">,
): Promise<{ readonly entries: readonly ConfigEntry[]; readonly faults: readonly string[] }> {
  const loaded = await loadProcessConfig(name, sourcesOf(input));
  const entries = describeConfig(loaded);
  const faults = loaded.kind === "faulty" ? loaded.faults : await notBuilt(name, input);
  return { entries, faults: faults.map((fault) => describeFault(fault)) };
}

/** What a start would refuse of a valid configuration. */
async function notBuilt(
  name: ProcessName,
  input: Pick<ServiceInput, "env" | "flags" | "isTerminal">,
): Promise<readonly ConfigFault[]> {
  if (name === "dev") {
    const { config, entries } = await requireProcessConfig(name, sourcesOf(input));
    return notBuiltForDev(config, entries);
  }
  if (name === "router") {
    const { config, entries } = await requireProcessConfig(name, sourcesOf(input));
    return notBuiltForRouter(config, entries);
  }
  return [];
}
