import { describe, expect, test } from "bun:test";
import { CodedError, describeError, isCodedError, wrapUnknown } from "./coded-error.ts";
import { errorCodes, exitCodeFor, isErrorCode, type ErrorCode, type ErrorCodeEntry } from "./error-codes.ts";
import { toProblem } from "./problem.ts";

const entries = Object.entries(errorCodes) as [ErrorCode, ErrorCodeEntry][];

describe("the table of codes", () => {
  test.each(entries)("%s is complete and in the house form", (code, entry) => {
    expect(code).toMatch(/^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$/);
    expect(entry.status).toBeWithin(400, 600);
    expect(entry.title).toMatch(/^[A-Z].*[^.]$/);
    expect(entry.advice).toMatch(/\.$|`$/);
    expect(exitCodeFor(code)).toBeGreaterThan(0);
  });

  test("a process that cannot start exits 1, whatever the reason", () => {
    const codes = entries.filter(([code, entry]) => entry.scope === "process" && code !== "USAGE_INVALID");
    expect(codes.map(([code]) => exitCodeFor(code))).toEqual(codes.map(() => 1));
  });

  test("a script can tell wrong input from try again", () => {
    const pick = (...codes: ErrorCode[]): number[] => codes.map(exitCodeFor);
    expect(pick("VALIDATION_FAILED", "UNAUTHENTICATED", "NOT_FOUND", "DUPLICATE", "OVERLOADED")).toEqual([
      3, 4, 5, 6, 7,
    ]);
    expect(pick("USAGE_INVALID", "INTERNAL")).toEqual([2, 1]);
  });

  test("texts from outside are recognised, names of Object are not", () => {
    expect(isErrorCode("NOT_FOUND")).toBe(true);
    expect(isErrorCode("toString")).toBe(false);
  });
});

describe("coded errors", () => {
  test("speak with the title unless a public message is given", () => {
    expect(new CodedError("NOT_FOUND").publicMessage).toBe("Not found");
    const error = new CodedError("DUPLICATE", { message: "The name is taken.", context: { id: 1 } });
    expect(error.message).toBe("The name is taken.");
    expect(error.context).toEqual({ id: 1 });
    expect(isCodedError(error, "DUPLICATE")).toBe(true);
    expect(isCodedError(error, "NOT_FOUND")).toBe(false);
    expect(isCodedError(new Error("x"))).toBe(false);
  });

  test("anything thrown becomes INTERNAL with nothing of it in public", () => {
    const thrown = new Error("password=hunter2 at db.internal");
    const error = wrapUnknown(thrown);
    expect(error.code).toBe("INTERNAL");
    expect(error.cause).toBe(thrown);
    expect(JSON.stringify(toProblem(error))).not.toContain("hunter2");
    expect(wrapUnknown(error)).toBe(error);
  });

  test("are described with their causes, also when those go in a circle", () => {
    const inner = new Error("disk full");
    const outer = new CodedError("STORE_FULL", { cause: inner });
    inner.cause = outer;
    expect(describeError(outer)).toBe("The disk of the database is full: disk full");
    expect(describeError("plain")).toBe("plain");
    expect(describeError({ odd: true })).toBe("thrown object");
  });
});

test("a problem document has the members of RFC 9457 and ours", () => {
  const errors = [{ path: "events[3].type", message: "is required" }];
  const error = new CodedError("VALIDATION_FAILED", { message: "One field is wrong.", errors, context: { secret: 1 } });
  expect(toProblem(error, { instance: "/api/events" })).toEqual({
    type: "/errors/VALIDATION_FAILED",
    title: "The request is not valid",
    status: 400,
    detail: "One field is wrong.",
    instance: "/api/events",
    code: "VALIDATION_FAILED",
    message: "One field is wrong.",
    error: "VALIDATION_FAILED",
    errors,
  });
});
