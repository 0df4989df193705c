import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { createFilterCompiler } from "../domain/filter.ts";
import type { EventPosition, JobId, SubscriptionId } from "../domain/ids.ts";
import type { Subscription } from "../domain/subscription.ts";
import type { FeedEvent } from "../ports/event-log.ts";
import type { StreamCheckpoint } from "../ports/job-appender.ts";
import { createSamples } from "../ports/sample-entities.fixture.ts";
import { fanOut, type FanOutResult } from "./fan-out.ts";
import { createFilterFaultLog } from "./filter-faults.ts";
import { createMatcher, type Matcher } from "./matcher.ts";

const compiler = createFilterCompiler();
const start: StreamCheckpoint = { position: 0 as EventPosition, ordinal: 0, frozenProfileKeys: [] };

function setup(subscriptions: readonly Partial<Subscription>[]) {
  const samples = createSamples();
  let jobs = 0;
  const all = subscriptions.map((changes, n) =>
    samples.subscription({ id: `sub_${n + 100}` as SubscriptionId, ...changes }),
  );
  const matcher = createMatcher({ compiler, faults: createFilterFaultLog(() => 0) }, all);
  const events = (types: readonly string[]): FeedEvent[] =>
    types.map((type, n) => ({ ...samples.event({ type }), position: (n + 1) as EventPosition, dataBytes: 7 }));
  const ids = { job: () => `job_${++jobs}` as JobId };
  return { samples, matcher, events, ids, all };
}

interface Drain {
  readonly matcher: Matcher;
  readonly ids: { job(): JobId };
  readonly maxJobs: number;
}

/** Passes until nothing is left, each reading what comes after its checkpoint, with the profiles found by key. */
function drain(events: readonly FeedEvent[], { matcher, ids, maxJobs }: Drain): FanOutResult[] {
  const passes: FanOutResult[] = [];
  let from = start;
  for (;;) {
    const left = events.filter(({ position }) => position > from.position);
    if (left.length === 0) return passes;
    const profiles = new Map([...matcher.targets.values()].map(({ profile }) => [profile.key, profile]));
    const frozen = from.frozenProfileKeys.map((key) => profiles.get(key) ?? null);
    const made = fanOut({ events: left, from, matcher, frozen, ids, nowMs: 5, maxJobs });
    expect(made.jobs.length).toBeLessThanOrEqual(maxJobs);
    expect(made.to).not.toEqual(from);
    passes.push(made);
    from = made.to;
  }
}

function pairs(passes: readonly FanOutResult[]): string[] {
  return passes.flatMap(({ jobs }) => jobs.map((job) => `${job.eventPosition} ${String(job.profile.subscriptionId)}`));
}

test("a pass of any size makes the same jobs in the same order", () => {
  const patterns = fc.array(fc.constantFrom("a", "b", "**", "a.**"), { maxLength: 25 });
  const types = fc.array(fc.constantFrom("a", "b", "c", "a.b"), { maxLength: 20 });
  fc.assert(
    fc.property(patterns, types, fc.integer({ min: 1, max: 60 }), (wanted, given, maxJobs) => {
      const { matcher, ids, events } = setup(wanted.map((pattern) => ({ eventTypes: [{ pattern, filter: null }] })));
      const log = events(given);
      const whole = pairs(drain(log, { matcher, ids, maxJobs: 1_000_000 }));
      expect(pairs(drain(log, { matcher, ids, maxJobs }))).toEqual(whole);
    }),
    { numRuns: 300 },
  );
});

