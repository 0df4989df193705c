import { silentLogger, systemClock, systemRandom } from "@flowcatalyst/foundation";
import type { GroupKey, MessageId, PoolCode } from "../../packages/server/src/domain/ids.ts";
import type { StandaloneMessage } from "../../packages/server/src/domain/message.ts";
import type { QueuePublisher } from "../../packages/server/src/ports/queue.ts";
import type { QueueBrokerKind } from "./queue-brokers.ts";

/** Publishes stand-alone messages to a queue itself, through its adapter, past every router. */
export interface OpenPublisher {
  readonly queue: QueuePublisher;
  close(): Promise<void> | void;
}

const visibilityMs = 60_000;

/** `db` is a file of SQLite, which nobody else may have open. */
export async function openPublisher(kind: QueueBrokerKind | "db", url: string): Promise<OpenPublisher> {
  const clock = systemClock();
  const deps = { clock, random: systemRandom(), logger: silentLogger() };
  const config = { url, name: "publisher", visibilityMs, parallelReceives: 1 };
  switch (kind) {
    case "db": {
      const { openSqliteQueue } = await import("../../packages/server/src/queues/sqlite/index.ts");
      return openSqliteQueue({ clock }, { path: url.slice("sqlite:".length), visibilityMs });
    }
    case "nats":
      return (await import("../../packages/server/src/queues/nats/index.ts")).openNatsQueue(deps, config);
    case "sqs-fifo":
    case "sqs-standard":
      return (await import("../../packages/server/src/queues/sqs/index.ts")).openSqsQueue(deps, config);
    case "activemq":
    case "rabbitmq":
      return (await import("../../packages/server/src/queues/amqp/index.ts")).openAmqpQueue(deps, config);
  }
}

/** What a receiver's ledger counts by: group and place. */
export interface NumberedMessage {
  readonly name: string;
  readonly poolCode: string;
  readonly target: string;
  readonly group: number;
  readonly place: number;
  /** Makes the body as long as it is to be. */
  readonly pad?: string;
}

export function numberedMessage({
  name,
  poolCode,
  target,
  group,
  place,
  pad = "",
}: NumberedMessage): StandaloneMessage {
  return {
    kind: "standalone",
    id: `${name}-${group}.${place}` as MessageId,
    lane: poolCode as PoolCode,
    groupKey: `g${group}` as GroupKey,
    deduplicationId: null,
    highPriority: false,
    target,
    payload: `{"g":${group},"n":${place},"t":0,"pad":"${pad}"}`,
    contentType: "application/json",
    headers: {},
    secretRef: null,
    traceparent: null,
  };
}

/** Publishes these; gives those that are to be published again, in their order. Throws if one will never be taken. */
export async function publishOnce(
  queue: QueuePublisher,
  messages: readonly StandaloneMessage[],
): Promise<{ readonly again: readonly StandaloneMessage[]; readonly reason: string }> {
  const results = await queue.publish(messages);
  const again: StandaloneMessage[] = [];
  let reason = "";
  messages.forEach((message, index) => {
    const result = results[index];
    if (result?.kind === "published" || result?.kind === "duplicate") return;
    if (result?.kind === "invalid") throw new Error(`${result.code}: ${result.detail}`);
    reason = result?.detail ?? "no answer";
    again.push(message);
  });
  return { again, reason };
}

export interface RoundsPlan extends Omit<NumberedMessage, "group" | "place"> {
  readonly groups: number;
  readonly pauseMs: number;
  readonly signal: AbortSignal;
  readonly onPublished: (count: number) => void;
}

/** One message of each group after another, round and round, until the signal; a round that is begun is ended. */
export async function publishRounds(queue: QueuePublisher, plan: RoundsPlan): Promise<void> {
  for (let place = 1; !plan.signal.aborted; place += 1) {
    const round = Array.from({ length: plan.groups }, (_, group) => numberedMessage({ ...plan, group, place }));
    for (let left: readonly StandaloneMessage[] = round; left.length > 0;) {
      const { again } = await publishOnce(queue, left);
      plan.onPublished(left.length - again.length);
      left = again;
      if (again.length > 0) await Bun.sleep(plan.pauseMs);
    }
    await Bun.sleep(plan.pauseMs);
  }
}
