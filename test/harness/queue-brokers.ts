import { createActivemqServer } from "./activemq-server.ts";
import type { BrokerServer } from "./broker-process.ts";
import { createNatsServer } from "./nats-server.ts";
import { createRabbitServer } from "./rabbitmq-server.ts";
import { createSqsServer } from "./sqs-server.ts";

/** A private broker, and how the product is told of a queue on it. */
export interface QueueBroker {
  readonly kind: QueueBrokerKind;
  readonly title: string;
  readonly server: BrokerServer;
  /** The queue through another port of loopback: one of a proxy before the broker. */
  urlAt(port: number): string;
  readonly queueUrl: string;
  /** What whoever opens the queue must have in the environment. */
  readonly env: Readonly<Record<string, string>>;
}

export const queueBrokerKinds = ["nats", "sqs-fifo", "sqs-standard", "activemq", "rabbitmq"] as const;
export type QueueBrokerKind = (typeof queueBrokerKinds)[number];

interface Recipe {
  readonly title: string;
  create(): Promise<BrokerServer>;
  urlAt(port: number): string;
  readonly env?: Readonly<Record<string, string>>;
}

/** The emulator takes any; the SDK insists on some. */
const anyCredentials = { AWS_ACCESS_KEY_ID: "any", AWS_SECRET_ACCESS_KEY: "any", AWS_REGION: "eu-west-1" };
const sqsUrl = (name: string) => (port: number) => `sqs://${name}?endpoint=http://127.0.0.1:${port}&create=true`;

const recipes: Readonly<Record<QueueBrokerKind, Recipe>> = {
  nats: { title: "NATS", create: () => createNatsServer(), urlAt: (port) => `nats://127.0.0.1:${port}` },
  "sqs-fifo": {
    title: "SQS emulator (fauxqs), FIFO",
    create: () => createSqsServer(),
    urlAt: sqsUrl("flowcatalyst.fifo"),
    env: anyCredentials,
  },
  "sqs-standard": {
    title: "SQS emulator (fauxqs), standard",
    create: () => createSqsServer(),
    urlAt: sqsUrl("flowcatalyst"),
    env: anyCredentials,
  },
  activemq: {
    title: "ActiveMQ",
    create: () => createActivemqServer(),
    urlAt: (port) => `amqp://127.0.0.1:${port}/flowcatalyst`,
  },
  rabbitmq: {
    title: "RabbitMQ",
    create: () => createRabbitServer(),
    urlAt: (port) => `amqp://guest:guest@127.0.0.1:${port}/flowcatalyst`,
  },
};

/** With the server's own defaults, durability among them, in a temporary folder. */
export async function startQueueBroker(kind: QueueBrokerKind): Promise<QueueBroker> {
  const { title, create, urlAt, env = {} } = recipes[kind];
  const server = await create();
  return { kind, title, server, urlAt, queueUrl: urlAt(Number(new URL(server.url).port)), env };
}
