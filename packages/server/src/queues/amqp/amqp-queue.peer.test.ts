import { afterEach, expect, test } from "bun:test";
import rhea, { type Delivery } from "rhea";
import { silentLogger, systemClock, systemRandom } from "@flowcatalyst/foundation";
import type { MessageId, PoolCode } from "../../domain/ids.ts";
import { encodeMessage } from "../../domain/message-codec.ts";
import type { StandaloneMessage } from "../../domain/message.ts";
import type { BrokerQueue } from "../broker-queue.ts";
import { openAmqpPeer, settleAccepted, type AmqpPeer } from "./amqp-peer.fixture.ts";
import { amqpQueueLimits as limits, openAmqpQueue } from "./index.ts";
import { SteeredClock } from "./steered-clock.fixture.ts";

/** What the queue makes of answers that real brokers give only when they are full or ill. */
const lane = "DEFAULT-POOL" as PoolCode;
const pollMs = 5;
const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function open(): Promise<{ peer: AmqpPeer; queue: BrokerQueue; clock: SteeredClock }> {
  const peer = await openAmqpPeer();
  closing.push(() => peer.close());
  const clock = new SteeredClock();
  const deps = { clock, random: systemRandom(), logger: silentLogger() };
  const config = { url: peer.url, name: "peer", visibilityMs: 300_000, parallelReceives: 1 };
  const queue = await openAmqpQueue(deps, config);
  closing.push(() => queue.close());
  return { peer, queue, clock };
}

function message(id: string, payload = "{}"): StandaloneMessage {
  return {
    kind: "standalone",
    id: id as MessageId,
    lane,
    groupKey: null,
    deduplicationId: null,
    highPriority: false,
    target: "https://example.test/hook",
    payload,
    contentType: "application/json",
    headers: {},
    secretRef: null,
    traceparent: null,
  };
}

const bodyOf = (text: string) => ({ body: rhea.message.data_section(Buffer.from(text)) });

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await systemClock().sleep(pollMs);
}

const receive = ({ queue }: BrokerQueue, max: number) =>
  queue.receive({ lane, max, waitMs: 5_000 }, new AbortController().signal);

const reject = (condition: string) => (delivery: Delivery) => delivery.reject({ condition, description: "so" });

test("only a broker that speaks of its size or its encoding makes a message invalid", async () => {
  const { peer, queue } = await open();
  const answer = async (verdict: AmqpPeer["verdict"]): Promise<unknown> => {
    peer.verdict = verdict;
    const [result] = await queue.queue.publish([message("a")]);
    return result;
  };
  expect(await answer((delivery) => delivery.reject())).toMatchObject({ kind: "refused" });
  for (const condition of ["amqp:resource-limit-exceeded", "amqp:internal-error", "amqp:unauthorized-access"]) {
    expect(await answer(reject(condition))).toEqual({ kind: "refused", detail: `${condition}: so` });
  }
  const tooLarge = { kind: "invalid", code: "MESSAGE_TOO_LARGE" };
  expect(await answer(reject("amqp:link:message-size-exceeded"))).toMatchObject(tooLarge);
  expect(await answer(reject("amqp:decode-error"))).toMatchObject({ kind: "invalid", code: "MESSAGE_INVALID" });
  const modified = await answer((delivery) => delivery.modified({ delivery_failed: true }));
  expect(modified).toEqual({ kind: "refused", detail: "the broker does not take it now" });
  expect(await answer((delivery) => delivery.accept())).toEqual({ kind: "published" });
});

test("what is late counts until the broker has answered it", async () => {
  const { peer, queue, clock } = await open();
  const silent: Delivery[] = [];
  peer.verdict = (delivery) => void silent.push(delivery);
  const overheadBytes = 300;
  const payload = "x".repeat(limits.maxMessageBytes - overheadBytes);
  const count = Math.ceil(limits.maxUnconfirmedBytes / (limits.maxMessageBytes - overheadBytes));
  const late = queue.queue.publish(Array.from({ length: count }, (_, at) => message(`m${at}`, payload)));
  await until(() => silent.length >= count - 1);
  clock.skip(limits.confirmMs);
  expect((await late).every(({ kind }) => kind === "refused")).toBe(true);
  const full = { kind: "refused", detail: "too much waits for the broker to confirm it" } as const;
  const more = queue.queue.publish([message("b", payload), message("c", payload)]);
  await until(() => silent.length >= count);
  clock.skip(limits.confirmMs);
  expect((await more).at(-1)).toEqual(full);
  const handedOver = silent.length;
  expect((await queue.queue.publish([message("d", payload)]))[0]).toEqual(full);
  expect(silent).toHaveLength(handedOver);
  peer.verdict = (delivery) => delivery.accept();
  for (const delivery of silent) delivery.accept();
  await until(async () => (await queue.queue.publish([message("e", payload)]))[0]?.kind === "published");
}, 30_000);

