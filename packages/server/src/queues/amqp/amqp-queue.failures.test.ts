import { afterEach, expect, test } from "bun:test";
import rhea from "rhea";
import { isCodedError, silentLogger, systemClock, systemRandom } from "@flowcatalyst/foundation";
import type { GroupKey, MessageId, PoolCode } from "../../domain/ids.ts";
import type { StandaloneMessage } from "../../domain/message.ts";
import {
  describeWithActivemq,
  describeWithRabbit,
  testActivemqUrl,
  testRabbitUrl,
} from "../../ports/needs-services.fixture.ts";
import type { ReceivedMessage } from "../../ports/queue.ts";
import type { BrokerQueue } from "../broker-queue.ts";
import { openCuttableLine, type CuttableLine } from "../postgres/cuttable-line.fixture.ts";
import { freshQueueUrl, openTestQueue, sendAsStranger, type TestedBroker } from "./amqp-bench.fixture.ts";
import { amqpQueueLimits, openAmqpQueue } from "./index.ts";
import { SteeredClock } from "./steered-clock.fixture.ts";

const lane = "DEFAULT-POOL" as PoolCode;
const quietMs = 400;
const caseTimeoutMs = 60_000;
const minuteMs = 60_000;
const pollMs = 20;

function message(id: string, overrides: Partial<StandaloneMessage> = {}): StandaloneMessage {
  return {
    kind: "standalone",
    id: id as MessageId,
    lane,
    groupKey: null,
    deduplicationId: null,
    highPriority: false,
    target: "https://example.test/hook",
    payload: "{}",
    contentType: "application/json",
    headers: {},
    secretRef: null,
    traceparent: null,
    ...overrides,
  };
}

const messages = (count: number): StandaloneMessage[] => Array.from({ length: count }, (_, at) => message(`m${at}`));
const idsOf = (batch: readonly ReceivedMessage[]): string[] => batch.map((each) => each.message.id).toSorted();
const receiptsOf = (batch: readonly ReceivedMessage[]) => batch.map(({ receipt }) => receipt);

const faultOf = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => "none",
    (error: unknown) => (isCodedError(error) ? `${error.code} ${error.publicMessage}` : String(error)),
  );

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function open(url: string, clock?: SteeredClock): Promise<BrokerQueue> {
  const queue = await openTestQueue(url, clock);
  closing.push(() => queue.close());
  return queue;
}

async function lineTo(url: string): Promise<CuttableLine> {
  const line = await openCuttableLine(url);
  closing.push(() => line.close());
  return line;
}

/** Everything that comes, until nothing has come for a while or there are so many. */
async function receiveAll({ queue }: BrokerQueue, max = 1_000, waitMs = quietMs): Promise<ReceivedMessage[]> {
  const received: ReceivedMessage[] = [];
  while (received.length < max) {
    const request = { lane, max: max - received.length, waitMs };
    const batch = await queue.receive(request, new AbortController().signal);
    if (batch.length === 0) break;
    received.push(...batch);
  }
  return received;
}

async function untilUp(queue: BrokerQueue): Promise<void> {
  while ((await queue.probe()).status === "DOWN") await systemClock().sleep(pollMs);
}

/** What a broken connection answers meanwhile is not of interest. */
async function receiveAgain(queue: BrokerQueue, max: number): Promise<ReceivedMessage[]> {
  for (;;) {
    try {
      const received = await receiveAll(queue, max, 2_000);
      if (received.length > 0) return received;
    } catch (error) {
      if (!isCodedError(error, "QUEUE_UNAVAILABLE")) throw error;
      await systemClock().sleep(pollMs);
    }
  }
}

async function publishAll({ queue }: BrokerQueue, all: readonly StandaloneMessage[]): Promise<void> {
  const results = await queue.publish(all);
  expect(results.filter(({ kind }) => kind !== "published")).toEqual([]);
}

