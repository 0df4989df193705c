import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { matchesPattern, parsePattern, patternFault } from "./event-type-pattern.ts";

function matches(pattern: string, type: string): boolean {
  const parsed = parsePattern(pattern);
  if (parsed.kind === "invalid") throw new Error(`${pattern}: ${parsed.reason}`);
  return matchesPattern(parsed.pattern, type);
}

describe("matching", () => {
  test.each([
    ["order.created", "order.created", true],
    ["order.created", "Order.created", false],
    ["order.*", "order.created", true],
    ["order.*", "order.created.v2", false],
    ["order.*", "order", false],
    ["order.**", "order.created", true],
    ["order.**", "order.created.v2", true],
    ["order.**", "order", false],
    ["**", "order", true],
    ["**", "a:b:c:d", true],
    ["*", "order", true],
    ["*", "order.created", false],
    // Without a `:` in the pattern the type is split on `.`, and this one has none.
    ["*", "a:b:c:d", true],
    ["app:*:order:*", "app:sales:order:placed", true],
    ["app:*:order:*", "app:sales:order", false],
    ["app:**", "app:sales.eu:order", true],
    ["app:*", "app:sales.eu", true],
    ["app.sales", "app:sales", false],
    ["a:*:c", "a::c", true],
  ])("%s with %s: %p", (pattern, type, expected) => {
    expect(matches(pattern, type)).toBe(expected);
  });
});

describe("what is refused", () => {
  test.each([
    ["", 0],
    ["a::b", 2],
    ["a:", 2],
    [".a", 0],
    ["a:b*", 3],
    ["a.*b.c", 2],
    ["**:a", 0],
    ["a:**:b", 2],
    ["a:***", 2],
    ["x".repeat(256), 255],
  ])("%p at %p", (pattern, position) => {
    expect(patternFault(pattern)).toMatchObject({ position });
  });
});

test("a literal pattern matches its own text and nothing else", () => {
  const segment = fc.stringMatching(/^[a-z0-9_-]{1,6}$/);
  const text = fc
    .tuple(fc.array(segment, { minLength: 1, maxLength: 5 }), fc.constantFrom(":", "."))
    .map(([segments, separator]) => segments.join(separator));
  fc.assert(fc.property(text, text, (pattern, type) => expect(matches(pattern, type)).toBe(pattern === type)));
});
