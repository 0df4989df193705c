import { afterEach, expect, test } from "bun:test";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isCodedError, silentLogger, systemClock, systemRandom } from "@flowcatalyst/foundation";
import type { MessageId, PoolCode } from "../../packages/server/src/domain/ids.ts";
import type { StandaloneMessage } from "../../packages/server/src/domain/message.ts";
import { describeWithActivemq, describeWithRabbit } from "../../packages/server/src/ports/needs-services.fixture.ts";
import { openAmqpQueue } from "../../packages/server/src/queues/amqp/index.ts";
import type { BrokerQueue } from "../../packages/server/src/queues/broker-queue.ts";
import { createActivemqServer } from "../harness/activemq-server.ts";
import type { BrokerServer } from "../harness/broker-process.ts";
import { eventually } from "../harness/eventually.ts";
import { createRabbitServer } from "../harness/rabbitmq-server.ts";

/** What becomes of messages when a broker of AMQP 1.0 is killed, or frozen, with a load on it. */
const lane = "DEFAULT-POOL" as PoolCode;
const deadlineMs = 90_000;
const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function start(create: () => Promise<BrokerServer>): Promise<BrokerServer> {
  const server = await create();
  closing.push(() => server.remove());
  return server;
}

async function open(server: BrokerServer, parameters = ""): Promise<BrokerQueue> {
  const deps = { clock: systemClock(), random: systemRandom(), logger: silentLogger() };
  const config = { name: "amqp", visibilityMs: 60_000, parallelReceives: 2 };
  const queue = await openAmqpQueue(deps, { ...config, url: `${server.url}/kill${parameters}` });
  closing.push(() => queue.close());
  return queue;
}

function message(id: string): StandaloneMessage {
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
  };
}

/** Publishing waits for the consumer: a backlog that grows with the machine's speed takes as long to receive. */
const missingAtMost = 2_000;

/** Publishers and a consumer that go on whatever happens, and what they were told. */
class Load {
  readonly confirmed = new Set<string>();
  readonly received = new Set<string>();
  /** Confirmed and not received yet. */
  readonly missing = new Set<string>();
  readonly #queue: BrokerQueue["queue"];
  readonly #stop = new AbortController();
  readonly #publishing: Promise<unknown>;
  readonly #consuming: Promise<void>;
  #last = 0;
  #isPublishing = true;

  constructor({ queue }: BrokerQueue) {
    this.#queue = queue;
    this.#publishing = Promise.all([this.#publish(), this.#publish()]);
    this.#consuming = this.#consume();
  }

  /** Over when the last answer is in: until then more may be confirmed. */
  async stopPublishing(): Promise<void> {
    this.#isPublishing = false;
    await this.#publishing;
  }

  async stop(): Promise<void> {
    await this.stopPublishing();
    this.#stop.abort();
    await this.#consuming;
  }

  async #publish(): Promise<void> {
    while (this.#isPublishing) {
      const batch = Array.from({ length: 20 }, () => message(`m${++this.#last}`));
      const results = await this.#queue.publish(batch);
      for (const [at, { kind }] of results.entries()) if (kind === "published") this.#confirm(batch[at]?.id ?? "");
      while (this.missing.size > missingAtMost && !this.#stop.signal.aborted) await systemClock().sleep(20);
      if (results.some(({ kind }) => kind === "refused")) await systemClock().sleep(20);
    }
  }

  #confirm(id: string): void {
    this.confirmed.add(id);
    if (!this.received.has(id)) this.missing.add(id);
  }

  #receive(id: string): void {
    this.received.add(id);
    this.missing.delete(id);
  }

  async #consume(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        const batch = await this.#queue.receive({ lane, max: 100, waitMs: 200 }, this.#stop.signal);
        for (const { message: each } of batch) this.#receive(each.id);
        await this.#queue.ack(batch.map(({ receipt }) => receipt));
      } catch (error) {
        if (!isCodedError(error, "QUEUE_UNAVAILABLE")) throw error;
        await systemClock().sleep(20);
      }
    }
  }
}

