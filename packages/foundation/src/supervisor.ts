import { backoffMs, type BackoffPolicy } from "./backoff.ts";
import type { Clock } from "./clock.ts";
import { CodedError, describeError } from "./coded-error.ts";
import { deferred, type Deferred } from "./deferred.ts";
import type { HealthRegistry } from "./health.ts";
import type { Logger } from "./logger.ts";
import { systemRandom, type Random } from "./random.ts";

/**
 * The life of a process.
 *
 * A service is one long-lived thing: a server, a stage's loop, a writer. `run(signal)` does its work; abort means
 * stop, and the promise settling means stopped. All services of a process stand under one supervisor.
 *
 * Start: in the order given. A service that declares `ready` is waited for before the next one starts, so a service
 * may rely on the ones before it. If one ends before it was ready for the first time (a taken port, a damaged file),
 * the start has failed: `started` rejects with its error and those already running are stopped.
 *
 * Running: a service that ends although nobody asked it to, with or without an error, never just vanishes. Its check
 * in the health registry goes DOWN, the death is logged once as an error (further deaths before it has run for
 * `stableAfterMs` are logged for debugging only), and it is started again after a backoff, for ever. Its check goes
 * UP when it is ready again; a service without `ready` must first have run for `stableAfterMs`.
 *
 * Stop, when `signal` aborts: every check goes DOWN, then the services are told to stop one by one in reverse order,
 * each after the one before has settled, so that what a service relies on outlives it. After `softDeadlineMs` the
 * supervisor names the service it waits for in the log and tells all remaining ones at once. After `hardDeadlineMs`,
 * or when `hardSignal` aborts (a second signal from the terminal), it waits no longer and reports who is unfinished;
 * the caller then ends the process. Both deadlines count from the abort.
 *
 *   starting ──ready──▶ up ──dies──▶ waiting ──backoff──▶ starting
 *      │ dies first time  └──abort──▶ stopping ──settles──▶ stopped ◀──abort── waiting
 *      └──▶ start failed
 */
export type Service = {
  /** Unique in the process; also the name of its health check. */
  readonly name: string;
  run(signal: AbortSignal): Promise<void>;
  /** Asked once after each call of `run`; resolves when the service can be used. */
  ready?(): Promise<void>;
};

export type SuperviseOptions = {
  readonly signal: AbortSignal;
  readonly hardSignal?: AbortSignal;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly softDeadlineMs: number;
  readonly hardDeadlineMs: number;
  readonly health?: HealthRegistry;
  readonly random?: Random;
  readonly restart?: BackoffPolicy;
  readonly stableAfterMs?: number;
};

/** `unfinished` names the services that had not settled when the supervisor stopped waiting. */
export type StopReport = { readonly clean: boolean; readonly unfinished: readonly string[] };

export type Supervisor = {
  /** Every service was ready once. Rejects when the start failed; resolves early when stopped during the start. */
  readonly started: Promise<void>;
  /** Everything has stopped, or was given up. Never rejects. */
  readonly stopped: Promise<StopReport>;
};

export const DEFAULT_RESTART: BackoffPolicy = { baseMs: 200, capMs: 30_000, jitter: "equal" };
export const DEFAULT_STABLE_AFTER_MS = 10_000;

export function supervise(services: readonly Service[], options: SuperviseOptions): Supervisor {
  const runners = services.map((service) => new Runner(service, options));
  const stopping = deferred();
  const started = deferred();
  if (options.signal.aborted) stopping.resolve();
  else options.signal.addEventListener("abort", () => stopping.resolve(), { once: true });
  void startAll(runners, { options, started, stopping });
  const stopped = stopping.promise.then(() => stopAll(runners, options));
  return { started: started.promise, stopped };
}

type StartContext = {
  readonly options: SuperviseOptions;
  readonly started: Deferred<void>;
  readonly stopping: Deferred<void>;
};

async function startAll(runners: readonly Runner[], context: StartContext): Promise<void> {
  const { options, started, stopping } = context;
  try {
    for (const runner of runners) {
      if (options.signal.aborted) break;
      await Promise.race([runner.start(), stopping.promise]);
    }
    started.resolve();
  } catch (error) {
    started.reject(error instanceof Error ? error : new CodedError("INTERNAL", { cause: error }));
    stopping.resolve();
  }
}

async function stopAll(runners: readonly Runner[], options: SuperviseOptions): Promise<StopReport> {
  const { clock, logger, hardSignal } = options;
  const reversed = runners.toReversed();
  const giveUp = deferred();
  const unfinished = (): string[] => reversed.filter((runner) => !runner.settled).map((runner) => runner.name);
  const cancelSoft = clock.setTimer(options.softDeadlineMs, () => {
    logger.warn({ services: unfinished() }, "stopping takes long; telling all services at once");
    for (const runner of reversed) runner.tellToStop();
  });
  const cancelHard = clock.setTimer(options.hardDeadlineMs, giveUp.resolve);
  if (hardSignal?.aborted) giveUp.resolve();
  hardSignal?.addEventListener("abort", () => giveUp.resolve(), { once: true });
  for (const runner of reversed) runner.markStopping();
  await Promise.race([inTurn(reversed), giveUp.promise]);
  cancelSoft();
  cancelHard();
  const left = unfinished();
  if (left.length > 0) logger.error({ services: left }, "services did not stop in time");
  return { clean: left.length === 0, unfinished: left };
}