describe("an event larger than a pass", () => {
  const everybody = Array.from({ length: 7 }, () => ({ eventTypes: [{ pattern: "**", filter: null }] }));

  test("is spread, with its matching set frozen and what no job has stored yet", () => {
    const { matcher, ids, events } = setup(everybody);
    const [first, second, third, ...rest] = drain(events(["a"]), { matcher, ids, maxJobs: 3 });
    expect(rest).toEqual([]);
    expect([first, second, third].map((pass) => [pass?.jobs.length, pass?.to.position, pass?.to.ordinal])).toEqual([
      [3, 0, 3],
      [3, 0, 6],
      [1, 1, 0],
    ]);
    expect(first?.to.frozenProfileKeys).toHaveLength(7);
    expect(first?.frozenProfiles.map(({ key }) => key)).toEqual(first?.to.frozenProfileKeys.slice(3));
    expect(second?.frozenProfiles).toEqual([]);
    expect(third?.to.frozenProfileKeys).toEqual([]);
  });

  test("waits for a pass of its own if others are in the way", () => {
    const { matcher, ids, events } = setup(everybody);
    const passes = drain(events(["a", "a"]), { matcher, ids, maxJobs: 10 });
    expect(passes.map(({ jobs, to }) => [jobs.length, Number(to.position), to.ordinal])).toEqual([
      [7, 1, 0],
      [7, 2, 0],
    ]);
  });

  test("goes on with the frozen set although the subscriptions have changed; what is gone is left out", () => {
    const { matcher, ids, events, all, samples } = setup(everybody);
    const [first] = drain(events(["a"]), { matcher, ids, maxJobs: 3 });
    const changed = createMatcher({ compiler, faults: createFilterFaultLog(() => 0) }, [samples.subscription()]);
    const frozen = [...matcher.targets.values()].map(({ profile }, place) => (place === 4 ? null : profile));
    const made = fanOut({
      events: events(["a"]),
      from: first!.to,
      matcher: changed,
      frozen,
      ids,
      nowMs: 5,
      maxJobs: 10,
    });
    expect(made.jobs.map(({ profile }) => profile.subscriptionId)).toEqual([3, 5, 6].map((place) => all[place]!.id));
    expect(made.to).toEqual({ position: 1 as EventPosition, ordinal: 0, frozenProfileKeys: [] });
  });
});

describe("jobs", () => {
  test("copy what they need, with the group of their subscription and the due time of their event", () => {
    const { matcher, ids, events } = setup([{ delaySeconds: 30 }, { mode: "IMMEDIATE" }]);
    const [event] = events(["order.created"]);
    const grouped = { ...event!, messageGroup: "o-1", createdAtMs: 3 };
    const { jobs } = fanOut({ events: [grouped], from: start, matcher, frozen: [], ids, nowMs: 5, maxJobs: 10 });
    expect(jobs[0]).toMatchObject({
      kind: "EVENT",
      id: "job_1" as JobId,
      eventId: grouped.id,
      code: "order.created",
      messageGroup: "o-1",
      groupKey: "sub_100:o-1" as never,
      dueAtMs: grouped.createdAtMs + 30_000,
      payloadBytes: 7,
      createdAtMs: 5,
    });
    expect(jobs[1]).toMatchObject({ groupKey: null, dueAtMs: grouped.createdAtMs });
  });
});

test("poison is set aside with its reason, and the events around it go on", () => {
  const { matcher, ids, events } = setup([{ eventTypes: [{ pattern: "**", filter: "data.n == 1" }] }]);
  const log = events(["a", "b", "c"]).map((event, n) => ({ ...event, data: n === 1 ? "{broken" : '{"n":1}' }));
  const [made, ...rest] = drain(log, { matcher, ids, maxJobs: 10 });
  expect(rest).toEqual([]);
  expect(pairs([made!])).toEqual(["1 sub_100", "3 sub_100"]);
  expect(made?.events).toBe(3);
  expect(made?.poison).toEqual([
    { position: 2 as EventPosition, eventId: log[1]!.id, reason: expect.stringContaining("JSON"), atMs: 5 },
  ]);
});

test("a delay counts from the event, unless a clock that was set back says that the event is yet to come", () => {
  const { matcher, events, ids } = setup([{ eventTypes: [{ pattern: "a", filter: null }], delaySeconds: 2 }]);
  const [earlier, ahead] = events(["a", "a"]);
  const given = [
    { ...earlier!, createdAtMs: 4_000 },
    { ...ahead!, createdAtMs: 9_000 },
  ];
  const { jobs } = fanOut({ events: given, from: start, matcher, frozen: [], ids, nowMs: 5_000, maxJobs: 10 });
  expect(jobs.map((job) => job.dueAtMs)).toEqual([6_000, 7_000]);
});
