/**
 * The README's test command: `npm test`, or `npm test -- packages/foundation` for a part.
 *
 * Tests beside the code run in two processes with a fresh global object per file; tests under test/ start servers and
 * measure time, so they run one after another, but for those of test/brokers, which wait most of theirs and run in two
 * processes too. `--all` names each test that passes, other flags go to `bun test` (`-t PATTERN`). The last line is `N
 * passed, N failed`, with `, N skipped` if there were any, whose names stand before it; the exit code is 1 unless
 * everything else passed. Tests that need a server are skipped where its FC_TEST_*_URL is not set (`scripts/services
 * run -- npm test` sets them). What each case came to on each queue and outbox source is printed as a matrix, if any
 * ran.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { formatMatrix, readMatrices } from "./conformance-matrix.ts";
import { ROOT, runCommand } from "./run-command.ts";
import { bunSdkCounts, SDK_SUITES_VARIABLE, sdkSuitesLine } from "./sdk-suites.ts";
import { skippedTests } from "./skipped-tests.ts";
import { addCounts, formatCounts, NO_TESTS, parseBunSummary, type TestCounts } from "./test-counts.ts";

const UNIT_FOLDERS = ["packages", "scripts"];
const SERIAL_FOLDER = "test";
const BROKER_FOLDER = "test/brokers";
/** Those of `test` but the brokers' own. */
const SERIAL_FOLDERS = readdirSync(join(ROOT, SERIAL_FOLDER)).map((name) => `${SERIAL_FOLDER}/${name}`);
const PROCESSES = 2;
const TEST_TIMEOUT_MS = 20_000;
const SERIAL_TEST_TIMEOUT_MS = 60_000;
const RUN_TIMEOUT_MS = 20 * 60_000;

interface TestRun {
  readonly paths: readonly string[];
  readonly flags: readonly string[];
}

function planRuns(args: readonly string[]): readonly TestRun[] {
  const showAll = args.includes("--all");
  const firstFlag = args.findIndex((arg) => arg.startsWith("-"));
  const paths = firstFlag < 0 ? args : args.slice(0, firstFlag);
  const passedOn = (firstFlag < 0 ? [] : args.slice(firstFlag)).filter((arg) => arg !== "--all");

  const asked = paths.length > 0 ? paths : [...UNIT_FOLDERS, SERIAL_FOLDER];
  const chosen = asked.flatMap((path) => (path === SERIAL_FOLDER ? SERIAL_FOLDERS : [path]));
  const isBrokers = (path: string) => path === BROKER_FOLDER || path.startsWith(`${BROKER_FOLDER}/`);
  const isSerial = (path: string) => path.startsWith(`${SERIAL_FOLDER}/`) && !isBrokers(path);
  const common = [...(showAll ? [] : ["--only-failures"]), ...passedOn];
  const unit: TestRun = {
    paths: chosen.filter((path) => !isSerial(path) && !isBrokers(path)),
    flags: [`--timeout=${TEST_TIMEOUT_MS}`, `--parallel=${PROCESSES}`, ...common],
  };
  const serial: TestRun = {
    paths: chosen.filter(isSerial),
    flags: [`--timeout=${SERIAL_TEST_TIMEOUT_MS}`, ...common],
  };
  const brokers: TestRun = {
    paths: chosen.filter(isBrokers),
    flags: [`--timeout=${SERIAL_TEST_TIMEOUT_MS}`, `--parallel=${PROCESSES}`, ...common],
  };
  return [unit, serial, brokers].filter((run) => run.paths.length > 0);
}

interface TestOutcome {
  readonly counts: TestCounts;
  /** Of these, the tests of the SDK. */
  readonly sdk: TestCounts;
  readonly skipped: readonly string[];
}

async function runTests({ paths, flags }: TestRun): Promise<TestOutcome> {
  const missing = paths.filter((path) => !existsSync(join(ROOT, path)));
  for (const path of missing) console.error(`no such test: ${path}`);
  const present = paths.filter((path) => !missing.includes(path)).map((path) => `./${path}`);
  const absent = { ...NO_TESTS, failed: missing.length };
  if (present.length === 0) return { counts: absent, sdk: NO_TESTS, skipped: [] };

  const folder = mkdtempSync(join(tmpdir(), "flowcatalyst-tests-"));
  try {
    const list = join(folder, "tests.xml");
    const reporter = ["--reporter=junit", `--reporter-outfile=${list}`];
    const command = [process.execPath, "--no-orphans", "test", ...flags, ...reporter, ...present];
    const { output, exitCode } = await runCommand(command, { echo: true, timeoutMs: RUN_TIMEOUT_MS });
    const junit = existsSync(list) ? readFileSync(list, "utf8") : "";
    const counts = addCounts(absent, parseBunSummary(output, exitCode));
    return { counts, sdk: bunSdkCounts(junit), skipped: skippedTests(junit) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs them all; prints in between what is wrong, and at the end what became of each case of each queue and source. */
async function runAll(runs: readonly TestRun[]): Promise<TestOutcome> {
  const folder = mkdtempSync(join(tmpdir(), "flowcatalyst-matrix-"));
  const collected = join(folder, "cases.jsonl");
  process.env["FC_TEST_MATRIX"] = collected;
  const sdkUnderNode = join(folder, "sdk-under-node.json");
  process.env[SDK_SUITES_VARIABLE] = sdkUnderNode;
  try {
    let counts = NO_TESTS;
    let sdk = NO_TESTS;
    const skipped: string[] = [];
    for (const run of runs) {
      const outcome = await runTests(run);
      counts = addCounts(counts, outcome.counts);
      sdk = addCounts(sdk, outcome.sdk);
      skipped.push(...outcome.skipped);
    }
    for (const matrix of readMatrices(collected)) console.log(`\n${formatMatrix(matrix)}`);
    const sdkSuites = sdkSuitesLine(sdk, sdkUnderNode);
    if (sdkSuites !== null) console.log(`\n${sdkSuites}`);
    return { counts, sdk, skipped };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function main(): Promise<void> {
  const { counts: total, skipped } = await runAll(planRuns(process.argv.slice(2)));
  if (skipped.length > 0) console.log(`\nskipped:\n${skipped.map((name) => `  ${name}`).join("\n")}`);
  console.log(`\n${formatCounts(total)}`);
  process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1;
}

await main();
