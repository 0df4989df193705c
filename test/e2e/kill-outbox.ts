import { join } from "node:path";
import type { Random } from "@flowcatalyst/foundation";
import { openPostgresApplication, openSqliteApplication, type Application } from "../harness/application.ts";
import { startFaultyPlatform, type Treatment } from "../harness/faulty-platform.ts";
import { startLedgerReceiver } from "../harness/ledger-receiver.ts";
import { createPostgresServer, findPostgres, type PostgresServer } from "../harness/postgres-server.ts";
import { createSandbox, type Sandbox } from "../harness/sandbox.ts";
import type { ServerProcess } from "../harness/server-process.ts";
import { openOutboxWorld, outboxCommand, type OutboxWorld } from "./outbox-world.ts";

/**
 * `npm run test:kill -- --outbox [--rounds N] [--seed N] [--outage-seconds N]`: the whole path from an application's
 * transaction to the webhook, under load, on PostgreSQL (SQLite where there is none).
 *
 * Each round does all of it on fresh data: the active processor is killed with SIGKILL at random moments while another
 * one stands by; it is stopped with SIGSTOP for longer than its lease, and goes on; the platform is away (90 s if
 * nothing else is said); the platform is killed with SIGKILL; every second request is answered 500, heard or unheard;
 * and the application's PostgreSQL crashes. The ledger must close after each part.
 */
export interface OutboxKills {
  readonly rounds: number;
  readonly random: Random;
  readonly outageMs: number;
}

interface Round {
  readonly number: number;
  readonly sandbox: Sandbox;
  readonly random: Random;
  readonly outageMs: number;
  newApplication(): Promise<Application>;
  /** The application's server crashes and starts again; nothing on SQLite, which has none. */
  crashDatabase(): Promise<void>;
}

const killsARound = 3;
const orders = 1_000_000;
const pauseMs = 10;
/** Longer than the lease of a processor (5 s). */
const frozenMs = 9_000;
const settleStallMs = 90_000;
const deliversWithinMs = 60_000;

/** The number of parts that failed. */
export async function killOutbox({ rounds, random, outageMs }: OutboxKills): Promise<number> {
  let failed = 0;
  for (let number = 1; number <= rounds; number += 1) {
    for (const [name, part] of parts) {
      const sandbox = createSandbox();
      const startedAt = performance.now();
      const problems = await runPart(part, { number, sandbox, random, outageMs, ...applicationsIn(sandbox) });
      const seconds = ((performance.now() - startedAt) / 1_000).toFixed(0);
      console.log(`round ${number}, ${name}: ${problems.length === 0 ? "the ledger closes" : "FAILED"}, ${seconds} s`);
      for (const problem of problems) console.log(`    ${problem}`);
      failed += problems.length === 0 ? 0 : 1;
      await sandbox.end();
    }
  }
  return failed;
}

type Part = (round: Round) => Promise<OutboxWorld>;

const parts: readonly (readonly [string, Part])[] = [
  ["processors killed", processorsKilled],
  ["processor frozen", processorFrozen],
  ["platform away", platformAway],
  ["platform killed", platformKilled],
  ["every second request answered 500", everySecondFails],
  ["the application's database crashes", databaseCrashes],
];

async function runPart(part: Part, round: Round): Promise<readonly string[]> {
  try {
    const world = await part(round);
    await world.settle(settleStallMs);
    const committed = await world.application.orders();
    console.log(`    ${committed} orders on ${world.application.title}, ${world.delivered()} events delivered`);
    return await world.problems();
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  }
}

function applicationsIn(sandbox: Sandbox): Pick<Round, "newApplication" | "crashDatabase"> {
  let database: PostgresServer | null = null;
  return {
    crashDatabase: async () => {
      await database?.stop("immediate");
      await database?.start();
    },
    newApplication: async () => {
      if (findPostgres() === null) {
        const application = openSqliteApplication(join(sandbox.dataDir(), "app.db"));
        sandbox.defer(() => application.close());
        return application;
      }
      const server = await createPostgresServer();
      database = server;
      sandbox.defer(() => server.remove());
      const application = await openPostgresApplication(await server.createDatabase("shop"));
      sandbox.defer(() => application.close());
      return application;
    },
  };
}

