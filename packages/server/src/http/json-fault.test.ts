import { expect, test } from "bun:test";
import fc from "fast-check";
import { jsonFaultOffset, placeOf } from "./json-fault.ts";

test("the offset is where the text stops being JSON", () => {
  const cases: readonly (readonly [string, number])[] = [
    ["", 0],
    ["{", 1],
    ['{"a":}', 5],
    ['{"a" 1}', 5],
    ["{'a':1}", 1],
    ["[1,]", 3],
    ["[1 2]", 3],
    ["{} {}", 3],
    ['["a\nb"]', 3],
    ['["a\\x"]', 3],
    ["nul", 0],
    ['{"a":[1,{"b":tru}]}', 13],
    ['["open', 6],
    ["[1}", 2],
  ];
  for (const [text, offset] of cases) expect([text, jsonFaultOffset(text)]).toEqual([text, offset]);
});

test("JSON with one character that does not belong is found at or after it, and JSON itself has no fault", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.nat(), (value, seed) => {
      const text = JSON.stringify(value);
      expect(jsonFaultOffset(text)).toBe(text.length);
      const at = seed % (text.length + 1);
      const broken = `${text.slice(0, at)}\u0001${text.slice(at)}`;
      expect(jsonFaultOffset(broken)).toBeLessThanOrEqual(at);
    }),
  );
});

test("places are counted from 1", () => {
  expect(placeOf("ab\ncd", 4)).toEqual({ line: 2, column: 2 });
  expect(placeOf("", 0)).toEqual({ line: 1, column: 1 });
});
