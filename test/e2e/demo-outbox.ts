import { join } from "node:path";
import { systemRandom } from "@flowcatalyst/foundation";
import { openPostgresApplication, openSqliteApplication, type Application } from "../harness/application.ts";
import { startLedgerReceiver, type LedgerReceiver } from "../harness/ledger-receiver.ts";
import { createPostgresServer, findPostgres } from "../harness/postgres-server.ts";
import { createSandbox, type Sandbox } from "../harness/sandbox.ts";
import { openOutboxWorld, type OutboxWorld } from "./outbox-world.ts";

/**
 * `npm run demo -- --outbox`: an application writes an order and its event in one transaction of its own database
 * (PostgreSQL; SQLite where there is none), and the event arrives as a webhook. Then it does so for a thousand orders,
 * some of which it rolls back, while the outbox processor is ended with SIGKILL in the middle; the ledger must close.
 */
const name = "shop";
const orders = 1_000;
/** Of the first order; those of the load begin at 0. */
const firstGroup = 900_000;
const firstDeliveryWithinMs = 20_000;
const killAt = orders / 2;
const lookEveryMs = 5;

/** The exit code. */
export async function demonstrateOutbox(say: (line: string) => void): Promise<number> {
  const sandbox = createSandbox();
  try {
    const application = await applicationOf(sandbox);
    const receiver = startLedgerReceiver();
    sandbox.defer(() => receiver.stop());
    const platform = await sandbox.start();
    const start = sandbox.start.bind(sandbox);
    const world = await openOutboxWorld({ name, application, platform, receiver, start });
    say(`application on ${application.title}; platform at ${platform.apiUrl}; outbox processor ready`);
    await oneOrder(world, say);
    const { committed, rolledBack } = await manyOrders(world, say);
    await world.settle();
    return await report({ world, receiver, committed: committed + 1, rolledBack }, say);
  } finally {
    await sandbox.end();
  }
}

async function applicationOf(sandbox: Sandbox): Promise<Application> {
  const application = await openApplication(sandbox);
  sandbox.defer(() => application.close());
  return application;
}

async function openApplication(sandbox: Sandbox): Promise<Application> {
  if (findPostgres() === null) return openSqliteApplication(join(sandbox.dataDir(), "shop.db"));
  const server = await createPostgresServer();
  sandbox.defer(() => server.remove());
  return openPostgresApplication(await server.createDatabase("shop"));
}

async function oneOrder(world: OutboxWorld, say: (line: string) => void): Promise<void> {
  const order = { group: firstGroup, place: 1 };
  await world.application.transact(0, { orders: [order], type: `${name}.order.placed`, commits: true });
  const committedAt = performance.now();
  while (world.delivered() < 1 && performance.now() - committedAt < firstDeliveryWithinMs) {
    await Bun.sleep(lookEveryMs);
  }
  if (world.delivered() < 1) throw new Error("the event of the first order was not delivered");
  const ms = Math.round(performance.now() - committedAt);
  say(`an order and its event committed in one transaction; its webhook arrived after ${ms} ms`);
}

async function manyOrders(world: OutboxWorld, say: (line: string) => void) {
  const [processor] = world.processors;
  if (processor === undefined) throw new Error("there is no processor");
  const crashes: Promise<void>[] = [];
  const crash = async (): Promise<void> => {
    await processor.kill();
    say(`SIGKILL of the outbox processor after ${world.delivered()} deliveries`);
    await processor.start();
    say(`outbox processor ready again after ${Math.round(processor.server.startedInMs)} ms`);
  };
  const result = await world.place({
    orders,
    random: systemRandom(),
    pauseMs: 2,
    onCommitted: (committed) => {
      if (committed >= killAt && crashes.length === 0) crashes.push(crash());
    },
  });
  await Promise.all(crashes);
  return result;
}

async function report(
  run: { world: OutboxWorld; receiver: LedgerReceiver; committed: number; rolledBack: number },
  say: (line: string) => void,
): Promise<number> {
  const { world, receiver, committed, rolledBack } = run;
  const { delivered, duplicates, inverted, badSignatures } = receiver.summary(name);
  const problems = await world.problems();
  say(`transactions: orders committed ${committed}, transactions rolled back ${rolledBack}`);
  say(`receiver: delivered ${delivered}, missing ${committed - delivered}, out of order ${inverted}`);
  say(`receiver: duplicates ${duplicates}, bad signatures ${badSignatures}`);
  for (const problem of problems) say(problem);
  const closes = problems.length === 0;
  say(
    closes
      ? "the ledger closes: each committed order's event once, in order, and no other"
      : "THE LEDGER DOES NOT CLOSE",
  );
  return closes ? 0 : 1;
}
