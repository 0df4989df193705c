import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { holdsJsonStructure, jsonMaxDepth, parseJson, tooDeep } from "./json-text.ts";

describe("JSON without loss", () => {
  test("gives what JSON.parse gives, for every value of JavaScript", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = JSON.stringify(value);
        expect(JSON.stringify(parseJson(text))).toBe(text);
      }),
      { numRuns: 1_000 },
    );
  });

  test("keeps the digits of numbers that JavaScript cannot hold", () => {
    const digits = fc.stringMatching(/^[1-9][0-9]{15,40}$/);
    fc.assert(
      fc.property(digits, digits, (whole, fraction) => {
        const text = `{"a":${whole},"b":[-${whole}.${fraction}],"c":1e999}`;
        expect(JSON.stringify(parseJson(text))).toBe(text);
      }),
    );
  });

  test("says where it is not JSON", () => {
    for (const text of ["", "{", '{"a":}', "nul", "[1,]", "'a'"]) {
      expect(() => parseJson(text)).toThrow("The body is not valid JSON");
    }
  });
});

describe("a body that costs more than it should", () => {
  test("is refused before it is parsed when it is nested too deeply, closed or not", () => {
    for (const text of ["[".repeat(1_000_000), `${"[".repeat(100_000)}${"]".repeat(100_000)}`, '{"a":'.repeat(600)]) {
      expect(() => parseJson(text)).toThrow("The body must not be nested deeper than 504");
    }
    expect(parseJson("[".repeat(504) + "]".repeat(504))).toBeArray();
  });

  test("is told its fault without the place when it is long", () => {
    expect(() => parseJson(`[${"1,".repeat(1_000_000)}`)).toThrow("The body is not valid JSON: Unexpected EOF.");
  });
});

test("only whole objects and arrays are structures", () => {
  for (const text of ["{}", "[]", ' {"a":1} ', "\n[1]"]) expect(holdsJsonStructure(text)).toBe(true);
  for (const text of ["", "1", '"{}"', "{", "[1", "{} {}", "null"]) expect(holdsJsonStructure(text)).toBe(false);
});

test("depth is counted outside of strings", () => {
  const nested = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);
  expect(tooDeep(nested(jsonMaxDepth))).toBe(false);
  expect(tooDeep(nested(jsonMaxDepth + 1))).toBe(true);
  expect(tooDeep(JSON.stringify(nested(jsonMaxDepth * 4)))).toBe(false);
  expect(tooDeep(JSON.stringify({ a: '\\"[[[['.repeat(1_000) }))).toBe(false);
});
