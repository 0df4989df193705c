import { isoTime } from "@flowcatalyst/foundation";
import type { EventRecord } from "../../domain/event.ts";
import type { AppendedEvent } from "../../ports/event-log.ts";

/**
 * Events as JSON text. The data is spliced in as it is stored, never parsed and written again: it costs nothing, and
 * what is shown is what was delivered.
 */
export function eventJson(event: EventRecord): string {
  const { data, dataKind } = event;
  const head = {
    id: event.id,
    specVersion: "1.0",
    type: event.type,
    source: event.source,
    subject: event.subject,
    time: isoTime(event.timeMs),
    dataContentType: event.dataContentType,
    dataSchema: event.dataSchema,
    messageGroup: event.messageGroup,
    correlationId: event.correlationId,
    causationId: event.causationId,
    deduplicationId: event.deduplicationId,
    senderId: event.senderId,
    clientId: event.clientId,
    contextData: event.contextData,
    extensions: event.extensions,
    createdAt: isoTime(event.createdAtMs),
  };
  const text = JSON.stringify(head).slice(0, -1);
  if (data === null) return `${text},"data":null}`;
  if (dataKind === "base64") return `${text},"dataBase64":${JSON.stringify(data)}}`;
  return `${text},"data":${dataKind === "json" ? data : JSON.stringify(data)}}`;
}

/** The answer to a batch: everything of each event but its data, which the sender has. */
export function batchAnswerJson(appended: readonly AppendedEvent[]): string {
  const times = createTimeTexts();
  let duplicateCount = 0;
  const events = appended.map(({ kind, event }) => {
    const duplicate = kind === "duplicate";
    if (duplicate) duplicateCount++;
    return {
      id: event.id,
      type: event.type,
      source: event.source,
      subject: event.subject,
      time: times(event.timeMs),
      messageGroup: event.messageGroup,
      correlationId: event.correlationId,
      deduplicationId: event.deduplicationId,
      createdAt: times(event.createdAtMs),
      duplicate,
    };
  });
  return JSON.stringify({ count: events.length, duplicateCount, events });
}

/** Most times of a batch are equal: the last one is kept. */
function createTimeTexts(): (ms: number) => string {
  let lastMs = Number.NaN;
  let lastText = "";
  return (ms) => {
    if (ms !== lastMs) [lastMs, lastText] = [ms, isoTime(ms)];
    return lastText;
  };
}
