import { expect } from "bun:test";
import type { PlatformMessage, QueueMessage } from "../domain/message.ts";
import type { PoolCode } from "../domain/ids.ts";
import type { Receipt } from "./queue.ts";
import {
  defaultLane,
  group,
  idsOf,
  otherLane,
  platform,
  receiptsOf,
  standalone,
  type QueueCases,
} from "./queue-bench.conformance.ts";

/** One function per capability that a queue may declare. */

export function groupingCases(cases: QueueCases): void {
  const g1 = (id: string): PlatformMessage => platform(id, "g1");
  cases.test("while one is in flight, later ones go to nobody; groups do not block each other", async () => {
    await cases.publish(g1("a1"), g1("a2"), platform("b1", "g2"), platform("free"));
    const [first] = await cases.receive(1);
    expect(first!.message.id as string).toBe("a1");
    const rest = await cases.receive(10);
    expect(idsOf(rest).toSorted()).toEqual(["b1", "free"]);
    expect(await cases.receiveIds()).toEqual([]);
    await cases.queue.ack([first!.receipt]);
    expect(await cases.receiveIds()).toEqual(["a2"]);
  });
  cases.test("received together they come in order, and the next waits for the last of them", async () => {
    const ids = Array.from({ length: 6 }, (_, i) => `a${i}`);
    await cases.publish(...ids.map(g1));
    const batch = await cases.receive(4);
    expect(idsOf(batch)).toEqual(ids.slice(0, batch.length));
    for (const { receipt } of batch) {
      expect(await cases.receiveIds()).toEqual([]);
      await cases.queue.ack([receipt]);
    }
    expect((await cases.receiveIds())[0]).toBe(ids[batch.length]);
  });
  cases.test("a nack keeps the position", async () => {
    await cases.publish(g1("a1"), g1("a2"), g1("a3"));
    const [first] = await cases.receive(1);
    await cases.queue.nack([first!.receipt], 0);
    expect(await cases.receiveIds(3)).toEqual(["a1", "a2", "a3"]);
  });
  cases.test("a nacked batch comes back in order, whatever the order of the nacks", async () => {
    await cases.publish(g1("a1"), g1("a2"), g1("a3"), g1("a4"));
    const batch = await cases.receive(3);
    for (const { receipt } of batch.toReversed()) await cases.queue.nack([receipt], 0);
    expect(await cases.receiveIds(4)).toEqual(["a1", "a2", "a3", "a4"]);
  });
  cases.test("while one is delayed, later ones go to nobody", async () => {
    await cases.publish(g1("a1"), g1("a2"));
    const [first] = await cases.receive(1);
    await cases.queue.nack([first!.receipt], 1_000);
    expect(await cases.receiveIds()).toEqual([]);
    await cases.bench.passTime(1_001);
    expect(await cases.receiveIds()).toEqual(["a1", "a2"]);
  });
  cases.test("a crash frees the group when visibility ends, in order", async () => {
    await cases.publish(g1("a1"), g1("a2"));
    await cases.receive(1);
    await cases.crash();
    await cases.expireVisibility();
    expect(await cases.receiveIds()).toEqual(["a1", "a2"]);
  });
  cases.test("a row acked in the middle of a batch does not let the group go", async () => {
    await cases.publish(g1("a1"), g1("a2"), g1("a3"));
    const batch = await cases.receive(2);
    await cases.queue.ack([batch[1]!.receipt]);
    expect(await cases.receiveIds()).toEqual([]);
    await cases.queue.ack([batch[0]!.receipt]);
    expect(await cases.receiveIds()).toEqual(["a3"]);
  });
  cases.test("a body that cannot be read, when first of its group, lets the group go on", async () => {
    await cases.publish(standalone("a1", group("g")));
    const [first] = await cases.receive(1);
    await cases.publish(standalone("a2", group("g")));
    await cases.queue.deadLetter(first!.receipt, "told so");
    expect(await cases.receiveIds()).toEqual(["a2"]);
  });
}

export function priorityCases(cases: QueueCases): void {
  cases.test("high priority goes ahead of other groups, never inside its own", async () => {
    await cases.publish(standalone("a1", group("a")), standalone("b1", group("b")), standalone("c1"));
    await cases.publish(standalone("b2", { ...group("b"), highPriority: true }));
    await cases.publish(standalone("d1", { highPriority: true }));
    const order: string[] = [];
    for (let received = await cases.receive(1); received.length > 0; received = await cases.receive(1)) {
      order.push(...idsOf(received));
      await cases.ackAll(received);
    }
    expect(order).toEqual(["b1", "b2", "d1", "a1", "c1"]);
  });
}

