import type { EventRecord } from "../../domain/event.ts";
import type { TaggedFault } from "../../http/validation.ts";

/** An event that was read and found valid, before it has an id. */
export type EventDraft = Omit<EventRecord, "position" | "id" | "createdAtMs">;

/** What reading one event gave. Faults carry paths from the body's root. */
export type DraftResult =
  | { readonly kind: "draft"; readonly draft: EventDraft }
  | { readonly kind: "invalid"; readonly faults: readonly TaggedFault[] }
  /** The data is larger than an event may carry. */
  | { readonly kind: "tooLarge"; readonly path: string; readonly bytes: number };

/** What reading needs to know besides the body. */
export interface ReadingContext {
  readonly nowMs: number;
  readonly dataMaxBytes: number;
}

/** True when the media type says that the data is JSON. */
export function isJsonType(contentType: string): boolean {
  if (contentType === defaultDataContentType) return true;
  const mediaType = (contentType.split(";", 1)[0] ?? "").trim().toLowerCase();
  return mediaType.endsWith("/json") || mediaType.endsWith("+json");
}

export const defaultDataContentType = "application/json";

/** Bytes of UTF-8; a text short enough to be under any limit is not measured. */
export function exceeds(text: string, maxBytes: number): boolean {
  return text.length * 3 > maxBytes && Buffer.byteLength(text) > maxBytes;
}
