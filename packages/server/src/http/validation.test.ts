import { describe, expect, test } from "bun:test";
import { isCodedError, type FieldFault } from "@flowcatalyst/foundation";
import * as z from "zod";
import { pathText, validated } from "./validation.ts";

const schema = z.strictObject({
  name: z.string().min(1),
  count: z.int().max(5).optional(),
  items: z
    .array(z.union([z.string(), z.strictObject({ code: z.string(), filter: z.string().nullish() })]))
    .max(3)
    .optional(),
  retry: z.union([z.enum(["fast", "default"]), z.strictObject({ delays: z.array(z.number()) })]).optional(),
  nested: z.strictObject({ kind: z.enum(["A", "B"]) }).optional(),
});

function failure(value: unknown): { readonly code: string; readonly faults: readonly FieldFault[] } {
  try {
    validated(schema, value);
  } catch (error) {
    if (isCodedError(error)) return { code: error.code, faults: error.errors ?? [] };
  }
  return { code: "none", faults: [] };
}

describe("validation", () => {
  test("gives the value when it is valid", () => {
    expect(validated(schema, { name: "x", items: ["a", { code: "b" }] })).toEqual({
      name: "x",
      items: ["a", { code: "b" }],
    });
  });

  test("names each fault by its path", () => {
    expect(failure({ count: "5", nested: { kind: "C" } })).toEqual({
      code: "VALIDATION_FAILED",
      faults: [
        { path: "name", message: "is required" },
        { path: "count", message: "must be a number" },
        { path: "nested.kind", message: 'must be one of "A", "B"' },
      ],
    });
  });

  test("has a code of its own when all that is wrong are unknown fields", () => {
    expect(failure({ name: "x", nam: 1, nested: { kind: "A", kin: 1 } })).toEqual({
      code: "UNKNOWN_FIELD",
      faults: [
        { path: "nested.kin", message: "is not a known field" },
        { path: "nam", message: "is not a known field" },
      ],
    });
  });

  test("looks into the form of a union that was meant", () => {
    expect(failure({ name: "x", items: ["a", { cod: "b" }] }).faults).toContainEqual({
      path: "items[1].cod",
      message: "is not a known field",
    });
    expect(failure({ name: "x", items: [5] }).faults).toEqual([
      { path: "items[0]", message: "must be a string or an object" },
    ]);
    expect(failure({ name: "x", retry: "slow" }).faults).toEqual([
      { path: "retry", message: 'must be one of "fast", "default"' },
    ]);
  });

  test("says limits in words", () => {
    expect(failure({ name: "", count: 6, items: Array.from({ length: 4 }, () => "a") }).faults).toEqual([
      { path: "name", message: "must not be empty" },
      { path: "count", message: "must be at most 5" },
      { path: "items", message: "must have at most 3 items" },
    ]);
  });

  test("of something that is no object is told of the whole body", () => {
    expect(failure([])).toEqual({ code: "VALIDATION_FAILED", faults: [{ path: "", message: "must be an object" }] });
  });
});

test("paths are written as in JavaScript", () => {
  expect(pathText(["events", 3, "type"])).toBe("events[3].type");
  expect(pathText([3, "a-b", "c d", '"'])).toBe('[3].a-b["c d"]["\\""]');
});
