import { describeError } from "@flowcatalyst/foundation";
import { SendMessageBatchCommand, type BatchResultErrorEntry } from "@aws-sdk/client-sqs";
import type { PoolCode } from "../../domain/ids.ts";
import type { QueueMessage } from "../../domain/message.ts";
import type { PublishResult } from "../../ports/queue.ts";
import { forEachAtOnce } from "./sqs-batches.ts";
import { bodyOf, fifoIdsOf, type FifoIds } from "./sqs-names.ts";
import { sqsLimits } from "./sqs-queue-limits.ts";
import type { SqsService } from "./sqs-service.ts";

export interface SqsPublishingDeps {
  readonly service: SqsService;
  readonly urlOf: (lane: PoolCode) => string;
}

export interface SqsPublishingConfig {
  readonly isFifo: boolean;
  /** Of a message, as it is declared. */
  readonly maxMessageBytes: number;
  /** Of all bodies in one call. */
  readonly batchLimitBytes: number;
}

interface Outgoing {
  readonly position: number;
  readonly url: string;
  readonly body: string;
  readonly bytes: number;
  readonly ids: FifoIds | null;
}

interface Failure {
  readonly outgoing: Outgoing;
  readonly result: PublishResult;
}

/** Messages that are sent one batch after another. */
interface Chain {
  readonly url: string;
  readonly messages: Outgoing[];
}

const refusedBecauseOfEarlier: PublishResult = {
  kind: "refused",
  detail: "an earlier message of its group was refused",
};

/**
 * Publishing, ten messages to a call. On a FIFO queue order is the order of arrival, so what is published in one call
 * and shares a group goes through one chain of calls, each begun after the one before was answered; when a message is
 * refused, those behind it in its group are not sent. Within one call SQS decides about each message by itself: one
 * that it refuses may be overtaken by a later one of the same call, and comes behind it when it is published again.
 *
 * A call without an answer is made again by the SDK; a FIFO queue knows the messages by their ids, another one may have
 * them twice.
 */
export class SqsPublishing {
  readonly #deps: SqsPublishingDeps;
  readonly #config: SqsPublishingConfig;

  constructor(deps: SqsPublishingDeps, config: SqsPublishingConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  async publish(messages: readonly QueueMessage[]): Promise<readonly PublishResult[]> {
    const results: PublishResult[] = messages.map(() => ({ kind: "published" }));
    const outgoing: Outgoing[] = [];
    for (const [position, message] of messages.entries()) {
      const prepared = this.#prepare(message, position);
      if ("kind" in prepared) results[position] = prepared;
      else outgoing.push(prepared);
    }
    await forEachAtOnce(chainsOf(outgoing), (chain) => this.#sendChain(chain, results));
    return results;
  }

  #prepare(message: QueueMessage, position: number): Outgoing | PublishResult {
    const { maxMessageBytes, isFifo } = this.#config;
    if (message.id === "" || message.lane === "" || (message.kind === "platform" && message.jobs.length === 0)) {
      return { kind: "invalid", code: "MESSAGE_INVALID", detail: "has no id, lane or job" };
    }
    const body = bodyOf(message);
    const bytes = Buffer.byteLength(body);
    if (bytes > maxMessageBytes) {
      return { kind: "invalid", code: "MESSAGE_TOO_LARGE", detail: `larger than ${maxMessageBytes} bytes` };
    }
    const ids = isFifo ? fifoIdsOf(message) : null;
    return { position, url: this.#deps.urlOf(message.lane), body, bytes, ids };
  }

  /** Without an answer nothing is known of the batch, and what is behind it is not sent. */
  async #sendChain({ url, messages }: Chain, results: PublishResult[]): Promise<void> {
    const heldGroups = new Set<string>();
    let left: readonly Outgoing[] = messages;
    while (left.length > 0) {
      const batch = this.#batchOf(left);
      const failures = await this.#send(url, batch).catch((error: unknown) => describeError(error));
      if (typeof failures === "string") {
        for (const { position } of left) results[position] = { kind: "refused", detail: failures };
        return;
      }
      left = left.slice(batch.length);
      for (const { outgoing, result } of failures) {
        results[outgoing.position] = result;
        if (result.kind === "refused" && outgoing.ids !== null) heldGroups.add(outgoing.ids.groupId);
      }
      if (heldGroups.size === 0) continue;
      const isHeld = ({ ids }: Outgoing): boolean => ids !== null && heldGroups.has(ids.groupId);
      for (const { position } of left.filter(isHeld)) results[position] = refusedBecauseOfEarlier;
      left = left.filter((outgoing) => !isHeld(outgoing));
    }
  }

  /** The first messages, as many as one call takes; at least one. */
  #batchOf(messages: readonly Outgoing[]): readonly Outgoing[] {
    const batch: Outgoing[] = [];
    let bytes = 0;
    for (const message of messages) {
      bytes += message.bytes;
      if (batch.length === sqsLimits.maxBatch || (batch.length > 0 && bytes > this.#config.batchLimitBytes)) break;
      batch.push(message);
    }
    return batch;
  }

  /** What was not published. */
  async #send(url: string, batch: readonly Outgoing[]): Promise<readonly Failure[]> {
    const { service } = this.#deps;
    const entries = batch.map(({ body, ids }, at) => ({
      Id: String(at),
      MessageBody: body,
      ...(ids === null ? {} : { MessageGroupId: ids.groupId, MessageDeduplicationId: ids.deduplicationId }),
    }));
    const command = new SendMessageBatchCommand({ QueueUrl: url, Entries: entries });
    const { Failed: failed = [] } = await service.call((options) => service.client.send(command, options));
    return failed.flatMap((failure) => {
      const outgoing = batch[Number(failure.Id)];
      return outgoing === undefined ? [] : [{ outgoing, result: resultOf(failure) }];
    });
  }
}

/** No more chains than there are batches, each with about as many messages as the others. */
function chainsOf(outgoing: readonly Outgoing[]): readonly Chain[] {
  const chains: Chain[] = [];
  for (const [url, messages] of Map.groupBy(outgoing, (each) => each.url)) {
    const count = Math.min(sqsLimits.parallelCalls, Math.ceil(messages.length / sqsLimits.maxBatch));
    const own: Chain[] = Array.from({ length: count }, () => ({ url, messages: [] }));
    for (const [at, message] of messages.entries()) {
      const place = message.ids === null ? at : Number(BigInt(Bun.hash(message.ids.groupId)) % BigInt(count));
      own[place % count]?.messages.push(message);
    }
    chains.push(...own.filter((chain) => chain.messages.length > 0));
  }
  return chains;
}

function resultOf(failure: BatchResultErrorEntry): PublishResult {
  const detail = `${failure.Code}: ${failure.Message ?? "refused by SQS"}`;
  if (/too long|shorter than/i.test(failure.Message ?? ""))
    return { kind: "invalid", code: "MESSAGE_TOO_LARGE", detail };
  if (failure.Code === "InvalidMessageContents") return { kind: "invalid", code: "MESSAGE_INVALID", detail };
  return { kind: "refused", detail };
}
