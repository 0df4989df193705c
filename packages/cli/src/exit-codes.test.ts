import { describe, expect, test } from "bun:test";
import { exitCodes } from "@flowcatalyst/foundation";
import type { Environment } from "./context.ts";
import { exitCodeHelp } from "./exit-codes.ts";
import { runCommandLine } from "./program.ts";

function setup() {
  const printed: string[] = [];
  const environment: Environment = {
    variables: {},
    isTerminal: false,
    isInteractive: false,
    out: (text) => printed.push(text),
    err: (text) => printed.push(text),
    signal: new AbortController().signal,
    readInput: async () => "",
  };
  const run = (...args: readonly string[]): Promise<number> => runCommandLine(args, environment, "0.0.0");
  return { run, printed };
}

/** Answers everything with this status. */
async function withServer<Result>(status: number, use: (url: string) => Promise<Result>): Promise<Result> {
  const problem = { code: "SOME_CODE", detail: "because" };
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => Response.json(problem, { status }) });
  try {
    return await use(`http://127.0.0.1:${server.port}`);
  } finally {
    await server.stop(true);
  }
}

describe("exit codes", () => {
  test("are all named by --help", async () => {
    for (const code of Object.values(exitCodes)) expect(exitCodeHelp).toContain(` ${code} `);
    const { run, printed } = setup();
    expect(await run("--help")).toBe(exitCodes.ok);
    expect(printed.join("\n")).toContain(exitCodeHelp.trim());
  });

  test.each([
    [400, exitCodes.refused],
    [403, exitCodes.notPermitted],
    [404, exitCodes.notFound],
    [409, exitCodes.conflict],
    [500, exitCodes.failed],
  ])("tell what a server answered: %d", async (status, code) => {
    expect(await withServer(status, (url) => setup().run("--url", url, "pools", "list"))).toBe(code);
  });

  test("tell wrong usage, and a server that is not there", async () => {
    expect(await setup().run("no-such-command")).toBe(exitCodes.usage);
    const gone = await withServer(200, (url) => Promise.resolve(url));
    const { run, printed } = setup();
    expect(await run("--url", gone, "subscriptions", "pause", "sub_1")).toBe(exitCodes.unavailable);
    expect(printed.join("\n")).toContain("flowcatalyst dev");
  });
});

test("what is said of an address names no password", async () => {
  const { run, printed } = setup();
  for (const address of ["http://me:s3cr3t@127.0.0.1:1", "http://me:s3/cr3t@host", "http//me:s3cr3t@host"]) {
    for (const json of [[], ["--json"]]) {
      await run("--url", address, ...json, "pools", "list");
      await run("listen", "--forward-to", address.replace("127.0.0.1:1", "host:port"), ...json);
      await run("outbox", "status", "--database", address, ...json);
    }
  }
  expect(printed.join("\n")).toContain("********");
  expect(printed.join("\n")).not.toContain("cr3t");
});
