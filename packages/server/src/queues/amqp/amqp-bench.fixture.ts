import { randomBytes } from "node:crypto";
import rhea, { type Connection, type EventContext } from "rhea";
import { silentLogger, systemRandom } from "@flowcatalyst/foundation";
import type { QueueBench } from "../../ports/queue.conformance.ts";
import { openCuttableLine } from "../postgres/cuttable-line.fixture.ts";
import type { BrokerQueue } from "../broker-queue.ts";
import { openAmqpQueue } from "./index.ts";
import { SteeredClock } from "./steered-clock.fixture.ts";

export type TestedBroker = "activemq" | "rabbitmq";

export const benchVisibilityMs = 30_000;
const run = randomBytes(4).toString("hex");
let queues = 0;

/** A queue nobody else uses, on the server at `url`. */
export function freshQueueUrl(url: string, parameters = ""): string {
  return `${url}/fc-${run}-${++queues}${parameters}`;
}

export function openTestQueue(url: string, clock = new SteeredClock()): Promise<BrokerQueue> {
  const deps = { clock, random: systemRandom(), logger: silentLogger() };
  return openAmqpQueue(deps, { url, name: "amqp", visibilityMs: benchVisibilityMs, parallelReceives: 2 });
}

/** As a stranger would: another client, one message, whatever it looks like. */
export async function sendAsStranger(queueUrl: string, broker: TestedBroker, message: object): Promise<void> {
  const { hostname, port, username, password, pathname } = new URL(queueUrl);
  const account = username === "" ? { username: "anonymous" } : { username, password };
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const container = rhea.create_container();
  const connection: Connection = container.connect({
    host: hostname,
    port: Number(port),
    reconnect: false,
    ...account,
  });
  const queue = pathname.slice(1);
  const address = broker === "activemq" ? `queue://${queue}` : `/queue/${queue}`;
  const sender = connection.open_sender({ target: { address, durable: 2 } });
  sender.once("sendable", () => sender.send(rhea.message.encode(message), undefined, 0));
  sender.once("accepted", () => resolve());
  for (const event of ["rejected", "sender_error", "session_error", "connection_error", "disconnected"]) {
    connection.on(event, (context: EventContext) => reject(new Error(`${event}: ${String(context.error)}`)));
  }
  await promise;
  connection.close();
}

/** A bench whose consumer loses its connections when it crashes. */
export async function amqpBench(serverUrl: string, broker: TestedBroker, parameters = ""): Promise<QueueBench> {
  const url = freshQueueUrl(serverUrl, parameters);
  const clock = new SteeredClock();
  const opened: { queue: BrokerQueue; close(): Promise<void> }[] = [];
  const open = async (): Promise<{ queue: BrokerQueue; cut: () => void }> => {
    const line = await openCuttableLine(url);
    const queue = await openTestQueue(line.url, clock);
    opened.push({ queue, close: () => line.close() });
    return { queue, cut: () => line.cut() };
  };
  let current = await open();
  return {
    queue: current.queue.queue,
    visibilityMs: benchVisibilityMs,
    promptMs: 250,
    passTime: async (ms) => clock.skip(ms),
    async crash() {
      current.cut();
      current = await open();
      return current.queue.queue;
    },
    putRaw: (_lane, body) =>
      sendAsStranger(url, broker, { body: rhea.message.data_section(Buffer.from(body)), durable: true }),
    async close() {
      for (const { queue, close } of opened) {
        await queue.close();
        await close();
      }
    },
  };
}
