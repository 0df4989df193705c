import { describe, expect, test } from "bun:test";
import { CodedError } from "@flowcatalyst/foundation";
import fc from "fast-check";
import { validationError } from "../http/validation.ts";
import { itemGroup, ItemOutcomes, refusedItem } from "./item-outcomes.ts";

describe("what a fault means for an item", () => {
  test.each([
    [validationError([{ path: "entityId", message: "is required" }]), "BAD_REQUEST", "items[2].entityId is required."],
    [validationError([{ path: "", message: "must be an object" }]), "BAD_REQUEST", "items[2] must be an object."],
    [validationError([{ path: '["a b"]', message: "is not a known field" }]), "BAD_REQUEST", 'items[2]["a b"] is not'],
    [new CodedError("FORBIDDEN"), "FORBIDDEN", ""],
    [new CodedError("STORE_UNAVAILABLE"), "INTERNAL_ERROR", ""],
    [new CodedError("OVERLOADED"), "INTERNAL_ERROR", ""],
    [new Error("password=secret"), "INTERNAL_ERROR", "An unexpected error occurred."],
  ] as const)("%#", (error, status, text) => {
    const check = refusedItem(error, "items[2]");
    expect(check).toMatchObject({ kind: "refused", status });
    expect(check.kind === "refused" ? check.text : "").toStartWith(text);
  });

  test("groups of two clients are two, and none is none", () => {
    expect(itemGroup("a", "g")).not.toBe(itemGroup("b", "g"));
    expect(itemGroup(null, "g")).not.toBe(itemGroup("a", "g"));
    expect(itemGroup("a", null)).toBeNull();
  });
});

interface Item {
  readonly n: number;
  readonly group: string | null;
  readonly fate: "good" | "bad" | "failsAtFirst" | "poison";
}

/** A sender that repeats what may be sent again, in its order, and a store that chokes on poison. */
async function sendAll(items: readonly Item[], rounds: number): Promise<readonly Item[]> {
  const stored: Item[] = [];
  let left = items;
  for (let round = 0; round < rounds && left.length > 0; round++) {
    const outcomes = new ItemOutcomes<Item>(left.length);
    for (const [index, item] of left.entries()) {
      const failsNow = item.fate === "failsAtFirst" && round === 0;
      if (item.fate === "bad") outcomes.fail(index, "BAD_REQUEST", "bad");
      else if (failsNow) outcomes.take(index, item.group, refusedItem(new CodedError("STORE_UNAVAILABLE"), "x"));
      else outcomes.take(index, item.group, { kind: "valid", draft: item });
    }
    await outcomes.store(async (drafts) => {
      if (drafts.some(({ fate }) => fate === "poison")) throw new Error("cannot be stored");
      stored.push(...drafts);
      return drafts.map(({ n }) => `id-${n}`);
    });
    const results = outcomes.results();
    expect(results).toHaveLength(left.length);
    for (const [at, { id, status }] of results.entries()) {
      if (status === "SUCCESS") expect(id).toBe(`id-${left[at]?.n}`);
    }
    left = left.filter((_, at) => results[at]?.status === "INTERNAL_ERROR");
  }
  return stored;
}

test("what fails is sent again: order in a group, nothing twice, nothing good lost, poison holds its own", async () => {
  const item = fc.record({
    group: fc.constantFrom(null, "a", "b"),
    fate: fc.constantFrom("good", "good", "good", "bad", "failsAtFirst", "poison"),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(item, { maxLength: 20 }), async (given) => {
      const items = given.map((one, n): Item => ({ ...one, n }));
      const stored = await sendAll(items, 5);
      expect(new Set(stored.map(({ n }) => n)).size).toBe(stored.length);
      for (const group of ["a", "b"]) {
        const order = stored.filter((one) => one.group === group).map(({ n }) => n);
        expect(order).toEqual(order.toSorted((a, b) => a - b));
        const poison = items.find((one) => one.group === group && one.fate === "poison")?.n ?? Infinity;
        const expected = items.filter((one) => one.group === group && one.fate !== "bad" && one.n < poison);
        expect(order).toEqual(expected.map(({ n }) => n));
      }
      const free = items.filter(({ group, fate }) => group === null && fate !== "bad" && fate !== "poison");
      expect(stored.filter(({ group }) => group === null)).toHaveLength(free.length);
    }),
    { numRuns: 300 },
  );
});
