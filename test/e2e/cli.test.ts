import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { callApi, subscribe } from "../harness/api.ts";
import { createCommandLine, type CommandLine, type EndedCommand } from "../harness/command-line.ts";
import { eventually } from "../harness/eventually.ts";
import { freePort } from "../harness/free-port.ts";
import { createSandbox } from "../harness/sandbox.ts";
import type { ServerProcess } from "../harness/server-process.ts";

/** What people and scripts rely on: exit codes, what goes to which stream, JSON, colours, questions, pages. */

const token = "secret-token";
const escape = "\u001b";

const sandbox = createSandbox();
let server: ServerProcess;
let commandLine: CommandLine;

beforeAll(async () => {
  server = await sandbox.start();
  commandLine = createCommandLine(sandbox.dataDir(), { FC_API_BASE_URL: server.apiUrl });
}, 30_000);
afterAll(() => sandbox.end());

const run = (line: string, env: Record<string, string> = {}): Promise<EndedCommand> =>
  commandLine.run(`flowcatalyst ${line}`, { env });

/** A subscription to the built-in receiver for a type of its own, and that receiver told how to behave. */
async function subscription(behaviour: Record<string, unknown> = { mode: "ok" }): Promise<Subscribed> {
  const type = `cli.${crypto.randomUUID()}`;
  const name = `name-of-${type}`;
  await api("PUT", `/dev/receiver/${type}/behaviour`, behaviour);
  const targetUrl = `${server.apiUrl}/dev/receiver/${type}`;
  const { id } = await subscribe(server.apiUrl, { name, eventTypes: [type], targetUrl });
  return { id, type, name };
}

interface Subscribed {
  readonly id: string;
  readonly type: string;
  readonly name: string;
}

interface Temporary {
  readonly id: string;
  readonly status: string;
  readonly leaseExpiresAt: string;
}

function api<Answer>(method: string, path: string, body?: unknown): Promise<Answer> {
  return callApi<Answer>(server.apiUrl, { method, path, ...(body === undefined ? {} : { body }) });
}

const statusOf = async (id: string): Promise<string> =>
  (await api<{ status: string }>("GET", `/api/subscriptions/${id}`)).status;

