import { afterEach, beforeEach, expect, test } from "bun:test";
import { seededRandom } from "@flowcatalyst/foundation";
import { GetQueueAttributesCommand, SendMessageCommand, SetQueueAttributesCommand } from "@aws-sdk/client-sqs";
import { describeWithSqs } from "../../ports/needs-services.fixture.ts";
import type { GroupKey } from "../../domain/ids.ts";
import { encodeMessage } from "../../domain/message-codec.ts";
import type { DeadLetterKey, QueueConsumer, ReceivedMessage } from "../../ports/queue.ts";
import { createSqsBench, message, ofGroup, testLane, type SqsBench } from "./sqs-bench.fixture.ts";
import { besideName } from "./sqs-queue-url.ts";

const signal = new AbortController().signal;
const ask = (waitMs: number, max = 10) => ({ lane: testLane, max, waitMs });
const idsOf = (batch: readonly ReceivedMessage[]): string[] => batch.map((each) => each.message.id);
const receiptsOf = (batch: readonly ReceivedMessage[]) => batch.map(({ receipt }) => receipt);

describeWithSqs("messages of the queue on SQS", () => {
  let fifo: SqsBench;
  beforeEach(() => {
    fifo = createSqsBench(".fifo");
  });
  afterEach(() => fifo.close());

  test("group and deduplication ids of any length and any characters; each is a group of its own", async () => {
    const { queue } = await fifo.open();
    const long = "g".repeat(200);
    const groups = ["plain", "with space", "zwölf", "a\u0000b", "日本語", `${long}1`, `${long}2`, "x".repeat(128)];
    const messages = groups.flatMap((groupKey, at) => [
      message(`${at}.1`, { groupKey: groupKey as GroupKey, deduplicationId: `${groupKey}/1` }),
      message(`${at}.2`, { groupKey: groupKey as GroupKey, deduplicationId: `${groupKey}/2` }),
    ]);
    const results = await queue.publish(messages);
    expect(new Set(results.map(({ kind }) => kind))).toEqual(new Set(["published"]));
    const firsts: string[] = [];
    for (const _group of groups) firsts.push(...idsOf(await queue.receive(ask(0, 1), signal)));
    expect(firsts.toSorted()).toEqual(groups.map((_, at) => `${at}.1`));
    expect(await queue.receive(ask(0), signal)).toEqual([]);
    const [again] = await queue.publish(messages.slice(-1));
    expect(again).toEqual({ kind: "published" });
  });

  test("bodies with characters that SQS refuses come back as they were", async () => {
    const { queue } = await fifo.open();
    const payload = "\u0000\u0007\u001f\u007f\ufffe\uffff\u2028 \u{1f600} \ud800 end";
    await queue.publish([message("a", { payload })]);
    const [received] = await queue.receive(ask(0), signal);
    expect(received!.message).toEqual(message("a", { payload }));
  });

  test("the limit is that of the queue, in bytes of UTF-8, to the byte", async () => {
    const first = await fifo.open();
    await fifo.stranger.send(
      new SetQueueAttributesCommand({ QueueUrl: fifo.urlOf(fifo.name), Attributes: { MaximumMessageSize: "20480" } }),
    );
    const { queue } = await fifo.open();
    const { maxMessageBytes } = queue.capabilities;
    expect([first.queue.capabilities.maxMessageBytes, maxMessageBytes]).toEqual([1_046_528, 18_432]);
    const emptyBytes = Buffer.byteLength(encodeMessage(message("a", { payload: "€€" })));
    const filling = "x".repeat(maxMessageBytes - emptyBytes);
    const results = await queue.publish([
      message("a", { payload: `€€${filling}` }),
      message("b", { payload: `€€${filling}y` }),
      // Together more than a call may carry.
      message("c", { payload: filling }),
    ]);
    expect(results.map(({ kind }) => kind)).toEqual(["published", "invalid", "published"]);
    expect(idsOf(await queue.receive(ask(0), signal)).toSorted()).toEqual(["a", "c"]);
  });

  test("a stranger's message without room for a reason is set aside, and its reason found by reading it", async () => {
    const { queue } = await fifo.open();
    const body = `[${"1".repeat(1_048_574)}]`;
    const ids = { MessageGroupId: "g", MessageDeduplicationId: "d" };
    await fifo.stranger.send(new SendMessageCommand({ QueueUrl: fifo.urlOf(fifo.name), MessageBody: body, ...ids }));
    expect(await queue.receive(ask(0), signal)).toEqual([]);
    const { letters } = await queue.listDeadLetters({ limit: 10, after: null });
    expect(letters).toMatchObject([{ id: null, lane: null }]);
    expect(letters[0]!.reason).toStartWith("MESSAGE_INVALID: ");
    expect(letters[0]!.body === body).toBe(true);
  });

  test("a stranger's message as large as SQS takes goes to the dead letters as it was written", async () => {
    const { queue } = await fifo.open();
    const head = '{"id":"a","pool_code":"DEFAULT-POOL","mediation_type":"HTTP","target":"https://a.test","payload":"';
    const body = `${head}${"x".repeat(1_048_576 - head.length - 2)}"}`;
    const ids = { MessageGroupId: "g", MessageDeduplicationId: "d" };
    await fifo.stranger.send(new SendMessageCommand({ QueueUrl: fifo.urlOf(fifo.name), MessageBody: body, ...ids }));
    const [received] = await queue.receive(ask(0), signal);
    expect(await queue.deadLetter(received!.receipt, "410 gone")).toBe("done");
    const { letters } = await queue.listDeadLetters({ limit: 10, after: null });
    expect(letters.map(({ id }) => String(id))).toEqual(["a"]);
    expect(letters[0]!.body === body).toBe(true);
  });

  test("what a redrive policy of the queue moved is among the dead letters, and can be removed", async () => {
    const { queue } = await fifo.open();
    const ofDead = await fifo.stranger.send(
      new GetQueueAttributesCommand({
        QueueUrl: fifo.urlOf(besideName(fifo.name, "dead")),
        AttributeNames: ["QueueArn"],
      }),
    );
    const policy = { deadLetterTargetArn: ofDead.Attributes?.QueueArn, maxReceiveCount: 1 };
    await fifo.stranger.send(
      new SetQueueAttributesCommand({
        QueueUrl: fifo.urlOf(fifo.name),
        Attributes: { RedrivePolicy: JSON.stringify(policy) },
      }),
    );
    await queue.publish([message("a"), message("b")]);
    await queue.nack(receiptsOf(await queue.receive(ask(0), signal)), 0);
    expect(await queue.receive(ask(0), signal)).toEqual([]);
    const { letters } = await queue.listDeadLetters({ limit: 10, after: null });
    expect(letters.map(({ id }) => String(id)).toSorted()).toEqual(["a", "b"]);
    for (const letter of letters) expect(letter.reason).toStartWith("MAX_RECEIVES: ");
    const keys = letters.map(({ key }) => key);
    expect(await queue.settleDeadLetters(keys, async () => "remove")).toEqual(["removed", "removed"]);
    expect((await queue.metrics()).dead).toBe(0);
  });

  test("more dead letters than one receive gives are listed and found, and stay visible", async () => {
    const { queue } = await fifo.open();
    const ids = Array.from({ length: 25 }, (_, at) => `m${at}`);
    await queue.publish(ids.map((id) => message(id, ofGroup("g"))));
    for (let batch = await queue.receive(ask(0), signal); batch.length > 0;) {
      for (const { receipt } of batch) await queue.deadLetter(receipt, "told so");
      batch = await queue.receive(ask(0), signal);
    }
    const { letters } = await queue.listDeadLetters({ limit: 100, after: null });
    expect(letters.map(({ id }) => String(id)).toSorted()).toEqual(ids.toSorted());
    expect((await queue.listDeadLetters({ limit: 7, after: null })).letters).toHaveLength(7);
    const last = letters.find(({ id }) => String(id) === "m24")!;
    const nobody = crypto.randomUUID() as DeadLetterKey;
    expect(await queue.settleDeadLetters([nobody, last.key], async () => "remove")).toEqual(["missing", "removed"]);
    expect((await queue.listDeadLetters({ limit: 100, after: null })).letters).toHaveLength(24);
    expect((await queue.metrics()).dead).toBe(24);
  }, 20_000);

  test("order of groups holds over nacks with delays, with two consumers and crashes between", async () => {
    const random = seededRandom(11);
    const consumers: QueueConsumer[] = [(await fifo.open()).queue, (await fifo.open()).queue];
    const { queue: publisher } = await fifo.open();
    const groups = Array.from({ length: 12 }, (_, at) => `g${at}`);
    const published = groups.flatMap((group) =>
      Array.from({ length: 15 }, (_, at) => message(`${group}.${at}`, ofGroup(group))),
    );
    await publisher.publish(published);
    const next = new Map(groups.map((group) => [group, 0]));
    let left = published.length;
    for (let round = 0; left > 0; round++) {
      expect(round).toBeLessThan(2_000);
      const consumer = consumers[round % 2]!;
      const batch = await consumer.receive(ask(0), signal);
      if (batch.length === 0) {
        await fifo.passTime(1_000);
        continue;
      }
      const seen = new Map<string, number>();
      const toAck: ReceivedMessage[] = [];
      const toNack: ReceivedMessage[] = [];
      const isCrash = random.next() < 0.05;
      for (const received of batch) {
        const [group = "", place = ""] = received.message.id.split(".");
        const expected = seen.get(group) ?? next.get(group);
        // The first of its group that is not settled, and after it those that follow.
        expect(`${group}.${expected}`).toBe(`${group}.${place}`);
        seen.set(group, Number(place) + 1);
        const isNext = next.get(group) === Number(place);
        if (isNext && random.next() < 0.6) {
          next.set(group, Number(place) + 1);
          toAck.push(received);
        } else toNack.push(received);
      }
      left -= toAck.length;
      await consumer.ack(receiptsOf(toAck));
      if (isCrash) continue;
      for (const received of toNack.toSorted(() => random.next() - 0.5)) {
        await consumer.nack([received.receipt], Math.floor(random.next() * 3) * 1_000);
      }
    }
    expect(await publisher.metrics()).toMatchObject({ visible: 0, inFlight: 0 });
  }, 60_000);

  test("100,000 groups: each gives its message once, whatever the others do", async () => {
    const { queue } = await fifo.open();
    const { queue: other } = await fifo.open();
    const count = 100_000;
    const step = 1_000;
    const seen = new Set<string>();
    const consume = async (consumer: QueueConsumer): Promise<void> => {
      while (seen.size < count) {
        const batch = await consumer.receive(ask(1_000), signal);
        for (const id of idsOf(batch)) seen.add(id);
        await consumer.ack(receiptsOf(batch));
      }
    };
    const publish = async (): Promise<void> => {
      for (let from = 0; from < count; from += step) {
        const messages = Array.from({ length: step }, (_, at) => message(`${from + at}`, ofGroup(`g${from + at}`)));
        const results = await queue.publish(messages);
        expect(results.every(({ kind }) => kind === "published")).toBe(true);
      }
    };
    await Promise.all([publish(), consume(queue), consume(other)]);
    expect(seen.size).toBe(count);
    expect(await queue.metrics()).toMatchObject({ visible: 0, inFlight: 0 });
  }, 600_000);
});
