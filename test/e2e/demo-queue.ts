import { randomBytes } from "node:crypto";
import type { BrokerServer } from "../harness/broker-process.ts";
import { ServiceFault } from "../harness/private-service.ts";

/** Where the demonstration's jobs travel. */
export interface DemoQueue {
  readonly title: string;
  /** For the server. */
  readonly env: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

/**
 * A queue by its kind: `db` (the database's own), or a broker. That one is the server named by the first of these
 * variables that is set, else a private one that is started from the PATH and ended again. On a server that is there
 * already, what the demonstration uses is named after it and stays there.
 */
export async function openDemoQueue(kind: string): Promise<DemoQueue> {
  if (kind === "db") return { title: "in the database", env: {}, close: async () => undefined };
  const broker = brokers[kind];
  if (broker === undefined) {
    throw new ServiceFault(`there is no queue ${kind}: use db, ${Object.keys(brokers).join(", ")}`);
  }
  const name = `demo-${randomBytes(4).toString("hex")}`;
  const variable = broker.variables.find((candidate) => isSet(process.env[candidate]));
  if (variable !== undefined) {
    const url = process.env[variable] ?? "";
    const env = { ...visibility, ...broker.env, FC_QUEUE_URL: broker.queueUrl(url, name) };
    return { title: `${name} at the ${broker.title} of ${variable}`, env, close: async () => undefined };
  }
  const server = await startPrivate(broker);
  return {
    title: `a private ${broker.title} ${server.version}`.trim(),
    env: { ...visibility, ...broker.env, FC_QUEUE_URL: broker.queueUrl(server.url, name) },
    close: () => server.remove(),
  };
}

/** What the killed server held comes back to the next one when this is over, instead of after a minute. */
const visibility = { FC_ROUTER_VISIBILITY_TIMEOUT_SECS: "5" } as const;

interface Broker {
  readonly title: string;
  readonly variables: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly start: () => Promise<BrokerServer>;
  readonly queueUrl: (serverUrl: string, name: string) => string;
}

const activemq: Broker = {
  title: "ActiveMQ",
  variables: ["FC_TEST_ACTIVEMQ_URL"],
  env: {},
  start: async () => (await import("../harness/activemq-server.ts")).createActivemqServer(),
  queueUrl: withPath,
};

const brokers: Readonly<Record<string, Broker>> = {
  nats: {
    title: "NATS",
    variables: ["NATS_URL", "FC_TEST_NATS_URL"],
    env: {},
    start: async () => (await import("../harness/nats-server.ts")).createNatsServer(),
    queueUrl: withPath,
  },
  sqs: {
    title: "emulator of SQS",
    variables: ["FC_TEST_SQS_URL"],
    env: { AWS_REGION: "us-east-1", AWS_ACCESS_KEY_ID: "demo", AWS_SECRET_ACCESS_KEY: "demo" },
    start: async () => (await import("../harness/sqs-server.ts")).createSqsServer(),
    queueUrl: (serverUrl, name) =>
      `sqs://${name}?create=true&endpoint=${encodeURIComponent(new URL(serverUrl).origin)}`,
  },
  activemq,
  amqp: activemq,
  rabbitmq: {
    title: "RabbitMQ",
    variables: ["FC_TEST_RABBITMQ_URL"],
    env: {},
    start: async () => (await import("../harness/rabbitmq-server.ts")).createRabbitServer(),
    queueUrl: withPath,
  },
};

/** The queue's name is the path of the server's address. */
function withPath(serverUrl: string, name: string): string {
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return url.href;
}

async function startPrivate({ title, variables, start }: Broker): Promise<BrokerServer> {
  try {
    return await start();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ServiceFault(`there is no ${title}: ${reason}; install it, or set ${variables.join(" or ")}`);
  }
}

function isSet(value: string | undefined): boolean {
  return value !== undefined && value !== "";
}
