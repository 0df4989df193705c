import { afterEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createSandbox } from "../harness/sandbox.ts";
import { runExample, runtimesOf } from "./example-process.ts";

/** Proves an example that talks to a platform and ends: it prints what its page says. */
export function provesPrinting(example: string): void {
  let sandbox = createSandbox();
  afterEach(async () => {
    await sandbox.end();
    sandbox = createSandbox();
  });

  describe(example, () => {
    for (const runtime of runtimesOf(example)) {
      test(`prints what its page says (${runtime})`, async () => {
        const server = await sandbox.start();
        const page = readFileSync(join(import.meta.dir, "../../examples", example, "README.md"), "utf8");
        const printed = /```text\n([^`]*)```/.exec(page)?.[1] ?? "nothing on its page";
        const ended = await runExample(example, { runtime, env: { FLOWCATALYST_URL: server.apiUrl } });
        expect(ended).toEqual({ exitCode: 0, stdout: printed, stderr: "" });
      });
    }
  });
}
