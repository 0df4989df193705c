import { expect, test } from "bun:test";
import { FakeClock } from "./clock.ts";
import { createWakeUp } from "./wake-up.ts";

function setup() {
  const clock = new FakeClock();
  return { clock, wakeUp: createWakeUp(clock) };
}

test("a wake-up before the wait is kept, and many are one", async () => {
  const { clock, wakeUp } = setup();
  wakeUp.wake();
  wakeUp.wake();
  await wakeUp.wait(1_000);
  let second = false;
  const waiting = wakeUp.wait(1_000).then(() => {
    second = true;
  });
  await clock.advance(999);
  expect(second).toBe(false);
  await clock.advance(1);
  await waiting;
  expect(second).toBe(true);
});

test("a wake-up ends a wait and leaves nothing behind", async () => {
  const { clock, wakeUp } = setup();
  const waiting = wakeUp.wait(1_000);
  wakeUp.wake();
  await waiting;
  expect(clock.timerCount).toBe(0);
  const next = wakeUp.wait(500);
  expect(clock.timerCount).toBe(1);
  await clock.advance(500);
  await next;
});

test("an abort ends a wait, and a wait after it returns at once", async () => {
  const { clock, wakeUp } = setup();
  const controller = new AbortController();
  const waiting = wakeUp.wait(1_000, controller.signal);
  controller.abort();
  await waiting;
  await wakeUp.wait(1_000, controller.signal);
  expect(clock.timerCount).toBe(0);
});

test("no wake-up is lost between a reader and a writer that never wait for each other", async () => {
  const { clock, wakeUp } = setup();
  let written = 0;
  let read = 0;
  const reader = (async () => {
    while (read < 1_000) {
      // The timeout is never advanced to: only wake-ups move the reader.
      if (read === written) await wakeUp.wait(60_000);
      read = written;
    }
  })();
  for (let i = 0; i < 1_000; i++) {
    written++;
    wakeUp.wake();
    if (i % 3 === 0) await Promise.resolve();
  }
  await reader;
  expect(read).toBe(1_000);
  expect(clock.timerCount).toBe(0);
});
