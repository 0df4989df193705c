import { afterAll, beforeAll, expect, test } from "bun:test";
import { createCommandLine, type CommandLine } from "../harness/command-line.ts";
import { freePort } from "../harness/free-port.ts";
import { createSandbox } from "../harness/sandbox.ts";
import type { ServerProcess } from "../harness/server-process.ts";

/** `flowcatalyst health` is what container engines go by, so its exit codes are what counts. */

const sandbox = createSandbox();
let server: ServerProcess;
let commandLine: CommandLine;

beforeAll(async () => {
  server = await sandbox.start();
  // As in a container: the platform's address is set, and must not be asked in place of the service.
  commandLine = createCommandLine(sandbox.dataDir(), {
    FC_HOST: "0.0.0.0",
    FC_METRICS_PORT: String(server.ports.metrics),
    FC_API_BASE_URL: "http://127.0.0.1:1",
  });
}, 30_000);
afterAll(() => sandbox.end());

test("asks the service of the environment, and exits 0 when it is ready", async () => {
  const { exitCode, stdout, stderr } = await commandLine.run("flowcatalyst health");
  expect([exitCode, stderr]).toEqual([0, ""]);
  expect(stdout).toStartWith("UP\n");
  expect(stdout).toMatch(/^database +UP/m);
  const json = await commandLine.run("flowcatalyst health --json");
  expect(JSON.parse(json.stdout)).toMatchObject({ status: "UP", checks: expect.any(Array) });
});

test("asks any port of any service by --url", async () => {
  for (const url of [server.apiUrl, `${server.routerUrl}/`, server.metricsUrl]) {
    expect((await commandLine.run(`flowcatalyst health --url ${url}`)).exitCode).toBe(0);
  }
});

test("exits 1 when the service is not ready, with the reason, and 0 when it only has to live", async () => {
  const report = { status: "DOWN", checks: [{ name: "database", status: "DOWN", data: { reason: "gone" } }] };
  const service = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: ({ url }) =>
      url.endsWith("/q/live") ? Response.json({ status: "UP", checks: [] }) : Response.json(report, { status: 503 }),
  });
  try {
    const url = `http://127.0.0.1:${service.port}`;
    const ready = await commandLine.run(`flowcatalyst health --url ${url}`);
    expect(ready.exitCode).toBe(1);
    expect(ready.stdout).toMatch(/^database +DOWN +gone/m);
    const live = await commandLine.run(`flowcatalyst health --live --url ${url}`);
    expect([live.exitCode, live.stdout]).toEqual([0, "UP\n"]);
  } finally {
    await service.stop(true);
  }
});

test("exits 7 when nobody answers, or somebody else does", async () => {
  const nobody = await commandLine.run(`flowcatalyst health --url http://127.0.0.1:${await freePort()}`);
  expect([nobody.exitCode, nobody.stdout]).toEqual([7, ""]);
  const other = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("hello") });
  try {
    const { exitCode, stderr } = await commandLine.run(`flowcatalyst health --url http://127.0.0.1:${other.port}`);
    expect(exitCode).toBe(7);
    expect(stderr).toContain("no service of FlowCatalyst");
  } finally {
    await other.stop(true);
  }
  expect((await commandLine.run("FC_METRICS_PORT=tcp://1 flowcatalyst health")).exitCode).toBe(2);
});
