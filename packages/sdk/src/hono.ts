/** Receives webhooks in Hono. Nothing is needed before the route; what must not be before it is a reader of bodies. */
import { bytesOf, readRequest } from "./webhooks/received-body.ts";
import { answerWebhook, webResponse } from "./webhooks/webhook-handler.ts";
import type { HandleWebhook, WebhookHandlerOptions } from "./webhooks/webhook-handler.ts";

/** What is used of Hono's `Context`. */
export interface HonoContext {
  readonly req: {
    readonly raw: Request;
    /** What Hono keeps of a body that was read through it. */
    readonly bodyCache?: object;
  };
}

/**
 * A handler for a route of Hono. What the application throws goes to `app.onError`.
 *
 * @example
 * ```ts
 * app.post("/webhooks", honoWebhooks({ secrets }, async (webhook) => { await save(webhook.id, webhook.data()); }));
 * ```
 */
export function honoWebhooks<Context extends HonoContext>(
  options: WebhookHandlerOptions,
  handle: HandleWebhook<Context>,
): (context: Context) => Promise<Response> {
  return async (context) => {
    const { method, headers } = context.req.raw;
    const read = (maxBytes: number): Promise<Uint8Array | null> => readHono(context.req, maxBytes);
    return webResponse(await answerWebhook({ method, headers, read }, options, (webhook) => handle(webhook, context)));
  };
}

/**
 * A body that a middleware read through Hono is there still, as it came (`context.req.json()` keeps the text). One that
 * Hono keeps only in a parsed form would be given out again with other bytes: that is wrong use.
 */
async function readHono({ raw, bodyCache = {} }: HonoContext["req"], maxBytes: number): Promise<Uint8Array | null> {
  if (!raw.bodyUsed) return readRequest(raw, maxBytes);
  const kept: unknown = await (Reflect.get(bodyCache, "arrayBuffer") ?? Reflect.get(bodyCache, "text"));
  if (kept === undefined) return readRequest(raw, maxBytes);
  const bytes = bytesOf(kept);
  return bytes.length > maxBytes ? null : bytes;
}
