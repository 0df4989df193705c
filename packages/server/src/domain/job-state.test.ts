import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Attempt, DeliveryResult } from "./attempt.ts";
import type { JobStatus } from "./dispatch-job.ts";
import { isFinal, type JobCommand, type JobState, type JobSurroundings, newJobState, transition } from "./job-state.ts";
import { presetRetryPolicy, retryPolicyOf } from "./retry-policy.ts";

const nowMs = 1_000_000;
const around: JobSurroundings = {
  nowMs,
  expiresAtMs: nowMs + 86_400_000,
  retry: presetRetryPolicy("default", null),
  mode: "NEXT_ON_ERROR",
  ordered: true,
  random: 0.5,
};

const pending = newJobState(nowMs);
const queued: JobState = { ...pending, status: "QUEUED", queuedAtMs: nowMs };

function attempt(overrides: Partial<Attempt> = {}): Attempt {
  return {
    number: 1,
    startedAtMs: nowMs,
    durationMs: 5,
    outcome: "SERVER_ERROR",
    statusCode: 500,
    burnt: true,
    error: null,
    responseBody: null,
    signed: true,
    ...overrides,
  };
}

function report(result: DeliveryResult, overrides: Partial<Extract<JobCommand, { kind: "report" }>> = {}): JobCommand {
  return { kind: "report", generation: 1, result, attempt: null, attemptIsNew: true, ...overrides };
}

function apply(state: JobState, command: JobCommand, overrides: Partial<JobSurroundings> = {}) {
  const result = transition(state, command, { ...around, ...overrides });
  if (result.kind !== "moved") throw new Error(`unchanged: ${result.reason}`);
  return result;
}

function refusal(state: JobState, command: JobCommand): string | null {
  const result = transition(state, command, around);
  return result.kind === "unchanged" ? result.reason : null;
}

const transient: DeliveryResult = { kind: "transient", error: "HTTP 500" };

describe("a report", () => {
  test("of a wait that ends between two milliseconds parks until the later one", () => {
    const parked = apply(queued, report({ kind: "held", untilMs: nowMs + 30_000.25, error: null }));
    expect(parked.verdict).toEqual({ kind: "parked", untilMs: nowMs + 30_001 });
    expect(parked.state.dueAtMs).toBe(nowMs + 30_001);
  });

  test("delivered completes a QUEUED job, and a PENDING one of the same generation", () => {
    for (const state of [queued, pending]) {
      const done = apply(state, report({ kind: "delivered" }, { attempt: attempt() }));
      expect(done.state).toMatchObject({ status: "COMPLETED", attemptCount: 1, finishedAtMs: nowMs, generation: 1 });
      expect(done.verdict).toEqual({ kind: "settled", status: "COMPLETED", holdsGroup: false });
    }
  });

  test("delivered applies from an older generation, everything else is stale", () => {
    const later: JobState = { ...queued, generation: 3 };
    expect(apply(later, report({ kind: "delivered" })).state.status).toBe("COMPLETED");
    expect(refusal(later, report(transient))).toBe("STALE");
    expect(refusal(later, report({ kind: "expired" }))).toBe("STALE");
    expect(refusal(queued, report({ kind: "delivered" }, { generation: 2 }))).toBe("STALE");
  });

  test("never changes a final state", () => {
    for (const status of ["COMPLETED", "FAILED", "CANCELLED", "EXPIRED"] as const) {
      expect(refusal({ ...queued, status }, report({ kind: "delivered" }))).toBe("FINAL");
    }
  });

  test("a short wait stays with the router, in the same generation", () => {
    const waiting = apply(queued, report(transient, { attempt: attempt() }));
    expect(waiting.state).toMatchObject({ status: "QUEUED", generation: 1, attemptCount: 1, generationAttempts: 1 });
    expect(waiting.verdict).toEqual({ kind: "wait", delayMs: 1_000, attemptCount: 1 });
    expect(waiting.takesBackRest).toBe(false);
  });

  test("a short wait of a job that was never marked marks it", () => {
    const waiting = apply(pending, report(transient, { attempt: attempt() }), { expiresAtMs: null });
    expect(waiting.state).toMatchObject({ status: "QUEUED", queuedAtMs: nowMs });
  });

  test("a long wait parks with jitter, and takes the rest of the run back", () => {
    const tried: JobState = { ...queued, attemptCount: 2, generationAttempts: 2 };
    const parked = apply(tried, report(transient, { attempt: attempt({ number: 3 }) }));
    const untilMs = nowMs + 66_000;
    expect(parked.state).toMatchObject({
      status: "PENDING",
      generation: 2,
      attemptCount: 3,
      generationAttempts: 0,
      dueAtMs: untilMs,
      queuedAtMs: null,
    });
    expect(parked.verdict).toEqual({ kind: "parked", untilMs });
    expect(parked.takesBackRest).toBe(true);
    expect(apply(tried, report(transient, { attempt: attempt() }), { ordered: false }).takesBackRest).toBe(false);
  });

  test("fails when no retry is left, counted from what is stored", () => {
    const tried: JobState = { ...queued, attemptCount: 6 };
    const failed = apply(tried, report(transient, { attempt: attempt() }));
    expect(failed.state).toMatchObject({ status: "FAILED", attemptCount: 7, lastError: "HTTP 500" });
    expect(failed.blocksGroup).toBe(false);
  });

  test("with BLOCK_ON_ERROR a failure and an expiry hold the group, if there is one", () => {
    const permanent = report({ kind: "permanent", error: "HTTP 400", pauseSubscription: null });
    for (const command of [permanent, report({ kind: "expired" })]) {
      const blocked = apply(queued, command, { mode: "BLOCK_ON_ERROR" });
      expect(blocked).toMatchObject({ blocksGroup: true, takesBackRest: true });
      expect(blocked.verdict).toMatchObject({ kind: "settled", holdsGroup: true });
      expect(apply(queued, command, { mode: "BLOCK_ON_ERROR", ordered: false }).blocksGroup).toBe(false);
    }
  });

  test("the same attempt reported twice counts once and gets the same answer", () => {
    const once = apply(queued, report(transient, { attempt: attempt() }));
    const twice = apply(once.state, report(transient, { attempt: attempt(), attemptIsNew: false }));
    expect(twice).toEqual(once);
  });

  test("held burns nothing: it waits here when short, and parks when long", () => {
    const short = apply(queued, report({ kind: "held", untilMs: nowMs + 9_000, error: null }));
    expect(short.verdict).toEqual({ kind: "wait", delayMs: 9_000, attemptCount: 0 });
    const long = apply(queued, report({ kind: "held", untilMs: nowMs + 11_000, error: "rate limited" }));
    expect(long.state).toMatchObject({ status: "PENDING", attemptCount: 0, dueAtMs: nowMs + 11_000 });
  });

  test("released goes back at once, or when it says", () => {
    expect(apply(queued, report({ kind: "released", dueAtMs: 0 })).state).toMatchObject({
      status: "PENDING",
      generation: 2,
      dueAtMs: nowMs,
    });
    expect(apply(queued, report({ kind: "released", dueAtMs: nowMs + 5_000 })).verdict).toEqual({
      kind: "parked",
      untilMs: nowMs + 5_000,
    });
  });

  test("no wait passes the expiry", () => {
    const expiresAtMs = nowMs + 30_000;
    const parked = apply({ ...queued, attemptCount: 2 }, report(transient, { attempt: attempt() }), { expiresAtMs });
    expect(parked.state.dueAtMs).toBe(expiresAtMs);
    const waiting = apply(queued, report(transient, { attempt: attempt() }), { expiresAtMs: nowMs + 400 });
    expect(waiting.verdict).toMatchObject({ kind: "wait", delayMs: 400 });
    const late = apply(queued, report(transient, { attempt: attempt() }), { expiresAtMs: nowMs });
    expect(late.state).toMatchObject({ status: "EXPIRED", lastError: "HTTP 500" });
  });
});

