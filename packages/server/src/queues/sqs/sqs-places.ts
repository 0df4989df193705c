import { backoffMs, CodedError, describeError, isCodedError } from "@flowcatalyst/foundation";
import {
  CreateQueueCommand,
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  type QueueAttributeName,
} from "@aws-sdk/client-sqs";
import type { PoolCode } from "../../domain/ids.ts";
import type { BrokerQueueDeps } from "../broker-queue.ts";
import { sqsLimits } from "./sqs-queue-limits.ts";
import { besideName, type SqsAddress } from "./sqs-queue-url.ts";
import { sqsFaultName, type SqsService } from "./sqs-service.ts";

/** The queues of SQS that one queue of ours is made of, by their URLs. */
export interface SqsPlaces {
  /** Takes the messages of every lane that has no queue of its own. */
  readonly shared: string;
  readonly byLane: ReadonlyMap<PoolCode, string>;
  readonly dead: string;
  readonly isDeadFifo: boolean;
  /** The smallest limit of all of them, attributes included. */
  readonly messageLimitBytes: number;
}

interface OpenedPlace {
  readonly url: string;
  readonly messageLimitBytes: number;
}

/** What SQS calls a service that is asked too much, or in trouble; and no name at all, when it does not answer. */
const passingFaults = /Throttl|TooManyRequests|RequestLimit|OverLimit|Internal|Unavailable|Timeout/;
const missingFaults = ["QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"];
const credentialFaults = ["CredentialsProviderError", "TokenProviderError"];

/**
 * Finds each queue, or makes it where that was asked for. Tries for a while to reach the service; a queue that is not
 * there, or a refusal, is final at once and says what to do.
 */
export async function openSqsPlaces(
  deps: BrokerQueueDeps,
  service: SqsService,
  address: SqsAddress,
): Promise<SqsPlaces> {
  const opening = new SqsOpening(deps, service, address);
  const dead = await opening.open(address.deadName);
  const shared = await opening.open(address.name);
  const byLane = new Map<PoolCode, string>();
  let messageLimitBytes = Math.min(dead.messageLimitBytes, shared.messageLimitBytes);
  for (const lane of address.lanes) {
    const own = await opening.open(besideName(address.name, lane));
    byLane.set(lane, own.url);
    messageLimitBytes = Math.min(messageLimitBytes, own.messageLimitBytes);
  }
  return {
    shared: shared.url,
    byLane,
    dead: dead.url,
    isDeadFifo: address.deadName.endsWith(".fifo"),
    messageLimitBytes,
  };
}

class SqsOpening {
  readonly #deps: BrokerQueueDeps;
  readonly #service: SqsService;
  readonly #address: SqsAddress;
  readonly #giveUpAtMs: number;

  constructor(deps: BrokerQueueDeps, service: SqsService, address: SqsAddress) {
    this.#deps = deps;
    this.#service = service;
    this.#address = address;
    this.#giveUpAtMs = deps.clock.monotonicMs() + sqsLimits.openWithinMs;
  }

