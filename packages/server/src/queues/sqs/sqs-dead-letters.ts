import { createHash } from "node:crypto";
import type { Logger } from "@flowcatalyst/foundation";
import {
  ChangeMessageVisibilityBatchCommand,
  ChangeMessageVisibilityCommand,
  DeleteMessageCommand,
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  SendMessageCommand,
  type Message,
} from "@aws-sdk/client-sqs";
import { decodeMessage, describeFaults } from "../../domain/message-codec.ts";
import type { MessageId, PoolCode } from "../../domain/ids.ts";
import type { DeadLetter, DeadLetterKey, DeadLetterPage, DeadLetters } from "../../ports/queue.ts";
import { forEachAtOnce, inTens } from "./sqs-batches.ts";
import { attributeText } from "./sqs-names.ts";
import type { SqsPlaces } from "./sqs-places.ts";
import { sqsLimits } from "./sqs-queue-limits.ts";
import { sqsFaultName, type SqsService } from "./sqs-service.ts";

export interface SqsDeadLettersDeps {
  readonly service: SqsService;
  readonly places: SqsPlaces;
  readonly logger: Logger;
}

/** A message on its way to the dead letters. */
export interface Burial {
  /**
   * What SQS knows the message by. A message that was buried and not deleted comes again: where the dead-letter queue
   * is FIFO, the two burials are one letter if they are within five minutes.
   */
  readonly brokerId: string;
  readonly body: string;
  readonly id: MessageId | null;
  readonly lane: PoolCode | null;
  readonly reason: string;
}

type Found = "removed" | "kept" | "missing";

const attributeNames = { reason: "fc-reason", lane: "fc-lane", id: "fc-id" } as const;
/** What SQS says of a receipt that is worth nothing any more. */
const goneFaults = [
  "ReceiptHandleIsInvalid",
  "MessageNotInflight",
  "AWS.SimpleQueueService.MessageNotInflight",
  "InvalidParameterValue",
];
const messageIdPattern = /^[0-9a-f-]{36}$/i;
/** What a letter is called that came here by the queue's own redrive policy. */
const redriven = "MAX_RECEIVES: received more often than the redrive policy of its queue allows";

/**
 * The dead-letter place: another queue of SQS, beside the one it serves, whose messages have the reason, the lane and
 * the id as attributes. A queue of SQS can only be looked into by receiving: so a look hides what it sees from other
 * looks, gives it back at its end, and sees no more of a group than one receive gives (letters of ours are each a group
 * of their own; those that a redrive policy moved have the groups they had).
 */
export class SqsDeadLetters implements DeadLetters {
  readonly #deps: SqsDeadLettersDeps;
  #last: Promise<unknown> = Promise.resolve();

  constructor(deps: SqsDeadLettersDeps) {
    this.#deps = deps;
  }

