import type { BrokerServer } from "../harness/broker-process.ts";
import { processTreeUsage, type ProcessUsage } from "../harness/process-usage.ts";
import { removeDataDir, temporaryDataDir } from "../harness/server-process.ts";
import { join } from "node:path";

/**
 * The queue of a benchmark: a broker of its own, in its own processes and with the durability that it has by default,
 * or for `db` a file of SQLite, which has no process.
 */
export interface BenchBroker {
  readonly kind: QueueKind;
  /** Name and version, as they are printed; null: no process but those that use the file. */
  readonly title: string | null;
  /** As a router and a generator are given it. */
  readonly queueUrl: string;
  /** What whoever opens it must have in the environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Of all processes of the broker, those of the past included; null: there are none. */
  usage(): ProcessUsage | null;
  remove(): Promise<void>;
}

export const queueKinds = ["db", "nats", "sqs", "activemq", "rabbitmq"] as const;
export type QueueKind = (typeof queueKinds)[number];

/** What `--queue` may say; AMQP 1.0 is spoken with ActiveMQ unless RabbitMQ is named. Null: there is no such queue. */
export function queueKindOf(name: string): QueueKind | null {
  return name === "amqp" ? "activemq" : (queueKinds.find((kind) => kind === name) ?? null);
}

/** Memory is the proportional share of all processes, whose peak is found only by asking often. */
const usageEveryMs = 1_000;

export async function startBenchBroker(kind: QueueKind): Promise<BenchBroker> {
  if (kind === "db") return fileQueue();
  const { server, title, queueUrl, env } = await startBroker(kind);
  let peakMemoryMb = 0;
  const sample = (): ProcessUsage => {
    const usage = processTreeUsage(server.pid);
    peakMemoryMb = Math.max(peakMemoryMb, usage.residentMemoryMb);
    return { ...usage, peakMemoryMb };
  };
  const sampling = setInterval(sample, usageEveryMs);
  return {
    kind,
    title: `${title} ${server.version}`.trim(),
    queueUrl,
    env,
    usage: sample,
    remove: async () => {
      clearInterval(sampling);
      await server.remove();
    },
  };
}

interface Started {
  readonly server: BrokerServer;
  readonly title: string;
  readonly queueUrl: string;
  readonly env: Readonly<Record<string, string>>;
}

async function startBroker(kind: Exclude<QueueKind, "db">): Promise<Started> {
  switch (kind) {
    case "nats": {
      const { createNatsServer } = await import("../harness/nats-server.ts");
      const server = await createNatsServer();
      return { server, title: "NATS", queueUrl: server.url, env: {} };
    }
    case "activemq": {
      const { createActivemqServer } = await import("../harness/activemq-server.ts");
      const server = await createActivemqServer();
      return { server, title: "ActiveMQ", queueUrl: server.url, env: {} };
    }
    case "rabbitmq": {
      const { createRabbitServer } = await import("../harness/rabbitmq-server.ts");
      const server = await createRabbitServer();
      return { server, title: "RabbitMQ", queueUrl: server.url, env: {} };
    }
    case "sqs": {
      const { createSqsServer } = await import("../harness/sqs-server.ts");
      const server = await createSqsServer();
      return { server, title: "emulator of SQS (fauxqs)", queueUrl: server.url, env: {} };
    }
  }
}

function fileQueue(): BenchBroker {
  const folder = temporaryDataDir();
  return {
    kind: "db",
    title: null,
    queueUrl: `sqlite:${join(folder, "queue.db")}`,
    env: {},
    usage: () => null,
    remove: async () => removeDataDir(folder),
  };
}
