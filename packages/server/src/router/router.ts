/**
 * The router: takes messages from queues and makes of each the HTTP calls it stands for.
 *
 * One message, start to end:
 *
 * ```
 *  queue ─▶ intake ─▶ admission ─▶ pool ─▶ courier ─▶ mediators/http ─▶ target
 *             ▲          │ copies,    │ lines, slots,   │ keys, outcome,
 *             │          │ references │ rate, fairness  │ breaker
 *             │          ▼            ▼                 ▼
 *             └──── queue-link ◀── settlement ◀──▶ recorder ◀──▶ attempt sink
 *                  ack, nack, extend   verdicts      batches
 * ```
 *
 * Entities (in-flight): a message carries deliveries; deliveries stand in lines, one line a message group; a line
 * belongs to a pool. Limits: a pool's buffer, 64 MiB of payloads over all (pipeline), the pools' slots within the
 * process limit.
 *
 * Guarantees, and where they are kept:
 * - A message is acked only after what came of each of its deliveries is recorded (settlement, recorder). A crash at
 *   any point brings it back.
 * - Within a line one delivery is under way at a time, and the next starts only after the one before was answered 2xx
 *   or is recorded as final (pool, settlement). So a target sees a group in order, whatever the queue does.
 * - A slow, failing or limiting target does not hold up the others (target-share, circuit-breaker).
 * - Nothing is kept per idle group, target or pool but a bounded table; one timer serves all waits (agenda), one sweep
 *   keeps messages alive.
 *
 * States of the router: starting (until the settings were read once), running, stopping, stopped. With a standby lease
 * a running one is active or passive. Passive, it receives and starts nothing; what it had not started when it ceased
 * to be active was given back as at a stop, calls under way finished and were recorded, and it goes on when it is
 * active again.
 *
 * Failures. The queue is out of reach: the intake tries again, what is in the pipeline goes on, acks gather. The sink
 * is out of reach: results keep their place, no call starts after 2 s, nothing is acked; all goes on when it is back.
 * The settings are out of reach: the last known stay in force for a minute, then no call starts. The lease is in doubt:
 * passive at once. A receipt is refused: what has not started of its message is dropped. Stop: nothing more is
 * received, calls under way finish (30 s), the rest is released, results and acks are flushed. A fault nobody foresaw
 * ends `run`; run again, it goes on with what is in the pipeline.
 */
import { createWakeUp, type Clock, type Logger, type Metrics, type Random } from "@flowcatalyst/foundation";
import { poolLimits } from "../domain/dispatch-pool.ts";
import type { AttemptSink } from "../ports/attempt-sink.ts";
import type { ControlState, DeliveryControl } from "../ports/delivery-control.ts";
import type { DeliveryCheck, DeliveryReader } from "../ports/delivery-reader.ts";
import type { QueueConsumer } from "../ports/queue.ts";
import type { Standby } from "../ports/standby-lease.ts";
import type { AddressGuard, Transport } from "../ports/transport.ts";
import { Admission } from "./admission.ts";
import { Agenda } from "./agenda.ts";
import { CircuitBreakers } from "./circuit-breakers.ts";
import { ControlView } from "./control-view.ts";
import { Courier } from "./courier.ts";
import { createIntake, type Intake } from "./intake.ts";
import type { InFlightMessage, Line } from "./in-flight.ts";
import { HttpMediator } from "./mediators/http.ts";
import { createMonitoring, type RouterMonitoring } from "./monitoring.ts";
import { Pipeline } from "./pipeline.ts";
import type { PoolHandler } from "./pool.ts";
import { PoolRegistry } from "./pool-registry.ts";
import { QueueLink, type QueueLinkListener } from "./queue-link.ts";
import { Recorder } from "./recorder.ts";
import { createRouterMetrics } from "./router-metrics.ts";
import { RouterQueues } from "./router-queues.ts";
import { Settlement } from "./settlement.ts";
import { SigningKeys } from "./signing-keys.ts";
import type { Warnings } from "./warnings.ts";

export interface RouterDeps {
  readonly queues: readonly QueueConsumer[];
  /** Null: queues carry deliveries, not references. */
  readonly deliveries: DeliveryReader | null;
  /** For queues that carry deliveries. Null or absent: they are believed, however old. */
  readonly check?: DeliveryCheck | null;
  readonly control: DeliveryControl;
  /** Null: stand-alone messages only. */
  readonly sink: AttemptSink | null;
  readonly transport: Transport;
  readonly guard: AddressGuard;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly warnings: Warnings;
  /** Null or absent: this router is active whatever others are. */
  readonly standby?: Standby | null;
}

