import { beforeEach, describe, expect, test } from "bun:test";
import { FakeClock, silentLogger } from "@flowcatalyst/foundation";
import type { QueueMetrics } from "../ports/queue.ts";
import { createReceiverWatch, receiverWatchDefaults, type ReceiverWatch } from "./receiver-watch.ts";

const empty: QueueMetrics = { visible: 0, inFlight: 0, delayed: 0, dead: 0, oldestUnsettledAtMs: null };

describe("the watch over the queue's receivers", () => {
  let clock: FakeClock;
  let metrics: QueueMetrics;
  let watch: ReceiverWatch;
  beforeEach(() => {
    clock = new FakeClock();
    metrics = empty;
    watch = createReceiverWatch(
      { queueMetrics: () => Promise.resolve(metrics), clock, logger: silentLogger() },
      { ...receiverWatchDefaults, queue: "db:" },
    );
  });

  const lookLater = async (): Promise<string | undefined> => {
    await clock.advance(receiverWatchDefaults.afterMs);
    await watch.look();
    const { status, data } = watch.health();
    expect(status).toBe("UP");
    return data?.["reason"] as string | undefined;
  };

  test("says so when the oldest message stays where it is and nothing is in flight", async () => {
    metrics = { ...empty, visible: 2, oldestUnsettledAtMs: clock.now() };
    expect(await lookLater()).toBeUndefined();
    expect(await lookLater()).toContain("another FC_QUEUE_URL");
    metrics = empty;
    expect(await lookLater()).toBeUndefined();
  });

  test("is content while something is in flight, or the oldest is another each time", async () => {
    metrics = { ...empty, visible: 2, inFlight: 1, oldestUnsettledAtMs: clock.now() };
    await lookLater();
    expect(await lookLater()).toBeUndefined();
    for (let n = 0; n < 3; n++) {
      metrics = { ...empty, visible: 2, oldestUnsettledAtMs: clock.now() };
      expect(await lookLater()).toBeUndefined();
    }
  });

  test("a queue that cannot be asked is passed over", async () => {
    const failing = createReceiverWatch(
      { queueMetrics: () => Promise.reject(new Error("away")), clock, logger: silentLogger() },
      { ...receiverWatchDefaults, queue: "db:" },
    );
    await failing.look();
    expect(failing.health()).toEqual({ status: "UP" });
  });
});
