import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { seededRandom } from "@flowcatalyst/foundation";
import { describeWith, testMariadbUrl, testMongoUrl } from "../../packages/server/src/ports/needs-services.fixture.ts";
import { openTestPostgres, testPostgresUrl } from "../../packages/server/src/postgres/test-database.fixture.ts";
import { callApi } from "../harness/api.ts";
import {
  openPostgresApplication,
  openSqliteApplication,
  outboxRowId,
  type Application,
} from "../harness/application.ts";
import { openMariadbApplication, openMongoApplication } from "../harness/application-databases.ts";
import { createCommandLine } from "../harness/command-line.ts";
import { eventually } from "../harness/eventually.ts";
import { startFaultyPlatform, type Treatment } from "../harness/faulty-platform.ts";
import { startLedgerReceiver, type LedgerReceiver } from "../harness/ledger-receiver.ts";
import { pass } from "../harness/pass.ts";
import { createSandbox } from "../harness/sandbox.ts";
import { freePorts, type ServerProcess } from "../harness/server-process.ts";
import {
  openOutboxWorld,
  outboxCommand,
  searchEvents,
  type OutboxWorld,
  type OutboxWorldPlan,
} from "./outbox-world.ts";

/**
 * From the transaction of an application to the webhook, with a ledger: the processor is killed at any moment, the
 * platform is away, or answers 500 to every second request. `npm run test:kill -- --outbox` does it for longer, with
 * outages of 90 s.
 */
const sandbox = createSandbox();
type Engine = "postgres" | "sqlite" | "mariadb" | "mongodb";
const engines: readonly [Engine, ...Engine[]] = testPostgresUrl === undefined ? ["sqlite"] : ["postgres", "sqlite"];
/** For what does not differ by engine. */
const [usual] = engines;
const seed = Date.now() % 1_000_000_000;
const outageMs = 8_000;
const deadlineMs = 180_000;

let platform: ServerProcess;
let receiver: LedgerReceiver;

beforeAll(async () => {
  receiver = startLedgerReceiver();
  sandbox.defer(() => receiver.stop());
  platform = await sandbox.start();
}, 30_000);
afterAll(() => sandbox.end(), 30_000);

async function applicationOn(engine: Engine): Promise<Application> {
  const application = await newApplicationOn(engine);
  sandbox.defer(() => application.close());
  return application;
}

async function newApplicationOn(engine: Engine): Promise<Application> {
  const name = `fc_${randomBytes(6).toString("hex")}`;
  switch (engine) {
    case "sqlite":
      return openSqliteApplication(join(sandbox.dataDir(), "app.db"));
    case "postgres": {
      const database = await openTestPostgres([]);
      sandbox.defer(() => database.close());
      return openPostgresApplication(database.url);
    }
    case "mariadb": {
      const server = await openMariadbApplication(testMariadbUrl ?? "");
      await server.run(`CREATE DATABASE ${name}`);
      sandbox.defer(async () => {
        await server.run(`DROP DATABASE ${name}`);
        await server.close();
      });
      return openMariadbApplication(databaseAt(testMariadbUrl, name));
    }
    case "mongodb":
      return openMongoApplication(databaseAt(testMongoUrl, name));
  }
}

function databaseAt(server: string | undefined, name: string): string {
  const url = new URL(server ?? "");
  url.pathname = `/${name}`;
  return url.href;
}

async function setup(engine: Engine, plan: Partial<OutboxWorldPlan> & { name: string }) {
  const application = await applicationOn(engine);
  return openOutboxWorld({ application, platform, receiver, start: (options) => sandbox.start(options), ...plan });
}

async function closes(world: OutboxWorld): Promise<void> {
  await world.settle();
  expect({ seed, problems: await world.problems() }).toEqual({ seed, problems: [] });
}

function processorIsKilled(engine: Engine): void {
  test.concurrent(
    "the processor is killed at any moment: each order's event comes once and in order, and no other",
    async () => {
      const world = await setup(engine, { name: `killed-${engine}`, processors: 2 });
      const random = seededRandom(seed);
      const over = new AbortController();
      // The server for MongoDB's protocol looks through all of a collection for each question.
      const pauseMs = engine === "mongodb" ? 60 : 10;
      const load = world.place({ orders: 20_000, random, pauseMs, signal: over.signal });
      for (const processor of world.processors) {
        const seen = world.delivered();
        await eventually("deliveries", () => world.delivered() > seen + 50 || undefined, deadlineMs);
        await pass(random.next() * 500);
        await processor.kill();
        await processor.start();
      }
      over.abort();
      const { committed, rolledBack } = await load;
      expect([committed > 100, rolledBack > 5]).toEqual([true, true]);
      await closes(world);
    },
    deadlineMs,
  );
}

describeWith(["mariadb"], "on mariadb", () => processorIsKilled("mariadb"));
describeWith(["mongodb"], "on mongodb", () => processorIsKilled("mongodb"));

