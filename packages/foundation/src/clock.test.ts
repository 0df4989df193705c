import { describe, expect, test } from "bun:test";
import { FakeClock, isoTime, systemClock } from "./clock.ts";

describe("system clock", () => {
  test("a sleep ends when its signal aborts, and a passed abort does not wait at all", async () => {
    const clock = systemClock();
    const controller = new AbortController();
    const sleeping = clock.sleep(3_600_000, controller.signal);
    controller.abort();
    await sleeping;
    await clock.sleep(3_600_000, controller.signal);
    expect(controller.signal.aborted).toBe(true);
  });

  test("a timer longer than the runtime allows does not fire at once", async () => {
    const clock = systemClock();
    let fired = false;
    const cancel = clock.setTimer(2 ** 40, () => {
      fired = true;
    });
    await clock.sleep(1);
    cancel();
    expect(fired).toBe(false);
  });

  test("sleeps and stamps", async () => {
    const clock = systemClock();
    const startMs = clock.monotonicMs();
    await clock.sleep(2);
    expect(clock.monotonicMs()).toBeGreaterThan(startMs);
    expect(Math.abs(clock.now() - Date.now())).toBeLessThan(1_000);
  });
});

describe("fake clock", () => {
  test("fires timers in order of due time, then of setting, with time standing at each", async () => {
    const clock = new FakeClock(1_000);
    const seen: string[] = [];
    clock.setTimer(20, () => seen.push(`b@${clock.now()}`));
    clock.setTimer(10, () => seen.push(`a@${clock.now()}`));
    clock.setTimer(20, () => seen.push(`c@${clock.now()}`));
    clock.setTimer(40, () => seen.push("late"));
    await clock.advance(30);
    expect(seen).toEqual(["a@1010", "b@1020", "c@1020"]);
    expect(clock.now()).toBe(1_030);
    expect(clock.nextTimerMs).toBe(10);
  });

  test("runs a chain of sleeps within one advance", async () => {
    const clock = new FakeClock();
    let rounds = 0;
    const controller = new AbortController();
    const loop = (async () => {
      while (!controller.signal.aborted) {
        await clock.sleep(100, controller.signal);
        rounds++;
      }
    })();
    await clock.advance(1_000);
    expect(rounds).toBe(10);
    controller.abort();
    await loop;
    expect(clock.timerCount).toBe(0);
  });

  test("a jump of the wall clock leaves monotonic time and timers alone", async () => {
    const clock = new FakeClock(1_000_000);
    clock.setTimer(10, () => undefined);
    clock.jumpWallClock(-500_000);
    expect(clock.now()).toBe(500_000);
    expect(clock.monotonicMs()).toBe(0);
    expect(clock.nextTimerMs).toBe(10);
  });

  test("tells when the code under test has arrived at its wait", async () => {
    const clock = new FakeClock();
    const waiting = clock.whenTimers(2);
    clock.setTimer(1, () => undefined);
    const cancel = clock.setTimer(2, () => undefined);
    await waiting;
    cancel();
    cancel();
    expect(clock.timerCount).toBe(1);
  });
});

test("times are RFC 3339 in UTC with milliseconds", () => {
  expect(isoTime(0)).toBe("1970-01-01T00:00:00.000Z");
});
