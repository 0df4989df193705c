import { afterAll, beforeAll, expect, test } from "bun:test";
import { callApi } from "../harness/api.ts";
import { createCommandLine, type CommandLine, type EndedCommand } from "../harness/command-line.ts";
import { eventually } from "../harness/eventually.ts";
import { freePort } from "../harness/free-port.ts";
import { createSandbox } from "../harness/sandbox.ts";
import type { ServerProcess } from "../harness/server-process.ts";

/** `flowcatalyst dead-letter` on a router: what failed for good is looked at, delivered after all, or discarded. */

const sandbox = createSandbox();
let server: ServerProcess;
let commandLine: CommandLine;

beforeAll(async () => {
  server = await sandbox.start();
  commandLine = createCommandLine(sandbox.dataDir(), { FC_ROUTER_URL: server.routerUrl });
}, 30_000);
afterAll(() => sandbox.end());

const run = (line: string, env: Record<string, string> = {}): Promise<EndedCommand> =>
  commandLine.run(`flowcatalyst dead-letter ${line}`, { env });

interface Letter {
  readonly key: string;
  readonly id: string;
  readonly poolCode: string;
  readonly reason: string;
  readonly body: string;
}

async function lettersOf(poolCode: string): Promise<readonly Letter[]> {
  const { stdout } = await run(`list --pool ${poolCode} --all --json`);
  const { items } = JSON.parse(stdout) as { items: readonly Letter[] };
  return items;
}

/** As many messages of a pool of their own as asked for, each refused once by its target. */
async function refusedOnce(count: number): Promise<{ pool: string; receiver: string; letters: readonly Letter[] }> {
  const pool = `pool-${crypto.randomUUID()}`;
  const behaviour = { mode: "fail", status: 404, times: count };
  await callApi(server.apiUrl, { method: "PUT", path: `/dev/receiver/${pool}/behaviour`, body: behaviour });
  const messages = Array.from({ length: count }, (_, at) => ({
    id: `${pool}-${at}`,
    poolCode: pool,
    target: `${server.apiUrl}/dev/receiver/${pool}`,
    payload: { at },
  }));
  await callApi(server.routerUrl, { method: "POST", path: "/api/router/publish", body: messages });
  const letters = await eventually("all of them to be set aside", async () => {
    const found = await lettersOf(pool);
    return found.length === count ? found : undefined;
  });
  return { pool, receiver: pool, letters };
}

/** How many requests the receiver has had. */
async function requestsTo(receiver: string): Promise<number> {
  const path = `/dev/receiver/${receiver}/requests`;
  return (await callApi<{ total: number }>(server.apiUrl, { method: "GET", path })).total;
}

test("one is shown whole, replayed, delivered, and gone", async () => {
  const { receiver, pool, letters } = await refusedOnce(1);
  const [letter] = letters;
  expect(letter).toMatchObject({ poolCode: pool, reason: "the target answered 404" });
  const shown = await run(`show ${letter!.key}`);
  expect([shown.exitCode, shown.stdout]).toEqual([0, expect.stringContaining(`${pool}-0`)]);
  const replay = await run(`replay ${letter!.key}`);
  expect([replay.exitCode, replay.stdout.trim(), replay.stderr]).toEqual([0, "1 replayed", ""]);
  await eventually("its delivery", async () => ((await requestsTo(receiver)) === 2 ? true : undefined));
  expect(await lettersOf(pool)).toEqual([]);
  const again = await run(`replay ${letter!.key} --json`);
  expect(again.exitCode).toBe(1);
  expect(JSON.parse(again.stdout)).toMatchObject({ count: 0, results: [{ key: letter!.key, status: "MISSING" }] });
  expect((await run(`show ${letter!.key}`)).exitCode).toBe(5);
});

test("all of a pool are replayed page by page, with progress; a dry run only counts them", async () => {
  const { pool, receiver } = await refusedOnce(230);
  const dryRun = await run(`replay --all --pool ${pool} --dry-run`);
  expect([dryRun.exitCode, dryRun.stdout.trim()]).toEqual([0, "would: replay 230 dead letters"]);
  expect(await lettersOf(pool)).toHaveLength(230);
  const replay = await run(`replay --all --pool ${pool} --yes`);
  expect([replay.exitCode, replay.stdout.trim()]).toEqual([0, "230 replayed"]);
  expect(replay.stderr).toMatch(/^\d+ replayed\n/);
  await eventually("all deliveries", async () => ((await requestsTo(receiver)) === 460 ? true : undefined));
  expect(await lettersOf(pool)).toEqual([]);
}, 60_000);

test("nothing is discarded where nobody was asked", async () => {
  const { pool, letters } = await refusedOnce(2);
  const unasked = await run(`discard ${letters[0]!.key}`);
  expect([unasked.exitCode, unasked.stderr]).toEqual([
    2,
    expect.stringContaining("add --yes to: discard 1 dead letter"),
  ]);
  expect(await lettersOf(pool)).toHaveLength(2);
  const told = await run(`discard ${letters[0]!.key} --yes`);
  expect([told.exitCode, told.stdout.trim()]).toEqual([0, "1 discarded"]);
  expect(await lettersOf(pool)).toHaveLength(1);
});

test.each([
  ["replay", 2, "say which"],
  ["discard 1 --all --yes", 2, "say which"],
  ["replay 1 --pool X", 2, "--all"],
  ["list --queue nobody", 5, "There is no queue nobody"],
  ["list --router-url nonsense", 2, "no address of a router API"],
])("dead-letter %s ends with %d", async (line, code, message) => {
  const ended = await run(line);
  expect([ended.exitCode, ended.stderr]).toEqual([code, expect.stringContaining(message)]);
});

test("without a router it says how to name one", async () => {
  const nowhere = await run("list", { FC_ROUTER_URL: `http://127.0.0.1:${await freePort()}` });
  expect([nowhere.exitCode, nowhere.stderr]).toEqual([7, expect.stringContaining("--router-url or FC_ROUTER_URL")]);
  const platform = await run("list", { FC_ROUTER_URL: server.apiUrl });
  expect([platform.exitCode, platform.stderr]).toEqual([5, expect.stringContaining("no router of this version")]);
});
