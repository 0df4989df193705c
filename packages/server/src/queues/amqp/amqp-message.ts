import { describeError } from "@flowcatalyst/foundation";
import rhea from "rhea";
import type { MessageId, PoolCode } from "../../domain/ids.ts";
import { encodeMessage } from "../../domain/message-codec.ts";
import type { QueueMessage } from "../../domain/message.ts";
import type { DeadLetter, DeadLetterKey } from "../../ports/queue.ts";
import type { Broker } from "./amqp-broker.ts";

type Message = ReturnType<typeof rhea.message.decode>;

/** Priorities go from 0 to 9 with 4 in the middle; brokers heed them where their queue is set up so. */
const highPriority = 9;
const usualPriority = 4;
const dataSection = 0x75;

/** The names under which a dead letter says of itself what the message alone does not. */
const letterProperties = {
  key: "fc-key",
  reason: "fc-reason",
  lane: "fc-lane",
  id: "fc-id",
  at: "fc-at-ms",
} as const;

/**
 * A message of ours: durable, its text as one data section, its id and group where every client of the protocol looks
 * for them. Only stand-alone messages carry their group: it ties the group to one consumer on ActiveMQ, which the
 * platform's runs do not need, because of their group there is never a second one under way.
 */
export function encodeForAmqp(message: QueueMessage, body: Uint8Array, nowMs: number): Uint8Array {
  return rhea.message.encode({
    durable: true,
    priority: message.kind === "standalone" && message.highPriority ? highPriority : usualPriority,
    message_id: message.id,
    content_type: "application/json",
    creation_time: new Date(nowMs),
    ...(message.kind === "standalone" && message.groupKey !== null ? { group_id: message.groupKey } : {}),
    body: dataOf(Buffer.from(body.buffer, body.byteOffset, body.length)),
  });
}

export function bodyBytesOf(message: QueueMessage): Uint8Array {
  return new TextEncoder().encode(encodeMessage(message));
}

/**
 * The text of a message, whoever wrote it: data, a text, or bytes. Null: a map or a list, which no sender of ours
 * makes.
 */
export function textOf(message: Message): string | null {
  const body: unknown = message["body"];
  if (typeof body === "string") return body;
  if (Buffer.isBuffer(body)) return body.toString("utf8");
  if (typeof body !== "object" || body === null || Reflect.get(body, "typecode") !== dataSection) return null;
  const content: unknown = Reflect.get(body, "content");
  if (Buffer.isBuffer(content)) return content.toString("utf8");
  return Array.isArray(content)
    ? Buffer.concat(content.filter((part) => Buffer.isBuffer(part))).toString("utf8")
    : null;
}

/** A message as it came; `fault` says why it could not be decoded. */
export type Incoming = Message | UndecodedMessage;

export class UndecodedMessage {
  readonly fault: string;
  readonly bytes: Buffer;

  constructor(fault: string, bytes: Buffer) {
    this.fault = fault;
    this.bytes = bytes;
  }
}

/** Never throws: whatever a stranger sends, the connection stays. */
export function decodeIncoming(bytes: Buffer): Incoming {
  try {
    return rhea.message.decode(bytes);
  } catch (error) {
    return new UndecodedMessage(describeError(error), bytes);
  }
}

/** What can be shown of a message that is no text: its body as JSON, if there is one and it can be written so. */
export function shownBodyOf(message: Incoming): string {
  if (message instanceof UndecodedMessage) return message.bytes.toString("base64");
  try {
    const shown: unknown = textOf(message) ?? JSON.stringify(message["body"]);
    return typeof shown === "string" ? shown : "";
  } catch {
    return "";
  }
}

function dataOf(bytes: Buffer): unknown {
  return rhea.message.data_section(bytes);
}

/** When it was published; null if its sender does not say. */
export function creationTimeOf(message: Message): number | null {
  const time: unknown = message["creation_time"];
  const ms = time instanceof Date ? time.getTime() : Number.NaN;
  return Number.isFinite(ms) ? ms : null;
}

/** How often a message was received with this time, as far as the broker tells; null: again, who knows how often. */
export function receiveCountOf(message: Message, { countsDeliveries }: Broker): number | null {
  const failed: unknown = message["delivery_count"];
  if (typeof failed === "number" && failed > 0) return failed + 1;
  return countsDeliveries || message["first_acquirer"] !== false ? 1 : null;
}

/** A letter as it is written; `key` names it for ever. */
export function encodeLetter(letter: DeadLetter): Uint8Array {
  return rhea.message.encode({
    durable: true,
    message_id: letter.key,
    content_type: "application/json",
    creation_time: new Date(letter.atMs),
    application_properties: {
      [letterProperties.key]: letter.key,
      [letterProperties.reason]: letter.reason,
      [letterProperties.at]: String(letter.atMs),
      ...(letter.lane === null ? {} : { [letterProperties.lane]: letter.lane }),
      ...(letter.id === null ? {} : { [letterProperties.id]: letter.id }),
    },
    body: dataOf(Buffer.from(letter.body, "utf8")),
  });
}

/** What somebody else put to the dead letters has no key of ours; it is shown by its message id, if it has one. */
export function decodeLetter(message: Incoming): DeadLetter {
  try {
    if (!(message instanceof UndecodedMessage)) return readLetter(message);
  } catch {
    // Shown as what it is below: one letter of a stranger hides no others.
  }
  const key = "foreign:unreadable" as DeadLetterKey;
  return { key, id: null, lane: null, reason: "put here by somebody else", body: shownBodyOf(message), atMs: 0 };
}

function readLetter(message: Message): DeadLetter {
  const properties: unknown = message["application_properties"];
  const property = (name: string): string | null => {
    const value: unknown = typeof properties === "object" && properties !== null ? Reflect.get(properties, name) : null;
    return typeof value === "string" ? value : null;
  };
  const messageId: unknown = message["message_id"];
  return {
    key: (property(letterProperties.key) ?? `foreign:${String(messageId)}`) as DeadLetterKey,
    id: property(letterProperties.id) as MessageId | null,
    lane: property(letterProperties.lane) as PoolCode | null,
    reason: property(letterProperties.reason) ?? "put here by somebody else",
    body: textOf(message) ?? "",
    atMs: Number(property(letterProperties.at) ?? creationTimeOf(message) ?? 0) || 0,
  };
}
