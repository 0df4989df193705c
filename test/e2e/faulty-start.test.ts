import { Database } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { createCommandLine } from "../harness/command-line.ts";
import { eventually } from "../harness/eventually.ts";
import { createSandbox, type Sandbox } from "../harness/sandbox.ts";
import type { EndedProcess, ServerOptions } from "../harness/server-process.ts";

/**
 * A start that cannot succeed: one clear line on stderr that says what and what to do, exit code 1, and nothing else
 * printed or left behind.
 */

const pageBytes = 4_096;
const isRoot = process.getuid?.() === 0;
/** Root may write everywhere, but for this: the capability goes, the user stays. */
const withoutOverride = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"];

let sandbox: Sandbox;
beforeEach(() => {
  sandbox = createSandbox();
});
afterEach(() => sandbox.end());

/** The one line, without its end. */
async function refusal(options: ServerOptions): Promise<string> {
  const ended = await sandbox.run(options);
  expect(ended).toMatchObject({ exitCode: 1, stdout: "" });
  const lines = ended.stderr.trimEnd().split("\n");
  expect(lines).toHaveLength(1);
  expect(lines[0]).toStartWith("flowcatalyst: ");
  return lines[0]!;
}

/** A data folder as a server leaves it behind. */
async function usedDataDir(): Promise<string> {
  const server = await sandbox.start();
  expect(await server.stop()).toBe(0);
  return server.dataDir;
}

function overwrite(path: string, page: number, pages: number): void {
  const file = openSync(path, "r+");
  writeSync(file, Buffer.alloc(pages * pageBytes, 0x5a), 0, pages * pageBytes, page * pageBytes);
  closeSync(file);
}

describe("the database", () => {
  const damages: [string, (path: string) => void][] = [
    ["is something else", (path) => writeFileSync(path, "not a database ".repeat(1_000))],
    ["has lost its first page", (path) => overwrite(path, 0, 1)],
    ["has garbage in its middle", (path) => overwrite(path, 1, 20)],
    ["was cut off", (path) => truncateSync(path, 2 * pageBytes)],
  ];
  test("damaged", async () => {
    const used = await usedDataDir();
    const path = join(used, "flowcatalyst.db");
    const sound = await Bun.file(path).bytes();
    for (const [, damage] of damages) {
      writeFileSync(path, sound);
      damage(path);
      const line = await refusal({ dataDir: used });
      expect(line).toContain(`The database file ${path} is damaged. Restore it from a backup, or move the file away`);
    }
    writeFileSync(path, sound);
    const again = await sandbox.start({ dataDir: used });
    expect(await again.stop()).toBe(0);
  });

  test("written by a newer version", async () => {
    const dataDir = await usedDataDir();
    const database = new Database(join(dataDir, "flowcatalyst.db"));
    database.run("INSERT INTO store_migrations VALUES (999, 'of-a-later-build', 0)");
    database.close();
    const line = await refusal({ dataDir });
    expect(line).toContain("is at migration 999, and this build knows");
    expect(line).toContain("Start the newer version, or restore a backup made by this one.");
  });

  test("in use by another process, which is named and goes on", async () => {
    const other = await sandbox.start();
    const line = await refusal({ dataDir: other.dataDir });
    expect(line).toContain(`is in use by process ${other.pid}. Stop the process named, or set FC_DATA_DIR`);
    expect((await fetch(`${other.apiUrl}/q/ready`)).status).toBe(200);
  });

  test("left behind by a process that was killed is not in use", async () => {
    const killed = await sandbox.start();
    await killed.kill();
    const next = await sandbox.start({ dataDir: killed.dataDir });
    expect(await next.stop()).toBe(0);
  });
});

describe("the data directory", () => {
  test("cannot be made", async () => {
    const file = join(sandbox.dataDir(), "a-file");
    writeFileSync(file, "");
    const line = await refusal({ dataDir: join(file, "data") });
    expect(line).toContain(
      `${file}/data cannot be written. Correct the permissions of the directory, or set FC_DATA_DIR`,
    );
  });

  test.skipIf(isRoot && Bun.which("setpriv") === null)("is read-only", async () => {
    const dataDir = sandbox.dataDir();
    chmodSync(dataDir, 0o555);
    sandbox.defer(() => chmodSync(dataDir, 0o755));
    const line = await refusal({ dataDir, ...(isRoot ? { through: withoutOverride } : {}) });
    expect(line).toContain(`${dataDir} cannot be written. Correct the permissions`);
    expect(readdirSync(dataDir)).toEqual([]);
  });
});

test.skipIf(Bun.which("prlimit") === null)("the disk is full", async () => {
  const noRoom = ["prlimit", `--fsize=${pageBytes}:`];
  const line = await refusal({ through: noRoom });
  expect(line).toContain("is the disk full or failing?) cannot be written.");
});

describe("a port", () => {
  test("is taken: each says which, and by which setting to move", async () => {
    const other = await sandbox.start();
    const taken = [
      ["FC_API_PORT", other.ports.api],
      ["FC_ROUTER_PORT", other.ports.router],
      ["FC_METRICS_PORT", other.ports.metrics],
    ] as const;
    for (const [setting, port] of taken) {
      const line = await refusal({ env: { [setting]: String(port) } });
      expect(line).toContain(`Port ${port} of 127.0.0.1`);
      expect(line).toContain(`${setting}) is taken. Stop the process that listens there, or set another port.`);
    }
  });

  test("is on an address that this machine does not have", async () => {
    // 192.0.2.0/24 is kept for documentation (RFC 5737); no machine has it.
    const line = await refusal({ env: { FC_HOST: "192.0.2.1", FC_API_TOKENS: "a-token-for-this-test" } });
    expect(line).toContain("FC_HOST (192.0.2.1): is not an address of this machine");
  });
});