async function inTurn(reversed: readonly Runner[]): Promise<void> {
  for (const runner of reversed) {
    runner.tellToStop();
    await runner.whenSettled;
  }
}

/** One service with its restarts. */
class Runner {
  readonly name: string;
  readonly #service: Service;
  readonly #options: SuperviseOptions;
  readonly #stableAfterMs: number;
  readonly #random: Random;
  readonly #controller = new AbortController();
  readonly #firstReady = deferred();
  #wasReady = false;
  #stopping = false;
  #settled = true;
  #deaths = 0;
  #finished: Promise<void> = Promise.resolve();

  constructor(service: Service, options: SuperviseOptions) {
    this.name = service.name;
    this.#service = service;
    this.#options = options;
    this.#stableAfterMs = options.stableAfterMs ?? DEFAULT_STABLE_AFTER_MS;
    this.#random = options.random ?? systemRandom();
    options.health?.set(this.name, "DOWN", { reason: "not started" });
  }

  get settled(): boolean {
    return this.#settled;
  }

  get whenSettled(): Promise<void> {
    return this.#finished;
  }

  /** Resolves when the service is ready for the first time; rejects when it ends before. */
  start(): Promise<void> {
    if (this.#controller.signal.aborted) return Promise.resolve();
    this.#settled = false;
    this.#finished = this.#live().finally(() => {
      this.#settled = true;
    });
    return this.#firstReady.promise;
  }

  markStopping(): void {
    this.#stopping = true;
    this.#options.health?.set(this.name, "DOWN", { reason: "stopping" });
  }

  tellToStop(): void {
    this.#controller.abort();
  }

  async #live(): Promise<void> {
    const { signal } = this.#controller;
    const { clock, restart } = this.#options;
    while (!signal.aborted) {
      const startedMs = clock.monotonicMs();
      const error = await this.#once();
      if (signal.aborted) return this.#reportStopFault(error);
      if (!this.#wasReady) return this.#firstReady.reject(error ?? endedByItself(this.name));
      if (clock.monotonicMs() - startedMs >= this.#stableAfterMs) this.#deaths = 0;
      this.#reportDeath(error ?? endedByItself(this.name));
      const delayMs = backoffMs(restart ?? DEFAULT_RESTART, this.#deaths++, this.#random);
      await clock.sleep(delayMs, signal);
    }
  }

  /** One life of the service; the value is what it died of, if anything. */
  async #once(): Promise<Error | undefined> {
    const life = new AbortController();
    try {
      const running = this.#service.run(this.#controller.signal);
      // Watched beside `run`; a failing `ready` shows as a service that never becomes ready, and `run` tells why.
      void this.#watchReadiness(life.signal).catch((error: unknown) => {
        this.#options.logger.debug({ service: this.name, error }, "service did not become ready");
      });
      await running;
      return undefined;
    } catch (error) {
      return error instanceof Error ? error : new CodedError("INTERNAL", { cause: error });
    } finally {
      life.abort();
    }
  }

  async #watchReadiness(life: AbortSignal): Promise<void> {
    if (this.#service.ready !== undefined) await this.#service.ready();
    else if (this.#deaths > 0) await this.#options.clock.sleep(this.#stableAfterMs, life);
    // A turn of the event loop, so that a `run` which failed at once is seen as dead before it is called ready.
    await new Promise((resolve) => setImmediate(resolve));
    if (life.aborted || this.#stopping) return;
    this.#wasReady = true;
    this.#options.health?.set(this.name, "UP");
    if (this.#deaths > 0) this.#options.logger.info({ service: this.name }, "service runs again");
    this.#firstReady.resolve();
  }

  #reportDeath(error: Error): void {
    const { logger, health } = this.#options;
    if (!this.#stopping) health?.set(this.name, "DOWN", { reason: describeError(error) });
    const fields = { service: this.name, deaths: this.#deaths + 1, error };
    if (this.#deaths === 0) logger.error(fields, "service died and will be restarted");
    else logger.debug(fields, "service died again");
  }

  #reportStopFault(error: Error | undefined): void {
    if (error === undefined || error.name === "AbortError") return;
    this.#options.logger.warn({ service: this.name, error }, "service failed while stopping");
  }
}

function endedByItself(name: string): CodedError {
  return new CodedError("INTERNAL", { message: `The service ${name} ended although nobody stopped it.` });
}
