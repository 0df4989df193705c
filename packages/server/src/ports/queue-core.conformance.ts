import { expect } from "bun:test";
import type { PlatformMessage } from "../domain/message.ts";
import type { ReceivedMessage } from "./queue.ts";
import {
  defaultLane,
  group,
  idsOf,
  platform,
  receiptsOf,
  standalone,
  type QueueCases,
} from "./queue-bench.conformance.ts";

/** Cases for every queue, whatever it declares. */

export function coreCases(cases: QueueCases): void {
  cases.test("gives out what was published, once while it is held, and never again after the ack", async () => {
    const messages = [platform("a"), standalone("b", { headers: { "x-a": "1" } })];
    await cases.publish(...messages);
    const received = byId(await cases.receive());
    expect(received.map(({ message }) => message)).toEqual(messages);
    expect(received.map(({ receiveCount }) => receiveCount)).toEqual([1, 1]);
    expect(await cases.receive()).toEqual([]);
    expect(await cases.queue.ack(receiptsOf(received))).toEqual(["done", "done"]);
    await cases.expireVisibility();
    expect(await cases.receive()).toEqual([]);
  });
  cases.test("brings back what was nacked, with a higher receive count", async () => {
    await cases.publish(platform("a"));
    const first = await cases.receive();
    expect(await cases.queue.nack(receiptsOf(first), 0)).toEqual(["done"]);
    const second = await cases.receive(1, defaultLane, 1_000);
    expect(idsOf(second)).toEqual(["a"]);
    expect(second[0]!.receiveCount).toBe(2);
    expect(second[0]!.publishedAtMs).toBe(first[0]!.publishedAtMs);
  });
  cases.test("sets a body aside that cannot be read, with its reason, and delivers the rest of the batch", async () => {
    await cases.publish(platform("a"));
    await cases.bench.putRaw(defaultLane, "{ not json");
    await cases.bench.putRaw(
      defaultLane,
      '{"id":"x","poolCode":"DEFAULT-POOL","mediationType":"KAFKA","target":"https://a.test","payload":1}',
    );
    await cases.publish(platform("b"));
    const received = [...(await cases.receive()), ...(await cases.receive())];
    expect(idsOf(received).toSorted()).toEqual(["a", "b"]);
    const dead = await cases.deadLetters();
    expect(dead.map(({ reason }) => reason.split(":")[0] ?? "").toSorted()).toEqual([
      "MEDIATION_TYPE_UNSUPPORTED",
      "MESSAGE_INVALID",
    ]);
    expect(dead.map(({ body }) => body)).toContain("{ not json");
    expect(dead.map(({ id }) => id as string | null)).toContain("x");
  });
  cases.test("a batch of bodies that cannot be read does not hide what is behind it", async () => {
    await cases.bench.putRaw(defaultLane, "[]");
    await cases.bench.putRaw(defaultLane, "[]");
    await cases.publish(platform("a"));
    expect(idsOf(await cases.receive(1, defaultLane, 1_000))).toEqual(["a"]);
  });
  cases.test("puts a message to the dead letters when told, which settles it", async () => {
    await cases.publish(standalone("a", group("g")), standalone("b", group("g")));
    const [first] = await cases.receive(1);
    expect(await cases.queue.deadLetter(first!.receipt, "410 gone")).toBe("done");
    const [dead] = await cases.deadLetters();
    expect(dead).toMatchObject({ id: "a", lane: defaultLane, reason: "410 gone" });
    expect(JSON.parse(dead!.body)).toMatchObject({ id: "a", target: "https://example.test/hook" });
    expect(await cases.receiveIds()).toEqual(["b"]);
  });
  cases.test("loses nothing when it is killed with messages waiting and in flight", async () => {
    await cases.publish(platform("a"), platform("b"), platform("c"));
    const [first, second] = await cases.receive(2);
    await cases.queue.ack([first!.receipt]);
    await cases.crash();
    await cases.expireVisibility();
    const ids = new Set([...(await cases.receiveIds()), ...(await cases.receiveIds())]);
    expect(ids).toEqual(new Set(["b", "c"]));
    expect(second!.message.id as string).toBe("b");
  });
  cases.test("a receiver that waits is woken by a publish, and an abort ends its wait", async () => {
    const waiting = cases.receive(1, defaultLane, 60_000);
    await cases.publish(platform("a"));
    expect(idsOf(await waiting)).toEqual(["a"]);
    const abort = new AbortController();
    const aborted = cases.queue.receive({ lane: defaultLane, max: 1, waitMs: 60_000 }, abort.signal);
    abort.abort();
    expect(await aborted).toEqual([]);
  });
  cases.test("what comes after a wait was aborted is received by the next question", async () => {
    const abort = new AbortController();
    const aborted = cases.queue.receive({ lane: defaultLane, max: 10, waitMs: 60_000 }, abort.signal);
    abort.abort();
    await aborted;
    await cases.publish(platform("a"), platform("b"));
    expect((await cases.receiveIds()).toSorted()).toEqual(["a", "b"]);
  });
  cases.test("takes a batch with good and bad messages and answers by position", async () => {
    const bad: PlatformMessage = { ...platform("bad"), jobs: [] };
    const results = await cases.queue.publish([platform("a"), bad, platform("b")]);
    expect(results.map(({ kind }) => kind)).toEqual(["published", "invalid", "published"]);
    expect(results[1]).toMatchObject({ code: "MESSAGE_INVALID" });
  });
}

