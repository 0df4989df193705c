/**
 * The README's test command: `npm test`, or `npm test -- packages/foundation` for a part.
 *
 * Tests beside the code run in two processes with a fresh global object per file; tests under test/ start servers and
 * measure time, so they run one after another. `--all` names each test that passes, other flags go to `bun test`
 * (`-t PATTERN`). The last line is `N passed, N failed`, with `, N skipped` if there were any; the exit code is 1
 * unless everything passed.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ROOT, runCommand } from "./run-command.ts";
import { addCounts, formatCounts, NO_TESTS, parseBunSummary, type TestCounts } from "./test-counts.ts";

const UNIT_FOLDERS = ["packages", "scripts"];
const SERIAL_FOLDER = "test";
const UNIT_PROCESSES = 2;
const TEST_TIMEOUT_MS = 20_000;
const SERIAL_TEST_TIMEOUT_MS = 60_000;
const RUN_TIMEOUT_MS = 10 * 60_000;

interface TestRun {
  readonly paths: readonly string[];
  readonly flags: readonly string[];
}

function planRuns(args: readonly string[]): readonly TestRun[] {
  const showAll = args.includes("--all");
  const firstFlag = args.findIndex((arg) => arg.startsWith("-"));
  const paths = firstFlag < 0 ? args : args.slice(0, firstFlag);
  const passedOn = (firstFlag < 0 ? [] : args.slice(firstFlag)).filter((arg) => arg !== "--all");

  const chosen = paths.length > 0 ? paths : [...UNIT_FOLDERS, SERIAL_FOLDER];
  const isSerial = (path: string) => path === SERIAL_FOLDER || path.startsWith(`${SERIAL_FOLDER}/`);
  const common = [...(showAll ? [] : ["--only-failures"]), ...passedOn];
  const unit: TestRun = {
    paths: chosen.filter((path) => !isSerial(path)),
    flags: [`--timeout=${TEST_TIMEOUT_MS}`, `--parallel=${UNIT_PROCESSES}`, ...common],
  };
  const serial: TestRun = {
    paths: chosen.filter(isSerial),
    flags: [`--timeout=${SERIAL_TEST_TIMEOUT_MS}`, ...common],
  };
  return [unit, serial].filter((run) => run.paths.length > 0);
}

async function runTests({ paths, flags }: TestRun): Promise<TestCounts> {
  const missing = paths.filter((path) => !existsSync(join(ROOT, path)));
  for (const path of missing) console.error(`no such test: ${path}`);
  const present = paths.filter((path) => !missing.includes(path)).map((path) => `./${path}`);
  const absent = { ...NO_TESTS, failed: missing.length };
  if (present.length === 0) return absent;

  const command = [process.execPath, "--no-orphans", "test", ...flags, ...present];
  const { output, exitCode } = await runCommand(command, { echo: true, timeoutMs: RUN_TIMEOUT_MS });
  return addCounts(absent, parseBunSummary(output, exitCode));
}

async function main(): Promise<void> {
  let total = NO_TESTS;
  for (const run of planRuns(process.argv.slice(2))) total = addCounts(total, await runTests(run));
  console.log(`\n${formatCounts(total)}`);
  process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1;
}

await main();