describe("a command that cannot do what was asked", () => {
  test.each([
    ["--version", 0],
    ["", 2],
    ["no-such-command", 2],
    ["pools", 2],
    ["pools create X --concurrency none", 2],
    ["publish order.created --data '{'", 2],
    ["publish order.created --data @no-such-file", 2],
    ["--url nonsense pools list", 2],
    ["subscriptions create x --types 'a.**.b' --target http://127.0.0.1/", 3],
    ["pools get NO-SUCH-POOL", 5],
    ["subscriptions get no-such-subscription", 5],
    ["signature verify x --secret whsec_AAAA --signature v1,AAAA --timestamp 1", 1],
    ["config check --config-path no-such-file.toml", 1],
    ["outbox retri --database sqlite:./nowhere.db", 2],
    ["outbox status --database sqlite:./nowhere.db", 7],
    ["outbox status --database postgres://127.0.0.1:1/app", 7],
  ])("%s: exit code %d", async (line, code) => {
    const [text, json] = await Promise.all([run(line), run(`${line} --json`)]);
    expect({ line, ...text }).toMatchObject({ exitCode: code });
    expect(json.exitCode).toBe(code);
    if (code === 0) return;
    // One place for errors, and never a stack.
    expect(text.stderr + text.stdout).not.toBe("");
    expect(text.stderr + text.stdout).not.toMatch(/^\s+at /m);
    if (code > 1) expect([text.stdout, json.stdout]).toEqual(["", ""]);
    if (code > 1) expect(JSON.parse(json.stderr)).toMatchObject({ error: { exitCode: code } });
  });

  test("asked of an application's outbox, it says what the database says, and which commands there are", async () => {
    const [unknown, missing, away] = await Promise.all([
      run("outbox retri"),
      run("outbox status --database sqlite:./nowhere.db"),
      run("outbox status --database postgres://127.0.0.1:1/app"),
    ]);
    expect(unknown.stderr).toContain('outbox has no command "retri", but init, status');
    expect(missing.stderr).toContain("There is no file ./nowhere.db; `flowcatalyst outbox init` makes it");
    expect(away.stderr).toContain("ECONNREFUSED");
  });

  test("says in one line that no server is there, and what to do", async () => {
    const url = `http://127.0.0.1:${await freePort()}`;
    const { exitCode, stdout, stderr } = await run("events list", { FC_API_BASE_URL: url });
    expect([exitCode, stdout, stderr.trimEnd().split("\n").length]).toEqual([7, "", 1]);
    for (const part of [url, "flowcatalyst dev", "--url", "FC_API_BASE_URL"]) expect(stderr).toContain(part);
  });

  test("says that a token is missing or wrong, and works with the right one", async () => {
    const guarded = await sandbox.start({ env: { FC_API_TOKENS: token } });
    const env = { FC_API_BASE_URL: guarded.apiUrl };
    const [none, wrong, byOption, byVariable] = await Promise.all([
      run("pools list", env),
      run("pools list", { ...env, FC_API_TOKEN: "wrong" }),
      run(`--token ${token} pools list`, env),
      run("pools list", { ...env, FC_API_TOKEN: token }),
    ]);
    expect([none.exitCode, wrong.exitCode, byOption.exitCode, byVariable.exitCode]).toEqual([4, 4, 0, 0]);
    for (const { stderr } of [none, wrong]) expect(stderr).toMatch(/--token.*FC_API_TOKEN|FC_API_TOKENS.*--token/);
  });

  test("lists each fault with its path", async () => {
    const line = "subscriptions create '' --types '' --target http://127.0.0.1/ --header 'bad name: x'";
    const { exitCode, stderr } = await run(line);
    expect(exitCode).toBe(3);
    expect(stderr).toMatch(/^ {2}name: /m);
    expect(stderr).toMatch(/^ {2}eventTypes\[0\]: /m);
    const json = JSON.parse((await run(`${line} --json`)).stderr) as { error: Record<string, unknown> };
    expect(json.error).toMatchObject({ code: "VALIDATION_FAILED", status: 400, exitCode: 3 });
    expect(json.error["faults"]).toContainEqual({ path: "name", message: expect.any(String) });
  });

  test("says what is in conflict", async () => {
    expect((await run("pools create TWICE")).exitCode).toBe(0);
    const again = await run("pools create TWICE");
    expect(again.exitCode).toBe(6);
    expect(again.stderr).toContain("DUPLICATE");
  });
});

describe("colours", () => {
  test("are on a terminal only, and never with NO_COLOR", async () => {
    await subscription();
    const line = "flowcatalyst subscriptions list";
    const coloured = commandLine.startOnTerminal(line);
    const plain = commandLine.startOnTerminal(line, { env: { NO_COLOR: "1" } });
    const dumb = commandLine.startOnTerminal(line, { env: { TERM: "dumb" } });
    const exitCodes = await Promise.all([coloured, plain, dumb].map(({ exited }) => exited));
    expect(exitCodes).toEqual([0, 0, 0]);
    await eventually("the last line", () => (plain.screen().includes("\n") ? true : undefined));
    expect(coloured.screen()).toContain(escape);
    expect(plain.screen() + dumb.screen()).not.toContain(escape);
    const piped = await run("subscriptions list");
    expect(piped.stdout + piped.stderr).not.toContain(escape);
  });

  test("and what steers a terminal cannot come in with data", async () => {
    const { type } = await subscription();
    const env = { SOURCE: `${escape}[2Jshop`, DATA: JSON.stringify(`${escape}[31mred`) };
    const { stdout } = await run(`publish ${type} --source "$SOURCE" --data "$DATA" --json`, env);
    const { event } = JSON.parse(stdout) as { event: { id: string } };
    for (const line of [`events get ${event.id}`, `events timeline ${event.id}`, `events list --type ${type}`]) {
      const shown = await run(line);
      expect([shown.exitCode, shown.stdout]).toEqual([0, expect.stringContaining("[2Jshop")]);
      expect(shown.stdout).not.toContain(escape);
    }
  });
});

