import { join } from "node:path";
import { processTreeUsage, type ProcessUsage } from "../harness/process-usage.ts";
import { startQueueBroker, type QueueBrokerKind } from "../harness/queue-brokers.ts";
import { removeDataDir, temporaryDataDir } from "../harness/server-process.ts";

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
  /** Of all processes of the broker, those that have ended included; null: there are none. */
  usage(): ProcessUsage | null;
  remove(): Promise<void>;
}

export type QueueKind = "db" | QueueBrokerKind;

/** What `--queue` may say: SQS without more is a FIFO queue, AMQP 1.0 is spoken with ActiveMQ. */
export const queueNames: Readonly<Record<string, QueueKind>> = {
  db: "db",
  nats: "nats",
  sqs: "sqs-fifo",
  "sqs-standard": "sqs-standard",
  amqp: "activemq",
  activemq: "activemq",
  rabbitmq: "rabbitmq",
};

/** Memory is the proportional share of all processes, whose peak is found only by asking often. */
const usageEveryMs = 1_000;

export async function startBenchBroker(kind: QueueKind): Promise<BenchBroker> {
  if (kind === "db") return fileQueue();
  const { server, title, queueUrl, env } = await startQueueBroker(kind);
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
