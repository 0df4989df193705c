import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { matchesPattern, parsePattern } from "../domain/event-type-pattern.ts";
import type { NewEvent } from "../domain/event.ts";
import { createFilterCompiler, FilterEvent } from "../domain/filter.ts";
import type { ClientId, EventPosition, SubscriptionId } from "../domain/ids.ts";
import type { Subscription } from "../domain/subscription.ts";
import type { FeedEvent } from "../ports/event-log.ts";
import { createSamples } from "../ports/sample-entities.fixture.ts";
import { createFilterFaultLog, filterFaultLimits, type FilterFaultLog } from "./filter-faults.ts";
import { createMatcher, type Matcher } from "./matcher.ts";

const compiler = createFilterCompiler();
const samples = createSamples();

function setup(subscriptions: readonly Subscription[]): { matcher: Matcher; faults: FilterFaultLog } {
  const faults = createFilterFaultLog(() => 0);
  return { faults, matcher: createMatcher({ compiler, faults }, subscriptions) };
}

function feedEvent(changes: Partial<NewEvent> = {}): FeedEvent {
  const event = samples.event(changes);
  return { ...event, position: 1 as EventPosition, dataBytes: event.data?.length ?? 0 };
}

function idsOf(matcher: Matcher, event: FeedEvent): string[] {
  return matcher.match(event).map(({ id }) => id);
}

function numbered(number: number, changes: Partial<Subscription>): Subscription {
  return samples.subscription({ id: `sub_${String(number).padStart(6, "0")}` as SubscriptionId, ...changes });
}

/** The rule read off the definition: every subscription, every pattern, every filter. */
function naive(subscriptions: readonly Subscription[], event: FeedEvent): string[] {
  const parsed: unknown = JSON.parse(event.data ?? "null");
  const subject = { event: new FilterEvent(event), data: parsed, dataBytes: event.dataBytes };
  const holds = (filter: string | null): boolean => {
    if (filter === null) return true;
    const compiled = compiler.compile(filter);
    return compiled.kind === "valid" && compiled.filter.evaluate(subject).kind === "match";
  };
  return subscriptions
    .filter(({ clientId }) => clientId === null || clientId === event.clientId)
    .filter(({ eventTypes }) =>
      eventTypes.some(({ pattern, filter }) => {
        const parsedPattern = parsePattern(pattern);
        return parsedPattern.kind === "valid" && matchesPattern(parsedPattern.pattern, event.type) && holds(filter);
      }),
    )
    .filter(({ filter }) => holds(filter))
    .map(({ id }) => String(id))
    .toSorted();
}

test("agrees with visiting every subscription, whatever the filters", () => {
  const client = fc.constantFrom<(string | null)[]>(null, "cli_a", "cli_b");
  const filter = fc.oneof(
    { weight: 2, arbitrary: fc.constant(null) },
    { weight: 3, arbitrary: fc.constantFrom("a", "b", "c").map((value) => `data.kind == '${value}'`) },
    { weight: 2, arbitrary: fc.integer({ min: 0, max: 3 }).map((n) => `has(data.n) && data.n == ${n}`) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 3 }).map((n) => `data.n > ${n}`) },
    { weight: 1, arbitrary: fc.constantFrom("event.subject == 'x'", "event.type == 'a.b'", "event.source == '/shop'") },
  );
  const binding = fc.record({ pattern: fc.constantFrom("a.b", "a.*", "**", "a.c"), filter });
  const subscriptions = fc
    .array(fc.record({ eventTypes: fc.array(binding, { minLength: 1, maxLength: 3 }), filter, clientId: client }), {
      maxLength: 40,
    })
    .map((all) => all.map((one, n) => numbered(n, { ...one, clientId: one.clientId as ClientId | null })));
  const event = fc.record({
    type: fc.constantFrom("a.b", "a.c", "b"),
    clientId: client,
    subject: fc.constantFrom(null, "x"),
    data: fc
      .record({ kind: fc.constantFrom("a", "b", null, 1), n: fc.integer({ min: 0, max: 4 }) }, { requiredKeys: [] })
      .map((data) => JSON.stringify(data)),
  });
  fc.assert(
    fc.property(subscriptions, fc.array(event, { minLength: 1, maxLength: 10 }), (given, events) => {
      const { matcher } = setup(given);
      for (const one of events) {
        const asked = feedEvent({ ...one, clientId: one.clientId as ClientId | null });
        expect(idsOf(matcher, asked)).toEqual(naive(given, asked));
        if (!matcher.needsData(asked)) expect(idsOf(matcher, { ...asked, data: null })).toEqual(naive(given, asked));
      }
    }),
    { numRuns: 500 },
  );
});

