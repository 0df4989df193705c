import { expect, test } from "bun:test";
import { BoundedCache } from "./bounded-cache.ts";

test("keeps what was used lately, and never more than it may", () => {
  const cache = new BoundedCache<number, string>(10);
  for (let key = 0; key < 100; key++) {
    cache.set(key, `value ${key}`);
    expect(cache.get(0)).toBe("value 0");
  }
  const kept = Array.from({ length: 100 }, (_, key) => key).filter((key) => cache.get(key) !== undefined);
  expect(kept.length).toBeLessThanOrEqual(10);
  expect(kept).toContain(99);
  cache.clear();
  expect(cache.get(99)).toBeUndefined();
});

test("a value can be replaced", () => {
  const cache = new BoundedCache<string, number>(2);
  cache.set("a", 1);
  cache.set("a", 2);
  expect(cache.get("a")).toBe(2);
});
