import { createHash } from "node:crypto";
import { deduplicationIdOf, encodeMessage } from "../../domain/message-codec.ts";
import type { QueueMessage } from "../../domain/message.ts";
import { sqsLimits } from "./sqs-queue-limits.ts";

/** What SQS takes as a group or deduplication id. */
const allowedId = /^[\x21-\x7e]{1,128}$/;
const notAllowed = /[^\x21-\x7e]+/g;
const HASH_LENGTH = 64;
/** The only characters that JSON leaves as they are and SQS refuses; JSON can write them as escapes. */
const refusedInBodies = /[\ufffe\uffff]/g;
const refusedInAttributes = /[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu;

/** The text itself where SQS allows it, else what can be read of it with a hash of the whole. */
export function toSqsId(text: string): string {
  if (allowedId.test(text)) return text;
  const hash = createHash("sha256").update(text).digest("hex");
  const readable = text.slice(0, sqsLimits.maxIdLength).replaceAll(notAllowed, "_");
  return `${readable.slice(0, sqsLimits.maxIdLength - HASH_LENGTH - 1)}.${hash}`;
}

export interface FifoIds {
  readonly groupId: string;
  readonly deduplicationId: string;
}

/**
 * A message without a group is a group by itself, named by its deduplication id: a queue that looks for duplicates
 * within groups only finds its copies there.
 */
export function fifoIdsOf(message: QueueMessage): FifoIds {
  const deduplicationId = toSqsId(deduplicationIdOf(message));
  return { groupId: message.groupKey === null ? deduplicationId : toSqsId(message.groupKey), deduplicationId };
}

export function bodyOf(message: QueueMessage): string {
  const body = encodeMessage(message);
  return body.replaceAll(refusedInBodies, (character) => `\\u${character.charCodeAt(0).toString(16)}`);
}

/** A text that a message attribute may have; never empty. */
export function attributeText(text: string, maxBytes: number): string {
  const allowed = text.replaceAll(refusedInAttributes, "\ufffd");
  let cut = allowed.slice(0, maxBytes);
  while (Buffer.byteLength(cut) > maxBytes) cut = cut.slice(0, -1);
  return cut === "" ? "-" : cut;
}
