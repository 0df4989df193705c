import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { machineCpuSeconds, processUsage, type ProcessUsage } from "../harness/process-usage.ts";
import {
  freePorts,
  removeDataDir,
  startServer,
  temporaryDataDir,
  type ServerOptions,
  type ServerProcess,
} from "../harness/server-process.ts";
import { queueNames, startBenchBroker, type BenchBroker } from "./bench-broker.ts";
import type { GeneratorResult } from "./generator.ts";
import type { QueueGeneratorResult } from "./queue-generator.ts";
import { boundOf, perThousand, receiverBound, type PhaseReport } from "./report.ts";
import { runGenerator, runYardstick, startReceiver, untilDrained, type Receiver, type ReceiverLedger } from "./rig.ts";
import { judge, sum, type Scenario, type ScenarioOptions } from "./scenarios.ts";

/**
 * Router alone: stand-alone messages from a queue to HTTP, no platform. Broker, router, generator and receiver are
 * processes of their own; the generator publishes to the broker itself.
 *
 * Two phases, each with its own ledger, because they answer different questions:
 *
 * - `backlog`: everything is published before the router starts; the figure is deliveries a second from the first to
 *   the last. It says how fast a router empties a broker that nobody else uses.
 * - `live`: published as fast as the broker takes it while the router delivers; the figure is deliveries divided by
 *   the whole time from the first publish to the last delivery. Generator and broker take their share of the machine.
 *
 * On SQLite the file belongs to one process at a time: the backlog is written before the router opens it, and what is
 * published live goes through the router's HTTP API, so the router works for the generator as well.
 */
export const router: Scenario = async (options) => {
  const kind = queueNames[options.queue];
  if (kind === undefined) throw new Error(`there is no ${options.queue} queue`);
  const bench = await openRouterBench(kind, options);
  try {
    const { receiver, broker } = bench;
    const yardstick = await runYardstick(receiver, { concurrency, dataBytes: bench.dataBytes, short: options.short });
    const before = bench.usage();
    const backlog = await drainBacklog(bench);
    const live = await deliverLive(bench);
    const delivered = backlog.ledger.delivered + live.ledger.delivered;
    const notes = [...notesOf("backlog", backlog), ...notesOf("live", live)];
    const valid = notes.length === 0;
    const ratios = valid && yardstick >= receiverBound;
    return {
      scenario: `router --queue ${options.queue}`,
      valid,
      notes: [...notes, ...(yardstick < receiverBound ? [`RECEIVER-BOUND: yardstick ${yardstick}/s`] : [])],
      figures: {
        "backlog: delivered/s": Math.round(backlog.perSecond),
        "backlog: published/s": Math.round(backlog.accepted / backlog.publishSeconds),
        "backlog: messages": backlog.accepted,
        "live: delivered/s": Math.round(live.perSecond),
        "live: published/s": Math.round(live.accepted / live.publishSeconds),
        "live: messages": live.accepted,
        duplicates: sum(backlog.ledger, "duplicates") + sum(live.ledger, "duplicates"),
        ...overtakenIn([backlog, live]),
        ...(ratios ? { "backlog: ratio": ratioOf(backlog, yardstick), "live: ratio": ratioOf(live, yardstick) } : {}),
      },
      yardstickPerSecond: yardstick,
      ...(broker.title === null ? {} : { broker: broker.title }),
      phases: { backlog: backlog.report, live: live.report },
      usage: perThousand(usedSince(before, bench.usage()), delivered),
    };
  } finally {
    await bench.close();
  }
};

const concurrency = 64;
const groups = 100;
const poolCode = "BENCH";
/** Connections of the generator to the broker: four calls of the adapter at once, of 25 groups each. */
const connections = 4;
const stallSeconds = 60;

interface RouterBench {
  readonly options: ScenarioOptions;
  readonly broker: BenchBroker;
  readonly receiver: Receiver;
  readonly dataBytes: number;
  readonly routerUrl: () => string;
  startRouter(): Promise<void>;
  /** Of the router, the broker and the receiver so far, and of the generators that have ended. */
  usage(): Record<string, ProcessUsage>;
  /** Adds what a generator used. */
  generated(usage: { readonly cpuSeconds: number; readonly peakMemoryMb: number }): void;
  close(): Promise<void>;
}

