import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import pg from "pg";
import { amqpVersion } from "../test/harness/amqp-greeting.ts";
import { mariadbVersion } from "../test/harness/mariadb-server.ts";
import { mongoVersion } from "../test/harness/mongo-server.ts";
import { natsVersion } from "../test/harness/nats-server.ts";
import { sqsVersion } from "../test/harness/sqs-server.ts";
import { describeWith } from "../packages/server/src/ports/needs-services.fixture.ts";
import { ROOT } from "./run-command.ts";
import { allNames, services as known } from "./services-known.ts";

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

const areInstalled = allNames.every((name) => known[name].isInstalled());
const startOfAllMs = 120_000;

// Where they are not installed, nothing is installed for a test's sake.
(areInstalled ? describe : describeWith.bind(null, allNames))("services run", () => {
  test(
    "a command finds each server at its place, its exit code is passed on, and they are gone with it",
    async () => {
      const script = `console.log(JSON.stringify(process.env)); process.exit(7)`;
      const asked = `
        import pg from "pg";
        import { amqpVersion } from "${ROOT}/test/harness/amqp-greeting.ts";
        import { mariadbVersion } from "${ROOT}/test/harness/mariadb-server.ts";
        import { mongoVersion } from "${ROOT}/test/harness/mongo-server.ts";
        import { natsVersion } from "${ROOT}/test/harness/nats-server.ts";
        import { sqsVersion } from "${ROOT}/test/harness/sqs-server.ts";
        const url = (name) => process.env["FC_TEST_" + name + "_URL"];
        const client = new pg.Client(url("POSTGRES"));
        await client.connect();
        const { rows } = await client.query("SELECT 1 AS one");
        const pong = await new Bun.RedisClient(url("REDIS")).ping();
        const amqp = [await amqpVersion(url("RABBITMQ")), await amqpVersion(url("ACTIVEMQ"))];
        const databases = [await mariadbVersion(url("MARIADB")), await mongoVersion(url("MONGO"))];
        const brokers = [await natsVersion(url("NATS")), ...amqp, await sqsVersion(url("SQS"))];
        const answers = [rows, pong, ...brokers, ...databases];
        process.env.ANSWERS = JSON.stringify(answers);
        ${script}`;
      const { exitCode, stdout, stderr } = await services("run", "--", process.execPath, "-e", asked);
      expect({ exitCode, stderr }).toEqual({ exitCode: 7, stderr: expect.stringContaining("services: stopped") });
      const env = JSON.parse(stdout) as Record<string, string>;
      const version = expect.stringMatching(/^\d+\.\d+\.\d+$/);
      expect(JSON.parse(env["ANSWERS"] ?? "")).toEqual([[{ one: 1 }], "PONG", ...Array(6).fill(version)]);
      expect(env["FC_TEST_REQUIRE"]).toBe("postgres,redis,nats,rabbitmq,activemq,sqs,mariadb,mongodb");
      const gone = await new pg.Client(env["FC_TEST_POSTGRES_URL"]).connect().catch(String);
      expect(gone).toContain("ECONNREFUSED");
      const brokers = [
        natsVersion(env["FC_TEST_NATS_URL"] ?? ""),
        amqpVersion(env["FC_TEST_RABBITMQ_URL"] ?? ""),
        amqpVersion(env["FC_TEST_ACTIVEMQ_URL"] ?? ""),
        sqsVersion(env["FC_TEST_SQS_URL"] ?? ""),
        mariadbVersion(env["FC_TEST_MARIADB_URL"] ?? ""),
        mongoVersion(env["FC_TEST_MONGO_URL"] ?? ""),
      ];
      expect(await Promise.all(brokers)).toEqual(brokers.map(() => null));
    },
    startOfAllMs,
  );
});
