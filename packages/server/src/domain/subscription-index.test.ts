import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { matchesPattern, parsePattern } from "./event-type-pattern.ts";
import type { ClientId, SubscriptionId } from "./ids.ts";
import { createSubscriptionIndex, indexLimits, nearestPattern, type Indexable } from "./subscription-index.ts";

function subscription(id: string, patterns: readonly string[], clientId: string | null = null): Indexable {
  return {
    id: id as SubscriptionId,
    clientId: clientId as ClientId | null,
    eventTypes: patterns.map((pattern) => ({ pattern, filter: null })),
  };
}

/** The rule read off the definition: every subscription is visited. */
function naive(subscriptions: readonly Indexable[], type: string, clientId: string | null): unknown {
  return subscriptions
    .filter((candidate) => candidate.clientId === null || candidate.clientId === clientId)
    .map((candidate) => ({
      subscription: candidate,
      bindings: candidate.eventTypes.filter(({ pattern }) => {
        const parsed = parsePattern(pattern);
        return parsed.kind === "valid" && matchesPattern(parsed.pattern, type);
      }),
    }))
    .filter(({ bindings }) => bindings.length > 0)
    .toSorted((left, right) => (left.subscription.id < right.subscription.id ? -1 : 1));
}

const segment = fc.constantFrom("a", "b", "c", "order");
const wild = fc.oneof({ weight: 3, arbitrary: segment }, { weight: 1, arbitrary: fc.constant("*") });
const separator = fc.constantFrom(":", ".");
const type = fc
  .tuple(fc.array(fc.oneof(segment, fc.constant("")), { minLength: 1, maxLength: 5 }), separator)
  .map(([segments, by]) => segments.join(by));
const pattern = fc
  .tuple(fc.array(wild, { minLength: 1, maxLength: 4 }), separator, fc.boolean())
  .map(([segments, by, open]) => [...segments, ...(open ? ["**"] : [])].join(by));
const client = fc.constantFrom(null, "cli_1", "cli_2");
const subscriptions = fc
  .array(fc.tuple(fc.array(pattern, { minLength: 1, maxLength: 3 }), client), { maxLength: 30 })
  .chain((wanted) =>
    fc
      .shuffledSubarray([...wanted.keys()], { minLength: wanted.length })
      .map((order) => order.map((number) => subscription(`sub_${number}`, ...(wanted[number] ?? [[], null])))),
  );

test("finds exactly what visiting every subscription finds, in order of id", () => {
  fc.assert(
    fc.property(subscriptions, fc.array(fc.tuple(type, client), { maxLength: 20 }), (given, asked) => {
      const index = createSubscriptionIndex(given);
      for (const [eventType, clientId] of [...asked, ...asked]) {
        const found = index.candidates(eventType, clientId as ClientId | null);
        expect(found).toEqual(naive(given, eventType, clientId) as never);
      }
    }),
    { numRuns: 400 },
  );
});

describe("cost", () => {
  test("ten thousand subscriptions are not visited for each event", () => {
    let visited = 0;
    const counted = (id: number): Indexable => ({
      id: `sub_${id}` as SubscriptionId,
      get clientId() {
        visited++;
        return null;
      },
      eventTypes: [{ pattern: id % 2 === 0 ? `app:s${id}:a:b` : `app:s${id}:*:**`, filter: null }],
    });
    const index = createSubscriptionIndex(Array.from({ length: 10_000 }, (_, id) => counted(id)));
    visited = 0;
    expect(index.candidates("app:s77:a:b", null)).toHaveLength(1);
    expect(index.candidates("app:s78:a:b", null)).toHaveLength(1);
    expect(index.candidates("app:none:a:b", null)).toHaveLength(0);
    expect(visited).toBeLessThan(10);
  });

  test("remembers a bounded number of answers", () => {
    const index = createSubscriptionIndex([subscription("sub_1", ["**"])]);
    const first = index.candidates("type.0", null);
    expect(index.candidates("type.0", null)).toBe(first);
    for (let n = 1; n <= indexLimits.rememberedTypes; n++) index.candidates(`type.${n}`, null);
    expect(index.candidates("type.0", null)).not.toBe(first);
  });
});

test("a binding that cannot be parsed matches nothing and is counted", () => {
  const index = createSubscriptionIndex([subscription("sub_1", ["a:b*", "a:c"])]);
  expect(index.invalidBindings).toBe(1);
  expect(index.candidates("a:b*", null)).toHaveLength(0);
  expect(index.candidates("a:c", null)).toHaveLength(1);
});

describe("nearest pattern", () => {
  test.each([
    ["order.craeted", ["invoice.paid", "order.created", "user.*"], "order.created"],
    ["order.created", ["invoice.*", "order.created.v2"], "order.created.v2"],
    ["app:sales:order:placed", ["app:sales:orders:*", "x:**"], "app:sales:orders:*"],
    ["app:sales:order", ["app:sales:order:**", "zzz"], "app:sales:order:**"],
    ["anything", [], null],
    ["anything", ["a::b"], null],
  ])("%s", (eventType, patterns, expected) => {
    expect(nearestPattern(eventType, patterns)).toBe(expected);
  });
});
