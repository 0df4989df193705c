import { expect, test } from "bun:test";
import { seededRandom, systemRandom } from "./random.ts";

test("equal seeds give equal sequences, different seeds different ones", () => {
  const take = (seed: number): number[] => {
    const random = seededRandom(seed);
    return Array.from({ length: 50 }, () => random.next());
  };
  expect(take(42)).toEqual(take(42));
  expect(take(42)).not.toEqual(take(43));
  expect(take(1)).not.toEqual(take(1 + 2 ** 32));
});

test("the sequence of a seed is fixed, so that a printed seed replays in later versions", () => {
  const random = seededRandom(7);
  expect([random.next(), random.next(), random.next()]).toMatchInlineSnapshot(`
    [
      0.5652761137435327,
      0.3552606172358673,
      0.6032240392240772,
    ]
  `);
});

test("numbers lie in [0, 1) and spread evenly", () => {
  const random = seededRandom(1);
  const buckets = Array.from({ length: 10 }, () => 0);
  for (let i = 0; i < 100_000; i++) {
    const value = random.next();
    if (value < 0 || value >= 1) throw new Error(`out of range: ${value}`);
    buckets[Math.floor(value * 10)]!++;
  }
  for (const count of buckets) expect(Math.abs(count - 10_000)).toBeLessThan(500);
});

test("bytes come in the length asked for, also beyond what the system gives at once", () => {
  expect(systemRandom().bytes(70_000).byteLength).toBe(70_000);
  expect(
    systemRandom()
      .bytes(70_000)
      .slice(-64)
      .every((byte) => byte === 0),
  ).toBe(false);
  expect(seededRandom(3).bytes(16)).toEqual(seededRandom(3).bytes(16));
});
