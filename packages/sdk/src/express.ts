/**
 * Receives webhooks in Express (and in whatever else calls `(request, response, next)` with what Node makes).
 *
 * The body must come here unparsed: put the route before `app.use(express.json())`, or give that route
 * `express.raw({ type: "*\/*" })`. A body that was parsed is wrong use: `next` gets a TypeError that says so, Express
 * answers 500, and the delivery comes again.
 */
import { bytesOf, readIterable } from "./webhooks/received-body.ts";
import {
  answerWebhook,
  type HandleWebhook,
  type PlainAnswer,
  type WebhookHandlerOptions,
} from "./webhooks/webhook-handler.ts";

/** What is used of the request of Express, or of Node. */
export interface ExpressRequest extends AsyncIterable<unknown> {
  readonly method?: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** What a parser made of the body. */
  readonly body?: unknown;
  /** The bytes, where a platform or a `verify` of a parser keeps them. */
  readonly rawBody?: unknown;
  readonly readableDidRead?: boolean;
}

/** What is used of the response of Express, or of Node. */
export interface ExpressResponse {
  statusCode: number;
  setHeader(name: string, value: string): unknown;
  end(body?: string): unknown;
}

/**
 * A handler for a route of Express. What the application throws goes to `next`.
 *
 * @example
 * ```ts
 * app.post("/webhooks", expressWebhooks({ secrets }, async (webhook) => { await save(webhook.id, webhook.data()); }));
 * app.use(express.json()); // after it
 * ```
 */
export function expressWebhooks<Request extends ExpressRequest>(
  options: WebhookHandlerOptions,
  handle: HandleWebhook<Request>,
): (request: Request, response: ExpressResponse, next: (error?: unknown) => void) => void {
  return (request, response, next) => {
    void receive(request, response, next);
  };

  async function receive(request: Request, response: ExpressResponse, next: (error?: unknown) => void): Promise<void> {
    try {
      const { method = "GET", headers } = request;
      const read = (maxBytes: number): Promise<Uint8Array | null> => readExpress(request, maxBytes);
      send(response, await answerWebhook({ method, headers, read }, options, (webhook) => handle(webhook, request)));
    } catch (error) {
      next(error);
    }
  }
}

function send(response: ExpressResponse, { status, headers, body }: PlainAnswer): void {
  response.statusCode = status;
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  // What was not read of a body that is too large would be taken for the next request.
  if (status === 413) response.setHeader("connection", "close");
  response.end(body ?? undefined);
}

async function readExpress(request: ExpressRequest, maxBytes: number): Promise<Uint8Array | null> {
  const kept = request.rawBody ?? (request.readableDidRead === true ? (request.body ?? {}) : undefined);
  if (kept === undefined) return readIterable(request, maxBytes);
  const bytes = bytesOf(kept);
  return bytes.length > maxBytes ? null : bytes;
}
