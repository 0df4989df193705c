import { afterEach, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import {
  CreateQueueCommand,
  DeleteMessageCommand,
  ReceiveMessageCommand,
  SendMessageCommand,
  SQSClient,
} from "@aws-sdk/client-sqs";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import rhea from "rhea";
import { createActivemqServer, findActivemq } from "./activemq-server.ts";
import { amqpVersion } from "./amqp-greeting.ts";
import { type BrokerServer, isAlive, stopBrokerAt } from "./broker-process.ts";
import { createNatsServer, findNats, natsVersion } from "./nats-server.ts";
import { processTree } from "./process-usage.ts";
import { createRabbitServer, findRabbit } from "./rabbitmq-server.ts";
import { createSqsServer, sqsVersion } from "./sqs-server.ts";

/** What chaos tests do to the brokers: a ledger that closes must not be one of a fault that never happened. */
interface Case {
  readonly title: string;
  readonly isInstalled: boolean;
  create(): Promise<BrokerServer>;
  version(url: string): Promise<string | null>;
  /** Over when the broker has accepted the message. */
  put(url: string, text: string): Promise<void>;
  /** The oldest message, settled. */
  take(url: string): Promise<string>;
}

const timeoutMs = 180_000;
const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

const cases: readonly Case[] = [
  {
    title: "NATS",
    isInstalled: findNats() !== null,
    create: () => createNatsServer(),
    version: natsVersion,
    put: putNats,
    take: takeNats,
  },
  {
    title: "RabbitMQ",
    isInstalled: findRabbit() !== null,
    create: () => createRabbitServer(),
    version: amqpVersion,
    put: putAmqp,
    take: takeAmqp,
  },
  {
    title: "ActiveMQ",
    isInstalled: findActivemq(),
    create: () => createActivemqServer(),
    version: amqpVersion,
    put: putAmqp,
    take: takeAmqp,
  },
  {
    title: "emulator of SQS",
    isInstalled: true,
    create: () => createSqsServer(),
    version: sqsVersion,
    put: putSqs,
    take: takeSqs,
  },
];

for (const { title, isInstalled, create, version, put, take } of cases) {
  describe.skipIf(!isInstalled)(`a private ${title}`, () => {
    const setup = async (): Promise<BrokerServer> => {
      const server = await create();
      closing.push(() => server.remove());
      return server;
    };

    test(
      "keeps what it accepted through a kill and a stop, and is silent while frozen",
      async () => {
        const server = await setup();
        expect(server.version).toMatch(/^\d+\.\d+\.\d+$/);
        await put(server.url, "before the kill");
        const before = server.pid;
        await server.kill();
        expect(await version(server.url)).toBeNull();
        await server.start();
        expect(server.pid).not.toBe(before);
        expect(await take(server.url)).toBe("before the kill");
        await put(server.url, "before the stop");
        await server.stop();
        await server.start();
        server.freeze();
        expect(await version(server.url)).toBeNull();
        server.thaw();
        expect(await take(server.url)).toBe("before the stop");
      },
      timeoutMs,
    );

    test(
      "leaves nothing behind, by whichever process it is ended",
      async () => {
        for (const end of [
          (server: BrokerServer) => server.remove(),
          ({ folder }: BrokerServer) => stopBrokerAt(folder),
        ]) {
          const server = await setup();
          const tree = processTree(server.pid);
          await end(server);
          expect(existsSync(server.folder.path)).toBe(false);
          expect(tree.filter(isAlive)).toEqual([]);
          expect(await version(server.url)).toBeNull();
        }
      },
      timeoutMs,
    );
  });
}

async function putNats(url: string, text: string): Promise<void> {
  const connection = await connect({ servers: url });
  const manager = await jetstreamManager(connection);
  await manager.streams.add({ name: "kept", subjects: ["kept"] });
  await jetstream(connection).publish("kept", text);
  await connection.close();
}

async function takeNats(url: string): Promise<string> {
  const connection = await connect({ servers: url });
  const manager = await jetstreamManager(connection);
  const message = await manager.streams.getMessage("kept", { last_by_subj: "kept" });
  await connection.close();
  return message === null ? "" : new TextDecoder().decode(message.data);
}

const amqpAddress = (url: string): string => (url.includes("guest") ? "/queue/kept" : "kept");
const durable = 2;

function amqpConnection(url: string): ReturnType<typeof rhea.connect> {
  const { hostname, port, username, password } = new URL(url);
  const account = username === "" ? { username: "anonymous" } : { username, password };
  return rhea.create_container().connect({ host: hostname, port: Number(port), reconnect: false, ...account });
}

async function putAmqp(url: string, text: string): Promise<void> {
  const connection = amqpConnection(url);
  const { promise: accepted, resolve, reject } = Promise.withResolvers<void>();
  const sender = connection.open_sender({ target: { address: amqpAddress(url), durable } });
  sender.once("sendable", () => sender.send({ durable: true, body: text }));
  sender.once("accepted", () => resolve());
  for (const event of ["disconnected", "connection_error", "sender_error", "rejected"]) connection.once(event, reject);
  await accepted;
  await closed(connection);
}

async function takeAmqp(url: string): Promise<string> {
  const connection = amqpConnection(url);
  const { promise: received, resolve } = Promise.withResolvers<string>();
  const source = { address: amqpAddress(url), durable };
  const receiver = connection.open_receiver({ source, credit_window: 0, autoaccept: false });
  receiver.once("message", ({ delivery, message }) => {
    delivery?.accept();
    resolve(String(message?.body));
  });
  receiver.add_credit(1);
  const text = await received;
  await closed(connection);
  return text;
}

/** Settlements are written in order, so the broker has them before it answers the close. */
async function closed(connection: ReturnType<typeof rhea.connect>): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  connection.removeAllListeners("disconnected");
  connection.once("connection_close", () => resolve());
  connection.once("disconnected", () => resolve());
  connection.close();
  await promise;
}

async function openSqs(url: string): Promise<{ client: SQSClient; QueueUrl: string }> {
  const credentials = { accessKeyId: "test", secretAccessKey: "test" };
  const client = new SQSClient({ endpoint: url, region: "eu-central-1", credentials });
  const { QueueUrl = "" } = await client.send(new CreateQueueCommand({ QueueName: "kept" }));
  return { client, QueueUrl };
}

async function putSqs(url: string, text: string): Promise<void> {
  const { client, QueueUrl } = await openSqs(url);
  await client.send(new SendMessageCommand({ QueueUrl, MessageBody: text }));
}

async function takeSqs(url: string): Promise<string> {
  const { client, QueueUrl } = await openSqs(url);
  const { Messages: messages = [] } = await client.send(new ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 10 }));
  const [{ Body: body = "", ReceiptHandle } = {}] = messages;
  await client.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }));
  return body;
}