export function sharedBatchCases(cases: QueueCases): void {
  cases.test("many groups share a batch before one group fills it", async () => {
    await cases.publish(...Array.from({ length: 20 }, (_, i) => platform(`deep${i}`, "deep")));
    await cases.publish(platform("x1", "x"), platform("y1", "y"));
    expect((await cases.receiveIds(3)).toSorted()).toEqual(["deep0", "x1", "y1"]);
  });
}

export function laneCases(cases: QueueCases): void {
  cases.test("a lane gives out its own messages only, and ready lanes are named", async () => {
    await cases.publish(platform("a"), platform("b", null, otherLane));
    expect((await cases.queue.readyLanes()).toSorted()).toEqual([defaultLane, otherLane]);
    const received = await cases.receive(10, otherLane);
    expect(idsOf(received)).toEqual(["b"]);
    const left = await cases.queue.readyLanes();
    expect(left).toContain(defaultLane);
    // Who is asked by keeping a question open for each lane need not know which of them have something.
    if (!cases.queue.capabilities.longPoll) expect(left).toEqual([defaultLane]);
    await cases.queue.nack(receiptsOf(received), 0);
    expect((await cases.queue.readyLanes()).toSorted()).toEqual([defaultLane, otherLane]);
  });
  const { lanes, grouping } = cases.capabilities;
  if (lanes !== "all" || grouping !== "strict") return;
  cases.test("a group that changes its lane stays in order", async () => {
    await cases.publish(platform("a1", "g"), platform("a2", "g", otherLane), platform("a3", "g"));
    expect(await cases.receiveIds(10, otherLane)).toEqual([]);
    const first = await cases.receive();
    expect(idsOf(first)).toEqual(["a1"]);
    expect(await cases.receiveIds(10, otherLane)).toEqual([]);
    await cases.ackAll(first);
    const second = await cases.receive(10, otherLane);
    expect(idsOf(second)).toEqual(["a2"]);
    expect(await cases.receiveIds()).toEqual([]);
    await cases.ackAll(second);
    expect(await cases.receiveIds()).toEqual(["a3"]);
  });
}

export function sharedLaneCases(cases: QueueCases): void {
  cases.test("a lane without a queue of its own goes through the one for all", async () => {
    const stranger = "STRANGER" as PoolCode;
    await cases.publish(platform("a"), platform("s", null, stranger));
    const received = await cases.receive();
    expect(idsOf(received).toSorted()).toEqual(["a", "s"]);
    expect(received.map(({ message }) => message.lane).toSorted()).toEqual([defaultLane, stranger]);
    await cases.ackAll(received);
  });
}

export function wakeUpCases(cases: QueueCases): void {
  cases.test("a listener is called when something becomes receivable", async () => {
    const woken = Promise.withResolvers<void>();
    const stopListening = cases.queue.onAvailable(() => woken.resolve());
    await cases.publish(platform("a"));
    await woken.promise;
    stopListening();
  });
}

export function deadReceiptCases(cases: QueueCases): void {
  cases.test("a receipt is dead once acked, nacked, received again, or past its visibility", async () => {
    await cases.publish(platform("a"), platform("b"), platform("c"));
    const [a, b, c] = await cases.receive();
    await cases.queue.ack([a!.receipt]);
    await cases.queue.nack([b!.receipt], 0);
    const dead = [a!.receipt, b!.receipt];
    expect(await cases.queue.ack(dead)).toEqual(["dead", "dead"]);
    expect(await cases.queue.nack(dead, 0)).toEqual(["dead", "dead"]);
    expect(await cases.queue.extend(dead, 1_000)).toEqual(["dead", "dead"]);
    expect(await cases.queue.deadLetter(a!.receipt, "x")).toBe("dead");
    const again = await cases.receive();
    expect(idsOf(again)).toEqual(["b"]);
    expect(again[0]!.receipt).not.toBe(b!.receipt);
    expect(await cases.queue.ack([b!.receipt])).toEqual(["dead"]);
    await cases.expireVisibility();
    expect(await cases.queue.ack([c!.receipt, "nonsense" as Receipt])).toEqual(["dead", "dead"]);
    expect((await cases.receiveIds()).toSorted()).toEqual(["b", "c"]);
  });
  cases.test("receipts of a consumer that crashed are dead for the next one", async () => {
    await cases.publish(platform("a"));
    const [before] = await cases.receive();
    await cases.crash();
    await cases.expireVisibility();
    expect(await cases.receiveIds()).toEqual(["a"]);
    expect(await cases.queue.ack([before!.receipt])).toEqual(["dead"]);
  });
}

