/**
 * Receives webhooks: verifies, calls the application, and answers what the platform understands.
 *
 * | the application | answer | what the platform does |
 * |---|---|---|
 * | returns nothing | 204 | delivered |
 * | returns `{ ack: false, delaySeconds }` | 200 with it | comes again then, which burns no attempt |
 * | returns `{ status, retryAfterSeconds }` | that | see "What to answer" in docs/guides/receiving-webhooks.md |
 * | throws | the framework's answer to an error, 500 as a rule | tries again by the retry policy |
 *
 * What does not verify is answered 401 (413 if too large), which fails the delivery for good: with a wrong secret the
 * next attempt would be no better, and the operator sees it at once.
 */
import { readRequest, type ReadableRequest } from "./received-body.ts";
import { bodyLimitOf, verifyRead, webHeaders } from "./verify-webhook.ts";
import type { ReceivedHeaders, Refusal, SecretSource, VerifyOptions } from "./verify-webhook.ts";
import type { Webhook } from "./webhook.ts";

/** Not yet: the delivery comes again after `delaySeconds` (1 to 43,200; 30 if absent) and burns no attempt. */
export interface NotYet {
  readonly ack: false;
  readonly delaySeconds?: number;
}

/** A status of the application's own. */
export interface OwnStatus {
  readonly status: number;
  readonly retryAfterSeconds?: number;
}

/** What the application says of a webhook; nothing at all: it is delivered. */
export type WebhookAnswer = NotYet | OwnStatus | undefined;

/** What the application's part returns. */
export type HandlerResult = WebhookAnswer | void | Promise<WebhookAnswer | void>;

/** The application's part. `context` is what the framework gives its handlers. */
export type HandleWebhook<Context> = (webhook: Webhook, context: Context) => HandlerResult;

/** How webhooks are received. */
export interface WebhookHandlerOptions extends Omit<VerifyOptions, "nowMs"> {
  readonly secrets: SecretSource;
  /** The time, in Unix milliseconds; the machine's clock if absent. */
  readonly now?: () => number;
  /** Told of each request that was not believed, e.g. to log it. */
  readonly onRefused?: (refusal: Refusal) => void;
}

/** An answer, for frameworks to send in their own way. */
export interface PlainAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
}

/** A request, for `answerWebhook`: `read` gives the body as it came, or null when it is larger than the limit. */
export interface PlainRequest {
  readonly method: string;
  readonly headers: ReceivedHeaders;
  readonly read: (maxBytes: number) => Promise<Uint8Array | null>;
}

/**
 * A handler for whatever calls `(request: Request) => Response`: `Bun.serve`, `Deno.serve`, edge platforms, and routes
 * of frameworks that speak web APIs.
 *
 * @example
 * ```ts
 * Bun.serve({ fetch: webhookHandler({ secrets }, async (webhook) => { await save(webhook.id, webhook.data()); }) });
 * ```
 */
export function webhookHandler(
  options: WebhookHandlerOptions,
  handle: HandleWebhook<ReadableRequest>,
): (request: Request) => Promise<Response> {
  return async (request) => {
    const { method, headers } = request;
    const read = (maxBytes: number): Promise<Uint8Array | null> => readRequest(request, maxBytes);
    const answer = await answerWebhook({ method, headers, read }, options, (webhook) => handle(webhook, request));
    return webResponse(answer);
  };
}

/** For adapters of other frameworks: the answer to a request. Throws what the application throws, and wrong use. */
export async function answerWebhook(
  request: PlainRequest,
  options: WebhookHandlerOptions,
  handle: (webhook: Webhook) => HandlerResult,
): Promise<PlainAnswer> {
  const { secrets, now, onRefused, ...rest } = options;
  if (request.method !== "POST") return { status: 405, headers: { allow: "POST" }, body: null };
  const body = await request.read(bodyLimitOf(options));
  const nowMs = now?.() ?? Date.now();
  const verification = await verifyRead({ headers: webHeaders(request.headers), body }, secrets, { ...rest, nowMs });
  switch (verification.kind) {
    case "refused": {
      onRefused?.(verification);
      const { reason, message } = verification;
      return jsonAnswer(reason === "TOO_LARGE" ? 413 : 401, { reason, message });
    }
    case "verified":
      return plainAnswer(await handle(verification.webhook));
  }
}

/** A `PlainAnswer` as web APIs have it. */
export function webResponse({ status, headers, body }: PlainAnswer): Response {
  return new Response(body, { status, headers });
}

function plainAnswer(answer: WebhookAnswer | void): PlainAnswer {
  if (answer === undefined) return { status: 204, headers: {}, body: null };
  if ("ack" in answer) return jsonAnswer(200, answer);
  const { status, retryAfterSeconds } = answer;
  const headers: Record<string, string> = {};
  if (retryAfterSeconds !== undefined) headers["retry-after"] = String(retryAfterSeconds);
  return { status, headers, body: null };
}

function jsonAnswer(status: number, body: object): PlainAnswer {
  return { status, headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
}
