import { withClient } from "../harness/postgres-server.ts";
import { machineCpuSeconds, processUsage, type ProcessUsage } from "../harness/process-usage.ts";
import { freePorts, runServer, startServer, type ServerProcess } from "../harness/server-process.ts";
import { startBenchDatabase, type BenchDatabase } from "./bench-database.ts";
import type { OutboxGeneratorResult } from "./outbox-generator.ts";
import { perThousand, receiverBound } from "./report.ts";
import { createRig, runGenerator, type ReceiverLedger, type Rig } from "./rig.ts";
import { phaseReport, usedSince, type Usage } from "./scenarios-router.ts";
import { judge, sum, type Scenario, type ScenarioOptions } from "./scenarios.ts";

/**
 * Rows of an outbox table to delivered webhooks. The application's PostgreSQL, the outbox processor, the platform
 * (`flowcatalyst dev` on SQLite) and the receiver are processes of their own.
 *
 * Two phases, each with its own ledger and its own subscription:
 *
 * - `backlog`: the rows are committed before the processor starts. Two figures, both from before its start: rows a
 *   second until the last one is marked as taken, and deliveries a second until the last one has arrived.
 * - `live`: one transaction for each row, 200 a second, open loop. Latency is from when the transaction was due to the
 *   arrival of the webhook, so that the commit itself is in it.
 */
export const outbox: Scenario = async (options) => {
  const bench = await openOutboxBench(options);
  try {
    const { rig } = bench;
    const yardstick = await rig.yardstick(concurrency, bench.dataBytes);
    const before = usageNow(bench);
    const backlog = await drainTable(bench);
    const afterBacklog = usageNow(bench);
    const live = await sendLive(bench);
    const after = usageNow(bench);
    const delivered = backlog.ledger.delivered + live.ledger.delivered;
    const notes = [...backlog.notes, ...live.notes];
    return {
      scenario: "outbox",
      valid: notes.length === 0,
      notes: [...notes, ...(yardstick < receiverBound ? [`RECEIVER-BOUND: yardstick ${yardstick}/s`] : [])],
      figures: {
        "backlog: rows/s": Math.round(backlog.rows / backlog.takenSeconds),
        "backlog: delivered/s": Math.round(backlog.rows / backlog.deliveredSeconds),
        "backlog: rows": backlog.rows,
        "live: rows/s": live.rate,
        "live: rows": live.rows,
        duplicates: sum(backlog.ledger, "duplicates") + sum(live.ledger, "duplicates"),
        ...(yardstick < receiverBound
          ? {}
          : { "backlog: ratio": Number((backlog.rows / backlog.takenSeconds / yardstick).toFixed(3)) }),
      },
      latency: live.ledger.latencies,
      yardstickPerSecond: yardstick,
      broker: `the application's PostgreSQL ${await versionOf(bench.database)}`,
      phases: {
        "backlog, until taken": phaseReport({ before, after: backlog.usageWhenTaken, seconds: backlog.takenSeconds }),
        live: phaseReport({ before: afterBacklog, after, seconds: live.seconds }),
      },
      usage: perThousand(usedSince(before.processes, after.processes), delivered),
    };
  } finally {
    await bench.close();
  }
};

const concurrency = 64;
const groups = 100;
const msPerSecond = 1_000;
const stallSeconds = 30;
const lookEveryMs = 50;
const dataFrameBytes = 60;
const processed = "fc_outbox_messages_processed_total";

interface OutboxBench {
  readonly options: ScenarioOptions;
  readonly rig: Rig;
  readonly database: BenchDatabase;
  readonly dataBytes: number;
  startProcessor(): Promise<ServerProcess>;
  usage(): Record<string, ProcessUsage>;
  /** Adds what a generator used. */
  generated(usage: OutboxGeneratorResult): void;
  close(): Promise<void>;
}

async function openOutboxBench(options: ScenarioOptions): Promise<OutboxBench> {
  const rig = await createRig(options);
  const database = await startBenchDatabase().catch(async (error: unknown) => {
    await rig.close();
    throw error;
  });
  const env = { FC_OUTBOX_DB_URL: database.url, FC_API_BASE_URL: rig.system.apiUrl };
  const runtimeArgs = options.profile ? ["--cpu-prof", "--cpu-prof-dir=/tmp/flowcatalyst-profile"] : [];
  let processor: ServerProcess | null = null;
  const generator = { cpuSeconds: 0, peakMemoryMb: 0, residentMemoryMb: 0 };
  const close = async (): Promise<void> => {
    await processor?.stop();
    if (options.verbose) console.error(processor?.output() ?? "");
    await rig.close();
    await database.remove();
  };
  try {
    await rig.api("POST", "/api/dispatch-pools", { code: "BENCH", concurrency });
    const made = await runServer({ args: ["outbox", "init"], env });
    if (made.exitCode !== 0) throw new Error(`the outbox table is not made: ${made.stderr}`);
  } catch (error) {
    await close();
    throw error;
  }
  return {
    options,
    rig,
    database,
    dataBytes: options.dataBytes ?? 500,
    startProcessor: async () => {
      processor = await startServer({ args: ["outbox"], env, runtimeArgs, ports: await freePorts() });
      return processor;
    },
    usage: () => ({
      ...(processor === null ? {} : { outbox: processUsage(processor.pid) }),
      postgres: database.usage(),
      ...rig.usage(),
      generator: { ...generator },
    }),
    generated: (usage) => {
      generator.cpuSeconds += usage.cpuSeconds;
      generator.peakMemoryMb = Math.max(generator.peakMemoryMb, usage.peakMemoryMb);
    },
    close,
  };
}