describe("filters", () => {
  test("a fault does not match, is counted for its subscription, and says why", () => {
    const { matcher, faults } = setup([
      numbered(1, { filter: "data.missing == 1" }),
      numbered(2, { filter: "data.missing == 1" }),
      numbered(3, {}),
    ]);
    const event = feedEvent();
    expect(idsOf(matcher, event)).toEqual(["sub_000003"]);
    expect(faults.total).toBe(2);
    expect(faults.of("sub_000001" as SubscriptionId)).toEqual({
      count: 1,
      lastReason: "No such key: missing",
      lastEventId: event.id,
      lastAtMs: 0,
    });
  });

  test("many filters on one absent field fault for each of their subscriptions", () => {
    const { matcher, faults } = setup(Array.from({ length: 20 }, (_, n) => numbered(n, { filter: `data.k == ${n}` })));
    expect(idsOf(matcher, feedEvent({ data: "{}" }))).toEqual([]);
    expect(faults.total).toBe(20);
  });

  test("a filter that no longer compiles matches nothing and shows", () => {
    const { matcher, faults } = setup([numbered(1, { filter: "gone(data)" })]);
    expect(idsOf(matcher, feedEvent())).toEqual([]);
    expect(faults.of("sub_000001" as SubscriptionId)?.lastReason).toContain("not valid");
  });

  test("data that is called JSON and is not: an error, but only where a filter has to read it", () => {
    const { matcher } = setup([
      numbered(1, { eventTypes: [{ pattern: "a", filter: "data.x == 1" }] }),
      numbered(2, {}),
    ]);
    expect(() => matcher.match(feedEvent({ type: "a", data: "{" }))).toThrow();
    expect(idsOf(matcher, feedEvent({ data: "{" }))).toEqual(["sub_000002"]);
  });

  test("data that is no JSON is its text", () => {
    const { matcher } = setup([numbered(1, { filter: "data.startsWith('plain')" })]);
    expect(idsOf(matcher, feedEvent({ dataKind: "text", data: "plain text" }))).toEqual(["sub_000001"]);
  });
});

test("a new set of subscriptions takes over what has not changed", () => {
  const one = numbered(1, { filter: "data.n > 0" });
  const { matcher, faults } = setup([one]);
  const next = createMatcher({ compiler, faults }, [one, numbered(2, {})], matcher);
  expect(next.targets.get(one.id)).toBe(matcher.targets.get(one.id));
  expect(next.filters.get("data.n > 0")).toBe(matcher.filters.get("data.n > 0"));
  expect(idsOf(next, feedEvent({ data: '{"n":1}' }))).toEqual(["sub_000001", "sub_000002"]);
});

test("faults of a bounded number of subscriptions are remembered", () => {
  const faults = createFilterFaultLog(() => 0);
  const extra = 10;
  for (let n = 0; n < filterFaultLimits.rememberedSubscriptions + extra; n++) {
    const subscriptionId = `sub_${n}` as SubscriptionId;
    faults.record({ subscriptionId, eventId: samples.event().id, reason: "r" });
  }
  expect(faults.all().size).toBe(filterFaultLimits.rememberedSubscriptions);
  expect(faults.of("sub_0" as SubscriptionId)).toBeNull();
});