describe("publishing", () => {
  test("says what matched, or that nothing does and what comes near", async () => {
    const { id, type } = await subscription();
    const [matched, missed] = await Promise.all([run(`publish ${type}`), run(`publish ${type}x`)]);
    expect(matched.stdout).toContain(`Matched by subscription ${id}`);
    expect([missed.exitCode, missed.stdout]).toEqual([0, expect.stringContaining(`No subscription matches ${type}x`)]);
    expect(missed.stdout).toContain(`The nearest pattern is ${type}.`);
  });

  test("trigger follows each delivery to its end, which is the exit code", async () => {
    const good = await subscription();
    const bad = await subscription({ mode: "fail", status: 400 });
    const [delivered, failed, unmatched] = await Promise.all([
      run(`trigger ${good.type} --json`),
      run(`trigger ${bad.type} --json`),
      run("trigger nobody.listens --json"),
    ]);
    const kinds = (ended: EndedCommand): unknown[] =>
      ended.stdout
        .trim()
        .split("\n")
        .map((line) => (JSON.parse(line) as { kind: string }).kind);
    expect([delivered.exitCode, failed.exitCode, unmatched.exitCode]).toEqual([0, 1, 1]);
    expect(kinds(delivered)).toEqual(["ACCEPTED", "MATCHED", "QUEUED", "ATTEMPT", "FINAL"]);
    expect(kinds(failed).at(-1)).toBe("FINAL");
    expect(kinds(unmatched)).toEqual(["ACCEPTED", "NOT_MATCHED"]);
  });

  test("trigger ends at Ctrl-C with 130", async () => {
    const { type } = await subscription({ mode: "hang" });
    const command = commandLine.start(`flowcatalyst trigger ${type}`);
    await eventually("the event to be queued", () => (command.stdout().includes("QUEUED") ? true : undefined));
    command.kill("SIGINT");
    expect(await command.exited).toBe(130);
    expect(command.stderr()).toContain("interrupted");
  });
});

describe("lists", () => {
  test("page by a cursor that is told, or come whole", async () => {
    for (const code of ["PAGE-1", "PAGE-2", "PAGE-3"]) await api("POST", "/api/dispatch-pools", { code });
    const first = await run("pools list --limit 2");
    expect(first.stdout.trimEnd().split("\n")).toHaveLength(3);
    const cursor = /--cursor (\S+),/.exec(first.stderr)?.[1] ?? "";
    const [second, all] = await Promise.all([
      run(`pools list --limit 2 --cursor ${cursor} --json`),
      run("pools list --all --json"),
    ]);
    const codes = (ended: EndedCommand): string[] =>
      (JSON.parse(ended.stdout) as { items: { code: string }[] }).items.map(({ code }) => code);
    expect(codes(all)).toEqual(expect.arrayContaining(["PAGE-1", "PAGE-2", "PAGE-3"]));
    for (const code of codes(second)) expect(first.stdout).not.toContain(code);
  });

  test("arrive whole through a pipe, however long; a reader that goes away is no fault", async () => {
    const { type } = await subscription();
    await run(`publish ${type} --data '"${"x".repeat(2_000)}"' --count 500`);
    const list = `events list --type ${type} --all --json`;
    const { exitCode, stdout } = await run(list);
    expect(exitCode).toBe(0);
    expect((JSON.parse(stdout) as { items: unknown[] }).items).toHaveLength(500);
    const cut = await run(`${list} | head -c 10`);
    expect([cut.exitCode, cut.stdout.length, cut.stderr]).toEqual([0, 10, ""]);
  });
});