async function openRouterBench(kind: BenchBroker["kind"], options: ScenarioOptions): Promise<RouterBench> {
  const receiver = await startReceiver();
  const broker = await startBenchBroker(kind).catch((error: unknown) => {
    process.kill(receiver.pid, "SIGKILL");
    throw error;
  });
  const dataDir = temporaryDataDir();
  const ports = await freePorts();
  const pools = join(dataDir, "pools.toml");
  writeFileSync(pools, `[[pools]]\ncode = "${poolCode}"\nconcurrency = ${concurrency}\n`);
  const launched: ServerOptions = {
    args: ["router", "--queue", broker.queueUrl, "--pools", pools],
    runtimeArgs: options.profile ? ["--cpu-prof", "--cpu-prof-dir=/tmp/flowcatalyst-profile"] : [],
    env: { FC_ALLOWED_TARGET_CIDRS: "127.0.0.0/8", ...broker.env },
    dataDir,
    ports,
  };
  let server: ServerProcess | null = null;
  const generator = { cpuSeconds: 0, peakMemoryMb: 0 };
  return {
    options,
    broker,
    receiver,
    dataBytes: options.dataBytes ?? 500,
    routerUrl: () => server?.routerUrl ?? "",
    startRouter: async () => {
      server = await startServer(launched);
    },
    usage: () => {
      const ofBroker = broker.usage();
      return {
        ...(server === null ? {} : { router: processUsage(server.pid) }),
        ...(ofBroker === null ? {} : { broker: ofBroker }),
        receiver: processUsage(receiver.pid),
        generator: { ...generator, residentMemoryMb: 0 },
      };
    },
    generated: (usage) => {
      generator.cpuSeconds += usage.cpuSeconds;
      generator.peakMemoryMb = Math.max(generator.peakMemoryMb, usage.peakMemoryMb);
    },
    close: async () => {
      await server?.stop();
      if (options.verbose) console.error(server?.output() ?? "");
      process.kill(receiver.pid, "SIGKILL");
      await broker.remove();
      removeDataDir(dataDir);
    },
  };
}

/** At one moment. */
export interface Usage {
  readonly processes: Record<string, ProcessUsage>;
  /** CPU seconds of everything on the machine. */
  readonly machineSeconds: number;
}

interface Phase {
  readonly accepted: number;
  readonly publishSeconds: number;
  readonly perSecond: number;
  readonly ledger: ReceiverLedger;
  readonly drained: boolean;
  readonly report: PhaseReport;
}

const msPerSecond = 1_000;

async function drainBacklog(bench: RouterBench): Promise<Phase> {
  const { receiver } = bench;
  await receiver.control("/reset");
  const load = await publishDirectly(bench, "backlog");
  const before = usageNow(bench);
  await bench.startRouter();
  const startedAt = performance.now();
  const drained = await untilDrained(receiver, load.accepted, { stallSeconds });
  const phaseSeconds = (performance.now() - startedAt) / msPerSecond;
  const ledger = await receiver.ledger();
  const seconds = (Date.now() - ledger.firstUpAt) / msPerSecond;
  const report = phaseReport({ before, after: usageNow(bench), seconds: phaseSeconds });
  return finished(load, { seconds, ledger, drained, report });
}

async function deliverLive(bench: RouterBench): Promise<Phase> {
  const { receiver } = bench;
  await receiver.control("/reset");
  const before = usageNow(bench);
  const startedAt = performance.now();
  const load = await (bench.broker.kind === "db" ? publishByRouter(bench) : publishDirectly(bench, "live"));
  const drained = await untilDrained(receiver, load.accepted, { stallSeconds });
  const seconds = (performance.now() - startedAt) / msPerSecond;
  const report = phaseReport({ before, after: usageNow(bench), seconds });
  return finished(load, { seconds, ledger: await receiver.ledger(), drained, report });
}

