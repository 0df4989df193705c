import { afterAll, expect, test } from "bun:test";
import { join } from "node:path";
import { runCommand } from "../../scripts/run-command.ts";
import { nodeCounts, tellNodeCounts } from "../../scripts/sdk-suites.ts";
import { bundleForNode, type NodeBundle } from "../examples/node-bundle.ts";

/**
 * The SDK's own tests once more, under Node and against what is published: they are written with `node:test`, and
 * import the SDK by its public names. Those about `bun:sqlite` need Bun, and say so by that import.
 */
const SOURCES = join(import.meta.dir, "../../packages/sdk/src");
const suiteTimeoutMs = 120_000;
const needsBun = /from "bun:/;

let bundle: NodeBundle | null = null;
afterAll(() => bundle?.remove());

test(
  "the SDK's suites pass under Node, against the built package",
  async () => {
    const files = await Array.fromAsync(new Bun.Glob("**/*.test.ts").scan({ cwd: SOURCES, absolute: true }));
    const suites: string[] = [];
    for (const file of files.sort()) if (!needsBun.test(await Bun.file(file).text())) suites.push(file);
    bundle = await bundleForNode(suites);
    const command = ["node", "--test", "--test-reporter=tap", ...bundle.files];
    const { output, exitCode } = await runCommand(command, { echo: false, timeoutMs: suiteTimeoutMs });
    const counts = nodeCounts(output);
    await tellNodeCounts(counts);
    const failures = output.split("\n").filter((line) => /^\s*not ok /.test(line));
    expect({ failures, exitCode, failed: counts.failed }).toEqual({ failures: [], exitCode: 0, failed: 0 });
    expect(counts.passed).toBeGreaterThan(suites.length);
  },
  suiteTimeoutMs,
);