describe("what takes something away", () => {
  test("shows what it is about, and wants --yes where nobody can be asked", async () => {
    const { id, name } = await subscription();
    const [preview, refused] = await Promise.all([
      run(`subscriptions archive ${name} --dry-run --json`),
      run(`subscriptions archive ${name}`),
    ]);
    expect(JSON.parse(preview.stdout)).toMatchObject({ dryRun: true, subscription: { id }, pending: 0 });
    expect([refused.exitCode, refused.stdout]).toEqual([2, ""]);
    expect(refused.stderr).toContain("--yes");
    expect(await statusOf(id)).toBe("ACTIVE");
    expect((await run(`subscriptions archive ${name} --yes`)).exitCode).toBe(0);
    expect(await statusOf(id)).toBe("ARCHIVED");
  });

  test("asks on a terminal", async () => {
    const { id, name } = await subscription();
    const answer = async (key: string): Promise<number> => {
      const command = commandLine.startOnTerminal(`flowcatalyst subscriptions archive ${name}`);
      await eventually("the question", () => (command.screen().includes("No\r\n") ? true : undefined));
      command.type(key);
      return command.exited;
    };
    expect([await answer("n"), await statusOf(id)]).toEqual([1, "ACTIVE"]);
    expect([await answer("y"), await statusOf(id)]).toEqual([0, "ARCHIVED"]);
  });

  test("replay counts first, then delivers and says how many", async () => {
    const { name, type } = await subscription({ mode: "fail", status: 400, times: 1 });
    expect((await run(`trigger ${type}`)).exitCode).toBe(1);
    expect((await run(`replay --subscription ${name} --dry-run`)).stdout).toBe("would: deliver 1 job again\n");
    const { exitCode, stdout } = await run(`replay --subscription ${name} --yes --json`);
    expect([exitCode, JSON.parse(stdout)]).toMatchObject([0, { status: "COMPLETED", done: 1, total: 1 }]);
    const jobs = `jobs list --subscription ${name} --status completed --json`;
    await eventually("the job to be delivered", async () =>
      (await run(jobs)).stdout.includes('"COMPLETED"') ? true : undefined,
    );
  });
});

describe("listen", () => {
  const temporary = async (type: string): Promise<Temporary | undefined> => {
    const { items } = await api<{ items: (Temporary & { eventTypes: { eventTypeCode: string }[] })[] }>(
      "GET",
      "/api/subscriptions?limit=1000",
    );
    return items.find(({ eventTypes }) => eventTypes[0]?.eventTypeCode === type);
  };

  test("forwards what comes, passes the answer on, and leaves nothing after Ctrl-C", async () => {
    const receiver = sandbox.receiver();
    const answers = [503, 200];
    receiver.answer("/hook", () => new Response("", { status: answers.shift() ?? 200 }));
    const type = `listen.${crypto.randomUUID()}`;
    const command = commandLine.start(`flowcatalyst listen --types ${type} --forward-to ${receiver.url}/hook --json`);
    sandbox.defer(() => command.kill("SIGKILL"));
    await eventually("listen to be up", () => (command.stdout().includes("listening") ? true : undefined));
    expect((await run(`trigger ${type} --data '{"n":1}'`)).exitCode).toBe(0);
    const [arrival] = await receiver.received("/hook", 2);
    expect([arrival?.body, arrival?.headers["x-flowcatalyst-event-type"]]).toEqual(['{"n":1}', type]);
    command.kill("SIGINT");
    expect(await command.exited).toBe(0);
    const documents = command
      .stdout()
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(documents.map(({ kind, status }) => [kind, status])).toEqual([
      ["listening", undefined],
      ["webhook", 503],
      ["webhook", 200],
    ]);
    expect((await temporary(type))?.status).toBe("ARCHIVED");
  });

  test("killed, leaves only a lease that runs out", async () => {
    const type = `listen.${crypto.randomUUID()}`;
    const command = commandLine.start(`flowcatalyst listen --types ${type}`);
    await eventually("listen to be up", () => (command.stderr().includes("listening") ? true : undefined));
    command.kill("SIGKILL");
    await command.exited;
    const left = await temporary(type);
    const leftMs = Date.parse(left?.leaseExpiresAt ?? "") - Date.now();
    expect(leftMs).toBeGreaterThan(0);
    expect(leftMs).toBeLessThanOrEqual(60_000);
  });
});