test("settlements that overlap harm nothing; one that waits for half a minute ends the connection", async () => {
  const { peer, queue, clock } = await open();
  const acked: Delivery[] = [];
  peer.onOutcome = (delivery) => void acked.push(delivery);
  const receiving = receive(queue, 10);
  const sender = await peer.senderOf("q");
  for (const id of ["a", "b", "c"]) sender.send(bodyOf(encodeMessage(message(id))));
  const received = [...(await receiving)];
  while (received.length < 3) received.push(...(await receive(queue, 3)));
  const acks: Promise<unknown>[] = [];
  for (const [at, { receipt }] of received.entries()) {
    acks.push(queue.queue.ack([receipt]));
    await until(() => acked.length === at + 1);
    const before = acked[at - 1];
    if (before !== undefined) settleAccepted(before);
    if (at > 0) expect(await acks[at - 1]).toEqual(["done"]);
    clock.skip(limits.settleMs - 10_000);
  }
  expect((await queue.probe()).status).toBe("UP");
  clock.skip(10_000);
  expect(await acks[2]).toEqual(["dead"]);
  expect((await queue.probe()).status).toBe("DOWN");
});

test("unreadable messages that cannot be set aside do not stop the others, and come back after a pause", async () => {
  const { peer, queue, clock } = await open();
  peer.verdict = (delivery) => delivery.reject({ condition: "amqp:resource-limit-exceeded" });
  const released: Delivery[] = [];
  peer.onOutcome = (delivery, outcome) => {
    if (outcome === "released") released.push(delivery);
  };
  const receiving = receive(queue, 2);
  const sender = await peer.senderOf("q");
  const unreadable = 20;
  const bodies = [...Array.from({ length: unreadable }, () => "{"), encodeMessage(message("good"))];
  sender.on("sendable", () => {
    while (bodies.length > 0 && sender.sendable()) sender.send(bodyOf(bodies.shift() ?? ""));
  });
  while (bodies.length > 0 && sender.sendable()) sender.send(bodyOf(bodies.shift() ?? ""));
  expect((await receiving).map((each) => each.message.id)).toEqual(["good" as MessageId]);
  expect(released).toHaveLength(0);
  await until(() => {
    clock.skip(limits.setAsidePauseMs);
    return released.length === unreadable;
  });
  expect((await queue.probe()).status).toBe("UP");
});

test("whatever a message looks like, it is set aside and the connection stays", async () => {
  const { peer, queue } = await open();
  const letters: string[] = [];
  peer.verdict = (delivery, address, bytes) => {
    if (address === "q.dead") letters.push(bytes.toString());
    delivery.accept();
  };
  const receiving = receive(queue, 10);
  const sender = await peer.senderOf("q");
  const depth = 200_000;
  const nested = rhea.message.data_section(Buffer.from("[".repeat(depth) + "]".repeat(depth)));
  const longId = `{"id":"${"i".repeat(10_000)}","pool_code":"${"p".repeat(10_000)}"}`;
  const strange = [
    Buffer.from([0x00, 0x53, 0x73, 0x45]),
    Buffer.from([0x00, 0x53, 0x77, 0xd0, 0xff]),
    Buffer.concat([Buffer.from([0x00, 0x53, 0x77]), nestedLists(20_000)]),
    rhea.message.encode({ body: { a: 1 } }),
    rhea.message.encode({ body: [1] }),
    rhea.message.encode({ body: nested }),
    rhea.message.encode(bodyOf(longId)),
  ];
  for (const bytes of strange) sender.send(bytes, undefined, 0);
  sender.send(bodyOf(encodeMessage(message("good"))));
  expect((await receiving).map((each) => each.message.id)).toEqual(["good" as MessageId]);
  await until(() => letters.length === strange.length);
  expect(letters).toContain('{"a":1}');
  expect(letters).toContain("[1]");
  expect(letters).toContain("");
  expect((await queue.probe()).status).toBe("UP");
});

/** A list in a list in a list, as a value of the protocol. */
function nestedLists(depth: number): Buffer {
  const headBytes = 9;
  const bytes = Buffer.alloc(depth * headBytes + 1, 0x45);
  for (let at = 0; at < depth; at++) {
    const offset = at * headBytes;
    bytes[offset] = 0xd0;
    bytes.writeUInt32BE(bytes.length - offset - 5, offset + 1);
    bytes.writeUInt32BE(1, offset + 5);
  }
  return bytes;
}
