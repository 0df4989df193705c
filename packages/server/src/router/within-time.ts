import { CodedError, type Clock } from "@flowcatalyst/foundation";

/**
 * Asks, and waits for the answer no longer than `maxMs`, whether or not the one who is asked minds the signal that then
 * aborts. Throws STORE_UNAVAILABLE when there was none; an answer that comes later is dropped.
 */
export async function withinTime<T>(clock: Clock, maxMs: number, ask: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const late = new AbortController();
  const { promise: timeIsOver, reject } = Promise.withResolvers<never>();
  const cancel = clock.setTimer(maxMs, () => {
    reject(new CodedError("STORE_UNAVAILABLE", { message: `no answer within ${maxMs} ms` }));
    late.abort();
  });
  try {
    return await Promise.race([timeIsOver, ask(late.signal)]);
  } finally {
    cancel();
  }
}
