import { expect, test } from "bun:test";
import fc from "fast-check";
import { backoffMs, type Jitter } from "./backoff.ts";
import { seededRandom } from "./random.ts";

test("doubles up to the cap without jitter", () => {
  const policy = { baseMs: 100, capMs: 1_000, jitter: "none" } as const;
  const random = seededRandom(1);
  expect([0, 1, 2, 3, 4, 5, 5_000].map((retry) => backoffMs(policy, retry, random))).toEqual([
    100, 200, 400, 800, 1_000, 1_000, 1_000,
  ]);
});

test("property: every delay stays within the bounds of its jitter", () => {
  const policies = fc.record({
    baseMs: fc.integer({ min: 0, max: 10_000 }),
    capMs: fc.integer({ min: 0, max: 1_000_000 }),
    factor: fc.double({ min: 1, max: 10, noNaN: true }),
    jitter: fc.constantFrom<Jitter>("none", "full", "equal"),
  });
  fc.assert(
    fc.property(policies, fc.nat(2_000), fc.integer(), (policy, retry, seed) => {
      const delayMs = backoffMs(policy, retry, seededRandom(seed));
      const fullMs = backoffMs({ ...policy, jitter: "none" }, retry, seededRandom(seed));
      expect(fullMs).toBeLessThanOrEqual(policy.capMs);
      expect(delayMs).toBeLessThanOrEqual(fullMs);
      expect(delayMs).toBeGreaterThanOrEqual(policy.jitter === "equal" ? Math.floor(fullMs / 2) : 0);
    }),
  );
});
