import { afterAll, beforeAll, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { randomBytes } from "node:crypto";
import { createProgram, examplesOf, type Environment } from "@flowcatalyst/cli";
import {
  describeWithPostgres,
  openTestPostgres,
  testPostgresUrl,
  type TestPostgres,
} from "../../packages/server/src/postgres/test-database.fixture.ts";
import { queueMigrations } from "../../packages/server/src/queues/postgres/migrations.ts";
import { storeMigrations } from "../../packages/server/src/stores/postgres/migrations.ts";
import { callApi, subscribe } from "../harness/api.ts";
import { outboxRowId } from "../harness/application.ts";
import { createCommandLine, type CommandLine } from "../harness/command-line.ts";
import { eventually } from "../harness/eventually.ts";
import { createSandbox } from "../harness/sandbox.ts";
import { freePorts, type ServerProcess } from "../harness/server-process.ts";

/**
 * Every example of every `--help` is run as it stands there, by a shell, against a real server: once as a person would
 * read it, once with `--json`. Ids in angle brackets are filled in with things made for that run, and the addresses of
 * the examples with those of this test. What goes on until it is told to end is ended with Ctrl-C once it is up.
 */

const silent: Environment = {
  variables: {},
  isTerminal: false,
  isInteractive: false,
  out: () => undefined,
  err: () => undefined,
  signal: new AbortController().signal,
  readInput: async () => "",
};

type Command = ReturnType<typeof createProgram>;

/** Commands in the order of `--help`, without those that are hidden because they are not built yet. */
function visibleCommands(command: Command): readonly Command[] {
  return [command, ...command.createHelp().visibleCommands(command).flatMap(visibleCommands)];
}

const commands = visibleCommands(createProgram(silent, "0.0.0")).filter((command) => command.name() !== "help");
const examples = [...new Set(commands.flatMap(examplesOf))];
const goesOn = /^flowcatalyst (dev|platform|stream|scheduler|router|listen|outbox(?= --))\b/;
const exampleDatabase = "postgres://fc@localhost/flowcatalyst";
const onPostgres = examples.filter((example) => example.includes(exampleDatabase));
const onFiles = examples.filter((example) => !onPostgres.includes(example));
const appKey = randomBytes(32).toString("base64");

/** A server, and a command line that talks to it; one for each way of running, so that they do not meet. */
interface Bench {
  readonly server: ServerProcess;
  readonly commandLine: CommandLine;
  readonly folder: string;
  /** Null: there is no PostgreSQL, and what needs it is skipped. */
  readonly database: TestPostgres | null;
}

const sandbox = createSandbox();
let plain: Bench;
let json: Bench;

beforeAll(async () => {
  [plain, json] = await Promise.all([setup(), setup()]);
}, 30_000);
afterAll(() => sandbox.end());

async function setup(): Promise<Bench> {
  const server = await sandbox.start();
  const folder = sandbox.dataDir();
  await Bun.write(`${folder}/pools.toml`, '[[pools]]\ncode = "PARTNERS"\nconcurrency = 5\n');
  const commandLine = createCommandLine(folder, {
    FC_API_BASE_URL: server.apiUrl,
    FC_ROUTER_URL: server.routerUrl,
    FC_METRICS_PORT: String(server.ports.metrics),
  });
  await commandLine.run("flowcatalyst outbox init --database sqlite:./app.db");
  const targetUrl = `${server.apiUrl}/dev/receiver/base`;
  await subscribe(server.apiUrl, { name: "base", eventTypes: ["order.*"], targetUrl });
  const database = testPostgresUrl === undefined ? null : await openTestPostgres([storeMigrations, queueMigrations]);
  sandbox.defer(() => database?.close());
  return { server, commandLine, folder, database };
}

test("every --help has examples, says what it does, and where the server is looked for", async () => {
  for (const command of commands) {
    const help = command.helpInformation({ error: false });
    const path = `${command.parent?.name() ?? ""} ${command.name()}`;
    expect([path, examplesOf(command).length > 0, help.includes("--url")]).toEqual([path, true, true]);
    expect([path, command.summary() !== "" || command.description() !== ""]).toEqual([path, true]);
  }
});

const ran = new Set<string>();

async function runBoth(example: string): Promise<void> {
  await Promise.all([runAsPerson(example), runAsProgram(example)]);
  ran.add(example);
}

test.each(onFiles)("%s", runBoth);

describeWithPostgres("on PostgreSQL", () => {
  test.each(onPostgres)("%s", runBoth);
});

test("all of them ran", () => {
  expect([...ran].toSorted()).toEqual((testPostgresUrl === undefined ? onFiles : examples).toSorted());
  console.log(`${ran.size} examples of ${commands.length} --help texts, all run, as text and as JSON`);
});

async function runAsPerson(example: string): Promise<void> {
  const { exitCode, stdout, stderr } = await runExample(plain, example);
  expect({ example, exitCode, stdout, stderr }).toMatchObject({ exitCode: 0 });
  const said = stdout + stderr;
  expect(said.trim()).not.toBe("");
  expect(said).not.toContain("\u001b");
  expect(said).not.toMatch(/undefined|\[object|NaN|^\s+at .*:\d+:\d+/m);
}

async function runAsProgram(example: string): Promise<void> {
  const { exitCode, stdout, stderr } = await runExample(json, `${example} --json`);
  expect({ example, exitCode, stdout, stderr }).toMatchObject({ exitCode: 0, stderr: "" });
  const documents = stdout
    .trimEnd()
    .split("\n")
    .map((line): unknown => JSON.parse(line));
  const followsSomething = goesOn.test(example) || example.startsWith("flowcatalyst trigger");
  if (!followsSomething) expect(documents).toHaveLength(1);
  for (const document of documents) expect(document).toBeObject();
}

interface Ended {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function runExample(bench: Bench, example: string): Promise<Ended> {
  const line = withAddresses(bench, await withIds(bench, example));
  if (!goesOn.test(example)) return bench.commandLine.run(line);
  const ports = await freePorts();
  const onFreePorts = line
    .replace("--api-port 9000", `--api-port ${ports.api}`)
    .replace(/--metrics-port \d+/, `--metrics-port ${ports.metrics}`);
  const command = bench.commandLine.start(onFreePorts, {
    env: {
      FC_API_PORT: String(ports.api),
      FC_ROUTER_PORT: String(ports.router),
      FC_METRICS_PORT: String(ports.metrics),
      FC_LOG_LEVEL: "warn",
      FC_APP_KEY: appKey,
      BUN_CONFIG_MAX_HTTP_REQUESTS: "8192",
      // A router reports to the platform named by it.
      ...(example.startsWith("flowcatalyst router") ? { FC_API_BASE_URL: "" } : {}),
    },
  });
  sandbox.defer(() => command.kill("SIGKILL"));
  const said = (): string => command.stdout() + command.stderr();
  const isUp = /is up\n|^listening for|"kind":"(started|listening)"/m;
  await eventually(`${example} to be up`, () => (isUp.test(said()) ? true : undefined));
  command.kill("SIGINT");
  return { exitCode: await command.exited, stdout: command.stdout(), stderr: command.stderr() };
}

function withAddresses({ server, folder, database }: Bench, example: string): string {
  return example
    .replaceAll(exampleDatabase, database?.url ?? exampleDatabase)
    .replaceAll("http://127.0.0.1:8080", server.apiUrl)
    .replaceAll("http://127.0.0.1:3000", `${server.apiUrl}/dev/receiver`)
    .replaceAll("/tmp/flowcatalyst-data", `${folder}/data`);
}

type Place = Pick<ServerProcess, "apiUrl" | "routerUrl"> & Pick<Bench, "folder">;

const makers: Readonly<Record<string, (place: Place) => Promise<string>>> = {
  "subscription-id": async ({ apiUrl }) => (await failedJob(apiUrl)).subscriptionId,
  "event-id": async ({ apiUrl }) => (await failedJob(apiUrl)).eventId,
  "job-id": async ({ apiUrl }) => (await failedJob(apiUrl)).id,
  "group-key": async ({ apiUrl }) => (await failedJob(apiUrl)).groupKey,
  "pool-id": async ({ apiUrl }) => {
    const body = { code: `P-${crypto.randomUUID()}` };
    return (await callApi<{ id: string }>(apiUrl, { method: "POST", path: "/api/dispatch-pools", body })).id;
  },
  "outbox-row-id": ({ folder }) => outboxRow(`${folder}/app.db`),
  "dead-letter-key": ({ apiUrl, routerUrl }) => deadLetter(apiUrl, routerUrl),
  "replay-id": async ({ apiUrl }) => {
    // So slow that it is still under way when it is looked at.
    await Promise.all(Array.from({ length: 3 }, () => failedJob(apiUrl)));
    const call = { method: "POST", path: "/api/dispatch/jobs/replay", body: { jobsPerSecond: 1 } };
    return (await callApi<{ id: string }>(apiUrl, call)).id;
  },
};

/** Fills in what stands in angle brackets. */
async function withIds({ server, folder }: Bench, example: string): Promise<string> {
  let line = example;
  for (const [placeholder, name = ""] of example.matchAll(/<([a-z-]+)>/g)) {
    const make = makers[name];
    if (make === undefined) throw new Error(`nobody makes a ${name}`);
    line = line.replaceAll(placeholder, await make({ ...server, folder }));
  }
  return line;
}

interface Job {
  readonly id: string;
  readonly status: string;
  readonly eventId: string;
  readonly subscriptionId: string;
  readonly groupKey: string;
}

/** A job that has failed for good and holds its group: it can be looked at, retried, cancelled and replayed. */
async function failedJob(apiUrl: string): Promise<Job> {
  const type = `example.${crypto.randomUUID()}`;
  const targetUrl = `${apiUrl}/dev/receiver/${type}`;
  const behaviour = { mode: "fail", status: 400, times: 1 };
  await callApi(apiUrl, { method: "PUT", path: `/dev/receiver/${type}/behaviour`, body: behaviour });
  await subscribe(apiUrl, { name: type, eventTypes: [type], targetUrl, mode: "BLOCK_ON_ERROR" });
  const event = { type, source: "test", messageGroup: "g" };
  const { id } = await callApi<{ id: string }>(apiUrl, { method: "POST", path: "/api/events", body: event });
  return eventually("the job to fail", async () => {
    const path = `/api/dispatch/jobs?eventId=${id}`;
    const { items } = await callApi<{ items: Job[] }>(apiUrl, { method: "GET", path });
    return items.find(({ status }) => status === "FAILED");
  });
}

/** A stand-alone message whose target refused it for good. */
async function deadLetter(apiUrl: string, routerUrl: string): Promise<string> {
  const id = crypto.randomUUID();
  const behaviour = { mode: "fail", status: 400, times: 1 };
  await callApi(apiUrl, { method: "PUT", path: `/dev/receiver/${id}/behaviour`, body: behaviour });
  const message = { id, target: `${apiUrl}/dev/receiver/${id}`, payload: {} };
  await callApi(routerUrl, { method: "POST", path: "/api/router/publish", body: message });
  return eventually("the message to be set aside", async () => {
    const { items } = await callApi<{ items: { id: string; key: string }[] }>(routerUrl, {
      method: "GET",
      path: "/monitoring/dead-letters",
    });
    return items.find((letter) => letter.id === id)?.key;
  });
}

/** A row of the outbox that was tried in vain. */
async function outboxRow(path: string): Promise<string> {
  const id = outboxRowId();
  const database = new Database(path);
  const columns = "id, type, message_group, payload, status, retry_count, error_message";
  database.run(`INSERT INTO outbox_messages (${columns}) VALUES (?, 'EVENT', 'g', '{}', 3, 10, 'it failed')`, [id]);
  database.close();
  return id;
}
