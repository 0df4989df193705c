// Generated from the OpenAPI documents by `npm run generate` (scripts/generators/sdk-sources.ts).
import { type CallOptions, type Send } from "../operation.ts";

export type RouterPublish =
  | StandaloneMessage
  | readonly StandaloneMessage[]
  | {
      readonly messages: readonly StandaloneMessage[];
    };

export interface RouterPublishAnswer {
  readonly count: number;
  /** By position. */
  readonly results: readonly RouterPublishResult[];
}

export interface RouterPublishResult {
  readonly id: string;
  readonly status: "PUBLISHED" | "DUPLICATE" | "INVALID" | "REFUSED";
  readonly code?: string;
  readonly error?: string;
}

export interface StandaloneMessage {
  readonly id: string;
  /** DEFAULT-POOL if absent. */
  readonly poolCode?: string | null;
  /** HTTP, also if absent; others are refused with MEDIATION_TYPE_UNSUPPORTED. */
  readonly mediationType?: string | null;
  readonly target: string;
  readonly payload: unknown;
  readonly headers?: Readonly<Record<string, string>> | null;
  readonly messageGroupId?: string | null;
  readonly deduplicationId?: string | null;
  readonly highPriority?: boolean | null;
  readonly secretRef?: string | null;
  readonly traceparent?: string | null;
}

/** Operations on `messages`, one method each. */
export interface MessagesApi {
  /** Put one or many stand-alone messages on the queue. `POST /api/router/publish` */
  publish(body: RouterPublish, options?: CallOptions): Promise<RouterPublishAnswer>;
}

/** Makes them of something that sends. */
export function messagesApi(send: Send): MessagesApi {
  const api: MessagesApi = {
    publish: (body, options) => send({ method: "POST", path: "/api/router/publish", body, options }),
  };
  return api;
}
