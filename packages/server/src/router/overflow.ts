import type { PoolCode } from "../domain/ids.ts";
import type { ReceivedMessage } from "../ports/queue.ts";
import { sizeOf } from "./message-shape.ts";
import type { Pipeline } from "./pipeline.ts";

/**
 * What was received and waits for room, by the lane it came through, in the order it came. It counts among the bytes of
 * the pipeline. How much there can be follows from its use: nothing is received from a lane that has some of it, and
 * beyond the limit of the pipeline only what its queue cannot keep away is kept here.
 */
export class Overflow<Item extends { readonly received: ReceivedMessage }> {
  readonly #byLane = new Map<PoolCode, Item[]>();
  readonly #pipeline: Pick<Pipeline, "bytes" | "overflowBytes">;

  constructor(pipeline: Pick<Pipeline, "bytes" | "overflowBytes">) {
    this.#pipeline = pipeline;
  }

  has(lane: PoolCode): boolean {
    return this.#byLane.has(lane);
  }

  keep(lane: PoolCode, items: readonly Item[]): void {
    if (items.length === 0) return;
    const known = this.#byLane.get(lane);
    if (known === undefined) this.#byLane.set(lane, [...items]);
    else known.push(...items);
    this.#count(bytesOfAll(items));
  }

  take(lane: PoolCode): readonly Item[] {
    const items = this.#byLane.get(lane);
    if (items === undefined) return [];
    this.#byLane.delete(lane);
    this.#count(-bytesOfAll(items));
    return items;
  }

  *takeAll(): Generator<Item> {
    for (const lane of this.#byLane.keys()) yield* this.take(lane);
  }

  #count(bytes: number): void {
    this.#pipeline.bytes += bytes;
    this.#pipeline.overflowBytes += bytes;
  }
}

function bytesOfAll(items: readonly { readonly received: ReceivedMessage }[]): number {
  return items.reduce((sum, { received }) => sum + sizeOf(received.message).bytes, 0);
}
