import { afterEach, expect, test } from "bun:test";
import { describeWith } from "../../packages/server/src/ports/needs-services.fixture.ts";
import { callApi } from "../harness/api.ts";
import { eventually } from "../harness/eventually.ts";
import { startLedgerReceiver, type LedgerReceiver } from "../harness/ledger-receiver.ts";
import { startQueueBroker, type QueueBroker, type QueueBrokerKind } from "../harness/queue-brokers.ts";
import { createSandbox, type Sandbox } from "../harness/sandbox.ts";
import { openPublisher, publishRounds, type OpenPublisher } from "../harness/standalone-messages.ts";

/**
 * A router that stands alone, with real processes: two queues on two different brokers at once, one of which is taken
 * from it and given back by its configuration while messages flow. Everything published is delivered, in the order of
 * its group where the queue declares groups.
 */
const groups = 20;
const pauseMs = 20;
const caseTimeoutMs = 120_000;
const pool = "ORDERS";

let sandbox: Sandbox = createSandbox();
afterEach(async () => {
  await sandbox.end();
  sandbox = createSandbox();
});

interface Flow {
  readonly kind: QueueBrokerKind;
  published(): number;
  /** Stops; the ledger must close. */
  finish(): Promise<void>;
}

async function startBroker(kind: QueueBrokerKind): Promise<{ broker: QueueBroker; publisher: OpenPublisher }> {
  const broker = await startQueueBroker(kind);
  sandbox.defer(() => broker.server.remove());
  // The clients of brokers read these where they run, which for a publisher is here.
  for (const [name, value] of Object.entries(broker.env)) process.env[name] ??= value;
  const publisher = await openPublisher(kind, broker.queueUrl);
  sandbox.defer(() => publisher.close());
  return { broker, publisher };
}

function startFlow(kind: QueueBrokerKind, { queue }: OpenPublisher, receiver: LedgerReceiver): Flow {
  receiver.target(kind, { ordered: queue.capabilities.grouping === "strict" });
  const stop = new AbortController();
  let published = 0;
  const flowing = publishRounds(queue, {
    name: kind,
    poolCode: pool,
    target: `${receiver.url}/${kind}`,
    groups,
    pauseMs,
    signal: stop.signal,
    onPublished: (count) => {
      published += count;
    },
  });
  flowing.catch(() => undefined);
  return {
    kind,
    published: () => published,
    finish: async () => {
      stop.abort();
      await flowing;
      const all = (): true | undefined => (receiver.summary(kind).delivered >= published ? true : undefined);
      await eventually(`all deliveries of ${kind}`, all, caseTimeoutMs / 2);
      expect(receiver.summary(kind)).toMatchObject({ delivered: published, inverted: 0 });
    },
  };
}

async function delivers(receiver: LedgerReceiver, kind: QueueBrokerKind): Promise<void> {
  const goal = receiver.summary(kind).delivered + 5 * groups;
  await eventually(`deliveries from ${kind}`, () => (receiver.summary(kind).delivered >= goal ? true : undefined));
}

describeWith(["nats", "sqs"], "a router with queues on two brokers", () => {
  test(
    "loses nothing of a queue that is taken from it and given back while messages flow",
    async () => {
      const receiver = startLedgerReceiver();
      sandbox.defer(() => receiver.stop());
      const nats = await startBroker("nats");
      const sqs = await startBroker("sqs-fifo");
      let configured: readonly QueueBroker[] = [sqs.broker];
      let concurrency = 4;
      const configuration = Bun.serve({
        port: 0,
        hostname: "127.0.0.1",
        fetch: () =>
          Response.json({
            processingPools: [{ code: pool, concurrency }],
            queues: configured.map(({ kind, queueUrl }) => ({ queueName: kind, queueUri: queueUrl })),
          }),
      });
      sandbox.defer(() => configuration.stop(true));
      const router = await sandbox.start({
        args: ["router"],
        env: {
          ...sqs.broker.env,
          FC_QUEUE_URL: nats.broker.queueUrl,
          FC_ROUTER_CONFIG_URL: `http://127.0.0.1:${configuration.port}/api/config/router`,
          FC_ROUTER_CONFIG_INTERVAL_SECS: "1",
          FC_ALLOWED_TARGET_CIDRS: "127.0.0.0/8",
        },
      });
      const queues = async (): Promise<number> =>
        (await callApi<{ items: unknown[] }>(router.routerUrl, { method: "GET", path: "/monitoring/queues" })).items
          .length;
      const flows = [
        startFlow("nats", nats.publisher, receiver),
        startFlow("sqs-fifo", sqs.publisher, receiver),
      ] as const;
      for (const { kind } of flows) await delivers(receiver, kind);

      configured = [];
      concurrency = 16;
      await eventually("the queue is let go of", async () => ((await queues()) === 1 ? true : undefined));
      const [, taken] = flows;
      const before = taken.published();
      await delivers(receiver, "nats");
      await eventually("more is published", () => (taken.published() > before + groups ? true : undefined));

      configured = [sqs.broker];
      await eventually("the queue is there again", async () => ((await queues()) === 2 ? true : undefined));
      for (const { kind } of flows) await delivers(receiver, kind);
      for (const flow of flows) await flow.finish();
      expect(await router.stop()).toBe(0);
    },
    caseTimeoutMs,
  );
});
