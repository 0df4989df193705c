import { headers, type Msg } from "@nats-io/transport-node";
import { describeError, isCodedError } from "@flowcatalyst/foundation";
import { deduplicationIdOf, encodeMessage } from "../../domain/message-codec.ts";
import type { QueueMessage } from "../../domain/message.ts";
import type { PublishResult } from "../../ports/queue.ts";
import type { NatsLink } from "./nats-link.ts";
import { headerText, laneToken, type NatsNames } from "./nats-names.ts";
import { natsQueueLimits } from "./nats-queue-config.ts";
import { readPubAck } from "./pub-ack.ts";

interface Parcel {
  readonly position: number;
  readonly subject: string;
  readonly body: Uint8Array;
  readonly deduplicationId: string;
}

const encoder = new TextEncoder();

/**
 * Publishing: each message is one message of the stream, and all of a part (1,000 messages, 8 MiB) are under way before
 * the first answer is waited for. What is not answered in time counts as refused: it may be there all the same, and is
 * known by its id when it is published again.
 */
export class NatsPublishing {
  readonly #link: NatsLink;
  readonly #names: NatsNames;
  readonly #maxMessageBytes: number;

  constructor(link: NatsLink, names: NatsNames, maxMessageBytes: number) {
    this.#link = link;
    this.#names = names;
    this.#maxMessageBytes = maxMessageBytes;
  }

  async publish(messages: readonly QueueMessage[]): Promise<readonly PublishResult[]> {
    const results: PublishResult[] = messages.map(() => ({ kind: "refused", detail: "not sent" }));
    let parcels: Parcel[] = [];
    let bytes = 0;
    for (const [position, message] of messages.entries()) {
      const parcel = this.#pack(message, position);
      if ("kind" in parcel) {
        results[position] = parcel;
        continue;
      }
      const isFull = parcels.length >= natsQueueLimits.publishMaxMessages;
      if (isFull || (parcels.length > 0 && bytes + parcel.body.length > natsQueueLimits.publishMaxBytes)) {
        await this.#send(parcels, results);
        parcels = [];
        bytes = 0;
      }
      parcels.push(parcel);
      bytes += parcel.body.length;
    }
    if (parcels.length > 0) await this.#send(parcels, results);
    return results;
  }

  #pack(message: QueueMessage, position: number): Parcel | PublishResult {
    const { id, lane } = message;
    if (id === "" || lane === "" || (message.kind === "platform" && message.jobs.length === 0)) {
      return { kind: "invalid", code: "MESSAGE_INVALID", detail: "has no id, lane or job" };
    }
    const token = laneToken(lane);
    if (token === null) return { kind: "invalid", code: "MESSAGE_INVALID", detail: "has a lane too long for NATS" };
    const deduplicationId = headerText(deduplicationIdOf(message));
    const body = encoder.encode(encodeMessage(message));
    if (body.length > this.#maxMessageBytes || deduplicationId.length > natsQueueLimits.headerMaxBytes / 2) {
      const detail = `larger than ${this.#maxMessageBytes} bytes`;
      return { kind: "invalid", code: "MESSAGE_TOO_LARGE", detail };
    }
    return { position, subject: this.#names.lanePrefix + token, body, deduplicationId };
  }

  async #send(parcels: readonly Parcel[], results: PublishResult[]): Promise<void> {
    const answers = await this.#exchange(parcels);
    parcels.forEach(({ position }, at) => {
      const answer = answers[at] ?? null;
      results[position] = typeof answer === "string" ? { kind: "refused", detail: answer } : readPubAck(answer);
    });
  }

  /** An answer, or why there is none. */
  async #exchange(parcels: readonly Parcel[]): Promise<readonly (Msg | string | null)[]> {
    const { connection, replies } = this.#link;
    try {
      this.#link.requireUp();
    } catch (error) {
      const detail = isCodedError(error) ? error.publicMessage : describeError(error);
      return parcels.map(() => detail);
    }
    const batch = replies.expect(parcels.length, natsQueueLimits.answerWithinMs);
    parcels.forEach(({ subject, body, deduplicationId }, at) => {
      const messageHeaders = headers();
      messageHeaders.set("Nats-Msg-Id", deduplicationId);
      connection.publish(subject, body, { reply: batch.subjectOf(at), headers: messageHeaders });
    });
    return batch.answers;
  }
}