export function limitCases(cases: QueueCases): void {
  cases.test("a message over the limit is refused with a code, the others are taken", async () => {
    const { maxMessageBytes } = cases.queue.capabilities;
    const huge = standalone("huge", { payload: "x".repeat(maxMessageBytes) });
    const wide = standalone("wide", { payload: "\u20ac".repeat(Math.ceil(maxMessageBytes / 3)) });
    const results = await cases.queue.publish([platform("a"), huge, wide, platform("b")]);
    expect(results.map(({ kind }) => kind)).toEqual(["published", "invalid", "invalid", "published"]);
    expect(results[1]).toMatchObject({ code: "MESSAGE_TOO_LARGE" });
    expect(results[2]).toMatchObject({ code: "MESSAGE_TOO_LARGE" });
  });
  cases.test("large and small bodies come back whole", async () => {
    const size = Math.min(cases.queue.capabilities.maxMessageBytes - 2_000, 300_000);
    const messages = [standalone("a", { payload: "y".repeat(size) }), standalone("b", { payload: "" })];
    await cases.publish(...messages);
    const received = byId(await cases.receive());
    expect(received.map(({ message }) => message)).toEqual(messages);
    await cases.queue.nack(receiptsOf(received), 0);
    const again = byId(await cases.receive());
    expect(again.map(({ message }) => message)).toEqual(messages);
    await cases.ackAll(again);
    expect(await cases.receive()).toEqual([]);
  });
  cases.test("a whole batch can be published and received at once", async () => {
    const { maxBatch } = cases.queue.capabilities;
    await cases.publish(...Array.from({ length: maxBatch }, (_, i) => platform(`m${i}`)));
    const seen = new Set<string>();
    while (seen.size < maxBatch) {
      const received = await cases.receive(maxBatch * 2, defaultLane, 1_000);
      expect(received.length).toBeLessThanOrEqual(maxBatch);
      expect(received.length).toBeGreaterThan(0);
      for (const id of idsOf(received)) seen.add(id);
      await cases.ackAll(received);
    }
  });
}

/** Messages that belong to no group may come in any order. */
function byId(received: readonly ReceivedMessage[]): readonly ReceivedMessage[] {
  return received.toSorted((left, right) => left.message.id.localeCompare(right.message.id));
}
