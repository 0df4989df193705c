/**
 * Chaos tests: `npm run test:chaos [-- --short] [--only WORDS] [--seed N] [--at-once N]`.
 *
 * Each scenario runs the production topology (two platforms, two streams, two schedulers, three routers) on a
 * PostgreSQL of its own, under load, does one kind of harm to it, and lets it drain. The ledger must close: every
 * accepted event delivered to each of three targets, no order inverted, every signature right; and no process may
 * have ended by itself. `--short` makes outages of seconds instead of 90 s, to show that it works. Most of a scenario
 * is waiting for leases and outages: `--at-once 2` runs two side by side, which says less of how long pauses are.
 */
import { parseArgs } from "node:util";
import { seededRandom } from "@flowcatalyst/foundation";
import { chaosScenarios, deliversAgain, type ChaosScenario, type ChaosTimes } from "./chaos-scenarios.ts";
import { openChaosWorld, type ChaosWorld } from "./chaos-world.ts";

const { values } = parseArgs({
  options: {
    short: { type: "boolean", default: false },
    only: { type: "string", default: "" },
    seed: { type: "string" },
    "at-once": { type: "string", default: "1" },
    verbose: { type: "boolean", default: false },
  },
});
const times: ChaosTimes = values.short
  ? { outageMs: 10_000, repeatMs: 10_000 }
  : { outageMs: 90_000, repeatMs: 60_000 };
const seed = Number(values.seed ?? Date.now() % 1_000_000_000);
const outputShownChars = 4_000;
console.log(`seed ${seed} (repeat with --seed ${seed})`);

let passed = 0;
let failed = 0;
const left = chaosScenarios.filter(({ name }) => name.includes(values.only));
await Promise.all(Array.from({ length: Math.max(1, Number(values["at-once"]) || 1) }, runThoseLeft));
console.log(`\n${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);

async function runThoseLeft(): Promise<void> {
  for (let scenario = left.shift(); scenario !== undefined; scenario = left.shift()) {
    const startedAt = performance.now();
    const { problems, facts } = await runScenario(scenario);
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
    console.log(`${problems.length === 0 ? "ok  " : "FAIL"}  ${scenario.name.padEnd(26)} ${facts}, ${seconds} s`);
    for (const problem of problems) console.log(`      ${problem}`);
    if (problems.length === 0) passed += 1;
    else failed += 1;
  }
}

async function runScenario(scenario: ChaosScenario): Promise<{ problems: readonly string[]; facts: string }> {
  const prepared = await scenario.prepare?.();
  const world = await openChaosWorld(prepared?.plan ?? scenario.plan ?? {}, seededRandom(seed));
  const problems: string[] = [];
  try {
    await deliversAgain(world, "the start");
    await scenario.disturb(world, times, prepared?.server ?? null).catch((error: unknown) => {
      problems.push(error instanceof Error ? error.message : String(error));
    });
    const result = await world.load.finish();
    problems.push(...result.problems, ...world.cluster.vanished());
    const pause = (world.load.longestPauseMs() / 1000).toFixed(1);
    const facts = `${result.accepted} events, ${result.duplicates} duplicates, longest pause ${pause} s`;
    if (problems.length > 0 || values.verbose) showOutput(world);
    return { problems, facts };
  } catch (error) {
    showOutput(world);
    return { problems: [...problems, error instanceof Error ? error.message : String(error)], facts: "not finished" };
  } finally {
    await world.end();
    await prepared?.server.remove();
  }
}

function showOutput({ cluster }: ChaosWorld): void {
  for (const member of cluster.members) {
    const output = member.output().slice(-outputShownChars);
    if (output !== "") console.log(`== ${member.name}\n${output}`);
  }
}
