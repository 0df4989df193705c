import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { breakerLimits, CircuitBreaker, nextPhase, type BreakerPhase } from "./circuit-breaker.ts";

const origin = "https://a.example";

describe("counting", () => {
  test("trips exactly when the naive count over the last 100 calls says so", () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { maxLength: 400 }), (failures) => {
        const breaker = new CircuitBreaker(origin, 0);
        const seen: boolean[] = [];
        for (const isFailure of failures) {
          expect(breaker.blockedUntilMs(0)).toBe(0);
          breaker.end(breaker.begin(0), isFailure ? "failure" : "success", 0);
          seen.push(isFailure);
          const window = seen.slice(-breakerLimits.windowCalls);
          const failed = window.filter(Boolean).length;
          const trips = isFailure && window.length >= breakerLimits.minCalls && failed * 2 >= window.length;
          expect(breaker.phase.kind).toBe(trips ? "open" : "closed");
          if (trips) return;
          expect([breaker.calls, breaker.failures]).toEqual([window.length, failed]);
        }
      }),
    );
  });

  test("abandoned calls say nothing", () => {
    const breaker = new CircuitBreaker(origin, 0);
    for (let count = 0; count < 50; count++) breaker.end(breaker.begin(0), "abandoned", 0);
    expect(breaker.calls).toBe(0);
  });
});

function tripped(): CircuitBreaker {
  const breaker = new CircuitBreaker(origin, 0);
  const tickets = Array.from({ length: 12 }, () => breaker.begin(0));
  for (const ticket of tickets.slice(0, 10)) breaker.end(ticket, "failure", 0);
  return breaker;
}

describe("open", () => {
  test("for 5 s, doubling to 60 s while probes fail", () => {
    const breaker = tripped();
    let nowMs = 0;
    for (const lengthMs of [5_000, 10_000, 20_000, 40_000, 60_000, 60_000]) {
      expect(breaker.blockedUntilMs(nowMs)).toBe(nowMs + lengthMs);
      nowMs += lengthMs;
      expect(breaker.blockedUntilMs(nowMs)).toBe(0);
      breaker.end(breaker.begin(nowMs), "failure", nowMs);
    }
  });

  test("then one probe at a time, and closed after three", () => {
    const breaker = tripped();
    for (let count = 0; count < 3; count++) {
      expect(breaker.phase.kind).not.toBe("closed");
      const ticket = breaker.begin(5_000);
      expect(ticket).toBe("probe");
      expect(breaker.blockedUntilMs(5_000)).toBe(Number.POSITIVE_INFINITY);
      breaker.end(ticket, "success", 5_000);
      expect(breaker.blockedUntilMs(5_000)).toBe(0);
    }
    expect(breaker.phase.kind).toBe("closed");
    expect(breaker.failures).toBe(0);
  });

  test("calls from before it opened change nothing", () => {
    const breaker = tripped();
    breaker.end("call", "failure", 1);
    breaker.end("call", "success", 1);
    expect(breaker.phase).toEqual({ kind: "open", untilMs: 5_000, lengthMs: 5_000 });
  });

  test("an abandoned probe lets the next one go", () => {
    const breaker = tripped();
    breaker.end(breaker.begin(5_000), "abandoned", 5_000);
    expect(breaker.blockedUntilMs(5_000)).toBe(0);
  });

  test("waiters are woken when a probe ends, and by a reset", () => {
    const breaker = tripped();
    let woken = 0;
    const waiter = { circuitChanged: () => void woken++ };
    const ticket = breaker.begin(5_000);
    breaker.await(waiter);
    breaker.end(ticket, "success", 5_000);
    expect(woken).toBe(1);
    breaker.await(waiter);
    breaker.reset();
    expect([woken, breaker.phase.kind]).toEqual([2, "closed"]);
  });
});

test("a hold blocks until its time, whatever the phase, and the longer one counts", () => {
  const breaker = new CircuitBreaker(origin, 0);
  breaker.hold(3_000);
  breaker.hold(1_000);
  expect(breaker.blockedUntilMs(2_999)).toBe(3_000);
  expect(breaker.blockedUntilMs(3_000)).toBe(0);
});

test("an event that does not fit the phase changes nothing", () => {
  const phases: BreakerPhase[] = [{ kind: "closed" }, { kind: "open", untilMs: 1, lengthMs: 1 }];
  for (const phase of phases) {
    expect(nextPhase(phase, { kind: "probeSucceeded" })).toBe(phase);
    expect(nextPhase(phase, { kind: "probeFailed", nowMs: 9 })).toBe(phase);
    expect(nextPhase(phase, { kind: "probeAbandoned" })).toBe(phase);
  }
});
