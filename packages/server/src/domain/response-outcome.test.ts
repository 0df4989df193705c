import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { classifyAnswer, type Answer } from "./response-outcome.ts";

const nowMs = Date.UTC(2026, 0, 1);

function response(status: number, body = "", retryAfter: string | null = null): Answer {
  return { kind: "response", status, body, retryAfter };
}

describe("answers and what they mean", () => {
  test.each([
    [200, "DELIVERED", "delivered", true, false],
    [204, "DELIVERED", "delivered", true, false],
    [301, "REDIRECT", "permanent", true, false],
    [304, "REDIRECT", "permanent", true, false],
    [400, "REJECTED", "permanent", true, false],
    [404, "REJECTED", "permanent", true, false],
    [408, "SERVER_ERROR", "transient", true, false],
    [410, "GONE", "permanent", true, false],
    [425, "SERVER_ERROR", "transient", true, false],
    [429, "RATE_LIMITED", "held", false, false],
    [500, "SERVER_ERROR", "transient", true, true],
    [501, "NOT_IMPLEMENTED", "permanent", true, false],
    [503, "SERVER_ERROR", "transient", true, true],
    [599, "SERVER_ERROR", "transient", true, true],
  ] as const)("%d", (...row) => {
    const [status, outcome, meaning, burnt, breakerFailure] = row;
    const classified = classifyAnswer(response(status), nowMs);
    expect(classified).toMatchObject({ outcome, burnt, breakerFailure, statusCode: status });
    expect(classified.meaning.kind).toBe(meaning);
  });

  test("what never became a response is transient and counts against the target", () => {
    const answers: Answer[] = [
      { kind: "timeout" },
      { kind: "connectionFailed", detail: "refused" },
      { kind: "tlsFailed", detail: "expired" },
      { kind: "dnsFailed", detail: "no such host" },
    ];
    for (const answer of answers) {
      expect(classifyAnswer(answer, nowMs)).toMatchObject({
        meaning: { kind: "transient" },
        burnt: true,
        breakerFailure: true,
      });
    }
  });

  test("a forbidden address is permanent and a warning", () => {
    const blocked = classifyAnswer({ kind: "blockedAddress", address: "10.0.0.1", range: "private" }, nowMs);
    expect(blocked).toMatchObject({
      meaning: { kind: "permanent" },
      breakerFailure: false,
      warning: { category: "SECURITY" },
    });
  });

  test("410 pauses the subscription; 501 is critical; 400 is a matter of configuration", () => {
    expect(classifyAnswer(response(410), nowMs).meaning).toEqual({
      kind: "permanent",
      pauseSubscription: "TARGET_GONE",
    });
    expect(classifyAnswer(response(501), nowMs).warning).toEqual({ category: "CONFIGURATION", severity: "CRITICAL" });
    expect(classifyAnswer(response(400), nowMs).warning).toEqual({ category: "CONFIGURATION", severity: "WARN" });
  });

  test("Retry-After holds the target, with 503 only when it is there", () => {
    const held = { kind: "held", delayMs: 5_000, holdsTarget: true } as const;
    expect(classifyAnswer(response(429, "", "5"), nowMs).meaning).toEqual(held);
    expect(classifyAnswer(response(503, "", "5"), nowMs).meaning).toEqual(held);
    expect(classifyAnswer(response(429), nowMs).meaning).toEqual({ ...held, delayMs: 30_000 });
  });
});

describe("ack in the body of a 2xx", () => {
  test.each([
    "",
    "OK",
    "null",
    "[1]",
    '"ack"',
    '{"ack":true}',
    '{"ack":"false"}',
    '{"ack":false',
    '{"x":{"ack":false}}',
  ])("%p is delivered", (body) => {
    expect(classifyAnswer(response(200, body), nowMs).outcome).toBe("DELIVERED");
  });

  test.each([
    ['{"ack":false}', 30_000],
    ['{"ack":false,"delaySeconds":5}', 5_000],
    ['{"ack":false,"delaySeconds":0}', 1_000],
    ['{"ack":false,"delaySeconds":-3}', 1_000],
    ['{"ack":false,"delaySeconds":99999}', 43_200_000],
    ['{"ack":false,"delaySeconds":"5"}', 30_000],
    ['{"\\u0061ck":false}', 30_000],
  ])("%p waits %d ms", (body, delayMs) => {
    const classified = classifyAnswer(response(200, body), nowMs);
    expect(classified).toMatchObject({ outcome: "NOT_YET", burnt: false, breakerFailure: false });
    expect(classified.meaning).toEqual({ kind: "held", delayMs, holdsTarget: false });
  });
});

test("keeps at most 5,000 characters of a response", () => {
  expect(classifyAnswer(response(500, "x".repeat(9_000)), nowMs).responseBody?.length).toBe(5_000);
  expect(classifyAnswer(response(500), nowMs).responseBody).toBeNull();
});

test("any status and body has an outcome, and only failures of the target count against it", () => {
  const statuses = fc.integer({ min: 100, max: 999 });
  fc.assert(
    fc.property(statuses, fc.string(), fc.option(fc.string()), (status, body, retryAfter) => {
      const { meaning, breakerFailure, error } = classifyAnswer(response(status, body, retryAfter), nowMs);
      expect(error === null).toBe(meaning.kind === "delivered");
      if (breakerFailure) expect(status >= 500 && status !== 501).toBe(true);
      if (meaning.kind === "held") expect(meaning.delayMs).toBeGreaterThanOrEqual(1_000);
    }),
  );
});
