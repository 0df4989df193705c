import type { MessageId, PoolCode } from "./ids.ts";
import type { QueueMessage } from "./message.ts";

/** One thing wrong with a message. `path` is a JSON path such as `headers.x-a`; empty means the whole body. */
export interface MessageFault {
  readonly path: string;
  readonly message: string;
}

export function faultOf(path: string, message: string): MessageFault {
  return { path, message };
}

/** What reading a text from a queue comes to. A malformed one keeps what could be told of it. */
export type DecodedMessage =
  | { readonly kind: "message"; readonly message: QueueMessage }
  | {
      readonly kind: "malformed";
      readonly code: "MESSAGE_INVALID" | "MEDIATION_TYPE_UNSUPPORTED";
      readonly id: MessageId | null;
      readonly lane: PoolCode | null;
      readonly faults: readonly MessageFault[];
    };

const nameMaxChars = 255;

/** What a message that cannot be read gives as its id or lane, cut to what any dead-letter place can take. */
export function nameToldOf(value: unknown): string | null {
  return typeof value === "string" && value.length > 0 ? value.slice(0, nameMaxChars) : null;
}

/** A value as a fault shows it. */
export function briefly(value: unknown): string {
  return typeof value === "object" && value !== null ? "an object" : (JSON.stringify(value) ?? "nothing");
}

/** Whether objects and arrays lie in one another more than `maxDepth` times. Looks no deeper than that. */
export function nestedDeeper(value: unknown, maxDepth: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  return maxDepth === 0 || Object.values(value).some((inner) => nestedDeeper(inner, maxDepth - 1));
}