export function redeliveryCases(cases: QueueCases): void {
  cases.test("what is neither acked nor nacked comes back, with a higher receive count", async () => {
    await cases.publish(platform("a"));
    await cases.receive();
    if (cases.queue.capabilities.redelivery === "connection") await cases.crash();
    else await cases.expireVisibility();
    const again = await cases.receive(1, defaultLane, 1_000);
    expect(idsOf(again)).toEqual(["a"]);
    expect(again[0]!.receiveCount).toBe(2);
  });
  cases.test("extending keeps a message with its receiver", async () => {
    await cases.publish(platform("a"));
    const [received] = await cases.receive();
    const { visibilityMs } = cases.bench;
    for (let i = 0; i < 3; i++) {
      await cases.bench.passTime(Math.floor(visibilityMs * 0.7));
      expect(await cases.queue.extend([received!.receipt], visibilityMs)).toEqual(["done"]);
    }
    expect(await cases.receive()).toEqual([]);
    expect(await cases.queue.ack([received!.receipt])).toEqual(["done"]);
  });
  // Where a message comes back by a new connection only, nobody can wait on the old one for it.
  if (cases.capabilities.redelivery === "connection") return;
  cases.test("a receiver that waits gets what comes back while it waits", async () => {
    await cases.publish(platform("a"));
    await cases.receive();
    const waiting = cases.receive(1, defaultLane, cases.bench.visibilityMs * 10);
    await cases.expireVisibility();
    expect(idsOf(await waiting)).toEqual(["a"]);
  });
}

export function delayCases(cases: QueueCases): void {
  cases.test("a delayed message stays away for the delay", async () => {
    await cases.publish(platform("a"));
    await cases.queue.nack(receiptsOf(await cases.receive()), 1_000);
    expect(await cases.receive()).toEqual([]);
    const waiting = cases.receive(1, defaultLane, 60_000);
    await cases.bench.passTime(1_001);
    expect(idsOf(await waiting)).toEqual(["a"]);
  });
  cases.test("a delay beyond the limit is cut to the limit", async () => {
    await cases.publish(platform("a"));
    const received = await cases.receive();
    const beyondMs = cases.queue.capabilities.maxDelayMs * 2;
    expect(await cases.queue.nack(receiptsOf(received), beyondMs)).toEqual(["done"]);
    expect(await cases.receive()).toEqual([]);
  });
}

export function dedupCases(cases: QueueCases): void {
  cases.test("an id is taken once within the window, also in one batch and after the ack", async () => {
    const duplicate = duplicateKind(cases);
    const kinds = async (...messages: QueueMessage[]): Promise<string[]> =>
      (await cases.queue.publish(messages)).map(({ kind }) => kind);
    expect(await kinds(platform("a"), platform("a"))).toEqual(["published", duplicate]);
    expect(await kinds(platform("a"))).toEqual([duplicate]);
    const received = await cases.receive();
    expect(idsOf(received)).toEqual(["a"]);
    await cases.ackAll(received);
    expect(await kinds(platform("a"))).toEqual([duplicate]);
    expect(await cases.receive()).toEqual([]);
  });
  cases.test("a stand-alone message is known by the id its sender gave for that", async () => {
    await cases.publish(standalone("a", { deduplicationId: "d" }));
    const results = await cases.queue.publish([standalone("b", { deduplicationId: "d" }), standalone("d2")]);
    expect(results.map(({ kind }) => kind)).toEqual([duplicateKind(cases), "published"]);
    expect((await cases.receiveIds()).toSorted()).toEqual(["a", "d2"]);
  });
  cases.test("after the window it is taken again, and not before", async () => {
    const { dedupWindowMs } = cases.queue.capabilities;
    await cases.publish(platform("a"));
    await cases.ackAll(await cases.receive());
    await cases.bench.passTime(Math.floor(dedupWindowMs * 0.8));
    const [again] = await cases.queue.publish([platform("a")]);
    expect(again!.kind).toBe(duplicateKind(cases));
    expect(await cases.receive()).toEqual([]);
    await cases.bench.passTime(Math.ceil(dedupWindowMs * 0.4));
    await cases.publish(platform("a"));
    expect(await cases.receiveIds()).toEqual(["a"]);
  });
  cases.test("a crash does not forget the window", async () => {
    await cases.publish(platform("a"));
    await cases.crash();
    const [again] = await cases.queue.publish([platform("a")]);
    expect(again!.kind).toBe(duplicateKind(cases));
    expect(await cases.receiveIds()).toEqual(["a"]);
  });
}

/** What `publish` answers for a duplicate. */
function duplicateKind({ queue }: QueueCases): "published" | "duplicate" {
  return queue.capabilities.reportsDuplicates ? "duplicate" : "published";
}
