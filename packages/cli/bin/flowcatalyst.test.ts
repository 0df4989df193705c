import { afterEach, describe, expect, test } from "bun:test";
import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const LAUNCHER = join(import.meta.dir, "flowcatalyst.mjs");
const BUN_PACKAGE = realpathSync(join(import.meta.dir, "../../../node_modules/bun"));

/** Stands in for the CLI: says what it was started with, then waits for a signal or exits as told. */
const MAIN = `
const [first = "", second = ""] = process.argv.slice(2);
process.on("SIGTERM", () => { console.log("stopped by SIGTERM"); process.exit(7); });
process.on("SIGINT", () => { console.log("stopped by SIGINT"); process.exit(8); });
console.log(JSON.stringify({ args: process.argv.slice(2), requests: process.env.BUN_CONFIG_MAX_HTTP_REQUESTS }));
if (first === "exit") process.exit(Number(second));
if (first === "crash") process.kill(process.pid, "SIGKILL");
Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
`;

const cleanups: Array<() => void> = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

/** An installed package in a folder of its own: the real launcher, the real Bun, a main of ours. */
function setup() {
  const folder = mkdtempSync(join(tmpdir(), "launcher-"));
  cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
  for (const name of ["bin", "src", "node_modules"]) mkdirSync(join(folder, name));
  cpSync(LAUNCHER, join(folder, "bin/flowcatalyst.mjs"));
  writeFileSync(join(folder, "src/main.ts"), MAIN);
  symlinkSync(BUN_PACKAGE, join(folder, "node_modules/bun"));

  const start = (args: string[], options: { name?: string; env?: Record<string, string> } = {}) => {
    const path = options.name === undefined ? join(folder, "bin/flowcatalyst.mjs") : join(folder, options.name);
    const { BUN_CONFIG_MAX_HTTP_REQUESTS: _unset, ...env } = process.env;
    const child = Bun.spawn(["node", path, ...args], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
      env: { ...env, ...options.env },
    });
    cleanups.push(() => child.kill("SIGKILL"));
    return child;
  };
  const link = (name: string) => symlinkSync(join(folder, "bin/flowcatalyst.mjs"), join(folder, name));
  return { start, link, folder };
}

/** The first line a process prints, and then the rest of its output, which ends when nobody holds the pipe any more. */
async function readOutput(stream: ReadableStream<Uint8Array>) {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let text = "";
  while (!text.includes("\n")) {
    const { value, done } = await reader.read();
    if (done) break;
    text += decoder.decode(value, { stream: true });
  }
  const [firstLine = "", ...others] = text.split("\n");
  const rest = async () => {
    let tail = others.join("\n");
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return tail;
      tail += decoder.decode(value, { stream: true });
    }
  };
  return { firstLine, rest };
}

describe("launcher", () => {
  test("passes arguments and the exit code through, and raises the limit on outgoing requests", async () => {
    const { start } = setup();
    const child = start(["exit", "5", "--json"]);
    const { firstLine } = await readOutput(child.stdout);
    expect(JSON.parse(firstLine)).toEqual({ args: ["exit", "5", "--json"], requests: "8192" });
    expect(await child.exited).toBe(5);
  });

  test("keeps a limit on outgoing requests that the user set", async () => {
    const { start } = setup();
    const child = start(["exit", "0"], { env: { BUN_CONFIG_MAX_HTTP_REQUESTS: "77" } });
    const { firstLine } = await readOutput(child.stdout);
    expect(JSON.parse(firstLine).requests).toBe("77");
  });

  test.each([
    ["fc-dev", "dev"],
    ["fc-platform-server", "platform"],
    ["fc-stream-processor", "stream"],
    ["fc-scheduler-server", "scheduler"],
    ["fc-router", "router"],
    ["fc-outbox-processor", "outbox"],
  ])("called as %s it starts %s", async (name, service) => {
    const { start, link } = setup();
    link(name);
    const child = start(["--port", "0"], { name });
    const { firstLine, rest } = await readOutput(child.stdout);
    expect(JSON.parse(firstLine).args).toEqual([service, "--port", "0"]);
    child.kill("SIGTERM");
    await rest();
  });

  test.each([
    ["SIGTERM", 7],
    ["SIGINT", 8],
  ] as const)("forwards %s and returns the code the child chose", async (signal, code) => {
    const { start } = setup();
    const child = start([]);
    const { rest } = await readOutput(child.stdout);
    child.kill(signal);
    expect(await rest()).toContain(`stopped by ${signal}`);
    expect(await child.exited).toBe(code);
  });

  test("a child ended by signal n makes the launcher end with 128 + n", async () => {
    const { start } = setup();
    const child = start(["crash"]);
    expect(await child.exited).toBe(137);
  });

  test("SIGKILL of the launcher takes the child along", async () => {
    const { start } = setup();
    const child = start([]);
    const { rest } = await readOutput(child.stdout);
    child.kill("SIGKILL");
    expect(await rest()).toBe("");
  });

  test("says what to do when Bun is missing", async () => {
    const { folder } = setup();
    rmSync(join(folder, "node_modules/bun"));
    const child = Bun.spawn(["node", join(folder, "bin/flowcatalyst.mjs")], { stderr: "pipe" });
    expect(await new Response(child.stderr).text()).toContain("npm ci");
    expect(await child.exited).toBe(1);
  });
});
