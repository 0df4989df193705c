import { expect, test } from "bun:test";
import fc from "fast-check";
import { editDistance, nearestName } from "./nearest-name.ts";

/** The definition, without any cleverness. */
function naiveDistance(left: string, right: string): number {
  if (left === "" || right === "") return left.length + right.length;
  const rest = [left.slice(1), right.slice(1)] as const;
  if (left[0] === right[0]) return naiveDistance(...rest);
  return 1 + Math.min(naiveDistance(rest[0], right), naiveDistance(left, rest[1]), naiveDistance(...rest));
}

test("property: the distance is that of the definition", () => {
  const word = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 6 });
  fc.assert(
    fc.property(word, word, (left, right) => expect(editDistance(left, right)).toBe(naiveDistance(left, right))),
  );
});

test("suggests the nearest name, and none that is far", () => {
  expect(nearestName("orders.creatd", ["orders.created", "orders.deleted"])).toBe("orders.created");
  expect(nearestName("payments", ["orders.created"])).toBeUndefined();
  expect(nearestName("x", [])).toBeUndefined();
});