describe("the configuration", () => {
  const single: [string, Readonly<Record<string, string>>, string][] = [
    [
      "an unknown setting",
      { FC_API_PROT: "1" },
      "FC_API_PROT (environment): is not a known setting; did you mean FC_API_PORT?",
    ],
    [
      "another address without tokens",
      { FC_HOST: "0.0.0.0" },
      "FC_HOST (environment FC_HOST): is not a loopback address, which needs FC_API_TOKENS",
    ],
    [
      "a queue nobody has",
      { FC_QUEUE_URL: "carrier-pigeon:coop" },
      "FC_QUEUE_URL (environment FC_QUEUE_URL): must be addresses beginning with db:",
    ],
    [
      "a database that is not built",
      { FC_DATABASE_URL: "mongodb://fc:a-password@localhost/fc" },
      "FC_DATABASE_URL (environment FC_DATABASE_URL): names a database this build does not have",
    ],
    ["a key that is none", { FC_APP_KEY: "short" }, "FC_APP_KEY is not valid"],
  ];
  test.each(single)("has %s", async (_what, env, said) => {
    const line = await refusal({ env });
    expect(line).toContain(said);
    expect(line).not.toContain("a-password");
    expect(line).toEndWith(".");
  });

  test("has several faults: all are told, one line each, then what to do", async () => {
    const ended = await sandbox.run({
      env: {
        FC_API_PORT: "http",
        FC_LOG_LEVEL: "loud",
        FC_API_PROT: "1",
        FC_HOST: "0.0.0.0",
        FC_ROUTER_PORT: "tcp://10.0.0.1:81",
      },
    });
    expect(ended).toMatchObject({ exitCode: 1, stdout: "" });
    expectLines(ended, [
      "flowcatalyst: The configuration has 5 faults:",
      "  FC_API_PROT (environment): is not a known setting",
      "  FC_LOG_LEVEL (environment FC_LOG_LEVEL): must be one of debug, info, warn, error, silent",
      "  FC_API_PORT (environment FC_API_PORT): must be a port",
      "  FC_ROUTER_PORT (environment FC_ROUTER_PORT): looks like a Kubernetes service link",
      "  FC_HOST (environment FC_HOST): is not a loopback address, which needs FC_API_TOKENS",
      "Correct the settings listed; `flowcatalyst config check` shows where each value comes from.",
    ]);
  });

  test("asks for more than this build has: it is told, and nothing was made", async () => {
    const dataDir = join(sandbox.dataDir(), "not-made");
    const env = { FC_DATABASE_URL: "mongodb://h/d" };
    const said = "FC_DATABASE_URL (environment FC_DATABASE_URL): names a database this build does not have";
    expect(await refusal({ dataDir, env })).toContain(said);
    expect(existsSync(dataDir)).toBe(false);
    const check = await sandbox.run({ args: ["config", "check"], env });
    expect(check.exitCode).toBe(1);
    expect(check.stderr).toContain(said);
  });

  test("names a file of pools with faults: all are told, and nothing was made", async () => {
    const dataDir = join(sandbox.dataDir(), "not-made");
    const pools = join(sandbox.dataDir(), "pools.toml");
    writeFileSync(pools, '[[pools]]\nconcurrency = "many"\n[secrets]\nbilling = "${NOT_SET}"\n');
    const queue = `sqlite:${join(dataDir, "queue.db")}`;
    const ended = await sandbox.run({ dataDir, args: ["router", "--queue", queue, "--pools", pools] });
    expect(ended).toMatchObject({ exitCode: 1, stdout: "" });
    expectLines(ended, [
      "flowcatalyst: The configuration has 3 faults:",
      `  secrets.billing (${pools}): refers to NOT_SET, which the environment does not have`,
      `  pools[0].code (${pools}): `,
      `  pools[0].concurrency (${pools}): `,
      "Correct",
    ]);
    expect(existsSync(dataDir)).toBe(false);
    const env = { FC_QUEUE_URL: queue, FC_ROUTER_POOLS_PATH: pools };
    const check = await sandbox.run({ args: ["config", "check", "--process", "router"], env });
    expect(check.stderr).toContain(`pools[0].code (${pools})`);
  });

  test("of a router alone has no queue, or one that is in use", async () => {
    expect(await refusal({ args: ["router"] })).toContain(
      "FC_QUEUE_URL (default): is db:, which needs FC_DATABASE_URL",
    );
    const queue = `sqlite:${join(sandbox.dataDir(), "queue.db")}`;
    const other = await sandbox.start({ args: ["router", "--queue", queue] });
    const line = await refusal({ args: ["router", "--queue", queue] });
    expect(line).toContain(`is in use by process ${other.pid}`);
  });
});

test("told to stop while it waits for its database, a service ends at once, with 0", async () => {
  const url = "postgres://fc:a-password@127.0.0.1:1/fc";
  const env = { FC_DATABASE_URL: url, FC_METRICS_PORT: "0", BUN_CONFIG_MAX_HTTP_REQUESTS: "8192" };
  const waiting = createCommandLine(sandbox.dataDir(), env).start("flowcatalyst stream");
  sandbox.defer(() => waiting.kill("SIGKILL"));
  const said = (): string => waiting.stdout() + waiting.stderr();
  await eventually("the first try", () => (said().includes("Not reached yet") ? true : undefined));
  expect(said()).not.toContain("a-password");
  waiting.kill("SIGTERM");
  expect(await waiting.exited).toBe(0);
});

function expectLines(ended: EndedProcess, starts: readonly string[]): void {
  const lines = ended.stderr.trimEnd().split("\n");
  expect(lines).toHaveLength(starts.length);
  for (const [at, start] of starts.entries()) expect(lines[at]).toStartWith(start);
}
