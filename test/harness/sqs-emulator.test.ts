import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  ChangeMessageVisibilityCommand,
  CreateQueueCommand,
  DeleteMessageCommand,
  type Message,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SendMessageCommand,
  SQSClient,
} from "@aws-sdk/client-sqs";
import { createSqsServer, type SqsServer } from "./sqs-server.ts";

/** What the tests of the adapter rely on: where the emulator is as AWS documents SQS. */
let server: SqsServer;
let client: SQSClient;
beforeAll(async () => {
  server = await createSqsServer();
  const credentials = { accessKeyId: "test", secretAccessKey: "test" };
  client = new SQSClient({ endpoint: server.url, region: "eu-central-1", credentials });
});
afterAll(async () => {
  client.destroy();
  await server.remove();
});

const visibilitySecs = 30;

async function queue(name: string): Promise<string> {
  const fifo = name.endsWith(".fifo") ? { FifoQueue: "true" } : {};
  const Attributes = { VisibilityTimeout: String(visibilitySecs), ...fifo };
  const { QueueUrl = "" } = await client.send(new CreateQueueCommand({ QueueName: name, Attributes }));
  return QueueUrl;
}

async function send(QueueUrl: string, group: string, ids: readonly string[]): Promise<void> {
  const Entries = ids.map((id) => ({
    Id: id,
    MessageBody: id,
    MessageGroupId: group,
    MessageDeduplicationId: id,
  }));
  expect((await client.send(new SendMessageBatchCommand({ QueueUrl, Entries }))).Failed ?? []).toEqual([]);
}

async function receive(QueueUrl: string, waitSecs = 0): Promise<readonly Message[]> {
  const wanted = { QueueUrl, MaxNumberOfMessages: 10, WaitTimeSeconds: waitSecs };
  return (await client.send(new ReceiveMessageCommand(wanted))).Messages ?? [];
}

const bodies = (messages: readonly Message[]) => messages.map(({ Body }) => Body);

async function visibleIn(QueueUrl: string, { ReceiptHandle }: Message, seconds: number): Promise<void> {
  await client.send(new ChangeMessageVisibilityCommand({ QueueUrl, ReceiptHandle, VisibilityTimeout: seconds }));
}

async function remove(QueueUrl: string, messages: readonly Message[]): Promise<void> {
  for (const { ReceiptHandle } of messages) await client.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }));
}

function two(messages: readonly Message[]): readonly [Message, Message] {
  const [first, second] = messages;
  if (first === undefined || second === undefined) throw new Error(`${messages.length} messages, not two`);
  return [first, second];
}

test("gives a group in order, several at once, and no more of it until all of them are settled", async () => {
  const url = await queue("locked.fifo");
  await send(url, "a", ["1", "2", "3"]);
  await send(url, "b", ["4"]);
  const held = await receive(url);
  expect(bodies(held).filter((body) => body !== "4")).toEqual(["1", "2", "3"]);
  expect(bodies(held)).toContain("4");
  await send(url, "a", ["5"]);
  expect(await receive(url)).toEqual([]);
  await remove(url, held.slice(0, 3));
  expect(await receive(url)).toEqual([]);
  await remove(url, held.slice(3));
  expect(bodies(await receive(url))).toEqual(["5"]);
});

test("gives what comes back in its order again, whichever way it comes back", async () => {
  const url = await queue("back.fifo");
  await send(url, "a", ["1", "2"]);
  const [first, second] = two(await receive(url));
  await visibleIn(url, first, 0);
  await visibleIn(url, second, 0);
  expect(bodies(await receive(url))).toEqual(["1", "2"]);
  await server.passTime(visibilitySecs * 1000);
  const again = two(await receive(url));
  expect(bodies(again)).toEqual(["1", "2"]);
  await visibleIn(url, again[0], 90);
  await visibleIn(url, again[1], 60);
  await server.passTime(60_000);
  expect(await receive(url)).toEqual([]);
  await server.passTime(30_000);
  expect(bodies(await receive(url))).toEqual(["1", "2"]);
});

test("takes a message once in five minutes, through a kill as well", async () => {
  const url = await queue("once.fifo");
  await send(url, "a", ["same"]);
  await send(url, "a", ["same"]);
  await remove(url, await receive(url));
  await server.kill();
  await server.start();
  await send(url, "a", ["same"]);
  expect(await receive(url)).toEqual([]);
  await server.passTime(5 * 60_000);
  await send(url, "a", ["same"]);
  expect(bodies(await receive(url))).toEqual(["same"]);
});

test("keeps what is in flight through a kill, and the group closed with it", async () => {
  const url = await queue("flight.fifo");
  await send(url, "a", ["1", "2"]);
  const [first] = two(await receive(url));
  await server.kill();
  await server.start();
  expect(await receive(url)).toEqual([]);
  await remove(url, [first]);
  await server.passTime(visibilitySecs * 1000);
  expect(bodies(await receive(url))).toEqual(["2"]);
});

test("delays a message of a standard queue, not of a FIFO queue, and ends a long poll with the message", async () => {
  const url = await queue("standard");
  await client.send(new SendMessageCommand({ QueueUrl: url, MessageBody: "late", DelaySeconds: 600 }));
  expect(await receive(url)).toEqual([]);
  const polled = receive(url, 20);
  await server.passTime(600_000);
  expect(bodies(await polled)).toEqual(["late"]);
  const fifo = { QueueUrl: await queue("delay.fifo"), MessageGroupId: "a", MessageDeduplicationId: "1" };
  const delayed = new SendMessageCommand({ ...fifo, MessageBody: "late", DelaySeconds: 600 });
  expect(await client.send(delayed).catch(String)).toContain("DelaySeconds");
});

test("refuses a message and a batch of more than 1 MiB, and to hide a message for more than 12 hours", async () => {
  const url = await queue("limits");
  const MessageBody = "x".repeat(1024 * 1024 + 1);
  const alone = await client.send(new SendMessageCommand({ QueueUrl: url, MessageBody })).catch(String);
  expect(alone).toContain("must be shorter than 1048576 bytes");
  const half = { MessageBody: MessageBody.slice(0, 600 * 1024) };
  const Entries = [
    { Id: "1", ...half },
    { Id: "2", ...half },
  ];
  const batch = await client.send(new SendMessageBatchCommand({ QueueUrl: url, Entries })).catch(String);
  expect(batch).toContain("Batch requests cannot be longer");
  await client.send(new SendMessageCommand({ QueueUrl: url, MessageBody: "small" }));
  const [message] = await receive(url);
  if (message === undefined) throw new Error("nothing was received");
  expect(await visibleIn(url, message, 12 * 3600 + 1).catch(String)).toContain("VisibilityTimeout");
  await visibleIn(url, message, 8 * 3600);
  await server.passTime(7 * 3600_000);
  expect(await visibleIn(url, message, 6 * 3600).catch(String)).toContain("Total VisibilityTimeout");
  await visibleIn(url, message, 3600);
});
