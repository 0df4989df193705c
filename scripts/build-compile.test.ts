import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import cliManifest from "../packages/cli/package.json" with { type: "json" };
import { eventually } from "../test/harness/eventually.ts";
import { freePorts } from "../test/harness/server-process.ts";
import { compileExecutable } from "./build-compile.ts";
import { ownTarget } from "./build-targets.ts";
import { ROOT } from "./run-command.ts";

const COMPILE_TIMEOUT_MS = 60_000;
const folder = mkdtempSync(join(tmpdir(), "executable-"));
const executable = join(folder, "flowcatalyst");

beforeAll(async () => {
  const target = await ownTarget(process.execPath);
  await compileExecutable({ root: ROOT, target, runtimePath: process.execPath, outfile: executable });
}, COMPILE_TIMEOUT_MS);

afterAll(() => rmSync(folder, { recursive: true }));

test("it tells its version and its commands", async () => {
  expect((await Bun.$`${executable} --version`.text()).trim()).toBe(cliManifest.version);
  expect(await Bun.$`${executable} --help`.text()).toContain("Usage: flowcatalyst [options] [command]");
});

test("a name of a service is that service, with its help", async () => {
  symlinkSync(executable, join(folder, "fc-router"));
  expect(await Bun.$`${join(folder, "fc-router")} --help`.text()).toContain("Usage: flowcatalyst router");
});

/** Zero: nobody answers. */
async function statusOf(url: string): Promise<number> {
  return fetch(url).then(
    ({ status }) => status,
    () => 0,
  );
}

/** A process that was started with the smaller limit of the runtime's own would refuse to start. */
test("a service starts with its request limit, in the same process, and its worker is inside", async () => {
  const ports = await freePorts();
  const service = Bun.spawn([executable, "dev"], {
    cwd: folder,
    env: {
      FC_DATA_DIR: join(folder, "data"),
      FC_API_PORT: String(ports.api),
      FC_ROUTER_PORT: String(ports.router),
      FC_METRICS_PORT: String(ports.metrics),
    },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  try {
    const url = `http://127.0.0.1:${ports.api}`;
    await eventually("the service", async () => {
      if (service.exitCode !== null) throw new Error(await new Response(service.stderr).text());
      return (await statusOf(`${url}/q/ready`)) === 200 ? true : undefined;
    });
    // The search runs in a worker, which is another entry point of the executable.
    expect(await statusOf(`${url}/api/bff/events`)).toBe(200);
    expect(await statusOf(`${url}/swagger-ui/bundle.js`)).toBe(200);
    service.kill("SIGTERM");
    expect(await service.exited).toBe(0);
  } finally {
    service.kill("SIGKILL");
  }
});
