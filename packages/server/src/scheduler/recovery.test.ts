import { describe, expect, test } from "bun:test";
import { FakeClock, silentLogger } from "@flowcatalyst/foundation";
import type { LeaseEpoch } from "../ports/lease.ts";
import type { QueueMetrics } from "../ports/queue.ts";
import { createLostJobRecovery, recoveryDefaults } from "./recovery.ts";

const empty: QueueMetrics = { visible: 0, inFlight: 0, delayed: 0, dead: 0, oldestUnsettledAtMs: null };
const silent: QueueMetrics = { visible: null, inFlight: null, delayed: null, dead: null, oldestUnsettledAtMs: null };
const { clockMarginMs, sampledEmptyMs, silentQueueLostAfterMs } = recoveryDefaults;
const lookMs = 60_000;

function setup(reportsOldest: boolean) {
  const clock = new FakeClock();
  let metrics = empty;
  /** For each look, before when a job has to have been QUEUED to count as lost; null: none does. */
  let provenMs: number | null = null;
  const recovery = createLostJobRecovery(
    {
      claims: {
        recoverLost: ({ queuedBeforeMs }) => {
          provenMs = queuedBeforeMs;
          return Promise.resolve(0);
        },
      },
      queueMetrics: () => Promise.resolve(metrics),
      publisher: { capabilities: { reportsOldest } },
      clock,
      logger: silentLogger(),
    },
    recoveryDefaults,
  );
  const look = async (seen: QueueMetrics): Promise<number | null> => {
    metrics = seen;
    provenMs = null;
    await recovery.pass(1 as LeaseEpoch);
    await clock.advance(lookMs);
    return provenMs;
  };
  return { clock, look };
}

describe("what a queue proves", () => {
  test("found empty twice: jobs marked before the first look are lost, and so on while it stays so", async () => {
    const { clock, look } = setup(true);
    const firstMs = clock.now();
    expect(await look(empty)).toBeNull();
    expect(await look(empty)).toBe(firstMs - clockMarginMs);
    expect(await look(empty)).toBe(firstMs + lookMs - clockMarginMs);
    expect(await look({ ...empty, inFlight: 1, oldestUnsettledAtMs: firstMs + 5 })).toBe(firstMs + 5 - clockMarginMs);
    expect(await look(empty)).toBeNull();
  });

  test("that may count by sampling: empty at each look of ten minutes, and jobs marked before that", async () => {
    const { clock, look } = setup(false);
    for (let passed = 0; passed < sampledEmptyMs; passed += lookMs) expect(await look(empty)).toBeNull();
    const nowMs = clock.now();
    expect(await look(empty)).toBe(nowMs - sampledEmptyMs - clockMarginMs);
    expect(await look({ ...empty, visible: 1 })).toBeNull();
    expect(await look(empty)).toBeNull();
    expect(await look(empty)).toBeNull();
  });

  test("a clock set back begins the ten minutes anew", async () => {
    const { clock, look } = setup(false);
    for (let passed = 0; passed < sampledEmptyMs / 2; passed += lookMs) await look(empty);
    clock.jumpWallClock(-3_600_000);
    for (let passed = 0; passed < sampledEmptyMs; passed += lookMs) expect(await look(empty)).toBeNull();
    expect(await look(empty)).not.toBeNull();
  });

  test("that tells nothing: what was marked a day ago is published again", async () => {
    const { clock, look } = setup(false);
    const nowMs = clock.now();
    expect(await look(silent)).toBe(nowMs - silentQueueLostAfterMs - clockMarginMs);
  });

  test("a queue that tells some of its counts and not all is none that is empty", async () => {
    const { clock, look } = setup(false);
    const nowMs = clock.now();
    const some = { ...silent, visible: 0 };
    expect(await look(some)).toBe(nowMs - silentQueueLostAfterMs - clockMarginMs);
  });
});
