import { expect, test } from "bun:test";
import { FakeClock } from "@flowcatalyst/foundation";
import fc from "fast-check";
import { DEADLINE_SLOT_MS, DeadlineWheel } from "./deadline-wheel.ts";

function setup() {
  const clock = new FakeClock();
  const wheel = new DeadlineWheel(clock);
  const expired: string[] = [];
  const add = (name: string, ms: number) => {
    const entry = { expire: () => expired.push(name) };
    const slot = wheel.add(entry, ms);
    return () => wheel.remove(slot, entry);
  };
  return { clock, expired, add };
}

test("expires not before the deadline and at most one slot after it; what was removed does not expire", async () => {
  const { clock, expired, add } = setup();
  add("long", 10_000);
  const remove = add("removed", 1_000);
  add("short", 1_000);
  remove();
  await clock.advance(999);
  expect(expired).toEqual([]);
  await clock.advance(1 + DEADLINE_SLOT_MS);
  expect(expired).toEqual(["short"]);
  await clock.advance(8_999);
  expect(expired).toEqual(["short", "long"]);
});

test("no timer runs while there is nothing to wait for", async () => {
  const { clock, add } = setup();
  expect(clock.timerCount).toBe(0);
  add("a", 1_000)();
  add("b", 2_000)();
  await clock.advance(1_000 + DEADLINE_SLOT_MS);
  expect(clock.timerCount).toBe(0);
});

test("any deadlines: each expires once, not early, and at most a slot late", async () => {
  const timeout = fc.integer({ min: 0, max: 2_000 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(timeout, { maxLength: 20 }),
      fc.array(timeout, { maxLength: 5 }),
      async (timeouts, waits) => {
        const clock = new FakeClock();
        const wheel = new DeadlineWheel(clock);
        const lateness: number[] = [];
        const expireAfter = (ms: number): void => {
          const dueMs = clock.monotonicMs() + ms;
          wheel.add({ expire: () => lateness.push(clock.monotonicMs() - dueMs) }, ms);
        };
        for (const [index, ms] of timeouts.entries()) {
          expireAfter(ms);
          await clock.advance(waits[index] ?? 0);
        }
        await clock.advance(2_000 + DEADLINE_SLOT_MS);
        expect(lateness.length).toBe(timeouts.length);
        expect(lateness.filter((ms) => ms < 0 || ms > DEADLINE_SLOT_MS)).toEqual([]);
        expect(clock.timerCount).toBe(0);
      },
    ),
    { numRuns: 50 },
  );
});