describe("operators and the scheduler", () => {
  test("queue marks only PENDING jobs of that generation", () => {
    expect(apply(pending, { kind: "queue", generation: 1 }).state).toMatchObject({
      status: "QUEUED",
      queuedAtMs: nowMs,
    });
    expect(refusal(pending, { kind: "queue", generation: 2 })).toBe("STALE");
    expect(refusal(queued, { kind: "queue", generation: 1 })).toBe("NOT_ALLOWED");
  });

  test("the rest of a run goes back without burning anything", () => {
    const back = apply({ ...queued, attemptCount: 2 }, { kind: "takeBack" });
    expect(back.state).toMatchObject({ status: "PENDING", generation: 2, attemptCount: 2, dueAtMs: nowMs });
    const unmarked = apply({ ...pending, dueAtMs: 7 }, { kind: "takeBack" });
    expect(unmarked.state).toMatchObject({ status: "PENDING", generation: 2, dueAtMs: 7 });
    expect(refusal({ ...queued, status: "COMPLETED" }, { kind: "takeBack" })).toBe("NOT_ALLOWED");
  });

  test("cancel takes PENDING, QUEUED and FAILED", () => {
    for (const status of ["PENDING", "QUEUED", "FAILED"] as const) {
      expect(apply({ ...queued, status }, { kind: "cancel" }).state.status).toBe("CANCELLED");
    }
    for (const status of ["COMPLETED", "CANCELLED", "EXPIRED"] as const) {
      expect(refusal({ ...queued, status }, { kind: "cancel" })).toBe("NOT_ALLOWED");
    }
  });

  test("retry gives any final job a fresh budget and expiry; a replay is counted", () => {
    for (const status of ["COMPLETED", "FAILED", "CANCELLED", "EXPIRED"] as const) {
      const state: JobState = { ...queued, status, attemptCount: 7, lastError: "x", finishedAtMs: 1 };
      const again = apply(state, { kind: "retry", replay: status === "COMPLETED" });
      expect(again.clearsExpiry).toBe(true);
      expect(again.state).toEqual({
        ...newJobState(nowMs),
        generation: 2,
        replayCount: status === "COMPLETED" ? 1 : 0,
      });
    }
    expect(refusal(queued, { kind: "retry", replay: false })).toBe("NOT_ALLOWED");
  });
});

