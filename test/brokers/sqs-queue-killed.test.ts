import { afterAll, beforeAll, expect, test } from "bun:test";
import { silentLogger, systemClock, systemRandom } from "../../packages/foundation/src/index.ts";
import type { GroupKey, MessageId, PoolCode } from "../../packages/server/src/domain/ids.ts";
import type { StandaloneMessage } from "../../packages/server/src/domain/message.ts";
import type { QueueConsumer, ReceivedMessage } from "../../packages/server/src/ports/queue.ts";
import type { BrokerQueue } from "../../packages/server/src/queues/broker-queue.ts";
import { openSqsQueue } from "../../packages/server/src/queues/sqs/index.ts";
import { eventually } from "../harness/eventually.ts";
import { createSqsServer, type SqsServer } from "../harness/sqs-server.ts";

/** The emulator of SQS killed and started again under load: the ledger closes, and groups keep their order. */
const lane = "DEFAULT-POOL" as PoolCode;
const groupCount = 40;
const perGroup = 50;
const kills = 3;
const testTimeoutMs = 120_000;
const signal = new AbortController().signal;

let server: SqsServer;
const opened: BrokerQueue[] = [];
beforeAll(async () => {
  server = await createSqsServer();
});
afterAll(async () => {
  await Promise.all(opened.map((broker) => broker.close()));
  await server.remove();
});

async function open(name: string): Promise<BrokerQueue["queue"]> {
  const deps = { clock: systemClock(), random: systemRandom(), logger: silentLogger() };
  const url = `sqs://${name}?endpoint=${server.url}&create=true`;
  const broker = await openSqsQueue(deps, { url, name, visibilityMs: 2_000, parallelReceives: 2 });
  opened.push(broker);
  return broker.queue;
}

function messageOf(group: number, place: number): StandaloneMessage {
  return {
    kind: "standalone",
    id: `${group}.${place}` as MessageId,
    lane,
    groupKey: `g${group}` as GroupKey,
    deduplicationId: null,
    highPriority: false,
    target: "https://example.test/hook",
    payload: "",
    contentType: "text/plain",
    headers: {},
    secretRef: null,
    traceparent: null,
  };
}

/** First arrivals, in the order they came. */
class Ledger {
  readonly #arrived = new Set<string>();
  readonly inversions: string[] = [];

  arrive({ message: { id } }: ReceivedMessage): void {
    const [group = "", place = ""] = id.split(".");
    const before = `${group}.${Number(place) - 1}`;
    if (!this.#arrived.has(id) && place !== "0" && !this.#arrived.has(before)) this.inversions.push(id);
    this.#arrived.add(id);
  }

  get size(): number {
    return this.#arrived.size;
  }
}

test(
  "nothing accepted is lost and no group is out of order when the emulator is killed under load",
  async () => {
    const publisher = await open("killed.fifo");
    const consumers = [await open("killed.fifo"), await open("killed.fifo")];
    const ledger = new Ledger();
    const total = groupCount * perGroup;

    const publishAll = async (): Promise<void> => {
      for (let place = 0; place < perGroup; place++) {
        let left = Array.from({ length: groupCount }, (_, group) => messageOf(group, place));
        while (left.length > 0) {
          const results = await publisher.publish(left);
          left = left.filter((_, at) => results[at]?.kind !== "published");
        }
      }
    };
    const consume = async (consumer: QueueConsumer): Promise<void> => {
      while (ledger.size < total) {
        try {
          const batch = await consumer.receive({ lane, max: 10, waitMs: 1_000 }, signal);
          for (const received of batch) ledger.arrive(received);
          await consumer.ack(batch.map(({ receipt }) => receipt));
        } catch {
          // The emulator is away: what is held comes back by itself.
        }
      }
    };
    const killInBetween = async (): Promise<void> => {
      for (let kill = 1; kill <= kills; kill++) {
        const due = (total * kill) / (kills + 1);
        await eventually("more messages", () => (ledger.size >= due ? true : undefined), testTimeoutMs);
        await server.kill();
        await server.start();
      }
    };
    await Promise.all([publishAll(), killInBetween(), ...consumers.map(consume)]);
    expect(ledger.inversions).toEqual([]);
    expect(ledger.size).toBe(total);
    await server.passTime(2_001);
    const drained = await eventually("an empty queue", async () => {
      const again = await publisher.receive({ lane, max: 10, waitMs: 0 }, signal);
      await publisher.ack(again.map(({ receipt }) => receipt));
      const { visible, inFlight } = await publisher.metrics();
      return visible === 0 && inFlight === 0 ? true : undefined;
    });
    expect(drained).toBe(true);
  },
  testTimeoutMs,
);

test(
  "a consumer that is killed with messages in flight gives them up when their visibility ends, in order",
  async () => {
    const queue = await open("died.fifo");
    await queue.publish([messageOf(0, 0), messageOf(0, 1), messageOf(0, 2)]);
    const program = `
      import { SQSClient, ReceiveMessageCommand } from "@aws-sdk/client-sqs";
      const credentials = { accessKeyId: "local", secretAccessKey: "local" };
      const client = new SQSClient({ endpoint: ${JSON.stringify(server.url)}, region: "us-east-1", credentials });
      const QueueUrl = ${JSON.stringify(`${server.url}/000000000000/died.fifo`)};
      const wanted = { QueueUrl, MaxNumberOfMessages: 2, VisibilityTimeout: 60 };
      const { Messages } = await client.send(new ReceiveMessageCommand(wanted));
      console.log("holds " + Messages.length);
      await new Promise(() => {});
    `;
    const child = Bun.spawn([process.execPath, "-e", program], { cwd: import.meta.dir, stdout: "pipe" });
    const { value } = await child.stdout.getReader().read();
    expect(new TextDecoder().decode(value)).toBe("holds 2\n");
    child.kill("SIGKILL");
    await child.exited;
    expect(await queue.receive({ lane, max: 10, waitMs: 0 }, signal)).toEqual([]);
    await server.passTime(60_001);
    const received = await queue.receive({ lane, max: 10, waitMs: 0 }, signal);
    expect(received.map(({ message }) => String(message.id))).toEqual(["0.0", "0.1", "0.2"]);
  },
  testTimeoutMs,
);