export interface RouterConfig {
  /** `FlowCatalyst/<version>` */
  readonly userAgent: string;
  /** How long calls under way may take to finish when the router is stopped. */
  readonly drainMs: number;
  /** How long results gather between two batches while they keep coming; 0: not at all. */
  readonly gatherMs: number;
  /** Calls at once of this process; the pools' concurrency together stays within it. */
  readonly maxInFlight: number;
  /** Calls at once of the default pool, unless the settings have a pool of that code. */
  readonly defaultPoolConcurrency: number;
}

export const routerDefaults = {
  drainMs: 30_000,
  gatherMs: 5,
  maxInFlight: 4_096,
  defaultPoolConcurrency: poolLimits.defaultPoolConcurrency,
} as const;

/** After the time for calls is over: to record and ack what is there. */
const FLUSH_MS = 5_000;
/** How often breakers and pools that nobody uses any more are looked for. */
const SWEEP_MS = 10_000;

export interface Router {
  run(signal: AbortSignal): Promise<void>;
  /** Resolves when the settings were read and the queues are being received from. */
  ready(): Promise<void>;
  /** Reads the settings again, now; answers their revision. */
  reload(): Promise<number | null>;
  /** Receives from it as soon as the router runs. CONFIG_INVALID: there is one of that name, or it is still leaving. */
  addQueue(consumer: QueueConsumer): void;
  /**
   * Receives no more from it, at once; what has not started goes back, calls under way end and are acked. Resolves when
   * nothing of it is held, or the time for calls and flushing is over; then it is forgotten. Closing the queue itself,
   * afterwards, is the affair of whoever opened it.
   */
  removeQueue(name: string): Promise<void>;
  readonly monitoring: RouterMonitoring;
}

/** `run` throws CONFIG_INVALID when the pools together exceed `maxInFlight` at the start. */
export function createRouter(deps: RouterDeps, config: RouterConfig): Router {
  return new RunningRouter(deps, config);
}

class RunningRouter implements Router {
  readonly monitoring: RouterMonitoring;
  readonly #deps: RouterDeps;
  readonly #config: RouterConfig;
  readonly #agenda: Agenda;
  readonly #breakers: CircuitBreakers;
  readonly #control: ControlView;
  readonly #pipeline: Pipeline;
  readonly #recorder: Recorder | null;
  readonly #settlement: Settlement;
  readonly #courier: Courier;
  readonly #pools: PoolRegistry;
  readonly #queues: RouterQueues;
  /** Ends the calls under way. */
  readonly #callsEnd = new AbortController();
  readonly #settled: ReturnType<typeof createWakeUp>;
  readonly #ready = Promise.withResolvers<void>();
  #isReceiving = false;
  #hasOpened = false;