const statuses: readonly JobStatus[] = ["PENDING", "QUEUED", "COMPLETED", "FAILED", "CANCELLED", "EXPIRED"];
const states: fc.Arbitrary<JobState> = fc.record({
  status: fc.constantFrom(...statuses),
  generation: fc.integer({ min: 1, max: 5 }),
  attemptCount: fc.integer({ min: 0, max: 8 }),
  generationAttempts: fc.integer({ min: 0, max: 8 }),
  dueAtMs: fc.integer({ min: 0, max: 2 * nowMs }),
  queuedAtMs: fc.constantFrom(null, nowMs - 10),
  finishedAtMs: fc.constantFrom(null, nowMs - 5),
  lastError: fc.constantFrom(null, "before"),
  replayCount: fc.integer({ min: 0, max: 3 }),
});
const results: fc.Arbitrary<DeliveryResult> = fc.oneof(
  fc.constant<DeliveryResult>({ kind: "delivered" }),
  fc.constant<DeliveryResult>({ kind: "permanent", error: "no", pauseSubscription: null }),
  fc.constant<DeliveryResult>(transient),
  fc.constant<DeliveryResult>({ kind: "expired" }),
  fc.integer({ min: 0, max: 3 * nowMs }).map((untilMs): DeliveryResult => ({ kind: "held", untilMs, error: null })),
  fc.integer({ min: 0, max: 3 * nowMs }).map((dueAtMs): DeliveryResult => ({ kind: "released", dueAtMs })),
);
const generations = fc.integer({ min: 1, max: 6 });
const commands: fc.Arbitrary<JobCommand> = fc.oneof(
  generations.map((generation): JobCommand => ({ kind: "queue", generation })),
  generations.map((generation): JobCommand => ({ kind: "unpublishable", generation, code: "MESSAGE_TOO_LARGE" })),
  fc.constantFrom<JobCommand>({ kind: "expire" }, { kind: "takeBack" }, { kind: "recover" }, { kind: "cancel" }),
  fc.boolean().map((replay): JobCommand => ({ kind: "retry", replay })),
  fc
    .record({
      generation: generations,
      result: results,
      attempt: fc.option(fc.integer({ min: 1, max: 9 }).map((number) => attempt({ number }))),
      attemptIsNew: fc.boolean(),
    })
    .map((fields): JobCommand => ({ kind: "report", ...fields })),
);
const surroundings: fc.Arbitrary<JobSurroundings> = fc.record({
  nowMs: fc.constant(nowMs),
  expiresAtMs: fc.option(fc.integer({ min: nowMs - 100, max: nowMs + 200_000 })),
  retry: fc.constantFrom(around.retry, retryPolicyOf([], 0), retryPolicyOf([20_000], 3)),
  mode: fc.constantFrom("IMMEDIATE", "NEXT_ON_ERROR", "BLOCK_ON_ERROR"),
  ordered: fc.boolean(),
  random: fc.double({ min: 0, max: 0.999, noNaN: true }),
});

describe("any command in any state", () => {
  test("keeps the laws of generations, finality and expiry", () => {
    fc.assert(
      fc.property(states, commands, surroundings, (state, command, where) => {
        const result = transition(state, command, where);
        if (result.kind === "unchanged") return;
        const { state: next, verdict } = result;
        const entersPending = next.status === "PENDING";
        expect(next.generation).toBe(state.generation + (entersPending ? 1 : 0));
        if (isFinal(state.status)) expect(["retry", "cancel"]).toContain(command.kind);
        expect(next.queuedAtMs !== null).toBe(
          next.status === "QUEUED" || (state.queuedAtMs !== null && !entersPending),
        );
        if (isFinal(next.status)) expect(next.finishedAtMs).toBe(where.nowMs);
        if (command.kind === "report") {
          expect(verdict).not.toBeNull();
          const limitMs = Math.max(where.expiresAtMs ?? Number.POSITIVE_INFINITY, where.nowMs);
          if (verdict?.kind === "parked") expect(verdict.untilMs).toBeLessThanOrEqual(limitMs);
          if (verdict?.kind === "wait") {
            expect(verdict.delayMs).toBeLessThanOrEqual(Math.min(10_000, limitMs - where.nowMs));
            expect(next.status).toBe("QUEUED");
          }
          expect(next.attemptCount - state.attemptCount).toBeLessThanOrEqual(1);
        }
        if (result.blocksGroup) expect(where.mode).toBe("BLOCK_ON_ERROR");
        if (result.takesBackRest || result.blocksGroup) expect(where.ordered).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });
});
