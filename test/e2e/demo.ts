/**
 * The demonstration: `npm run demo`, `npm run demo -- --queue nats`, or `npm run demo -- --outbox` (demo-outbox.ts).
 *
 * Starts a server of its own on free ports with an empty data folder, publishes 1,000 events of 50 groups to three
 * subscriptions (one target fails at first, one pool is rate limited), kills the process with SIGKILL in the middle,
 * starts it again, and prints the ledger. Exits 0 only if nothing is missing and nothing came out of order.
 *
 * `--queue` puts the jobs on a broker (demo-queue.ts), which stays up while the server is killed.
 */
import { parseArgs } from "node:util";
import { callApi, subscribe } from "../harness/api.ts";
import { startLedgerReceiver } from "../harness/ledger-receiver.ts";
import { publishAll } from "../harness/publisher.ts";
import { ServiceFault } from "../harness/private-service.ts";
import { openDemoQueue, type DemoQueue } from "./demo-queue.ts";
import { freePorts, removeDataDir, startServer, temporaryDataDir } from "../harness/server-process.ts";

const events = 1_000;
const groups = 50;
const failFirst = 40;
const rateLimitPerMinute = 12_000;
const drainWithinMs = 120_000;

const names = ["orders", "fails-at-first", "rate-limited"] as const;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { queue: { type: "string" }, outbox: { type: "boolean", default: false } },
  });
  if (values.outbox) return (await import("./demo-outbox.ts")).demonstrateOutbox(say);
  const queue = await openDemoQueue(values.queue ?? "db");
  say(`queue: ${queue.title}`);
  try {
    return await demonstrate(queue);
  } finally {
    await queue.close();
  }
}

async function demonstrate({ env }: DemoQueue): Promise<number> {
  const receiver = startLedgerReceiver();
  const dataDir = temporaryDataDir();
  const ports = await freePorts();
  let server = await startServer({ dataDir, ports, env });
  say(`server ready at ${server.apiUrl} after ${Math.round(server.startedInMs)} ms`);
  await callApi(server.apiUrl, {
    method: "POST",
    path: "/api/dispatch-pools",
    body: { code: "LIMITED", concurrency: 10, rateLimitPerMinute, burst: 10 },
  });
  for (const name of names) {
    receiver.target(name);
    const pool = name === "rate-limited" ? { dispatchPoolId: "LIMITED" } : {};
    const body = { name, eventTypes: ["demo.order.created"], targetUrl: `${receiver.url}/${name}`, ...pool };
    const { secret } = await subscribe(server.apiUrl, body);
    const answer = name === "fails-at-first" ? ({ n }: { n: number }) => (n <= failFirst ? 503 : 200) : () => 200;
    receiver.target(name, { secret, answer });
  }

  const crashes: Promise<void>[] = [];
  const crash = async (): Promise<void> => {
    await server.kill();
    say(`SIGKILL after ${receiver.delivered()} of ${events * names.length} deliveries`);
    server = await startServer({ dataDir, ports, env });
    say(`server ready again after ${Math.round(server.startedInMs)} ms`);
  };
  await publishAll({
    apiUrl: () => server.apiUrl,
    type: "demo.order.created",
    groups,
    events,
    batch: 20,
    connections: 4,
    onAccepted: (accepted) => {
      if (accepted >= events / 2 && crashes.length === 0) crashes.push(crash());
    },
  });
  await Promise.all(crashes);
  say(`${events} events of ${groups} groups published`);
  await drain(() => receiver.delivered(), events * names.length);
  const ok = printLedger(names.map((name) => ({ name, ...receiver.summary(name) })));
  const code = await server.stop();
  await receiver.stop();
  removeDataDir(dataDir);
  if (code !== 0) say(`the server ended with ${code} instead of 0`);
  return ok && code === 0 ? 0 : 1;
}

async function drain(delivered: () => number, expected: number): Promise<void> {
  const until = performance.now() + drainWithinMs;
  let saidAt = performance.now();
  while (delivered() < expected && performance.now() < until) {
    if (performance.now() - saidAt > 2_000) {
      say(`${delivered()} of ${expected} delivered`);
      saidAt = performance.now();
    }
    await Bun.sleep(20);
  }
}

interface Row {
  readonly name: string;
  readonly delivered: number;
  readonly duplicates: number;
  readonly inverted: number;
  readonly badSignatures: number;
}

function printLedger(rows: readonly Row[]): boolean {
  const header = ["subscription", "published", "delivered", "missing", "out of order", "duplicates", "bad signatures"];
  const lines = rows.map((row) =>
    [row.name, events, row.delivered, events - row.delivered, row.inverted, row.duplicates, row.badSignatures].map(
      String,
    ),
  );
  const widths = header.map((title, i) => Math.max(title.length, ...lines.map((line) => line[i]?.length ?? 0)));
  for (const line of [header, ...lines]) say(line.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join("  "));
  const closes = rows.every((row) => row.delivered === events && row.inverted === 0 && row.badSignatures === 0);
  say(closes ? "the ledger closes: nothing missing, nothing out of order" : "THE LEDGER DOES NOT CLOSE");
  return closes;
}

function say(line: string): void {
  console.log(line);
}

/** One line for what is not there. */
async function run(): Promise<number> {
  try {
    return await main();
  } catch (error) {
    if (!(error instanceof ServiceFault)) throw error;
    console.error(`demo: ${error.message}`);
    return 1;
  }
}

process.exit(await run());