  async bury(burial: Burial): Promise<void> {
    const { service, places } = this.#deps;
    const name = createHash("sha256").update(burial.brokerId).digest("hex");
    const command = new SendMessageCommand({
      QueueUrl: places.dead,
      MessageBody: burial.body,
      ...(this.#hasRoom(burial) ? { MessageAttributes: attributesOf(burial) } : {}),
      ...(places.isDeadFifo ? { MessageGroupId: name, MessageDeduplicationId: name } : {}),
    });
    await service.call((options) => service.client.send(command, options));
  }

  listDeadLetters({ limit }: { readonly limit: number }): Promise<DeadLetterPage> {
    return this.#alone(async () => {
      const letters: DeadLetter[] = [];
      await this.#look(
        () => letters.length < limit,
        async (message) => {
          letters.push(letterOf(message));
          return "kept";
        },
      );
      return { letters: letters.slice(0, limit), next: null };
    });
  }

  settleDeadLetters(
    keys: readonly DeadLetterKey[],
    decide: (letter: DeadLetter) => Promise<"remove" | "keep">,
  ): Promise<readonly Found[]> {
    return this.#alone(async () => {
      const wanted = new Set(keys.filter((key) => messageIdPattern.test(key)));
      const found = new Map<DeadLetterKey, Found>();
      await this.#look(
        () => wanted.size > 0,
        async (message) => {
          const letter = letterOf(message);
          if (!wanted.delete(letter.key)) return "kept";
          const result = await this.#settle(message, letter, decide);
          found.set(letter.key, result);
          return result;
        },
      );
      return keys.map((key) => found.get(key) ?? "missing");
    });
  }

  /**
   * Receives until nothing new comes or enough was seen, and gives back what is kept. Nothing new: nothing at all when
   * as many were seen as there were said to be, else when a second question, to all of the queue's servers, got
   * nothing.
   */
  async #look(wantsMore: () => boolean, see: (message: Message) => Promise<Found>): Promise<void> {
    const kept = new Map<string, Message>();
    const seen = new Set<string>();
    const show = async (message: Message): Promise<void> => {
      const { MessageId: id = "" } = message;
      seen.add(id);
      if ((await see(message)) === "removed") kept.delete(id);
    };
    const expected = await this.#count();
    let waitSeconds = 0;
    try {
      while (wantsMore() && seen.size < sqsLimits.maxLooked) {
        const messages = await this.#receive(waitSeconds);
        for (const message of messages) kept.set(message.MessageId ?? "", message);
        const fresh = messages.filter(({ MessageId: id = "" }) => !seen.has(id));
        if (fresh.length === 0 && (waitSeconds > 0 || seen.size >= expected)) return;
        waitSeconds = fresh.length === 0 ? 1 : 0;
        for (const message of fresh) await show(message);
      }
    } finally {
      await this.#giveBack([...kept.values()]);
    }
  }

  /** What cannot be given back is visible again by itself. */
  async #giveBack(messages: readonly Message[]): Promise<void> {
    const { service, places } = this.#deps;
    const give = async (some: readonly Message[]): Promise<void> => {
      const entries = some.map(({ ReceiptHandle: handle }, at) => {
        return { Id: String(at), ReceiptHandle: handle, VisibilityTimeout: 0 };
      });
      const command = new ChangeMessageVisibilityBatchCommand({ QueueUrl: places.dead, Entries: entries });
      await service.call((options) => service.client.send(command, options));
    };
    try {
      await forEachAtOnce(inTens(messages), give);
    } catch (error) {
      this.#deps.logger.debug({ error }, "dead letters stay hidden for a while, because they cannot be given back");
    }
  }

  async #settle(
    message: Message,
    letter: DeadLetter,
    decide: (letter: DeadLetter) => Promise<"remove" | "keep">,
  ): Promise<Found> {
    const { service, places } = this.#deps;
    try {
      await this.#hide(message, sqsLimits.lookSeconds);
    } catch (error) {
      // Its time was over, and somebody else removed it or has it; anything else is not about the letter.
      if (!goneFaults.includes(sqsFaultName(error) ?? "")) throw error;
      return "missing";
    }
    if ((await decide(letter)) === "keep") return "kept";
    const command = new DeleteMessageCommand({ QueueUrl: places.dead, ReceiptHandle: message.ReceiptHandle });
    await service.call((options) => service.client.send(command, options));
    return "removed";
  }

  async #count(): Promise<number> {
    const { service, places } = this.#deps;
    const command = new GetQueueAttributesCommand({
      QueueUrl: places.dead,
      AttributeNames: ["ApproximateNumberOfMessages"],
    });
    const { Attributes: attributes } = await service.call((options) => service.client.send(command, options));
    return Number(attributes?.["ApproximateNumberOfMessages"] ?? 0);
  }

  async #receive(waitSeconds: number): Promise<readonly Message[]> {
    const { service, places } = this.#deps;
    const command = new ReceiveMessageCommand({
      QueueUrl: places.dead,
      MaxNumberOfMessages: sqsLimits.maxBatch,
      WaitTimeSeconds: waitSeconds,
      VisibilityTimeout: sqsLimits.lookSeconds,
      MessageAttributeNames: Object.values(attributeNames),
      MessageSystemAttributeNames: ["SentTimestamp"],
    });
    const { Messages: messages } = await service.call((options) => service.client.send(command, options));
    return messages ?? [];
  }

  async #hide(message: Message, seconds: number): Promise<void> {
    const { service, places } = this.#deps;
    const command = new ChangeMessageVisibilityCommand({
      QueueUrl: places.dead,
      ReceiptHandle: message.ReceiptHandle,
      VisibilityTimeout: seconds,
    });
    await service.call((options) => service.client.send(command, options));
  }

  /** A stranger's message may be so large that nothing can be said beside it; its fault is then found by reading it. */
  #hasRoom({ body }: Burial): boolean {
    return Buffer.byteLength(body) + sqsLimits.attributesBytes <= this.#deps.places.messageLimitBytes;
  }

  /** One look at a time: two would hide letters from each other. */
  #alone<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined);
    return result;
  }
}

function attributesOf({ reason, lane, id }: Burial): Record<string, { DataType: string; StringValue: string }> {
  const { reasonMaxBytes, idMaxBytes } = sqsLimits;
  const text = (value: string, maxBytes: number) => ({
    DataType: "String",
    StringValue: attributeText(value, maxBytes),
  });
  return {
    [attributeNames.reason]: text(reason, reasonMaxBytes),
    ...(lane === null ? {} : { [attributeNames.lane]: text(lane, idMaxBytes) }),
    ...(id === null ? {} : { [attributeNames.id]: text(id, idMaxBytes) }),
  };
}

function letterOf({
  MessageId: key = "",
  Body: body = "",
  Attributes: system,
  MessageAttributes: own,
}: Message): DeadLetter {
  const decoded = decodeMessage(body);
  const of = decoded.kind === "message" ? decoded.message : decoded;
  return {
    key: key as DeadLetterKey,
    id: of.id,
    lane: of.lane,
    reason: own?.[attributeNames.reason]?.StringValue ?? unwrittenReason(body),
    body,
    atMs: Number(system?.SentTimestamp ?? 0),
  };
}

function unwrittenReason(body: string): string {
  const decoded = decodeMessage(body);
  return decoded.kind === "message" ? redriven : `${decoded.code}: ${describeFaults(decoded.faults)}`;
}
