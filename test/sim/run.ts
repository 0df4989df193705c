/**
 * `npm run sim`: many seeds of the simulation (simulate.ts), in as many processes as there are processors, or one seed
 * again with its trace. Exit code 0 if every invariant held in every seed.
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { createSharedCompiler } from "./incarnation.ts";
import { simulate, type SimulationResult } from "./simulate.ts";

const HELP = `Usage: npm run sim -- [options]

Runs the whole pipeline in one process on simulated time, with crashes between any two steps and other faults, and
checks that nothing is lost, inverted, sent twice without need, or stuck. Every seed gives the same run each time.

  --seeds N      how many seeds (100)
  --from S       the first seed (1)
  --seed S       this one seed only
  --trace        print each step (with --seed)
  --workers N    processes at once (one per processor, at most 8)
  --keep N       last steps that are shown of a failure (60)
  --help         this text

Examples:
  npm run sim -- --seeds 1000
  npm run sim -- --seed 123 --trace`;

interface Options {
  readonly from: number;
  readonly seeds: number;
  readonly trace: boolean;
  readonly workers: number;
  readonly keep: number;
  /** Results go out as lines of JSON: this process works for another. */
  readonly isWorker: boolean;
  /** Every so many seeds are this process's. */
  readonly stride: number;
}

const WORKERS_MAX = 8;
const PROGRESS_EVERY_MS = 5_000;
/** Failures that are reported whole. */
const REPORTED_MAX = 5;
const LONGEST_INVARIANT = 24;

function parseOptions(args: readonly string[]): Options | null {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seeds: { type: "string" },
      from: { type: "string" },
      seed: { type: "string" },
      trace: { type: "boolean", default: false },
      workers: { type: "string" },
      keep: { type: "string" },
      stride: { type: "string" },
      worker: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return null;
  const number = (name: "seeds" | "from" | "seed" | "workers" | "keep" | "stride", otherwise: number): number => {
    const text = values[name];
    const value = text === undefined ? otherwise : Number(text);
    if (!Number.isSafeInteger(value) || value < 1)
      throw new Error(`--${name} must be a whole number from 1, not ${text}`);
    return value;
  };
  const isOne = values.seed !== undefined;
  const seeds = isOne ? 1 : number("seeds", 100);
  return {
    from: isOne ? number("seed", 1) : number("from", 1),
    seeds,
    trace: values.trace,
    workers: values.worker ? 1 : Math.min(seeds, WORKERS_MAX, number("workers", availableParallelism())),
    keep: number("keep", 60),
    isWorker: values.worker,
    stride: number("stride", 1),
  };
}

/** What all seeds together came to. */
class Tally {
  readonly #startedMs = performance.now();
  readonly #options: Options;
  readonly #failures: SimulationResult[] = [];
  #done = 0;
  #steps = 0;
  #crashes = 0;
  #calls = 0;
  #simulatedMs = 0;
  #toldMs = 0;

  constructor(options: Options) {
    this.#options = options;
  }

  get hasFailed(): boolean {
    return this.#failures.length > 0 || this.#done < this.#options.seeds;
  }

  add(result: SimulationResult): void {
    this.#done++;
    this.#steps += result.steps;
    this.#crashes += result.crashes;
    this.#calls += result.calls;
    this.#simulatedMs += result.simulatedMs;
    if (result.failure !== null) this.#report(result);
    const nowMs = performance.now() - this.#startedMs;
    if (this.#done === this.#options.seeds || nowMs - this.#toldMs < PROGRESS_EVERY_MS) return;
    this.#toldMs = nowMs;
    console.log(`${this.#done} of ${this.#options.seeds} seeds, ${this.#failures.length} failed`);
  }

  summary(): string {
    const seconds = ((performance.now() - this.#startedMs) / 1_000).toFixed(1);
    const hours = (this.#simulatedMs / 3_600_000).toFixed(1);
    const { length: failed } = this.#failures;
    const work = `${this.#steps} steps, ${this.#crashes} crashes, ${this.#calls} calls, ${hours} simulated hours`;
    return `${this.#done} seeds in ${seconds} s: ${work}\n${this.#done - failed} passed, ${failed} failed`;
  }

  #report(result: SimulationResult): void {
    const { seed, failure } = result;
    if (failure === null) return;
    this.#failures.push(result);
    console.log(`seed ${seed}: ${failure.invariant.padEnd(LONGEST_INVARIANT)} npm run sim -- --seed ${seed} --trace`);
    if (this.#failures.length > REPORTED_MAX) return;
    console.log([...failure.lastLines.map((line) => `  ${line}`), `  ${failure.message}`].join("\n"));
  }
}

async function runHere(options: Options, done: (result: SimulationResult) => void): Promise<void> {
  const compiler = createSharedCompiler();
  const print = options.trace ? (line: string): void => console.log(line) : null;
  const end = options.from + options.seeds;
  for (let seed = options.from; seed < end; seed += options.stride) {
    done(await simulate(seed, { compiler, keepLines: options.keep, print }));
  }
}

/** Seeds are dealt out in turn, so that all workers end at about the same time. */
async function runWorker(options: Options, index: number, done: (result: SimulationResult) => void): Promise<void> {
  const own = { from: options.from + index, seeds: options.seeds - index, stride: options.workers, keep: options.keep };
  const args = Object.entries(own).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const worker = Bun.spawn([process.execPath, import.meta.path, "--worker", ...args], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  let rest = "";
  for await (const text of worker.stdout.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) done(JSON.parse(line) as SimulationResult);
  }
  const exitCode = await worker.exited;
  if (exitCode !== 0) console.error(`a worker has ended with exit code ${exitCode}`);
}

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2));
  if (options === null) {
    console.log(HELP);
    return;
  }
  if (options.isWorker) {
    await runHere(options, (result) => console.log(JSON.stringify(result)));
    return;
  }
  const tally = new Tally(options);
  const done = (result: SimulationResult): void => tally.add(result);
  if (options.workers === 1) await runHere(options, done);
  else await Promise.all(Array.from({ length: options.workers }, (_, index) => runWorker(options, index, done)));
  console.log(tally.summary());
  process.exitCode = tally.hasFailed ? 1 : 0;
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 2;
}
