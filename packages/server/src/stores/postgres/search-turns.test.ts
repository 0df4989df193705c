import { expect, test } from "bun:test";
import { deferred, FakeClock } from "@flowcatalyst/foundation";
import { createSearchTurns } from "./search-turns.ts";

const startMs = 1_000;

function setup() {
  const clock = new FakeClock(startMs);
  return { clock, turns: createSearchTurns(clock, { runningMax: 1, waitingMax: 2 }) };
}

test("searches take turns in the order they came, also after one has failed", async () => {
  const { clock, turns } = setup();
  const deadlineMs = clock.monotonicMs() + 2_000;
  const first = deferred<void>();
  const done: string[] = [];
  const fail = async (): Promise<void> => {
    await first.promise;
    throw new Error("broken");
  };
  const failing = turns.run(deadlineMs, fail).catch(() => done.push("broken"));
  const others = ["a", "b"].map((name) => turns.run(deadlineMs, async () => done.push(name)));
  expect(done).toEqual([]);
  first.resolve();
  await Promise.all([failing, ...others]);
  expect(done.toSorted()).toEqual(["a", "b", "broken"]);
  expect(done.indexOf("a")).toBeLessThan(done.indexOf("b"));
  await turns.run(deadlineMs, async () => done.push("later"));
  expect(done.at(-1)).toBe("later");
});

test("one that waits to its deadline is SEARCH_TIMED_OUT and never runs, one too many is OVERLOADED", async () => {
  const { clock, turns } = setup();
  const deadlineMs = clock.monotonicMs() + 2_000;
  const first = deferred<void>();
  const slow = turns.run(deadlineMs, () => first.promise);
  let ran = 0;
  const waiting = [1, 2].map(() => turns.run(deadlineMs, async () => ran++).catch((error: unknown) => error));
  const refused = await turns.run(deadlineMs, async () => ran++).catch((error: unknown) => error);
  expect(refused).toMatchObject({ code: "OVERLOADED" });
  await clock.advance(2_000);
  for (const fault of await Promise.all(waiting)) expect(fault).toMatchObject({ code: "SEARCH_TIMED_OUT" });
  first.resolve();
  await slow;
  expect(ran).toBe(0);
  await turns.run(deadlineMs, async () => ran++);
  expect(ran).toBe(1);
});
