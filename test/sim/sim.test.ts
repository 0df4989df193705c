import { describe, expect, test } from "bun:test";
import { createSharedCompiler } from "./incarnation.ts";
import { simulate, type SimulationResult } from "./simulate.ts";

/** Work for seconds on a quiet machine. */
const TIMEOUT_MS = 60_000;

const compiler = createSharedCompiler();
const run = (seed: number): Promise<SimulationResult> => simulate(seed, { compiler, keepLines: 40, print: null });
const failureOf = ({ seed, failure }: SimulationResult): string | null =>
  failure === null ? null : [`seed ${seed}`, ...failure.lastLines, failure.message].join("\n");

describe("simulation", () => {
  test(
    "30 seeds: nothing is lost, inverted, sent without need, or stuck",
    async () => {
      for (let seed = 1; seed <= 30; seed++) expect(failureOf(await run(seed))).toBeNull();
    },
    TIMEOUT_MS,
  );

  test(
    "a seed gives the same trace each time",
    async () => {
      for (let seed = 101; seed <= 110; seed++) {
        const [first, again] = [await run(seed), await run(seed)];
        expect(again).toEqual(first);
        expect(first.steps).toBeGreaterThan(100);
      }
    },
    TIMEOUT_MS,
  );

  test("seeds differ", async () => {
    const hashes = new Set<string>();
    for (let seed = 201; seed <= 205; seed++) hashes.add((await run(seed)).traceHash);
    expect(hashes.size).toBe(5);
  });
});
