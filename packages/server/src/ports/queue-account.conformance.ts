import { expect } from "bun:test";
import type { DeadLetterKey } from "./queue.ts";
import { defaultLane, group, platform, receiptsOf, standalone, type QueueCases } from "./queue-bench.conformance.ts";

/** What a queue says of what it holds, and what it sets aside. */

/** Receives of one stand-alone message without ack or nack after which it is given up. */
const MAX_RECEIVES = 10;

export function countCases(cases: QueueCases): void {
  cases.test("counts what is visible, in flight and dead", async () => {
    await cases.publish(platform("a"), platform("b"), platform("c"));
    const [received] = await cases.receive(1);
    expect(await cases.queue.metrics()).toMatchObject({ visible: 2, inFlight: 1, dead: 0 });
    await cases.queue.ack([received!.receipt]);
    expect(await cases.queue.metrics()).toMatchObject({ visible: 2, inFlight: 0, dead: 0 });
  });
  cases.test("counts what is delayed", async () => {
    await cases.publish(platform("a"), platform("b"));
    const [received] = await cases.receive(1);
    await cases.queue.nack([received!.receipt], 1_000);
    const expected =
      cases.queue.capabilities.counts === "all" ? { inFlight: 0, delayed: 1 } : { inFlight: 1, delayed: 0 };
    expect(await cases.queue.metrics()).toMatchObject({ visible: 1, ...expected });
    await cases.bench.passTime(1_001);
    expect((await cases.receiveIds()).toSorted()).toEqual(["a", "b"]);
    expect(await cases.queue.metrics()).toMatchObject({ visible: 0, inFlight: 2, delayed: 0 });
  });
}

export function oldestCases(cases: QueueCases): void {
  cases.test("the oldest unsettled message is told of, in flight or not, until it is settled", async () => {
    expect((await cases.queue.metrics()).oldestUnsettledAtMs).toBeNull();
    await cases.publish(platform("a"));
    await cases.bench.passTime(1_000);
    await cases.publish(platform("b"));
    const received = await cases.receive();
    const [first, second] = received.map(({ publishedAtMs }) => publishedAtMs);
    expect(second! - first!).toBeGreaterThanOrEqual(1_000);
    expect((await cases.queue.metrics()).oldestUnsettledAtMs).toBe(first!);
    await cases.queue.ack([received[0]!.receipt]);
    expect((await cases.queue.metrics()).oldestUnsettledAtMs).toBe(second!);
    await cases.queue.ack([received[1]!.receipt]);
    expect((await cases.queue.metrics()).oldestUnsettledAtMs).toBeNull();
  });
}

export function abandonedCases(cases: QueueCases): void {
  cases.test(
    "a stand-alone message whose receivers all vanish is given up; the next of its group goes on",
    async () => {
      await cases.publish(standalone("poison", group("g")));
      for (let i = 1; i <= MAX_RECEIVES; i++) {
        const received = await cases.receive(1, defaultLane, 1_000);
        expect(received.map(({ receiveCount }) => receiveCount)).toEqual([i]);
        if (i === 1) await cases.publish(standalone("next", group("g")));
        if (i % 2 === 0) await cases.crash();
        await cases.expireVisibility();
      }
      expect(await cases.receiveIds()).toEqual(["next"]);
      const [dead] = await cases.deadLetters();
      expect(dead).toMatchObject({ id: "poison", lane: defaultLane });
      expect(dead!.reason).toStartWith("MAX_RECEIVES");
    },
  );
}

export function deadLetterCases(cases: QueueCases): void {
  cases.test("receives that ended in a nack do not count, and platform messages are never given up", async () => {
    await cases.publish(standalone("patient"), platform("run"));
    for (let i = 0; i < MAX_RECEIVES * 2; i++) {
      const received = await cases.receive(10, defaultLane, 1_000);
      const patient = received.filter(({ message }) => message.kind === "standalone");
      await cases.queue.nack(receiptsOf(patient), 0);
      await cases.expireVisibility();
    }
    expect((await cases.receiveIds()).toSorted()).toEqual(["patient", "run"]);
    expect(await cases.deadLetters()).toEqual([]);
  });
  cases.test("a dead letter is shown, and goes when it is told to", async () => {
    await cases.publish(standalone("a"), standalone("b"));
    for (const { receipt } of await cases.receive()) await cases.queue.deadLetter(receipt, "told so");
    const letters = await cases.deadLetters();
    expect(letters.map(({ id }) => String(id)).toSorted()).toEqual(["a", "b"]);
    const keys = letters.toSorted((left, right) => (left.id ?? "").localeCompare(right.id ?? "")).map(({ key }) => key);
    const shown: string[] = [];
    const results = await cases.queue.settleDeadLetters([...keys, "nonsense" as DeadLetterKey], async (letter) => {
      shown.push(String(letter.id));
      expect(letter).toMatchObject({ lane: defaultLane, reason: "told so" });
      return letter.id === ("a" as typeof letter.id) ? "remove" : "keep";
    });
    expect(results).toEqual(["removed", "kept", "missing"]);
    expect(shown.toSorted()).toEqual(["a", "b"]);
    expect((await cases.deadLetters()).map(({ id }) => id as string | null)).toEqual(["b"]);
    expect(await cases.queue.settleDeadLetters([keys[0]!], async () => "remove")).toEqual(["missing"]);
  });
  cases.test("a dead letter that is published again while it is decided on is received again", async () => {
    await cases.publish(standalone("a", group("g")));
    const [received] = await cases.receive();
    await cases.queue.deadLetter(received!.receipt, "told so");
    const [letter] = await cases.deadLetters();
    await cases.queue.settleDeadLetters([letter!.key], async () => {
      await cases.publish(standalone("a", { ...group("g"), deduplicationId: `again:${letter!.key}` }));
      return "remove";
    });
    expect(await cases.receiveIds()).toEqual(["a"]);
    expect(await cases.deadLetters()).toEqual([]);
  });
  cases.test("a decision that fails keeps the letter", async () => {
    await cases.publish(standalone("a"));
    const [received] = await cases.receive();
    await cases.queue.deadLetter(received!.receipt, "told so");
    const [letter] = await cases.deadLetters();
    const failing = cases.queue.settleDeadLetters([letter!.key], () => Promise.reject(new Error("no")));
    expect(
      await failing.then(
        () => "settled",
        () => "failed",
      ),
    ).toBe("failed");
    expect((await cases.deadLetters()).map(({ id }) => id as string | null)).toEqual(["a"]);
  });
}

export function deadLetterPageCases(cases: QueueCases): void {
  cases.test("pages go from the newest to the oldest, and none is left out or shown twice", async () => {
    const ids = Array.from({ length: 7 }, (_, at) => `m${at}`);
    for (const id of ids) {
      await cases.publish(standalone(id));
      const [received] = await cases.receive(1);
      await cases.queue.deadLetter(received!.receipt, "told so");
    }
    const seen: (string | null)[] = [];
    let after: DeadLetterKey | null = null;
    let pages = 0;
    do {
      const page = await cases.queue.listDeadLetters({ limit: 3, after });
      expect(page.letters.length).toBeLessThanOrEqual(3);
      seen.push(...page.letters.map(({ id }) => id as string | null));
      after = page.next;
      pages += 1;
    } while (after !== null);
    expect(seen).toEqual(ids.toReversed());
    expect(pages).toBe(3);
    expect((await cases.queue.metrics()).dead).toBe(7);
  });
}
