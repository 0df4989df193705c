import { describe, expect, test } from "bun:test";
import { FakeClock } from "@flowcatalyst/foundation";
import { createSteeredClock } from "./steered-clock.ts";

describe("a steered clock", () => {
  const startMs = 1_000_000;
  const setup = () => {
    const base = new FakeClock(startMs);
    return { base, clock: createSteeredClock(base) };
  };

  test("is the machine's until it is set, and runs with the monotonic clock from then on", async () => {
    const { base, clock } = setup();
    expect(clock.now()).toBe(startMs);
    clock.steer(5_000_000);
    expect(clock.now()).toBe(5_000_000);
    await base.advance(250);
    expect(clock.now()).toBe(5_000_250);
  });

  test("stands still rather than go back by little", async () => {
    const { base, clock } = setup();
    clock.steer(5_000_000);
    await base.advance(100);
    expect(clock.now()).toBe(5_000_100);
    clock.steer(5_000_050);
    expect(clock.now()).toBe(5_000_100);
    await base.advance(70);
    expect(clock.now()).toBe(5_000_120);
  });

  test("follows a large step back at once", () => {
    const { clock } = setup();
    clock.steer(5_000_000);
    expect(clock.now()).toBe(5_000_000);
    clock.steer(4_000_000);
    expect(clock.now()).toBe(4_000_000);
  });
});
