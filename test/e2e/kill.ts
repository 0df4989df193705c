/**
 * Kill tests: `npm run test:kill -- --rounds 20 [--seed N]`.
 *
 * Each round publishes events of many groups to three subscriptions (a quick target, a failing one, an unordered one),
 * ends the server with SIGKILL at random moments, starts it again on the same data, and lets it drain. The ledger must
 * close each time: every accepted event delivered, no order inverted, every signature right. The data folder is kept
 * through all rounds, so that each starts on what the one before left.
 *
 * With `--outbox` the path begins in an application's database: see kill-outbox.ts.
 */
import { parseArgs } from "node:util";
import { seededRandom } from "@flowcatalyst/foundation";
import { subscribe } from "../harness/api.ts";
import { failingOnce, startLedgerReceiver, type LedgerReceiver } from "../harness/ledger-receiver.ts";
import { publishAll } from "../harness/publisher.ts";
import {
  freePorts,
  removeDataDir,
  startServer,
  temporaryDataDir,
  type ServerPorts,
  type ServerProcess,
} from "../harness/server-process.ts";

const groups = 40;
const eventsPerRound = 4_000;
const drainWithinMs = 90_000;
const maxKillsPerRound = 3;
const readyWithinMs = 2_000;

interface World {
  server: ServerProcess;
  readonly receiver: LedgerReceiver;
  readonly dataDir: string;
  readonly ports: ServerPorts;
  readonly random: { next(): number };
}

const { values } = parseArgs({
  options: {
    rounds: { type: "string" },
    seed: { type: "string" },
    outbox: { type: "boolean", default: false },
    "outage-seconds": { type: "string", default: "90" },
  },
});
const seed = Number(values.seed ?? Date.now() % 1_000_000_000);
console.log(`seed ${seed} (repeat with --seed ${seed})`);
if (values.outbox) {
  const { killOutbox } = await import("./kill-outbox.ts");
  const outageMs = Number(values["outage-seconds"]) * 1_000;
  const problems = await killOutbox({ rounds: Number(values.rounds ?? 1), random: seededRandom(seed), outageMs });
  process.exit(problems === 0 ? 0 : 1);
}
const rounds = Number(values.rounds ?? 5);

const dataDir = temporaryDataDir();
const ports = await freePorts();
const world: World = {
  server: await startServer({ dataDir, ports }),
  receiver: startLedgerReceiver(),
  dataDir,
  ports,
  random: seededRandom(seed),
};
let failed = 0;
let slowRestarts = 0;
for (let round = 1; round <= rounds; round += 1) {
  const problem = await runRound(world, round);
  if (problem !== null) failed += 1;
  console.log(`round ${round}: ${problem ?? "the ledger closes"}`);
}
const code = await world.server.stop();
if (code !== 0) {
  failed += 1;
  console.log(`the server ended with ${code} instead of 0`);
}
await world.receiver.stop();
if (failed === 0) removeDataDir(dataDir);
else console.log(`data kept in ${dataDir}`);
if (slowRestarts > 0) console.log(`${slowRestarts} restarts took longer than ${readyWithinMs} ms`);
console.log(`${rounds - failed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);

async function runRound(world: World, round: number): Promise<string | null> {
  const type = `kill.round${round}`;
  const targets = [`quick${round}`, `failing${round}`, `free${round}`];
  for (const name of targets) await addTarget(world, { name, type });
  const before = world.receiver.delivered();
  const kills = 1 + Math.floor(world.random.next() * maxKillsPerRound);
  const publishing = publishAll({
    apiUrl: () => world.server.apiUrl,
    type,
    groups,
    events: eventsPerRound,
    batch: 1 + Math.floor(world.random.next() * 50),
    connections: 4,
  });
  for (let kill = 0; kill < kills; kill += 1) {
    await Bun.sleep(20 + world.random.next() * 1_200);
    await world.server.kill();
    world.server = await startServer({ dataDir: world.dataDir, ports: world.ports });
    if (world.server.startedInMs > readyWithinMs) slowRestarts += 1;
  }
  await publishing;
  const until = performance.now() + drainWithinMs;
  const expected = eventsPerRound * targets.length;
  while (world.receiver.delivered() - before < expected && performance.now() < until) await Bun.sleep(20);
  return verdict(world.receiver, targets);
}

async function addTarget(world: World, target: { name: string; type: string }): Promise<void> {
  const free = target.name.startsWith("free");
  const failing = target.name.startsWith("failing");
  world.receiver.target(target.name, { ordered: !free });
  const { secret } = await subscribe(world.server.apiUrl, {
    name: target.name,
    eventTypes: [target.type],
    targetUrl: `${world.receiver.url}/${target.name}`,
    ...(free ? { mode: "IMMEDIATE" } : {}),
  });
  const answer = failing ? failingOnce(50, 500) : () => 200;
  world.receiver.target(target.name, { secret, answer, ordered: !free });
}

function verdict(receiver: LedgerReceiver, targets: readonly string[]): string | null {
  const problems: string[] = [];
  for (const name of targets) {
    const summary = receiver.summary(name);
    if (summary.delivered !== eventsPerRound) problems.push(`${name}: ${eventsPerRound - summary.delivered} missing`);
    if (summary.inverted > 0) problems.push(`${name}: ${summary.inverted} inverted (${summary.firstInversion})`);
    if (summary.badSignatures > 0) problems.push(`${name}: ${summary.badSignatures} bad signatures`);
  }
  return problems.length === 0 ? null : problems.join("; ");
}
