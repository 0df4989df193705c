import { expect, test } from "bun:test";
import { FakeClock } from "@flowcatalyst/foundation";
import fc from "fast-check";
import { Agenda } from "./agenda.ts";
import { Deque } from "./deque.ts";

test("runs everything once, in order of its time, on one timer", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat({ max: 5_000 }), { maxLength: 60 }), async (delaysMs) => {
      const clock = new FakeClock();
      const agenda = new Agenda(clock);
      const ran: number[] = [];
      for (const delayMs of delaysMs) agenda.add(delayMs, () => void ran.push(delayMs));
      expect(clock.timerCount).toBe(delaysMs.length === 0 ? 0 : 1);
      await clock.advance(5_000);
      expect(ran).toEqual([...delaysMs].sort((a, b) => a - b));
      expect(clock.timerCount).toBe(0);
    }),
    { numRuns: 50 },
  );
});

test("what is added while running is kept, and an earlier one moves the timer", async () => {
  const clock = new FakeClock();
  const agenda = new Agenda(clock);
  const ran: string[] = [];
  agenda.add(1_000, () => void ran.push("late"));
  agenda.add(10, () => {
    ran.push("early");
    agenda.add(20, () => void ran.push("middle"));
  });
  await clock.advance(500);
  expect(ran).toEqual(["early", "middle"]);
  agenda.add(600, () => void ran.push("dropped"));
  agenda.clear();
  await clock.advance(5_000);
  expect(ran).toEqual(["early", "middle"]);
});

test("a deque gives back what it was given, in order", () => {
  const steps = fc.array(fc.oneof(fc.nat(), fc.constant("shift" as const)), { maxLength: 400 });
  fc.assert(
    fc.property(steps, (operations) => {
      const deque = new Deque<number>();
      const model: number[] = [];
      for (const operation of operations) {
        if (typeof operation === "string") expect(deque.shift()).toBe(model.shift());
        else {
          deque.push(operation);
          model.push(operation);
        }
        expect(deque.size).toBe(model.length);
      }
      expect([...deque.newestFirst()]).toEqual(model.toReversed());
    }),
  );
});