function usageNow(bench: OutboxBench): Usage {
  return { processes: bench.usage(), machineSeconds: machineCpuSeconds() };
}

async function subscribe({ rig }: OutboxBench, name: string): Promise<string> {
  const type = `bench.${name}.placed`;
  const targetUrl = `${rig.receiver.url}/ok/${name}`;
  await rig.api("POST", "/api/subscriptions", { name, eventTypes: [type], targetUrl, dispatchPoolId: "BENCH" });
  return type;
}

interface Backlog {
  readonly rows: number;
  readonly takenSeconds: number;
  readonly deliveredSeconds: number;
  readonly usageWhenTaken: Usage;
  readonly ledger: ReceiverLedger;
  readonly notes: readonly string[];
}

async function drainTable(bench: OutboxBench): Promise<Backlog> {
  const { options, rig } = bench;
  const rows = options.events ?? (options.short ? 2_000 : 100_000);
  const type = await subscribe(bench, "backlog");
  await fill(bench, type, rows);
  await rig.receiver.control("/reset");
  const startedAt = performance.now();
  const seconds = (): number => (performance.now() - startedAt) / msPerSecond;
  const processor = await bench.startProcessor();
  const taken = untilTaken(bench, processor, rows).then((notes) => {
    return { notes, takenSeconds: seconds(), usageWhenTaken: usageNow(bench) };
  });
  const delivered = rig.drained(rows, { stallSeconds }).then((drained) => ({ drained, deliveredSeconds: seconds() }));
  const [{ notes, takenSeconds, usageWhenTaken }, { drained, deliveredSeconds }] = await Promise.all([
    taken,
    delivered,
  ]);
  const ledger = await rig.receiver.ledger();
  const problems = [...notes, ...judge(ledger, { expected: rows, drained }).notes].map((note) => `backlog: ${note}`);
  return { rows, takenSeconds, deliveredSeconds, usageWhenTaken, ledger, notes: problems };
}

/** One row after another, each of the next group, as if an application had written them while nothing ran. */
async function fill({ database, dataBytes }: OutboxBench, type: string, rows: number): Promise<void> {
  const pad = "x".repeat(Math.max(0, dataBytes - dataFrameBytes));
  await withClient(database.url, (client) =>
    client.query(
      `INSERT INTO outbox_messages (id, type, message_group, payload)
       SELECT 'B' || lpad(i::text, 25, '0'), 'EVENT', 'g' || (i % ${groups}),
              '{"type":"' || $1::text || '","source":"shop","data":{"g":' || (i % ${groups}) || ',"n":'
                || (i / ${groups} + 1) || ',"t":0,"pad":"' || $2::text || '"}}'
         FROM generate_series(0, $3::integer - 1) AS i ORDER BY i`,
      [type, pad, rows],
    ),
  );
}

/**
 * Asks the processor, which costs the database nothing, and then the table itself. Gives what is wrong when nothing has
 * moved for too long.
 */
async function untilTaken({ database }: OutboxBench, processor: ServerProcess, rows: number): Promise<string[]> {
  let last = -1;
  let movedAt = performance.now();
  for (;;) {
    const count = await processedBy(processor);
    if (count >= rows && (await undone(database)) === 0) return [];
    if (count !== last) movedAt = performance.now();
    last = count;
    if (performance.now() - movedAt > stallSeconds * msPerSecond) {
      return [`${await undone(database)} rows are not marked as taken`];
    }
    await Bun.sleep(lookEveryMs);
  }
}

async function processedBy({ metricsUrl }: ServerProcess): Promise<number> {
  const text = await (await fetch(`${metricsUrl}/metrics`)).text();
  const lines = text.split("\n").filter((line) => line.startsWith(processed));
  return lines.reduce((total, line) => total + Number(line.slice(line.lastIndexOf(" "))), 0);
}

async function undone({ url }: BenchDatabase): Promise<number> {
  const sql = "SELECT count(*) AS count FROM outbox_messages WHERE status <> 1";
  return withClient(url, async (client) => Number((await client.query<{ count: string }>(sql)).rows[0]?.count));
}

async function versionOf({ url }: BenchDatabase): Promise<string> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<{ server_version: string }>("SHOW server_version");
    return rows[0]?.server_version.split(" ")[0] ?? "";
  });
}

interface Live {
  readonly rows: number;
  readonly rate: number;
  readonly seconds: number;
  readonly ledger: ReceiverLedger;
  readonly notes: readonly string[];
}

async function sendLive(bench: OutboxBench): Promise<Live> {
  const { options, rig, database, dataBytes } = bench;
  const type = await subscribe(bench, "live");
  await rig.receiver.control("/reset");
  const rate = options.rate ?? 200;
  const startedAt = performance.now();
  const load = await runGenerator<OutboxGeneratorResult>("outbox-generator.ts", {
    databaseUrl: database.url,
    type,
    groups,
    dataBytes,
    connections: 8,
    rate,
    rampSeconds: options.short ? 1 : 5,
    seconds: options.seconds ?? (options.short ? 3 : 30),
  });
  bench.generated(load);
  const drained = await rig.drained(load.committed, { stallSeconds });
  const seconds = (performance.now() - startedAt) / msPerSecond;
  const ledger = await rig.receiver.ledger();
  const notes = judge(ledger, { expected: load.committed, drained }).notes.map((note) => `live: ${note}`);
  return { rows: load.committed, rate, seconds, ledger, notes };
}
