import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  isRetryPresetName,
  nextDelayMs,
  presetRetryPolicy,
  retryDurationMs,
  retryLimits,
  retryPolicyFault,
  retryPolicyOf,
  retryPresets,
  withJitter,
} from "./retry-policy.ts";

const policies = fc.record({
  delaysMs: fc.array(fc.integer({ min: 0, max: 100_000 }), { minLength: 1, maxLength: 8 }),
  maxRetries: fc.integer({ min: 0, max: 20 }),
});

describe("retry policy", () => {
  test("the default preset makes seven attempts in all", () => {
    const policy = presetRetryPolicy("default", null);
    const waits = [1, 2, 3, 4, 5, 6, 7].map((burnt) => nextDelayMs(policy, burnt));
    expect(waits).toEqual([1_000, 2_000, 60_000, 300_000, 900_000, 3_600_000, null]);
  });

  test("fast is the first two waits of default", () => {
    expect(presetRetryPolicy("fast", null)).toEqual({ delaysMs: [1_000, 2_000], maxRetries: 2 });
  });

  test("every preset fits the age limit it brings", () => {
    for (const name of Object.keys(retryPresets)) {
      if (!isRetryPresetName(name)) throw new Error(name);
      expect(retryPolicyFault(presetRetryPolicy(name, null), retryPresets[name].maxAgeSeconds)).toBeNull();
    }
    expect(retryPolicyFault(presetRetryPolicy("standard-webhooks", null), 86_400)?.kind).toBe("longerThanMaxAge");
  });

  test("maxRetries cuts the list or repeats its last wait", () => {
    expect(nextDelayMs(presetRetryPolicy("default", 1), 2)).toBeNull();
    const longer = retryPolicyOf([1_000, 5_000], 4);
    expect([1, 2, 3, 4, 5].map((burnt) => nextDelayMs(longer, burnt))).toEqual([1_000, 5_000, 5_000, 5_000, null]);
    expect(retryDurationMs(longer)).toBe(16_000);
  });

  test("no retries: the first failure is final", () => {
    const policy = retryPolicyOf([], 0);
    expect(nextDelayMs(policy, 1)).toBeNull();
    expect(retryPolicyFault(policy, 1)).toBeNull();
  });

  test("names what is wrong", () => {
    expect(retryPolicyFault(retryPolicyOf([1_000], -1), 60)?.kind).toBe("retriesOutOfRange");
    expect(retryPolicyFault(retryPolicyOf([1_000], 101), 1e9)?.kind).toBe("retriesOutOfRange");
    expect(retryPolicyFault(retryPolicyOf([], 1), 60)?.kind).toBe("noDelays");
    expect(retryPolicyFault(retryPolicyOf([1_000, -1], null), 60)).toEqual({
      kind: "delayOutOfRange",
      index: 1,
      delayMs: -1,
    });
    expect(
      retryPolicyFault(
        retryPolicyOf(
          Array.from({ length: 101 }, () => 1),
          1,
        ),
        60,
      )?.kind,
    ).toBe("tooManyDelays");
    expect(retryPolicyFault(retryPolicyOf([61_000], null), 60)?.kind).toBe("longerThanMaxAge");
    expect(retryPolicyFault(retryPolicyOf([60_000], null), 60)).toBeNull();
  });

  test("jitter adds at most a fifth, and only above ten seconds", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1e9 }),
        fc.double({ min: 0, max: 1, maxExcluded: true }),
        (delayMs, random) => {
          const jittered = withJitter(delayMs, Number.isNaN(random) ? 0 : random);
          if (delayMs <= retryLimits.jitterFromMs) expect(jittered).toBe(delayMs);
          expect(jittered).toBeGreaterThanOrEqual(delayMs);
          expect(jittered).toBeLessThanOrEqual(Math.ceil(delayMs * 1.2));
        },
      ),
    );
  });

  test("there are exactly maxRetries waits, and their sum is the duration", () => {
    fc.assert(
      fc.property(policies, (policy) => {
        const waits: number[] = [];
        for (let burnt = 1; ; burnt++) {
          const wait = nextDelayMs(policy, burnt);
          if (wait === null) break;
          waits.push(wait);
        }
        expect(waits.length).toBe(policy.maxRetries);
        expect(waits.reduce((sum, wait) => sum + wait, 0)).toBe(retryDurationMs(policy));
      }),
    );
  });
});
