import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import pg from "pg";
import { findPostgres } from "../test/harness/postgres-server.ts";
import { findRedis } from "../test/harness/redis-server.ts";
import { describeWith } from "../packages/server/src/ports/needs-services.fixture.ts";
import { ROOT } from "./run-command.ts";

const command = join(ROOT, "scripts/services");

interface Ended {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function services(...args: readonly string[]): Promise<Ended> {
  const child = Bun.spawn([command, ...args], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { exitCode: await child.exited, stdout, stderr };
}

test("what it does not understand it says in one line, with its usage", async () => {
  const faults = ["frobnicate", "start mysql", "run redis", "stop -- ls"].map((line) => services(...line.split(" ")));
  for (const { exitCode, stdout, stderr } of await Promise.all(faults)) {
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
    expect(stderr).toMatch(/^services: .+\nusage: /);
  }
  expect((await services("--help")).stdout).toContain("scripts/services run");
});

const areInstalled = findPostgres() !== null && findRedis() !== null;

// Where they are not installed, nothing is installed for a test's sake.
(areInstalled ? describe : describeWith.bind(null, ["postgres", "redis"]))("services run", () => {
  test("a command finds both servers, its exit code is passed on, and they are gone with it", async () => {
    const script = `
      import pg from "pg";
      const client = new pg.Client(process.env.FC_TEST_POSTGRES_URL);
      await client.connect();
      const { rows } = await client.query("SELECT 1 AS one");
      const redis = new Bun.RedisClient(process.env.FC_TEST_REDIS_URL);
      const pong = await redis.ping();
      console.log(JSON.stringify([rows, pong, process.env.FC_TEST_REQUIRE, process.env.FC_TEST_POSTGRES_URL]));
      process.exit(7);`;
    const { exitCode, stdout, stderr } = await services("run", "--", process.execPath, "-e", script);
    expect({ exitCode, stderr }).toEqual({ exitCode: 7, stderr: expect.stringContaining("services: stopped") });
    const [rows, pong, required, url] = JSON.parse(stdout) as [unknown, string, string, string];
    expect([rows, pong, required]).toEqual([[{ one: 1 }], "PONG", "postgres,redis"]);
    expect(await new pg.Client(url).connect().catch((error: unknown) => String(error))).toContain("ECONNREFUSED");
  });
});
