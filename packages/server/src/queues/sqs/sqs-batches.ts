import { backoffMs, CodedError, type Clock, type Random } from "@flowcatalyst/foundation";
import type { BatchResultErrorEntry } from "@aws-sdk/client-sqs";
import { sqsLimits } from "./sqs-queue-limits.ts";

/** Does `work` for each item, a few at a time; the first failure is thrown once all that had begun are over. */
export async function forEachAtOnce<Item>(
  items: readonly Item[],
  work: (item: Item) => Promise<void>,
  atOnce: number = sqsLimits.parallelCalls,
): Promise<void> {
  const left = items.values();
  let failed: { readonly error: unknown } | null = null;
  const worker = async (): Promise<void> => {
    for (const item of left) {
      try {
        await work(item);
      } catch (error) {
        failed ??= { error };
      }
      if (failed !== null) return;
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
  if (failed !== null) throw (failed as { readonly error: unknown }).error;
}

export function inTens<Item>(items: readonly Item[]): readonly (readonly Item[])[] {
  const { maxBatch } = sqsLimits;
  return Array.from({ length: Math.ceil(items.length / maxBatch) }, (_, at) =>
    items.slice(at * maxBatch, (at + 1) * maxBatch),
  );
}

const passingCodes = /Throttl|Internal|Unavailable|OverLimit|Timeout/i;

/** Whether an entry of a batch may succeed when it is sent again. */
export function mayPass({ SenderFault: ours, Code: code }: BatchResultErrorEntry): boolean {
  return ours !== true || passingCodes.test(code ?? "");
}

export interface EntryCalls<Item> {
  readonly clock: Clock;
  readonly random: Random;
  /** Sends up to ten; answers with what failed, an item's place being its `Id`. */
  send(items: readonly Item[]): Promise<readonly BatchResultErrorEntry[]>;
}

/** Sends up to ten items, those that fail in passing again; gives back what was done. */
export async function sendEntries<Item>(items: readonly Item[], calls: EntryCalls<Item>): Promise<readonly Item[]> {
  const refused = new Set<Item>();
  let left = items;
  for (let tried = 1; left.length > 0; tried++) {
    const failures = await calls.send(left);
    const again: Item[] = [];
    for (const failure of failures) {
      const item = left[Number(failure.Id)];
      if (item === undefined) continue;
      if (mayPass(failure)) again.push(item);
      else refused.add(item);
    }
    if (again.length > 0 && tried === sqsLimits.entryTries) {
      const message = `SQS did not do ${again.length} of ${items.length} things of a batch: ${failures[0]?.Code}`;
      throw new CodedError("QUEUE_UNAVAILABLE", { message });
    }
    left = again;
    if (again.length > 0) await calls.clock.sleep(backoffMs(sqsLimits.entryRetry, tried, calls.random));
  }
  return items.filter((item) => !refused.has(item));
}
