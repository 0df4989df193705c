import { expect, test } from "bun:test";
import { FakeClock, seededRandom, silentLogger } from "@flowcatalyst/foundation";
import { defaultPoolCode } from "../domain/dispatch-pool.ts";
import type { MessageId } from "../domain/ids.ts";
import { parseStandaloneMessage } from "../domain/standalone-message.ts";
import type { QueueConsumer } from "../ports/queue.ts";
import { openSqliteQueue } from "../queues/sqlite/index.ts";
import type { InFlightMessage } from "./in-flight.ts";
import { QueueLink } from "./queue-link.ts";
import { ScriptedQueue } from "./scripted-queue.fixture.ts";
import { Warnings } from "./warnings.ts";

test("when the queue doubts what is held, all of it is asked for at once, and what is refused is lost", async () => {
  const clock = new FakeClock();
  const { queue, close } = openSqliteQueue({ clock }, { path: ":memory:" });
  let doubt = (): void => undefined;
  const consumer: QueueConsumer = new Proxy(queue, {
    get: (target, key) => {
      if (key === "onDoubt") return (wake: () => void) => void (doubt = wake);
      const value: unknown = Reflect.get(target, key);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  const lost = Promise.withResolvers<ReadonlySet<InFlightMessage>>();
  const link = new QueueLink({
    consumer,
    clock,
    random: seededRandom(1),
    warnings: new Warnings(clock, silentLogger()),
    settled: () => undefined,
    lost: lost.resolve,
  });
  for (const id of ["kept", "taken"]) {
    const parsed = parseStandaloneMessage({ id, target: "https://example.test/", payload: id }, "refuseUnknownFields");
    if (parsed.kind === "message") await queue.publish([parsed.message]);
  }
  const received = await queue.receive({ lane: defaultPoolCode, max: 2, waitMs: 0 }, new AbortController().signal);
  for (const { message, receipt } of received) {
    const rest = { receiveCount: 1, standalone: null, traceparent: null, open: 1, lost: false };
    link.hold({
      queue: link,
      key: message.id,
      id: message.id,
      receipt,
      visibleAtMs: clock.monotonicMs() + 60_000,
      ...rest,
    });
  }
  await queue.ack(received.slice(1).map(({ receipt }) => receipt));
  doubt();
  expect([...(await lost.promise)].map(({ id }) => id)).toEqual(["taken" as MessageId]);
  close();
});

test("what goes back with nearly the same delay goes back together, and none of it sooner", async () => {
  const clock = new FakeClock();
  const queue = new ScriptedQueue(clock, { capabilities: { maxDelayMs: 43_200_000 } });
  const given: (readonly [messages: number, delayMs: number])[] = [];
  queue.nack = async (receipts, delayMs) => {
    given.push([receipts.length, delayMs]);
    return receipts.map(() => "done" as const);
  };
  let left = 4;
  const settled = Promise.withResolvers<void>();
  const link = new QueueLink({
    consumer: queue,
    clock,
    random: seededRandom(1),
    warnings: new Warnings(clock, silentLogger()),
    settled: () => (--left === 0 ? settled.resolve() : undefined),
    lost: () => undefined,
  });
  for (const id of ["a", "b", "c", "d"]) queue.publishStandalone({ id });
  const received = await queue.receive({ lane: defaultPoolCode, max: 4, waitMs: 0 }, new AbortController().signal);
  const delaysMs = [0, 5_000.5, 5_031, 5_100];
  for (const [at, { message, receipt }] of received.entries()) {
    const rest = { receiveCount: 1, standalone: null, traceparent: null, open: 1, lost: false, visibleAtMs: 0 };
    const held = { queue: link, key: message.id, id: message.id, receipt, ...rest };
    link.hold(held);
    link.nack(held, delaysMs[at] ?? 0);
  }
  await settled.promise;
  expect(given).toEqual([
    [1, 0],
    [3, 5_100],
  ]);
});