function finished(
  load: { readonly accepted: number; readonly seconds: number },
  run: { seconds: number; ledger: ReceiverLedger; drained: boolean; report: PhaseReport },
): Phase {
  const { seconds, ...rest } = run;
  return {
    accepted: load.accepted,
    publishSeconds: load.seconds,
    perSecond: rest.ledger.delivered / seconds,
    ...rest,
  };
}

function secondsOf(options: ScenarioOptions): number {
  return options.seconds ?? (options.short ? 2 : 20);
}

async function publishDirectly(bench: RouterBench, name: string): Promise<QueueGeneratorResult> {
  const { options, broker, receiver, dataBytes } = bench;
  const { kind, queueUrl } = broker;
  const { events } = options;
  const seconds = events === null ? secondsOf(options) : 600;
  const plan = { kind, queueUrl, poolCode, receiverUrl: receiver.url, name, groups, dataBytes, connections };
  const result = await runGenerator<QueueGeneratorResult>(
    "queue-generator.ts",
    { ...plan, seconds, events },
    broker.env,
  );
  bench.generated(result);
  return result;
}

async function publishByRouter(bench: RouterBench): Promise<GeneratorResult> {
  const { options, receiver, dataBytes } = bench;
  const { events } = options;
  const result = await runGenerator<GeneratorResult>("generator.ts", {
    url: bench.routerUrl(),
    type: "",
    groups,
    dataBytes,
    batch: 100,
    connections,
    seconds: events === null ? secondsOf(options) : 600,
    ...(events === null ? {} : { events }),
    messageTarget: `${receiver.url}/ok/live`,
  });
  bench.generated(result);
  return result;
}

function usageNow(bench: RouterBench): Usage {
  return { processes: bench.usage(), machineSeconds: machineCpuSeconds() };
}

/** What others use of the machine meanwhile is said too: a run beside other work is not one to quote. */
export function phaseReport(phase: { before: Usage; after: Usage; seconds: number }): PhaseReport {
  const { before, after, seconds } = phase;
  const used = Object.entries(usedSince(before.processes, after.processes));
  const ours = used.reduce((total, [, { cpuSeconds }]) => total + cpuSeconds, 0);
  const shares = used.map(([name, { cpuSeconds }]): [string, number] => [name, cpuSeconds]);
  const others = after.machineSeconds - before.machineSeconds - ours;
  const cores = Object.fromEntries(
    [...shares, ["others", others] as const].map(([name, share]) => [name, Number((share / seconds).toFixed(2))]),
  );
  return { seconds: Number(seconds.toFixed(2)), cores, bound: boundOf(cores, cpus().length) };
}

export function usedSince(
  before: Readonly<Record<string, ProcessUsage>>,
  after: Readonly<Record<string, ProcessUsage>>,
): Record<string, ProcessUsage> {
  const since = ([name, usage]: [string, ProcessUsage]): [string, ProcessUsage] => {
    return [name, { ...usage, cpuSeconds: usage.cpuSeconds - (before[name]?.cpuSeconds ?? 0) }];
  };
  return Object.fromEntries(Object.entries(after).map(since));
}

function notesOf(name: string, { accepted, drained, ledger }: Phase): string[] {
  return judge(ledger, { expected: accepted, drained }).notes.map((note) => `${name}: ${note}`);
}

/** Only where the queue declares no order: there it is a figure, not a fault. */
function overtakenIn(phases: readonly Phase[]): Record<string, number> {
  const paths = phases.flatMap(({ ledger }) => Object.keys(ledger.targets));
  if (!paths.some((path) => path.startsWith("counted/"))) return {};
  const counts = phases.flatMap(({ ledger }) => Object.values(ledger.overtaken));
  return { "overtaken in their group": counts.reduce((total, count) => total + count, 0) };
}

function ratioOf({ perSecond }: Phase, yardstick: number): number {
  return Number((perSecond / yardstick).toFixed(3));
}