  async open(name: string): Promise<OpenedPlace> {
    try {
      return await this.#patiently(name, () => this.#find(name));
    } catch (error) {
      if (!missingFaults.includes(sqsFaultName(error) ?? "")) throw error;
    }
    if (!this.#address.create) throw missing(name);
    await this.#patiently(name, () => this.#create(name));
    this.#deps.logger.info({ queue: name }, "made a queue on SQS");
    return this.#patiently(name, () => this.#find(name));
  }

  async #find(name: string): Promise<OpenedPlace> {
    const { client } = this.#service;
    const url = this.#urlOf(name) ?? (await this.#askUrl(name));
    const names: QueueAttributeName[] = ["MaximumMessageSize", "MessageRetentionPeriod"];
    const command = new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: names });
    const { Attributes: attributes = {} } = await this.#service.call((options) => client.send(command, options));
    const retentionSeconds = Number(attributes["MessageRetentionPeriod"] ?? sqsLimits.retentionSeconds);
    if (retentionSeconds < sqsLimits.retentionSeconds) {
      this.#deps.logger.warn(
        { queue: name, retentionSeconds, longestSeconds: sqsLimits.retentionSeconds },
        "SQS throws messages of this queue away before it must: raise its MessageRetentionPeriod",
      );
    }
    const messageLimitBytes = Number(attributes["MaximumMessageSize"] ?? sqsLimits.messageLimitBytes);
    if (messageLimitBytes < sqsLimits.attributesBytes * 2) throw tooSmall(name, messageLimitBytes);
    return { url, messageLimitBytes };
  }

  /** Queues beside one that was given by its URL have the same owner. */
  #urlOf(name: string): string | null {
    const { queueUrl } = this.#address;
    return queueUrl === null ? null : queueUrl.slice(0, queueUrl.lastIndexOf("/") + 1) + name;
  }

  async #askUrl(name: string): Promise<string> {
    const { client } = this.#service;
    const command = new GetQueueUrlCommand({ QueueName: name });
    const { QueueUrl: url } = await this.#service.call((options) => client.send(command, options));
    if (url === undefined) throw missing(name);
    return url;
  }

  async #create(name: string): Promise<void> {
    const { client } = this.#service;
    const command = new CreateQueueCommand({ QueueName: name, Attributes: attributesOf(name) });
    await this.#service.call((options) => client.send(command, options));
  }

  async #patiently<Result>(name: string, work: () => Promise<Result>): Promise<Result> {
    const { clock, random } = this.#deps;
    for (let failures = 0; ; failures++) {
      try {
        return await work();
      } catch (error) {
        const code = sqsFaultName(error);
        if (missingFaults.includes(code ?? "") || isCodedError(error, "CONFIG_INVALID")) throw error;
        if (isFinal(error)) throw refusal(name, error);
        if (clock.monotonicMs() >= this.#giveUpAtMs) throw unreachable(error);
        await clock.sleep(backoffMs(sqsLimits.openRetry, failures, random));
      }
    }
  }
}

function attributesOf(name: string): Partial<Record<QueueAttributeName, string>> {
  const attributes = { MessageRetentionPeriod: String(sqsLimits.retentionSeconds) };
  if (!name.endsWith(".fifo")) return attributes;
  return {
    ...attributes,
    FifoQueue: "true",
    DeduplicationScope: "messageGroup",
    FifoThroughputLimit: "perMessageGroupId",
  };
}

/** The service answered, and will answer the same again. */
function isFinal(error: unknown): boolean {
  const cause = error instanceof CodedError ? error.cause : error;
  if (
    cause instanceof Error &&
    (credentialFaults.includes(cause.name) || cause.message.includes("Region is missing"))
  ) {
    return true;
  }
  const name = sqsFaultName(error);
  return name !== null && !passingFaults.test(name);
}

function missing(name: string): CodedError {
  const attributes = Object.entries(attributesOf(name)).map(([key, value]) => `${key}=${value}`);
  const command = `aws sqs create-queue --queue-name ${name} --attributes ${attributes.join(",")}`;
  const message = `there is no queue ${name} on SQS: make it by \`${command}\`, or add create=true to the queue's URL`;
  return new CodedError("CONFIG_INVALID", { message });
}

/** Every message would be refused for ever, one by one. */
function tooSmall(name: string, limitBytes: number): CodedError {
  const least = sqsLimits.attributesBytes * 2;
  const message = `the queue ${name} on SQS has a MaximumMessageSize of ${limitBytes} bytes: set ${least} or more`;
  return new CodedError("CONFIG_INVALID", { message });
}

function refusal(name: string, error: unknown): CodedError {
  const message = `SQS refuses the queue ${name}: ${describeError(causeOf(error))}`;
  return new CodedError("CONFIG_INVALID", { message, cause: error });
}

function unreachable(error: unknown): CodedError {
  const seconds = sqsLimits.openWithinMs / 1_000;
  const message = `SQS could not be reached for ${seconds} s: ${describeError(causeOf(error))}`;
  return new CodedError("QUEUE_UNAVAILABLE", { message, cause: error });
}

function causeOf(error: unknown): unknown {
  return error instanceof CodedError ? (error.cause ?? error) : error;
}
