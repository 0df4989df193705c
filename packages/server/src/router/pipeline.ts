/**
 * Everything that was received and is not settled yet: the tables by which a copy is recognised, and the limits.
 *
 * Two keys, because there are two kinds of copy. A queue that delivers a message twice gives the same (queue, message
 * id): the newer receipt is adopted and nothing is called. A job published twice comes under another message id with
 * the same (job, generation): it is left out of the newer message. If the message that holds a job was lost to another
 * consumer while the job is being called, the copy takes the job over, so that its result is recorded before the copy
 * is acked.
 *
 * Payloads in the pipeline are limited to 64 MiB over all pools; a first message is always let in, however large. Once
 * something did not fit, nothing is received until a quarter is free: else the same message would be received and
 * given back as fast as the queue can.
 */
import type { JobDelivery } from "../domain/message.ts";
import type { Delivery, InFlightMessage } from "./in-flight.ts";

export const pipelineLimits = {
  maxBytes: 64 * 1_048_576,
  /** Once full, there is room again below this. */
  roomBelowBytes: 48 * 1_048_576,
  /** What a delivery occupies besides its payload; an estimate on the high side. */
  overheadBytes: 1_024,
} as const;

export interface PipelineListener {
  /** The last delivery has left. */
  emptied(): void;
  /** It was full, and is not any more. */
  hasRoomAgain(): void;
}

export class Pipeline {
  /** With those of the overflows. */
  bytes = 0;
  /** Of what waits for room, and is no delivery yet. */
  overflowBytes = 0;
  #isFull = false;
  readonly #deliveries = new Map<string, Delivery>();
  readonly #told: PipelineListener;

  constructor(told: PipelineListener) {
    this.#told = told;
  }

  get size(): number {
    return this.#deliveries.size;
  }

  get hasRoom(): boolean {
    if (this.#isFull && this.bytes <= pipelineLimits.roomBelowBytes) this.#isFull = false;
    return !this.#isFull;
  }

  /** Whether so many more bytes may come in, besides those that are let in already. False makes it full. */
  fits(bytes: number, besides: number): boolean {
    const isFirst = this.bytes - this.overflowBytes + besides === 0;
    const doFit = isFirst || this.bytes + besides + bytes <= pipelineLimits.maxBytes;
    if (!doFit) this.#isFull = true;
    return doFit;
  }

  all(): Iterable<Delivery> {
    return this.#deliveries.values();
  }

  find(key: string): Delivery | undefined {
    return this.#deliveries.get(key);
  }

  add(key: string, delivery: Delivery): void {
    this.#deliveries.set(key, delivery);
    this.bytes += delivery.bytes;
    delivery.message.open++;
  }

  /** The delivery is done with. True: it was the last one of its message. */
  remove(delivery: Delivery): boolean {
    const key = keyOf(delivery.job, delivery.message);
    if (this.#deliveries.get(key) === delivery) {
      this.#deliveries.delete(key);
      this.bytes -= delivery.bytes;
    }
    delivery.share?.pool.settled(delivery);
    delivery.message.open--;
    if (this.#deliveries.size === 0) this.#told.emptied();
    if (this.#isFull && this.hasRoom) this.#told.hasRoomAgain();
    return delivery.message.open === 0;
  }
}

/** What names a delivery: for a job its id and generation, for a stand-alone message its queue and id. */
export function keyOf(job: Pick<JobDelivery, "jobId" | "generation">, message: InFlightMessage): string {
  if (message.standalone !== null) return standaloneKeyOf(message);
  return jobKey(job.jobId, job.generation);
}

export function standaloneKeyOf({ queue, key }: Pick<InFlightMessage, "queue" | "key">): string {
  return `${queue.consumer.name}\n${key}`;
}

/** Job ids hold no dot, so that the short form of the first generation is no other's key. */
export function jobKey(jobId: string, generation: number): string {
  return generation === 1 ? jobId : `${jobId}.${generation}`;
}