describe.each(engines)("on %s", (engine) => {
  processorIsKilled(engine);

  test.concurrent(
    "the platform answers 500 to every second request, heard or unheard: no event is lost, doubled or overtaken",
    async () => {
      const treatments: readonly Treatment[] = ["pass", "refuse", "pass", "lose"];
      const faulty = startFaultyPlatform(platform.apiUrl, (request) => treatments[request % 4] ?? "pass");
      sandbox.defer(() => faulty.stop());
      const world = await setup(engine, { name: `faulty-${engine}`, sendsTo: faulty.url });
      await world.place({ orders: 200, random: seededRandom(seed), pauseMs: 2 });
      await closes(world);
      expect(faulty.counts.refuse).toBeGreaterThan(0);
      expect(faulty.counts.lose).toBeGreaterThan(0);
    },
    deadlineMs,
  );
});

test.concurrent(
  "the platform is away and comes back: what waited is sent, once and in order, and no retry was used up",
  async () => {
    const own = await sandbox.start();
    const application = await applicationOn(usual);
    const start = sandbox.start.bind(sandbox);
    const world = await openOutboxWorld({ name: "away", application, platform: own, receiver, start });
    const over = new AbortController();
    const load = world.place({ orders: 20_000, random: seededRandom(seed), pauseMs: 10, signal: over.signal });
    await eventually("deliveries", () => world.delivered() > 50 || undefined, deadlineMs);
    expect(await own.stop()).toBe(0);
    await pass(outageMs);
    over.abort();
    await load;
    const { dataDir, ports } = own;
    await sandbox.start({ dataDir, ports });
    await closes(world);
  },
  deadlineMs,
);

test.concurrent(
  "rows that nobody can send are refused with a reason and hold nobody",
  async () => {
    const world = await setup(usual, { name: "bad-rows" });
    const { application } = world;
    const bad = [
      { id: outboxRowId(), type: "EVENT", group: "g0", payload: "{not json" },
      { id: outboxRowId(), type: "EVENT", group: "g0", payload: '["no object"]' },
      { id: outboxRowId(), type: "LETTER", group: "g0", payload: "{}" },
      { id: outboxRowId(), type: "EVENT", group: "g0", payload: '{"source":"without a type"}' },
      {
        id: outboxRowId(),
        type: "EVENT",
        group: "g0",
        payload: JSON.stringify({ type: "x", data: "x".repeat(1 << 21) }),
      },
    ];
    await application.addRows(bad);
    await world.place({ orders: 60, random: seededRandom(seed) });
    await eventually("all orders to be delivered", () => world.delivered() === 60 || undefined, deadlineMs);
    for (const { id, payload } of bad) {
      const row = await eventually("a row to be refused", async () => {
        const found = await application.row(id);
        return found?.status === 2 ? found : undefined;
      });
      expect([payload.slice(0, 20), (row.error ?? "").length > 10]).toEqual([payload.slice(0, 20), true]);
    }
  },
  deadlineMs,
);

test.concurrent(
  "an operator pauses and resumes, sees what was refused, and retries and skips it",
  async () => {
    const world = await setup(usual, { name: "operated" });
    const { application } = world;
    const folder = sandbox.dataDir();
    const commandLine = createCommandLine(folder, { FC_OUTBOX_DB_URL: application.url });
    const run = async (line: string): Promise<Record<string, unknown>> => {
      const { exitCode, stdout, stderr } = await commandLine.run(`flowcatalyst outbox ${line} --json`);
      expect({ line, exitCode, stderr }).toMatchObject({ exitCode: 0, stderr: "" });
      return JSON.parse(stdout) as Record<string, unknown>;
    };
    await run("pause --reason 'a test'");
    await world.place({ orders: 20, random: seededRandom(seed) });
    expect(await run("status")).toMatchObject({ pausedReason: "a test", pending: 20, refused: 0 });
    expect(world.delivered()).toBe(0);
    const pages = await run("list --limit 15");
    expect(pages["items"]).toHaveLength(15);
    expect((await run(`list --limit 15 --cursor ${String(pages["nextCursor"])}`))["items"]).toHaveLength(5);

    const first = outboxRowId();
    await application.addRows([{ id: first, type: "EVENT", group: "held", payload: "{}" }]);
    expect(await run("skip --group held --status PENDING --dry-run")).toMatchObject({ dryRun: true, count: 1 });
    expect(await run("skip --group held --status PENDING --reason nonsense --yes")).toMatchObject({ count: 1 });
    expect(await application.row(first)).toEqual({ status: 2, error: "nonsense" });

    await run("resume");
    await eventually("all orders to be delivered", () => world.delivered() === 20 || undefined, deadlineMs);
    expect(await run("status")).toMatchObject({ paused: false, refused: 1, exhausted: 0 });
    expect(await run(`retry ${first}`)).toMatchObject({ count: 1 });
    const refused = await eventually("the platform to refuse it", async () => {
      const { items } = (await run("list --status BAD_REQUEST")) as { items: { id: string; error: string }[] };
      return items.find(({ id, error }) => id === first && error !== "nonsense");
    });
    expect(refused.error).toContain("type");
    const wrong = await commandLine.run(`flowcatalyst outbox skip --json`);
    expect([wrong.exitCode, JSON.parse(wrong.stderr).error.code]).toEqual([2, "USAGE_INVALID"]);
  },
  deadlineMs,
);

