import { callApi, subscribe } from "../harness/api.ts";
import type { Application } from "../harness/application.ts";
import type { LedgerReceiver } from "../harness/ledger-receiver.ts";
import { placeOrders, phantomGroup, type OrderLoad, type OrderLoadResult } from "../harness/order-load.ts";
import {
  freePorts,
  runServer,
  startServer,
  type ServerOptions,
  type ServerProcess,
} from "../harness/server-process.ts";

/**
 * The whole path: an application that writes orders with their events in one transaction, the outbox processor as a
 * process of its own, a platform, and a receiver with a ledger.
 *
 * What must be true in the end: the receiver got the event of each order that is in the application's table, in order
 * per group, each once, and none of a transaction that was rolled back; every row of the outbox says so; and the
 * platform has one event for each order, so that nothing more is still on its way (where it has the time to count).
 */
export interface OutboxWorld {
  readonly application: Application;
  readonly processors: readonly Processor[];
  /** Orders under load; ends with the world's signal, too. */
  place(load: Pick<OrderLoad, "orders" | "random"> & Partial<OrderLoad>): Promise<OrderLoadResult>;
  delivered(): number;
  /** What is not as it must be; empty when everything is. */
  problems(): Promise<readonly string[]>;
  /** Waits until every order was delivered and its row is done, or nothing has moved for so long. */
  settle(stallMs?: number): Promise<void>;
}

/** One of the processors of a table; it can be killed and started again. */
export interface Processor {
  readonly server: ServerProcess;
  kill(): Promise<void>;
  start(): Promise<void>;
}

export interface OutboxWorldPlan {
  /** Names the type of its events, its subscription and its target. */
  readonly name: string;
  readonly application: Application;
  readonly platform: { readonly apiUrl: string };
  readonly receiver: LedgerReceiver;
  /** Where the processor sends to, if not to the platform itself. */
  readonly sendsTo?: string;
  /** How many processors run; one is active at a time. */
  readonly processors?: number;
  readonly env?: Readonly<Record<string, string>>;
  /** Starts a process that ends with the test. */
  readonly start?: (options: ServerOptions) => Promise<ServerProcess>;
  /** The platform was killed: what was delivered and not written down is delivered again. */
  readonly mayRepeat?: boolean;
}

const groups = 20;
const connections = 4;
const lookEveryMs = 20;
const stallMsDefault = 30_000;
const doneStatus = 1;

/** Makes the outbox table by the command for it, subscribes, and starts the processors. */
export async function openOutboxWorld(plan: OutboxWorldPlan): Promise<OutboxWorld> {
  const { name, application, platform, receiver, start = startServer } = plan;
  await outboxCommand("init", application.url);
  receiver.target(name);
  const type = `${name}.order.placed`;
  const body = { name, eventTypes: [type], targetUrl: `${receiver.url}/${name}` };
  const { secret } = await subscribe(platform.apiUrl, body);
  const places = Array.from({ length: groups }, () => 0);
  const phantoms: number[] = [];
  const answer = ({ group }: { group: number }): number => {
    if (group >= phantomGroup) phantoms.push(group);
    return 200;
  };
  receiver.target(name, { secret, answer });
  const env = {
    FC_OUTBOX_DB_URL: application.url,
    FC_API_BASE_URL: plan.sendsTo ?? platform.apiUrl,
    ...plan.env,
  };
  const processors: Processor[] = [];
  for (let count = 0; count < (plan.processors ?? 1); count += 1) {
    const options = { args: ["outbox"], env, ports: await freePorts() };
    processors.push(processorOf(await start(options), () => start(options)));
  }
  const delivered = (): number => receiver.summary(name).delivered;
  const problems = async (): Promise<readonly string[]> => {
    const [orders, statuses] = await Promise.all([application.orders(), application.statuses()]);
    const summary = receiver.summary(name);
    const found: string[] = [];
    if (phantoms.length > 0) found.push(`${phantoms.length} events of transactions that were rolled back`);
    if (summary.delivered !== orders) found.push(`${orders} orders, ${summary.delivered} of them delivered`);
    if (summary.inverted > 0) found.push(`${summary.inverted} out of order: ${summary.firstInversion}`);
    if (summary.duplicates > 0 && plan.mayRepeat !== true) found.push(`${summary.duplicates} came twice`);
    if (summary.badSignatures > 0) found.push(`${summary.badSignatures} bad signatures`);
    const undone = Object.entries(statuses).filter(([status]) => Number(status) !== doneStatus);
    if (undone.length > 0) found.push(`rows that are not done, by status: ${JSON.stringify(statuses)}`);
    if (found.length > 0) return found;
    const events = (await searchEvents(platform.apiUrl, type))?.totalItems;
    if (events === undefined || events === Math.min(orders, exactUpTo)) return [];
    return [`${orders} orders, ${events} events on the platform`];
  };
  return {
    application,
    processors,
    place: (load) => placeOrders({ application, type, places, connections, rollbacks: 0.1, ...load }),
    delivered,
    problems,
    settle: async (stallMs = stallMsDefault) => {
      let last = -1;
      let movedAt = performance.now();
      while ((await problems()).length > 0 && performance.now() - movedAt < stallMs) {
        if (delivered() !== last) movedAt = performance.now();
        last = delivered();
        await Bun.sleep(lookEveryMs);
      }
    },
  };
}

/** The search counts no further. */
const exactUpTo = 10_000;

interface EventPage {
  readonly items: readonly object[];
  readonly totalItems: number;
}

/** Events of a type on the platform; undefined: the machine is too busy for a search just now. */
export async function searchEvents(apiUrl: string, type: string): Promise<EventPage | undefined> {
  try {
    return await callApi<EventPage>(apiUrl, { method: "GET", path: `/api/bff/events?type=${type}&size=1` });
  } catch (error) {
    if (String(error).includes("SEARCH_TIMED_OUT")) return undefined;
    throw error;
  }
}

/** `flowcatalyst outbox …`, as an operator does it. */
export async function outboxCommand(act: string, databaseUrl: string, mode = "platform"): Promise<void> {
  const ended = await runServer({ args: ["outbox", act, "--database", databaseUrl, "--mode", mode] });
  if (ended.exitCode !== 0) throw new Error(`outbox ${act} ended with ${ended.exitCode}: ${ended.stderr}`);
}

function processorOf(first: ServerProcess, start: () => Promise<ServerProcess>): Processor {
  let server = first;
  return {
    get server() {
      return server;
    },
    kill: () => server.kill(),
    start: async () => {
      server = await start();
    },
  };
}
