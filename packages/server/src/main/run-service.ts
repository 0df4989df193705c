/**
 * The life of a process, from the command line to its exit code.
 *
 * Configuration is read once; what is wrong with it is printed whole. Then the service is wired and supervised until a
 * signal comes: the first SIGTERM or SIGINT stops it in order (exit code 0, or 1 if something had to be given up), the
 * second ends it at once (exit code 130). A SIGTERM within a quarter of a second of the first is its echo: systemd and
 * `timeout` signal a whole group of processes, and the launcher passes on what it got as well. What cannot start says
 * so in one line: what, and what to do.
 *
 * Failures: a start that fails stops what already ran and exits 1. A service that dies later is the supervisor's
 * affair.
 */
import {
  createLogger,
  createMetrics,
  describeConfig,
  describeFault,
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
import { aborted } from "./http-service.ts";
import { notBuilt, refuse } from "./not-built.ts";
import { createSteeredClock } from "./steered-clock.ts";
import { whyItEnded } from "./why-it-ended.ts";
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
/** After all services have stopped. */
const closeWithinMs = 5_000;
const exitCodeInterrupted = 130;
const msPerSecond = 1_000;
/** The launcher passes a signal on within a few ms; somebody who insists is rarely as fast. */
const echoMs = 250;
/** A pid comes back after a restart; a number beside it keeps the new process apart from the old one. */
const holderNumbers = 1_000_000;

/** Processes that go on until they are told to stop. */
export const serviceNames = ["platform", "stream", "scheduler", "router", "outbox", "dev"] as const;
export type ServiceName = (typeof serviceNames)[number];

/** Runs a service until it is told to stop; gives the exit code. */
export async function runService(name: ServiceName, input: ServiceInput): Promise<number> {
  try {
    return await run(name, input);
  } catch (error) {
    input.printError(`flowcatalyst: ${whyItEnded(error)}`);
    return exitCodes.failed;
  }
}

/** The composition root is loaded only when it is the one that is started. */
async function run(name: ServiceName, input: ServiceInput): Promise<number> {
  const sources = sourcesOf(input);
  switch (name) {
    case "platform":
      return start(await requireProcessConfig(name, sources), input, async (config, context) =>
        (await import("./platform.ts")).composePlatform(config, context),
      );
    case "stream":
      return start(await requireProcessConfig(name, sources), input, async (config, context) =>
        (await import("./stream.ts")).composeStream(config, context),
      );
    case "scheduler":
      return start(await requireProcessConfig(name, sources), input, async (config, context) =>
        (await import("./scheduler.ts")).composeScheduler(config, context),
      );
    case "router":
      return start(await requireProcessConfig(name, sources), input, async (config, context) =>
        (await import("./router.ts")).composeRouter(config, context),
      );
    case "outbox":
      return start(await requireProcessConfig(name, sources), input, async (config, context) =>
        (await import("./outbox.ts")).composeOutbox(config, context),
      );
    case "dev":
      return start(await requireProcessConfig(name, sources), input, async (config, context) =>
        (await import("./dev.ts")).composeDev(config, context),
      );
  }
}

/** What of its configuration the life of any process depends on. */
interface LifeConfig {
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
  readonly databaseUrl?: string | undefined;
  /** Of processes that deliver: calls under way may finish. */
  readonly routerDrainTimeoutSecs?: number;
}

async function start<Config extends LifeConfig>(
  { config, entries }: { readonly config: Config; readonly entries: readonly ConfigEntry[] },
  input: ServiceInput,
  compose: (config: Config, context: ProcessContext) => Promise<Composition>,
): Promise<number> {
  refuse(notBuilt(config, entries));
  const soft = new AbortController();
  const hard = new AbortController();
  const release = onSignals(soft, hard);
  try {
    const context = contextOf(config, input, soft.signal);
    const composition = await composed(compose(config, context), { soft: soft.signal, hard: hard.signal });
    if (composition === null) return hard.signal.aborted ? exitCodeInterrupted : exitCodes.ok;
    const drainMs = (config.routerDrainTimeoutSecs ?? 0) * msPerSecond;
    return await runComposition(composition, { context, drainMs, soft: soft.signal, hard: hard.signal });
  } finally {
    release();
  }
}

interface Told {
  /** Stop in order. */
  readonly soft: AbortSignal;
  /** Stop at once. */
  readonly hard: AbortSignal;
}

/** Null: told to stop before everything was wired, for instance while the database is waited for. */
async function composed(composing: Promise<Composition>, { soft, hard }: Told): Promise<Composition | null> {
  try {
    return await Promise.race([composing, aborted(hard).then(() => null)]);
  } catch (error) {
    if (soft.aborted) return null;
    throw error;
  }
}

async function runComposition(
  composition: Composition,
  run: Told & { readonly context: ProcessContext; readonly drainMs: number },
): Promise<number> {
  const { soft, hard } = run;
  const { logger, clock, health, random } = run.context;
  const supervisor = supervise(composition.services, {
    signal: soft,
    hardSignal: hard,
    logger,
    clock,
    health,
    random,
    softDeadlineMs: run.drainMs + stopMarginMs,
    hardDeadlineMs: run.drainMs + hardStopMarginMs,
  });
  try {
    await supervisor.started;
    if (!soft.aborted) composition.started();
    compileAsUsual();
    const report = await supervisor.stopped;
    if (hard.aborted) return exitCodeInterrupted;
    return report.clean ? 0 : 1;
  } catch (error) {
    await supervisor.stopped;
    throw error;
  } finally {
    if (!hard.aborted) await closeSoon(composition, run.context);
  }
}

/** A database that hangs is not waited for: nothing is open there that it would not undo by itself. */
async function closeSoon(composition: Composition, { clock, logger }: ProcessContext): Promise<void> {
  const late = new AbortController();
  const cancel = clock.setTimer(closeWithinMs, () => late.abort());
  await Promise.race([composition.close(), aborted(late.signal)]);
  cancel();
  if (late.signal.aborted) logger.warn({ waitedMs: closeWithinMs }, "The database or the queue could not be closed");
}

/** An executable starts with compilation to machine code held back (scripts/build-compile.ts); from now on it pays. */
function compileAsUsual(): void {
  if (Bun.isStandaloneExecutable) Bun.unsafe.setJITPolicy(1);
}

/** The first signal asks, the second insists, if it is not the echo of the first. */
function onSignals(soft: AbortController, hard: AbortController): () => void {
  const clock = systemClock();
  let toldMs: number | null = null;
  const handle = (name: string): void => {
    if (soft.signal.aborted) {
      const isEcho = name === "SIGTERM" && toldMs !== null && clock.monotonicMs() - toldMs < echoMs;
      if (!isEcho) hard.abort();
      return;
    }
    toldMs = name === "SIGTERM" ? clock.monotonicMs() : null;
    soft.abort();
  };
  const names = ["SIGTERM", "SIGINT", "SIGHUP"] as const;
  for (const name of names) process.on(name, handle);
  return () => {
    for (const name of names) process.off(name, handle);
  };
}

function contextOf(config: LifeConfig, input: ServiceInput, stopping: AbortSignal): ProcessContext {
  const clock = createSteeredClock(systemClock());
  const random = systemRandom();
  const logger: Logger = createLogger({ level: config.logLevel, format: config.logFormat });
  return {
    version: input.version,
    env: input.env,
    stopping,
    holder: `${hostname()}:${process.pid}:${Math.floor(random.next() * holderNumbers)}`,
    clock,
    steerClock: (nowMs) => clock.steer(nowMs),
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
  const faults = loaded.kind === "faulty" ? loaded.faults : await laterFaults(loaded, input.env);
  return { entries, faults: faults.map((fault) => describeFault(fault)) };
}

/** What a start would refuse although each setting is valid. */
async function laterFaults(
  { config, entries }: { readonly config: object; readonly entries: readonly ConfigEntry[] },
  env: ServiceInput["env"],
): Promise<readonly ConfigFault[]> {
  const faults = notBuilt(config, entries);
  if (!("routerPoolsPath" in config) || typeof config.routerPoolsPath !== "string") return faults;
  const { readPoolsFile } = await import("./configured/pools-file.ts");
  const read = await readPoolsFile(config.routerPoolsPath, env);
  return read.kind === "faulty" ? [...faults, ...read.faults] : faults;
}
