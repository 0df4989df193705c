/**
 * Receives webhooks in Fastify, as a plugin: inside of it bodies stay bytes, whatever parsers the application has, and
 * outside of it nothing changes.
 */
import { bytesOf } from "./webhooks/received-body.ts";
import {
  answerWebhook,
  type HandleWebhook,
  type PlainAnswer,
  type WebhookHandlerOptions,
} from "./webhooks/webhook-handler.ts";
import { bodyLimitOf } from "./webhooks/verify-webhook.ts";

/** What is used of the request of Fastify. */
export interface FastifyWebhookRequest {
  readonly method: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body?: unknown;
}

/** What is used of the reply of Fastify. */
export interface FastifyWebhookReply {
  code(status: number): unknown;
  header(name: string, value: string): unknown;
  send(body?: string): unknown;
}

/** What is used of an instance of Fastify. */
export interface FastifyWebhookScope {
  removeAllContentTypeParsers(): void;
  addContentTypeParser(
    contentType: string,
    options: { readonly parseAs: "buffer"; readonly bodyLimit: number },
    parser: (request: unknown, body: Uint8Array, done: (error: null, body: Uint8Array) => void) => void,
  ): unknown;
  post(
    path: string,
    handler: (request: FastifyWebhookRequest, reply: FastifyWebhookReply) => Promise<unknown>,
  ): unknown;
}

/** How webhooks are received, and where. */
export interface FastifyWebhookOptions extends WebhookHandlerOptions {
  /** The path of the route; `/` if absent, which a `prefix` goes before. */
  readonly path?: string;
}

/**
 * A plugin with one route. What the application throws goes to Fastify's error handler.
 *
 * @example
 * ```ts
 * app.register(fastifyWebhooks({ path: "/webhooks", secrets }, async (webhook) => { await save(webhook.data()); }));
 * ```
 */
export function fastifyWebhooks(
  { path = "/", ...options }: FastifyWebhookOptions,
  handle: HandleWebhook<FastifyWebhookRequest>,
): (scope: FastifyWebhookScope) => Promise<void> {
  return async (scope) => {
    const bodyLimit = bodyLimitOf(options);
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser("*", { parseAs: "buffer", bodyLimit }, (_request, body, done) => done(null, body));
    scope.post(path, async (request, reply) => {
      const { method, headers } = request;
      const read = async (): Promise<Uint8Array> => bytesOf(request.body ?? "");
      const answer = await answerWebhook({ method, headers, read }, options, (webhook) => handle(webhook, request));
      return send(reply, answer);
    });
  };
}

function send(reply: FastifyWebhookReply, { status, headers, body }: PlainAnswer): FastifyWebhookReply {
  reply.code(status);
  for (const [name, value] of Object.entries(headers)) reply.header(name, value);
  reply.send(body ?? undefined);
  return reply;
}