  constructor(deps: RouterDeps, config: RouterConfig) {
    this.#deps = deps;
    this.#config = config;
    const { clock, random, warnings, sink, transport, guard, control } = deps;
    this.#settled = createWakeUp(clock);
    this.#agenda = new Agenda(clock);
    this.#breakers = new CircuitBreakers(clock, this.#agenda);
    this.#pipeline = new Pipeline({
      emptied: () => this.#settled.wake(),
      hasRoomAgain: () => this.#queues.wake(),
    });
    this.#recorder = sink === null ? null : this.#createRecorder(sink);
    this.#settlement = new Settlement({ clock, random, pipeline: this.#pipeline, recorder: () => this.#recorder });
    const keys = new SigningKeys(control, clock);
    this.#control = new ControlView({
      control,
      clock,
      random,
      warnings,
      changed: (state) => {
        keys.forget();
        this.#pools.apply(state.pools);
      },
      freshAgain: () => this.#goOn(),
    });
    this.#courier = new Courier({
      clock,
      control: this.#control,
      keys,
      mediator: new HttpMediator({ guard, transport }, { userAgent: config.userAgent }),
      settlement: this.#settlement,
      warnings,
      abort: this.#callsEnd.signal,
    });
    const metrics = createRouterMetrics(deps.metrics);
    const pool = { clock, agenda: this.#agenda, breakers: this.#breakers, handler: this.#poolHandler() };
    this.#pools = new PoolRegistry({ pool, metrics, warnings }, config);
    this.#queues = this.#createQueues();
    this.monitoring = createMonitoring({
      clock,
      warnings,
      pipeline: this.#pipeline,
      pools: this.#pools,
      breakers: this.#breakers,
      intakes: () => this.#queues.intakes(),
      isReady: () => this.#isReady(),
      standby: deps.standby ?? null,
    });
    metrics.watch(() => this.monitoring.gauges());
  }

  ready(): Promise<void> {
    return this.#ready.promise;
  }

  reload(): Promise<number | null> {
    return this.#control.reload(this.#callsEnd.signal);
  }

  addQueue(consumer: QueueConsumer): void {
    this.#queues.add(consumer);
  }

  removeQueue(name: string): Promise<void> {
    return this.#queues.remove(name);
  }

  /** Received from, and recorded: what stands still for a fault is not ready. */
  #isReady(): boolean {
    const isRecording = this.#recorder === null || (!this.#recorder.isFailing && this.#control.isFresh);
    return this.#isReceiving && isRecording && [...this.#queues.intakes()].every(({ error }) => error === null);
  }

  /** What must hold whenever a message comes in or a call starts; each part is asked of the clock, now. */
  #mayWork(): boolean {
    const isRecording = this.#recorder === null || (this.#recorder.isTaking && this.#control.isFresh);
    return isRecording && this.#isActive();
  }

  #isActive(): boolean {
    return this.#deps.standby?.isActive() ?? true;
  }

  /** What kept calls from starting is over. */
  #goOn(): void {
    for (const pool of this.#pools.all()) pool.pump();
    this.#queues.wake();
  }

  async run(signal: AbortSignal): Promise<void> {
    const first = await this.#control.first(signal);
    if (first === null) return;
    this.#openPools(first);
    const unsubscribe = this.#deps.standby?.onChange(() => this.#standbyChanged());
    this.#standbyChanged();
    this.#isReceiving = true;
    this.#ready.resolve();
    const background = new AbortController();
    const fault = new AbortController();
    const receiving = AbortSignal.any([signal, fault.signal]);
    const queues = this.#queues.receive(receiving, background.signal);
    const keepers = [this.#control.follow(background.signal), this.#sweep(background.signal)];
    try {
      // Before they are told to, keepers end by a fault alone.
      await Promise.race([queues, ...keepers]);
      this.#isReceiving = false;
      // From here on everything is given back, whoever is active.
      unsubscribe?.();
      await this.#drain();
      this.#agenda.clear();
    } finally {
      // After a fault nothing of this life may go on beside the next; what is in the pipeline stays for that.
      this.#isReceiving = false;
      unsubscribe?.();
      fault.abort();
      background.abort();
      await Promise.allSettled([queues, ...keepers]);
      await this.#queues.kept();
    }
  }

  /** Only the first start is refused for its pools: a router that ran must not die of a setting. */
  #openPools({ pools }: ControlState): void {
    if (this.#hasOpened) this.#pools.apply(pools);
    else this.#pools.open(pools);
    this.#hasOpened = true;
  }

  /** Nothing more comes in; what is here is finished, released and flushed. */
  async #drain(): Promise<void> {
    const { clock, logger } = this.#deps;
    this.#settlement.isReleasing = true;
    this.#releaseIdle();
    const calling = this.monitoring.activeCalls();
    if (calling > 0) logger.info({ calls: calling }, "waiting for calls under way to finish");
    await this.#untilEmpty(clock.monotonicMs() + this.#config.drainMs);
    if (!this.#isEmpty()) this.#callsEnd.abort();
    await this.#untilEmpty(clock.monotonicMs() + FLUSH_MS);
    this.#callsEnd.abort();
    this.#recorder?.abandon();
    this.#queues.abandon();
    if (!this.#isEmpty())
      logger.warn({ left: this.#pipeline.size }, "stopped with unsettled messages; they will be redelivered");
  }

  /**
   * Active or not any more. What is under way ends by itself; nothing else of it stays here while another one works.
   */
  #standbyChanged(): void {
    const { standby, warnings } = this.#deps;
    if (standby === null || standby === undefined) return;
    const { error, instanceId } = standby.state();
    const source = instanceId ?? "standby";
    if (error !== null) {
      const message = `whether this router is the active one cannot be told: ${error}`;
      warnings.add({ category: "STANDBY", severity: "ERROR", message, source });
    }
    const wasActive = !this.#settlement.isReleasing;
    this.#settlement.isReleasing = !this.#isActive();
    if (!this.#settlement.isReleasing) this.#goOn();
    else if (wasActive) {
      const message = "this router is not the active one any more";
      if (this.#isReceiving) warnings.add({ category: "STANDBY", severity: "WARN", message, source });
      this.#releaseIdle();
    }
  }

  /** Gives back all of which nothing is under way; of one queue, if it is named. */
  #releaseIdle(link: QueueLink | null = null): void {
    const lines = new Set<Line>();
    for (const { line } of this.#pipeline.all()) {
      const isIdle = line !== null && (line.state === "ready" || line.state === "waiting");
      if (isIdle && (link === null || line.head?.message.queue === link)) lines.add(line);
    }
    for (const line of lines) this.#settlement.release(line, 0);
    for (const intake of this.#queues.intakes()) if (link === null || intake.link === link) intake.giveBack();
  }

  async #untilEmpty(deadlineMs: number): Promise<void> {
    const { clock } = this.#deps;
    while (!this.#isEmpty() && clock.monotonicMs() < deadlineMs) {
      await this.#settled.wait(deadlineMs - clock.monotonicMs());
    }
  }

  #isEmpty(): boolean {
    return this.#pipeline.size === 0 && this.#queues.isEmpty;
  }

  /** Forgets what is idle. */
  async #sweep(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#deps.clock.sleep(SWEEP_MS, signal);
      if (signal.aborted) return;
      this.#breakers.dropIdle();
      this.#pools.dropDrained();
    }
  }

  #poolHandler(): PoolHandler {
    return {
      mayStart: () => !this.#settlement.isReleasing && this.#mayWork(),
      isWanted: (delivery) => this.#courier.isWanted(delivery),
      call: (delivery) => this.#courier.call(delivery),
      holdForTarget: (delivery, untilMs) => {
        const { clock } = this.#deps;
        // Monotonic times have fractions; those on the wall clock, which are stored, have none.
        const wallMs = Math.ceil(clock.now() + (untilMs - clock.monotonicMs()));
        this.#settlement.conclude(delivery, null, { kind: "held", untilMs: wallMs, error: "the target is left alone" });
      },
      release: (line, delayMs) => this.#settlement.release(line, delayMs),
      mayGiveBack: (line) => this.#settlement.mayGiveBack(line),
      wantsMore: (pool) => this.#queues.wake(pool),
    };
  }

  #createRecorder(sink: AttemptSink): Recorder {
    const { clock, random, warnings } = this.#deps;
    return new Recorder(
      {
        sink,
        clock,
        random,
        warnings,
        recorded: (delivery, report, verdict) => this.#settlement.recorded(delivery, report, verdict),
        batchDone: () => this.#settlement.pumpTouched(),
        recovered: () => this.#goOn(),
      },
      this.#config,
    );
  }

  #createQueues(): RouterQueues {
    const { clock, random, warnings, queues } = this.#deps;
    const lost = (messages: ReadonlySet<InFlightMessage>): void => this.#settlement.lost(messages);
    const deps = {
      clock,
      createLink: (consumer: QueueConsumer, told: Pick<QueueLinkListener, "settled">) =>
        new QueueLink({ consumer, clock, random, warnings, ...told, lost }),
      createIntake: (link: QueueLink) => this.#createIntake(link),
      releaseIdle: (link: QueueLink) => this.#releaseIdle(link),
      forsake: (link: QueueLink) => lost(new Set(link.messages.values())),
      settled: () => {
        if (this.#settlement.isReleasing) this.#settled.wake();
      },
      leaveMs: this.#config.drainMs + FLUSH_MS,
    };
    return new RouterQueues(deps, queues);
  }

  #createIntake(link: QueueLink): Intake {
    const { clock, random, warnings, deliveries, check, sink } = this.#deps;
    const admission = new Admission({
      clock,
      pipeline: this.#pipeline,
      pools: this.#pools,
      settlement: this.#settlement,
      warnings,
      deliveries,
      check: check ?? null,
      takesJobs: sink !== null,
    });
    return createIntake({
      link,
      admission,
      pools: this.#pools,
      pipeline: this.#pipeline,
      clock,
      random,
      warnings,
      mayReceive: () => this.#mayWork(),
      mayKeep: () => this.#isActive(),
      admitted: () => {
        // It may have taken long, and somebody else may be the active one by now.
        if (!this.#isActive()) this.#releaseIdle();
      },
    });
  }
}
