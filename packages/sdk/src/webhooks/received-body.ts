/** Reads bodies as they came, up to a limit. Frameworks that have read them first are where webhooks go wrong. */

/** Null: larger than the limit. */
export type ReceivedBody = Uint8Array | null;

/** A `Request`, or what looks like one. */
export interface ReadableRequest {
  readonly headers: Headers;
  readonly body: ReadableStream<Uint8Array> | null;
  readonly bodyUsed: boolean;
  arrayBuffer(): Promise<ArrayBuffer>;
}

const parsedAdvice =
  "The signature is of the bytes as they came; JSON that was parsed and printed again has others. " +
  "Verify before anything reads the body: docs/guides/verifying-webhooks.md says how in each framework.";

/** Bytes of a body that is there already. Throws TypeError, with what to do, for one that was parsed. */
export function bytesOf(body: unknown): Uint8Array {
  if (typeof body === "string") return new TextEncoder().encode(body);
  if (body instanceof Uint8Array) return body;
  if (body instanceof ArrayBuffer) return new Uint8Array(body);
  const what = body === null || body === undefined ? "is missing" : "was parsed before its signature was verified";
  throw new TypeError(`the body of the webhook ${what}. ${parsedAdvice}`);
}

export async function readRequest(request: ReadableRequest, maxBytes: number): Promise<ReceivedBody> {
  if (request.bodyUsed) throw new TypeError(`the body of the webhook was read before. ${parsedAdvice}`);
  const declared = request.headers.get("content-length");
  if (declared !== null && Number(declared) > maxBytes) return null;
  if (declared !== null) {
    // A server holds a sender to its content-length; a request made by a program may be longer all the same.
    const whole = new Uint8Array(await request.arrayBuffer());
    return whole.length > maxBytes ? null : whole;
  }
  if (request.body === null) return new Uint8Array();
  const reader = request.body.getReader();
  const read = await gathered(() => reader.read(), maxBytes);
  if (read === null) await reader.cancel();
  return read;
}

/** Of a stream of Node. It is left as it is when it is too long: to end it would end the connection, answer and all. */
export function readIterable(stream: AsyncIterable<unknown>, maxBytes: number): Promise<ReceivedBody> {
  const iterator = stream[Symbol.asyncIterator]();
  return gathered(() => iterator.next(), maxBytes);
}

async function gathered(
  next: () => Promise<{ readonly done?: boolean; readonly value?: unknown }>,
  maxBytes: number,
): Promise<ReceivedBody> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (let part = await next(); part.done !== true; part = await next()) {
    const chunk = bytesOf(part.value);
    length += chunk.length;
    if (length > maxBytes) return null;
    chunks.push(chunk);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}