function failureCases(broker: TestedBroker, serverUrl: string): void {
  test(
    "a cut connection gives everything in flight to the next receive, and its receipts are dead",
    async () => {
      const line = await lineTo(freshQueueUrl(serverUrl));
      const queue = await open(line.url);
      await publishAll(queue, messages(6));
      const held = await receiveAll(queue, 4);
      const rest = await receiveAll(queue);
      const waiting = faultOf(receiveAll(queue, 1, 60_000));
      line.cut();
      expect(await waiting).toStartWith("QUEUE_UNAVAILABLE");
      expect((await queue.probe()).status).toBe("DOWN");
      const all = [...held, ...rest];
      expect(await queue.queue.ack(receiptsOf(all))).toEqual(all.map(() => "dead"));
      expect(idsOf(all)).toEqual(["m0", "m1", "m2", "m3", "m4", "m5"]);
      const [refused] = await queue.queue.publish([message("late")]);
      expect(refused).toMatchObject({ kind: "refused" });
      line.mend();
      const again = await receiveAgain(queue, 6);
      expect(idsOf(again)).toEqual(["m0", "m1", "m2", "m3", "m4", "m5"]);
      await untilUp(queue);
      expect(await queue.queue.ack(receiptsOf(again))).toEqual(again.map(() => "done"));
      expect(await receiveAll(queue)).toEqual([]);
    },
    caseTimeoutMs,
  );

  test(
    "what a killed process held is received by another one at once",
    async () => {
      const url = freshQueueUrl(serverUrl);
      const queue = await open(url);
      await publishAll(queue, messages(10));
      const holder = Bun.spawn(
        [process.execPath, Bun.fileURLToPath(new URL("./queue-holder.fixture.ts", import.meta.url)), url],
        {
          stdout: "pipe",
        },
      );
      closing.push(async () => holder.kill("SIGKILL"));
      for await (const chunk of holder.stdout) if (new TextDecoder().decode(chunk).includes("held")) break;
      expect(await receiveAll(queue)).toEqual([]);
      holder.kill("SIGKILL");
      await holder.exited;
      const again = await receiveAgain(queue, 10);
      expect(idsOf(again)).toEqual(messages(10).map(({ id }) => id));
      expect(again.map(({ receiveCount }) => receiveCount)).toEqual(again.map(() => 2));
    },
    caseTimeoutMs,
  );

  test(
    "nothing is held for ten minutes, however often it is extended",
    async () => {
      const clock = new SteeredClock();
      const queue = await open(freshQueueUrl(serverUrl), clock);
      await publishAll(queue, [message("a")]);
      const [received] = await receiveAll(queue, 1);
      const receipts = receiptsOf([received!]);
      for (let minutes = 0; minutes < 8.7; minutes += 0.3) {
        expect(await queue.queue.extend(receipts, minuteMs)).toEqual(["done"]);
        clock.skip(0.3 * minuteMs);
      }
      expect(await queue.queue.extend(receipts, minuteMs)).toEqual(["done"]);
      expect(await receiveAll(queue)).toEqual([]);
      clock.skip(0.4 * minuteMs);
      expect(await queue.queue.extend(receipts, minuteMs)).toEqual(["dead"]);
      const again = await receiveAll(queue, 1);
      expect(idsOf(again)).toEqual(["a"]);
      expect(again[0]!.receiveCount).toBe(2);
    },
    caseTimeoutMs,
  );

  test(
    "a consumer that no longer asks lets others have what it was sent",
    async () => {
      const url = freshQueueUrl(serverUrl);
      const [first, second] = [await open(url), await open(url)];
      const abort = new AbortController();
      const aborted = first.queue.receive({ lane, max: 200, waitMs: 60_000 }, abort.signal);
      // Its link is there, and the broker has its credit.
      await publishAll(first, [message("link")]);
      const [link] = await aborted;
      expect(await first.queue.ack([link!.receipt])).toEqual(["done"]);
      const idle = first.queue.receive({ lane, max: 200, waitMs: 60_000 }, abort.signal);
      abort.abort();
      expect(await idle).toEqual([]);
      await publishAll(second, messages(100));
      const received: ReceivedMessage[] = [];
      while (received.length < 100) received.push(...(await receiveAll(second, 100 - received.length)));
      expect(new Set(idsOf(received)).size).toBe(100);
      expect(received.map(({ receiveCount }) => receiveCount).filter((count) => count > 2)).toEqual([]);
    },
    caseTimeoutMs,
  );

  test(
    "one message that is held does not keep thousands behind it",
    async () => {
      const queue = await open(freshQueueUrl(serverUrl));
      await publishAll(queue, [message("slow")]);
      const [slow] = await receiveAll(queue, 1);
      const count = 3_000;
      for (let from = 0; from < count; from += 500) await publishAll(queue, messages(500));
      let seen = 0;
      while (seen < count) {
        const batch = await receiveAll(queue, 200, 5_000);
        expect(batch.length).toBeGreaterThan(0);
        seen += batch.length;
        await queue.queue.ack(receiptsOf(batch));
      }
      expect(await queue.queue.ack(receiptsOf([slow!]))).toEqual(["done"]);
    },
    caseTimeoutMs,
  );

  test(
    "bodies of strangers: each kind that is text is read, the rest is set aside with its reason",
    async () => {
      const url = freshQueueUrl(serverUrl);
      const queue = await open(url);
      const body = (id: string): string =>
        JSON.stringify({
          id,
          pool_code: "DEFAULT-POOL",
          mediation_type: "HTTP",
          target: "https://a.test/",
          payload: {},
        });
      const bytes = Buffer.from(body("data"));
      const deep = 200_000;
      const strange = [
        { body: body("text") },
        { body: Buffer.from(body("binary")) },
        { body: rhea.message.data_section(bytes) },
        { body: rhea.message.data_section(bytes), message_id: 7, group_id: "g", creation_time: new Date(1_000) },
        { body: { not: "text" } },
        { body: rhea.message.data_section(Buffer.from([0xff, 0xfe, 0x00])) },
        { body: "" },
        { message_id: "without a body" },
        { body: rhea.message.data_section(Buffer.from("[".repeat(deep) + "]".repeat(deep))) },
      ];
      for (const each of strange) await sendAsStranger(url, broker, each);
      const received = await receiveAll(queue);
      expect(idsOf(received)).toEqual(["binary", "data", "data", "text"]);
      const published = received.filter(({ publishedAtMs }) => publishedAtMs === 1_000);
      expect(published).toHaveLength(1);
      await queue.queue.ack(receiptsOf(received));
      const { letters } = await queue.queue.listDeadLetters({ limit: 10, after: null });
      expect(letters.map(({ reason }) => reason.split(":")[0] ?? "")).toEqual(letters.map(() => "MESSAGE_INVALID"));
      expect(letters).toHaveLength(5);
    },
    caseTimeoutMs,
  );

  test(
    "a message as large as may be comes through, and one larger harms nothing",
    async () => {
      const queue = await open(freshQueueUrl(serverUrl));
      const overheadBytes = 300;
      const large = message("large", { payload: "x".repeat(amqpQueueLimits.maxMessageBytes - overheadBytes) });
      const tooLarge = message("too-large", { payload: "x".repeat(amqpQueueLimits.maxMessageBytes) });
      const results = await queue.queue.publish([large, tooLarge]);
      expect(results.map(({ kind }) => kind)).toEqual(["published", "invalid"]);
      const [received] = await receiveAll(queue, 1, 5_000);
      expect(received!.message).toEqual(large);
    },
    caseTimeoutMs,
  );

  test(
    "a hundred thousand groups come through one queue",
    async () => {
      const queue = await open(freshQueueUrl(serverUrl));
      const count = 100_000;
      const step = 500;
      const seen = new Set<string>();
      const take = async (): Promise<void> => {
        while (seen.size < count) {
          const request = { lane, max: 256, waitMs: 200 };
          const batch = await queue.queue.receive(request, new AbortController().signal);
          for (const { message: each } of batch) seen.add(each.id);
          await queue.queue.ack(receiptsOf(batch));
        }
      };
      const put = async (): Promise<void> => {
        for (let from = 0; from < count; from += step) {
          const batch = Array.from({ length: step }, (_, at) =>
            message(`m${from + at}`, { groupKey: `g${from + at}` as GroupKey }),
          );
          await publishAll(queue, batch);
        }
      };
      await Promise.all([put(), take(), take()]);
      expect(seen.size).toBe(count);
    },
    10 * minuteMs,
  );

  test("an account that is refused is told at once, without its password", async () => {
    const url = new URL(freshQueueUrl(serverUrl));
    url.username = "nobody";
    url.password = "s3cret-word";
    const deps = { clock: new SteeredClock(), random: systemRandom(), logger: silentLogger() };
    const config = { url: url.href, name: "q", visibilityMs: 30_000, parallelReceives: 1 };
    // The broker of the tests may know no accounts.
    const fault = await faultOf(openAmqpQueue(deps, config).then(({ close }) => close()));
    expect(fault).not.toContain("s3cret-word");
    if (broker === "rabbitmq") {
      expect(fault).toStartWith(`CONFIG_INVALID the broker at ${url.host} cannot be used: the account is refused`);
    }
  });
}

describeWithActivemq("the queue on ActiveMQ when something fails", () => {
  failureCases("activemq", testActivemqUrl ?? "");

  test(
    "all messages of a group go to one consumer, and groups to both",
    async () => {
      const url = freshQueueUrl(testActivemqUrl ?? "");
      const [first, second] = [await open(url), await open(url)];
      const all = [receiveAll(first, 1_000, 3_000), receiveAll(second, 1_000, 3_000)];
      const groups = Array.from({ length: 20 }, (_, at) => `g${at}` as GroupKey);
      const grouped = messages(200).map((each, at) => ({ ...each, groupKey: groups[at % groups.length] ?? null }));
      await publishAll(first, grouped);
      const [left, right] = (await Promise.all(all)).map(
        (received) => new Set(received.map(({ message: each }) => each.groupKey)),
      );
      expect(left!.size + right!.size).toBe(groups.length);
      expect(left!.isDisjointFrom(right!)).toBe(true);
      expect(Math.min(left!.size, right!.size)).toBeGreaterThan(0);
    },
    caseTimeoutMs,
  );
});
describeWithRabbit("the queue on RabbitMQ when something fails", () => {
  failureCases("rabbitmq", testRabbitUrl ?? "");
});
