import { createSharedCompiler } from "./incarnation.ts";
import { simulate } from "./simulate.ts";
const args = process.argv.slice(2);
const from = Number(args[0] ?? 1), n = Number(args[1] ?? 1);
const trace = args[2] === "--trace";
const compiler = createSharedCompiler();
let failed = 0; const t0 = performance.now();
const kinds: Record<string, number> = {};
let calls = 0, crashes = 0, steps = 0;
for (let seed = from; seed < from + n; seed++) {
  const t = performance.now();
  const r = await simulate(seed, { compiler, keepLines: trace ? 400 : 40, print: trace ? (l) => console.log(l) : null });
  calls += r.calls; crashes += r.crashes; steps += r.steps;
  if (n <= 20) console.log(seed, (performance.now() - t).toFixed(0) + "ms", "steps", r.steps, "crashes", r.crashes, "calls", r.calls, "dup", r.duplicates, "sim", (r.simulatedMs/1000).toFixed(0), r.traceHash);
  if (r.failure) { failed++; kinds[r.failure.invariant] = (kinds[r.failure.invariant] ?? 0) + 1; console.log("SEED", seed, r.failure.message.slice(0, 1500)); if (n === 1) console.log(r.failure.lastLines.join("\n")); }
}
console.log({ failed, n, calls, crashes, steps, ms: performance.now() - t0, kinds });
