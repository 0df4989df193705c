import { afterAll, beforeAll, expect, test } from "bun:test";
import { describeWith } from "../../packages/server/src/ports/needs-services.fixture.ts";
import { recordedCase, writeMatrixLine } from "../../packages/server/src/ports/queue-matrix.fixture.ts";
import { callApi, subscribe } from "../harness/api.ts";
import { eventually } from "../harness/eventually.ts";
import { failingOnce, startLedgerReceiver, type LedgerReceiver } from "../harness/ledger-receiver.ts";
import { createPostgresServer, type PostgresServer } from "../harness/postgres-server.ts";
import { publishAll } from "../harness/publisher.ts";
import { neededBy, openJobsPlace, type JobsPlace, type JobsPlaceName } from "./queue-jobs-place.ts";

/**
 * Jobs of the platform on every kind of queue, with real processes: order per group, which needs nothing from the
 * queue; a router that is killed; a queue that is killed and comes back; a connection that is cut. After each the
 * ledger closes: everything accepted was delivered, or its job is FAILED; no first arrival of a group is out of order;
 * every signature is right. One kind after another, each with a broker of its own.
 */
const suite = "platform jobs";
const groups = 60;
const connections = 2;
const batch = 10;
const pauseMs = 60;
/**
 * Deliveries owed at which publishing waits: what piles up while a queue is away is the same on every machine, however
 * long its start takes there.
 */
const owedAtMost = 1_200;
/** Deliveries that show that things go on. */
const someDeliveries = 300;
const goesOnWithinMs = 60_000;
const drainsWithinMs = 60_000;
const caseTimeoutMs = 150_000;
const startTimeoutMs = 180_000;
const failsEach = 40;
const rejectsEach = 25;
/** So that calls are under way when something is killed. */
const slowTargetMs = 25;

let postgres: Promise<PostgresServer> | null = null;
const sharedPostgres = (): Promise<PostgresServer> => {
  postgres ??= createPostgresServer({ settings: { max_connections: "100" } });
  return postgres;
};

afterAll(async () => {
  await (await postgres)?.remove();
});

/** Two targets of one kind of event, both ordered: one that answers, and one that fails now and then. */
interface Load {
  /** The receiver's deliveries so far. */
  delivered(): number;
  accepted(): number;
  /** Ends the load, waits for the rest, and expects that the ledger closes. */
  close(): Promise<void>;
}

async function startLoad(place: JobsPlace, receiver: LedgerReceiver, name: string): Promise<Load> {
  const type = `queue.${name}`;
  const targets = [`${name}-quick`, `${name}-failing`];
  const answers = [() => 200, failingOnce(failsEach, 503)];
  for (const [at, target] of targets.entries()) {
    receiver.target(target);
    const subscription = { name: target, eventTypes: [type], targetUrl: `${receiver.url}/${target}` };
    const { secret } = await subscribe(place.apiUrl(), subscription);
    receiver.target(target, { secret, delayMs: slowTargetMs, answer: answers[at] ?? (() => 200) });
  }
  const delivered = (): number => targets.reduce((sum, target) => sum + receiver.summary(target).delivered, 0);
  const stop = new AbortController();
  let accepted = 0;
  const publishing = publishAll({
    apiUrl: () => place.apiUrl(),
    type,
    groups,
    events: 1_000_000,
    batch,
    connections,
    pauseMs: () => (accepted * targets.length - delivered() > owedAtMost ? pauseMs * 10 : pauseMs),
    signal: stop.signal,
    onAccepted: (count) => {
      accepted = count;
    },
  });
  publishing.catch(() => undefined);
  return {
    delivered,
    accepted: () => accepted,
    close: async () => {
      stop.abort();
      const published = await publishing;
      const all = eventually(
        "all deliveries",
        () => (delivered() >= published * targets.length ? true : undefined),
        drainsWithinMs,
      );
      await all.catch(async (error: unknown) => {
        const counts = targets.map((target) => `${target}: ${JSON.stringify(receiver.summary(target))}`);
        throw new Error(`of ${published}: ${counts.join("; ")}; ${await jobsByStatus(place)}`, { cause: error });
      });
      for (const target of targets) {
        expect(receiver.summary(target)).toMatchObject({ delivered: published, inverted: 0, badSignatures: 0 });
      }
      expect(place.vanished()).toEqual([]);
    },
  };
}

/** Where the jobs stand that were not delivered, and what the processes said last: for whoever reads a failure. */
async function jobsByStatus(place: JobsPlace): Promise<string> {
  const count = async (status: string): Promise<string> => {
    const path = `/api/bff/dispatch-jobs?status=${status}&limit=3`;
    const page = await callApi<{ totalItems: number; items: unknown[] }>(place.apiUrl(), { method: "GET", path });
    return `${status} ${page.totalItems} ${JSON.stringify(page.items)}`;
  };
  const states = ["PENDING", "QUEUED", "PROCESSING", "FAILED"];
  const counts = await Promise.all(states.map((status) => count(status).catch(String)));
  return `${counts.join("\n")}\n${place.output().slice(-20_000)}`;
}

