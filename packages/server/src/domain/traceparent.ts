import type { DeliveredEvent } from "./message.ts";

/** https://www.w3.org/TR/trace-context/ version 00, or a later one that begins the same way. */
const traceparentPattern = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?:-.{0,100})?$/;

export function isTraceparent(text: unknown): text is string {
  return typeof text === "string" && traceparentPattern.test(text);
}

/**
 * The trace an event belongs to: its CloudEvents extension of that name, sent along by a CloudEvents sender or set from
 * the header of the request that brought the event
 * (https://github.com/cloudevents/spec/blob/main/cloudevents/extensions/distributed-tracing.md).
 */
export function traceparentOf(event: Pick<DeliveredEvent, "extensions"> | null): string | null {
  const given = event?.extensions["traceparent"];
  return isTraceparent(given) ? given : null;
}
