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