function brokerCases(create: () => Promise<BrokerServer>): void {
  test(
    "killed and started again under load, it loses nothing that it confirmed",
    async () => {
      const server = await start(create);
      const queue = await open(server);
      const load = new Load(queue);
      for (let round = 1; round <= 2; round++) {
        const before = load.confirmed.size;
        await eventually("messages", () => (load.confirmed.size > before + 200 ? true : undefined), deadlineMs);
        await server.kill();
        await eventually("its absence is shown", async () =>
          (await queue.probe()).status === "DOWN" ? true : undefined,
        );
        await server.start();
        await eventually(
          "its return",
          async () => ((await queue.probe()).status === "UP" ? true : undefined),
          deadlineMs,
        );
      }
      const before = load.confirmed.size;
      await eventually("messages again", () => (load.confirmed.size > before + 200 ? true : undefined), deadlineMs);
      await load.stopPublishing();
      await eventually("all of them", () => (load.missing.size === 0 ? true : undefined), deadlineMs);
      await load.stop();
      expect([...load.missing]).toEqual([]);
    },
    5 * deadlineMs,
  );

  test(
    "frozen, it is noticed by its silence, and publishing answers in time",
    async () => {
      const server = await start(create);
      const queue = await open(server, "?heartbeat=1");
      const waiting = queue.queue.receive({ lane, max: 1, waitMs: deadlineMs }, new AbortController().signal);
      expect(await queue.queue.publish([message("a")])).toEqual([{ kind: "published" }]);
      const [received] = await waiting;
      server.freeze();
      const [refused] = await queue.queue.publish([message("b")]);
      expect(refused?.kind).toBe("refused");
      await eventually("its silence is noticed", async () => {
        const { status } = await queue.probe();
        return status === "DOWN" ? true : undefined;
      });
      expect(await queue.queue.ack(received === undefined ? [] : [received.receipt])).toEqual(["dead"]);
      server.thaw();
      await eventually(
        "its return",
        async () => ((await queue.probe()).status === "UP" ? true : undefined),
        deadlineMs,
      );
    },
    3 * deadlineMs,
  );
}

describeWithActivemq("ActiveMQ", () => brokerCases(() => createActivemqServer()));
describeWithRabbit("RabbitMQ", () => {
  brokerCases(() => createRabbitServer());

  test(
    "a queue that is full by its policy refuses and never calls a message invalid, and takes more when there is room",
    async () => {
      const folder = await mkdtemp(join(tmpdir(), "fc-rabbit-policy-"));
      closing.push(() => rm(folder, { recursive: true, force: true }));
      const definitions = join(folder, "definitions.json");
      await writeFile(definitions, JSON.stringify({ vhosts: [{ name: "/" }], policies: [fullAfterThree], ...guest }));
      // The server reads it under an account of its own.
      await chmod(folder, 0o755);
      const settings = { load_definitions: definitions };
      const { queue } = await open(await start(() => createRabbitServer({ settings })));
      const kinds: string[] = [];
      const rejected: string[] = [];
      for (let at = 0; at < 6; at++) {
        const [result] = await queue.publish([message(`m${at}`)]);
        kinds.push(result?.kind ?? "none");
        if (result?.kind === "refused") rejected.push(result.detail);
      }
      expect(kinds.slice(0, 3)).toEqual(["published", "published", "published"]);
      expect(kinds.slice(3)).toEqual(["refused", "refused", "refused"]);
      // Before the time for confirming is over. Version 3.10 says it by closing the connection.
      expect(rejected.filter((detail) => detail.includes("not confirmed"))).toEqual([]);
      const held = await queue.receive({ lane, max: 3, waitMs: deadlineMs }, new AbortController().signal);
      await queue.ack(held.map(({ receipt }) => receipt));
      await eventually("room", async () => {
        const [result] = await queue.publish([message("more")]);
        return result?.kind === "published" ? true : undefined;
      });
    },
    3 * deadlineMs,
  );
});

const fullAfterThree = {
  vhost: "/",
  name: "full",
  pattern: "^kill",
  "apply-to": "queues",
  definition: { "max-length": 3, overflow: "reject-publish" },
  priority: 0,
};
/** With definitions of its own a server makes no account by itself. */
const guest = {
  users: [{ name: "guest", password: "guest", tags: "administrator" }],
  permissions: [{ user: "guest", vhost: "/", configure: ".*", write: ".*", read: ".*" }],
};
