import { createHash } from "node:crypto";
import type { JobId } from "../domain/ids.ts";
import type { JobDelivery, StandaloneMessage } from "../domain/message.ts";
import type { ReceivedMessage } from "../ports/queue.ts";
import type { InFlightMessage } from "./in-flight.ts";
import { pipelineLimits } from "./pipeline.ts";
import type { QueueLink } from "./queue-link.ts";
import { standaloneRetryPolicy } from "./standalone-retries.ts";

const standaloneTimeoutSeconds = 30;

/** What the ids of replayed messages of the platform begin with: published just now, and old by what they say. */
export const replayIdPrefix = "replay_";

/** Senders may use an id twice; where the queue tells its messages apart by a key of its own, that one counts. */
function brokerKeyOf({ brokerId, message }: ReceivedMessage): string {
  return brokerId ?? message.id;
}

/**
 * On a queue that neither keeps ids apart nor has keys of its own: another message of the same id, not a copy. Two that
 * are alike in everything are taken for copies.
 */
function isAnother({ standalone }: InFlightMessage, { brokerId, message }: ReceivedMessage): boolean {
  if (brokerId !== undefined || standalone === null || message.kind !== "standalone") return false;
  return standalone.payload !== message.payload || standalone.target !== message.target;
}

/** The same on each receipt of such a message; dear, and rarely asked for. Short, because keys are remembered. */
function contentKeyOf({ message }: ReceivedMessage): string {
  if (message.kind !== "standalone") return message.id;
  const { id, target, payload } = message;
  return `${id}\n${createHash("sha256")
    .update(JSON.stringify([target, payload]))
    .digest("base64")}`;
}

/** What a message is called among those that are held of its queue. */
export function messageKeyOf({ messages }: Pick<QueueLink, "messages">, received: ReceivedMessage): string {
  const key = brokerKeyOf(received);
  const known = messages.get(key);
  return known !== undefined && isAnother(known, received) ? contentKeyOf(received) : key;
}

/** Groups of one name on two queues are two groups. */
export function groupOf(message: InFlightMessage, { groupKey }: StandaloneMessage): string | null {
  return groupKey === null ? null : `${message.queue.consumer.name}\n${groupKey}`;
}

export function sizeOf(message: ReceivedMessage["message"]): { readonly bytes: number; readonly jobs: number } {
  if (message.kind === "standalone") return { bytes: bytesOf(message.payload) + pipelineLimits.overheadBytes, jobs: 1 };
  let bytes = message.jobs.length * pipelineLimits.overheadBytes;
  for (const job of message.jobs) bytes += job.kind === "reference" ? job.bytes : bytesOf(job.payload);
  return { bytes, jobs: message.jobs.length };
}

export function bytesOf(payload: string | null): number {
  return payload === null ? 0 : Buffer.byteLength(payload);
}

/** A stand-alone message in the shape of a job, so that both take the same way. */
export function standaloneJob(message: StandaloneMessage, attempts: number): JobDelivery {
  return {
    kind: "delivery",
    jobId: message.id as string as JobId,
    generation: 1,
    attemptCount: attempts,
    generationAttempts: attempts,
    clientId: null,
    subscriptionId: null,
    target: message.target,
    contentType: message.contentType,
    format: "data",
    headers: message.headers,
    payloadKind: "text",
    payload: message.payload,
    timeoutSeconds: standaloneTimeoutSeconds,
    retry: standaloneRetryPolicy,
    expiresAtMs: Number.POSITIVE_INFINITY,
    legacySignature: false,
    secretRef: message.secretRef,
    event: null,
  };
}