async function goesOn(load: Load, what: string): Promise<void> {
  const goal = load.delivered() + someDeliveries;
  await eventually(what, () => (load.delivered() >= goal ? true : undefined), goesOnWithinMs);
}

interface Bench {
  readonly place: JobsPlace;
  readonly receiver: LedgerReceiver;
}

/** Events of which some are rejected for good: those jobs are FAILED, and the groups go on. */
async function keepsOrder({ place, receiver }: Bench): Promise<void> {
  const rejecting = "order-rejecting";
  receiver.target(rejecting, { ordered: false, answer: ({ place: at }) => (at % rejectsEach === 0 ? 400 : 200) });
  const type = "queue.rejected";
  await subscribe(place.apiUrl(), { name: rejecting, eventTypes: [type], targetUrl: `${receiver.url}/${rejecting}` });
  const load = await startLoad(place, receiver, "order");
  const few = { groups: 4, events: 200, batch, connections };
  const rejected = few.events / rejectsEach;
  await publishAll({ ...few, apiUrl: () => place.apiUrl(), type });
  await goesOn(load, "the first deliveries");
  await goesOn(load, "further deliveries");
  await load.close();
  await eventually("every job of a rejecting target is final", async () => {
    const { delivered, refused } = receiver.summary(rejecting);
    if (delivered + refused < few.events) return undefined;
    const path = `/api/bff/dispatch-jobs?code=${type}&status=FAILED`;
    const { totalItems } = await callApi<{ totalItems: number }>(place.apiUrl(), { method: "GET", path });
    return totalItems === rejected ? true : undefined;
  });
  expect(receiver.summary(rejecting)).toMatchObject({ delivered: few.events - rejected, refused: rejected });
}

async function survivesRouter({ place, receiver }: Bench): Promise<void> {
  const load = await startLoad(place, receiver, "router");
  await goesOn(load, "the first deliveries");
  await eventually("the router has messages in hand", async () => ((await place.inHand()) > 0 ? true : undefined));
  await place.killRouter();
  if (place.hasOtherRouter) await goesOn(load, "deliveries by the other router");
  await place.startRouter();
  await goesOn(load, "deliveries after its start");
  await load.close();
}

async function survivesQueue({ place, receiver }: Bench): Promise<void> {
  const load = await startLoad(place, receiver, "broker");
  await goesOn(load, "the first deliveries");
  await place.killQueue();
  const before = load.accepted();
  if (place.acceptsWithoutQueue) {
    await eventually("events are accepted meanwhile", () => (load.accepted() > before + 200 ? true : undefined));
  }
  await place.startQueue();
  await goesOn(load, "deliveries after the start of the queue");
  await load.close();
}

async function survivesCut({ place, receiver }: Bench): Promise<void> {
  const { line } = place;
  if (line === null) throw new Error("nothing to cut");
  const load = await startLoad(place, receiver, "cut");
  await goesOn(load, "the first deliveries");
  for (let times = 0; times < 3; times += 1) {
    line.cut();
    const before = load.accepted();
    await eventually("events are accepted meanwhile", () => (load.accepted() > before + 50 ? true : undefined));
    line.mend();
    await goesOn(load, "deliveries after the line was mended");
  }
  await load.close();
}

const cases: readonly { readonly title: string; readonly run: (bench: Bench) => Promise<void> }[] = [
  { title: "arrive in the order of their group, past failing and rejecting targets", run: keepsOrder },
  { title: "a router killed with messages in flight: the ledger closes, no order inverted", run: survivesRouter },
  { title: "the queue killed and restarted under load: the ledger closes, no order inverted", run: survivesQueue },
  { title: "the routers' connections cut three times: the ledger closes, no order inverted", run: survivesCut },
];
const withoutLine: readonly JobsPlaceName[] = ["sqlite", "postgres"];

/** Defines the tests for these kinds of queue: a file each, so that they run beside one another. */
export function testPlatformJobs(names: readonly JobsPlaceName[]): void {
  for (const name of names) testJobsOn(name);
}

function testJobsOn(name: JobsPlaceName): void {
  describeWith(neededBy[name], `platform jobs on ${name}`, () => {
    let bench: Bench | null = null;
    const ready = (): Bench => {
      if (bench === null) throw new Error(`${name} was not started`);
      return bench;
    };
    const asked = cases.filter(({ run }) => run !== survivesCut || !withoutLine.includes(name));
    beforeAll(async () => {
      writeMatrixLine({ kind: "suite", adapter: name, suite, cases: asked.map(({ title }) => title) });
      bench = { place: await openJobsPlace(name, sharedPostgres), receiver: startLedgerReceiver() };
    }, startTimeoutMs);
    afterAll(async () => {
      await bench?.place.end();
      await bench?.receiver.stop();
    });
    for (const { title, run } of asked) {
      const recorded = recordedCase({ adapter: name, suite, title }, () => run(ready()), caseTimeoutMs);
      test(title, recorded, caseTimeoutMs);
    }
  });
}
