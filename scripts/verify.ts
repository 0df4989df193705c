/**
 * The gate: `npm run verify`, or `npm run verify -- lint types` for some of its steps.
 *
 * Runs every step even after one has failed, prints one line for each with its time, and the output of those that
 * failed. The last line is `N passed, N failed`: each step counts as one, the tests count as themselves.
 */
import { runCommand, type CommandResult } from "./run-command.ts";
import { addCounts, formatCounts, NO_TESTS, parseCounts, type TestCounts } from "./test-counts.ts";

const STEP_TIMEOUT_MS = 20 * 60_000;

interface Step {
  readonly name: string;
  readonly command: readonly string[];
  /** What to type to mend what the step complains of, where a command can. */
  readonly mend?: string;
}

const STEPS: readonly Step[] = [
  { name: "format", command: ["oxfmt", "--check"], mend: "npm run format" },
  { name: "lint", command: ["oxlint"] },
  { name: "walls", command: ["depcruise", "--config", ".dependency-cruiser.cjs", "packages", "scripts", "test"] },
  { name: "unused", command: ["knip", "--no-progress"] },
  { name: "types", command: ["tsc", "-p", "tsconfig.json"] },
  { name: "sdk", command: ["tsc", "-p", "packages/sdk/tsconfig.json"] },
  { name: "tidy", command: ["bun", "scripts/tidy.ts"] },
  { name: "generated", command: ["bun", "scripts/generate.ts", "--check"], mend: "npm run generate" },
  { name: "tests", command: ["npm", "test", "--silent"] },
];

function countsOf(result: CommandResult): TestCounts {
  const tests = parseCounts(result.output);
  if (tests !== null) return tests;
  return result.exitCode === 0 ? { ...NO_TESTS, passed: 1 } : { ...NO_TESTS, failed: 1 };
}

function report(step: Step, result: CommandResult, counts: TestCounts): void {
  const seconds = `${(result.elapsedMs / 1000).toFixed(1)} s`.padStart(8);
  const detail = counts.passed + counts.failed > 1 ? `  ${formatCounts(counts)}` : "";
  console.log(`${result.exitCode === 0 ? "ok  " : "FAIL"}  ${step.name.padEnd(10)}${seconds}${detail}`);
  if (result.exitCode === 0) return;
  console.log(result.output.trimEnd().replace(/^/gm, "      "));
  if (step.mend !== undefined) console.log(`      mend: ${step.mend}`);
}

async function main(): Promise<void> {
  const wanted = process.argv.slice(2);
  const names = STEPS.map(({ name }) => name);
  if (wanted.includes("--help")) {
    console.log(`usage: npm run verify [-- STEP...]; all steps if none is named: ${names.join(", ")}`);
    return;
  }
  const unknown = wanted.filter((name) => !names.includes(name));
  if (unknown.length > 0) {
    console.error(`no such step: ${unknown.join(", ")} (steps: ${names.join(", ")})`);
    process.exitCode = 2;
    return;
  }
  let total = NO_TESTS;
  let passed = true;
  for (const step of STEPS.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
    const result = await runCommand(step.command, { echo: false, timeoutMs: STEP_TIMEOUT_MS });
    const counts = countsOf(result);
    report(step, result, counts);
    total = addCounts(total, counts);
    passed = passed && result.exitCode === 0;
  }
  console.log(`\n${formatCounts(total)}`);
  process.exitCode = passed ? 0 : 1;
}

await main();