async function open(
  { number, sandbox, newApplication }: Round,
  plan: { platform: ServerProcess; sendsTo?: string; processors?: number; mayRepeat?: boolean },
): Promise<OutboxWorld> {
  const receiver = startLedgerReceiver();
  sandbox.defer(() => receiver.stop());
  const application = await newApplication();
  const start = sandbox.start.bind(sandbox);
  return openOutboxWorld({ name: `round-${number}`, application, receiver, start, ...plan });
}

async function processorsKilled(round: Round): Promise<OutboxWorld> {
  const world = await open(round, { platform: await round.sandbox.start(), processors: 2 });
  await underLoad(world, round.random, async () => {
    for (let kill = 0; kill < killsARound; kill += 1) {
      for (const processor of world.processors) {
        await delivers(world);
        await Bun.sleep(round.random.next() * 1_000);
        await processor.kill();
        await processor.start();
      }
    }
  });
  return world;
}

/** The other one takes over; the first is told so when it goes on. */
async function processorFrozen(round: Round): Promise<OutboxWorld> {
  const world = await open(round, { platform: await round.sandbox.start(), processors: 2 });
  await underLoad(world, round.random, async () => {
    for (const { server } of world.processors) {
      await delivers(world);
      server.freeze();
      await Promise.all([Bun.sleep(frozenMs), delivers(world)]);
      server.thaw();
      await delivers(world);
    }
  });
  return world;
}

async function platformAway(round: Round): Promise<OutboxWorld> {
  const { sandbox, outageMs } = round;
  const platform = await sandbox.start();
  const world = await open(round, { platform });
  await underLoad(world, round.random, async () => {
    await delivers(world);
    const code = await platform.stop();
    if (code !== 0) throw new Error(`the platform ended with ${code} instead of 0`);
    await Bun.sleep(outageMs);
  });
  await sandbox.start({ dataDir: platform.dataDir, ports: platform.ports });
  return world;
}

async function platformKilled(round: Round): Promise<OutboxWorld> {
  const { sandbox, random } = round;
  const first = await sandbox.start();
  let platform = first;
  const world = await open(round, { platform, mayRepeat: true });
  await underLoad(world, random, async () => {
    for (let kill = 0; kill < killsARound; kill += 1) {
      await delivers(world);
      await Bun.sleep(random.next() * 500);
      await platform.kill();
      platform = await sandbox.start({ dataDir: first.dataDir, ports: first.ports });
    }
  });
  return world;
}

async function everySecondFails(round: Round): Promise<OutboxWorld> {
  const { sandbox, random } = round;
  const platform = await sandbox.start();
  const treatments: readonly Treatment[] = ["pass", "refuse", "pass", "lose"];
  const faulty = startFaultyPlatform(platform.apiUrl, (request) => treatments[request % treatments.length] ?? "pass");
  sandbox.defer(() => faulty.stop());
  const world = await open(round, { platform, sendsTo: faulty.url });
  await world.place({ orders: 2_000, random, pauseMs });
  return world;
}

/** In the middle of a backlog, which is made while the outbox is paused. */
async function databaseCrashes(round: Round): Promise<OutboxWorld> {
  const { sandbox, random } = round;
  const world = await open(round, { platform: await sandbox.start() });
  const { url } = world.application;
  for (let crash = 0; crash < killsARound; crash += 1) {
    await outboxCommand("pause", url);
    await world.place({ orders: 3_000, random });
    await outboxCommand("resume", url);
    await delivers(world);
    await round.crashDatabase();
  }
  return world;
}

async function underLoad(world: OutboxWorld, random: Random, disturb: () => Promise<void>): Promise<void> {
  const over = new AbortController();
  const load = world.place({ orders, random, pauseMs, signal: over.signal });
  try {
    await disturb();
  } finally {
    over.abort();
    await load;
  }
}

/** More than what may have been under way. */
async function delivers(world: OutboxWorld): Promise<void> {
  const goal = world.delivered() + 100;
  const until = performance.now() + deliversWithinMs;
  while (world.delivered() < goal) {
    if (performance.now() > until) throw new Error("nothing is delivered for a minute");
    await Bun.sleep(20);
  }
}
