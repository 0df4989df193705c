/**
 * The life of a process, from the command line to its exit code.
 *
 * Configuration is read once; what is wrong with it is printed whole. Then the service is wired and supervised until a
 * signal comes: the first SIGTERM or SIGINT stops it in order (exit code 0, or 1 if something had to be given up), the second
 * ends it at once (exit code 130). What cannot start says so in one line: what, and what to do.
 *
 * Failures: a start that fails stops what already ran and exits 1. A service that dies later is the supervisor's affair.
 */
import {
  CodedError,
  createLogger,
  createMetrics,
  describeConfig,
  describeFault,
  exitCodeFor,
  HealthRegistry,
  supervise,
  systemClock,
  systemRandom,
  type ConfigEntry,
  type LogFormat,
  type Logger,
  type LogLevel,
  type Service,
} from "@flowcatalyst/foundation";
import type { ProcessContext } from "./process-context.ts";
import { loadProcessConfig, requireProcessConfig, type ProcessName } from "./process-config.ts";

export interface ServiceInput {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly flags: Readonly<Record<string, string>>;
  readonly isTerminal: boolean;
  readonly print: (line: string) => void;
  readonly printError: (line: string) => void;
}

/** What a composition root gives back: services in starting order, and what to do when all have stopped. */
export interface Composition {
  readonly services: readonly Service[];
  readonly started: () => void;
  close(): Promise<void>;
}

/** Above the router's drain deadline, so that calls under way can finish. */
const stopMarginMs = 5_000;
const hardStopMarginMs = 10_000;
const exitCodeInterrupted = 130;

/** Runs `flowcatalyst dev` or `flowcatalyst router` until it is told to stop; gives the exit code. */
export async function runService(name: "dev" | "router", input: ServiceInput): Promise<number> {
  try {
    return name === "dev" ? await runDev(input) : await runRouter(input);
  } catch (error) {
    const coded = error instanceof CodedError ? error : null;
    input.printError(
      `flowcatalyst: ${coded?.publicMessage ?? (error instanceof Error ? error.message : String(error))}`,
    );
    return coded === null ? 1 : exitCodeFor(coded.code);
  }
}

async function runDev(input: ServiceInput): Promise<number> {
  const { config } = await requireProcessConfig("dev", sourcesOf(input));
  const context = contextOf(config, input);
  const { composeDev } = await import("./dev.ts");
  return runComposition(await composeDev(config, context), { context, drainMs: config.routerDrainTimeoutSecs * 1000 });
}

async function runRouter(input: ServiceInput): Promise<number> {
  const { config } = await requireProcessConfig("router", sourcesOf(input));
  const context = contextOf(config, input);
  const { composeRouter } = await import("./router.ts");
  return runComposition(await composeRouter(config, context), {
    context,
    drainMs: config.routerDrainTimeoutSecs * 1000,
  });
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
  const logger: Logger = createLogger({ level: config.logLevel, format: config.logFormat });
  return {
    clock,
    random: systemRandom(),
    logger,
    metrics: createMetrics(),
    health: new HealthRegistry(clock),
    print: input.print,
    isTerminal: input.isTerminal,
  };
}

function sourcesOf(input: Pick<ServiceInput, "env" | "flags" | "isTerminal">): {
  env: ServiceInput["env"];
  flags: ServiceInput["flags"];
  facts: { isTerminal: boolean; hostName: string; pid: number };
} {
  const hostName = input.env["HOSTNAME"] ?? "localhost";
  return { env: input.env, flags: input.flags, facts: { isTerminal: input.isTerminal, hostName, pid: process.pid } };
}

/** Every setting of a process, where it comes from, and each fault as a line. */
export async function checkConfig(
  name: ProcessName,
  input: Pick<ServiceInput, "env" | "flags" | "isTerminal">,
): Promise<{ readonly entries: readonly ConfigEntry[]; readonly faults: readonly string[] }> {
  const loaded = await loadProcessConfig(name, sourcesOf(input));
  const faults = loaded.kind === "faulty" ? loaded.faults.map((fault) => describeFault(fault)) : [];
  return { entries: describeConfig(loaded), faults };
}