test.concurrent(
  "flowcatalyst dev with an application's database sends its rows itself",
  async () => {
    const application = await applicationOn(usual);
    await outboxCommand("init", application.url);
    const dev = await sandbox.start({ env: { FC_OUTBOX_DB_URL: application.url } });
    const payload = JSON.stringify({ type: "dev.order.placed", source: "shop", data: {} });
    const id = outboxRowId();
    await application.addRows([{ id, type: "EVENT", group: null, payload }]);
    await eventually("the row to be done", async () => (await application.row(id))?.status === 1 || undefined);
    const { items } = await eventually("a search", () => searchEvents(dev.apiUrl, "dev.order.placed"), deadlineMs);
    expect(items).toEqual([expect.objectContaining({ deduplicationId: id })]);
  },
  deadlineMs,
);

test.concurrent(
  "an event, a job and an audit log of one transaction arrive, each once",
  async () => {
    const world = await setup(usual, { name: "kinds" });
    const got = sandbox.receiver();
    const [event, job, log] = [outboxRowId(), outboxRowId(), outboxRowId()];
    const ofEvent = { type: "kinds.order.placed", source: "shop", data: { g: 0, n: 1 } };
    const ofJob = { targetUrl: `${got.url}/job`, payload: { letter: "welcome" }, code: "send-letter" };
    const ofLog = { entityType: "Order", entityId: job, operation: "PlaceOrder", data: { by: "web" } };
    await world.application.addRows([
      { id: event, type: "EVENT", group: "g0", payload: JSON.stringify(ofEvent) },
      { id: job, type: "DISPATCH_JOB", group: "g0", payload: JSON.stringify(ofJob) },
      { id: log, type: "AUDIT_LOG", group: null, payload: JSON.stringify(ofLog) },
    ]);
    await eventually("the event", () => world.delivered() === 1 || undefined, deadlineMs);
    const [letter] = await got.received("/job", 1);
    expect(JSON.parse(letter?.body ?? "")).toEqual({ letter: "welcome" });
    const { items } = await eventually("the audit log", async () => {
      const path = `/api/audit-logs?entityType=Order&entityId=${job}`;
      const page = await callApi<{ items: readonly object[] }>(platform.apiUrl, { method: "GET", path });
      return page.items.length > 0 ? page : undefined;
    });
    expect(items).toEqual([expect.objectContaining({ senderId: log, operation: "PlaceOrder", data: { by: "web" } })]);
    await eventually("all rows to be done", async () => (await world.application.statuses())[1] === 3 || undefined);
  },
  deadlineMs,
);

test.concurrent(
  "rows of the older table go to the router, in order per group, and a killed processor loses none",
  async () => {
    const [groups, places] = [5, 40];
    const application = await applicationOn(usual);
    await outboxCommand("init", application.url, "router");
    const env = {
      FC_OUTBOX_DB_URL: application.url,
      FC_OUTBOX_MODE: "router",
      FC_OUTBOX_ROUTER_URL: platform.routerUrl,
    };
    const processor = { args: ["outbox"], env, ports: await freePorts() };
    const first = await sandbox.start(processor);
    receiver.target("older");
    const rows = Array.from({ length: groups * places }, (_, index) => {
      const payload = JSON.stringify({ g: index % groups, n: Math.floor(index / groups) + 1 });
      return `('${outboxRowId()}', 'g${index % groups}', '${receiver.url}/older', '${payload}')`;
    });
    const columns = "id, message_group_id, target, payload";
    const insert = (some: readonly string[]): Promise<void> =>
      application.run(`INSERT INTO outbox (${columns}) VALUES ${some.join(", ")}`);
    await insert(rows.slice(0, rows.length / 2));
    await eventually("the first ones", () => receiver.summary("older").delivered > groups || undefined, deadlineMs);
    await first.kill();
    await insert(rows.slice(rows.length / 2));
    await sandbox.start(processor);
    const all = { delivered: rows.length, inverted: 0 };
    await eventually("all of them", () => receiver.summary("older").delivered === rows.length || undefined, deadlineMs);
    expect(receiver.summary("older")).toMatchObject(all);
    await eventually("all to be published", async () => {
      return (await application.statuses("outbox"))["PUBLISHED"] === rows.length || undefined;
    });
  },
  deadlineMs,
);
