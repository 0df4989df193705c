/**
 * The built-in webhook receiver of the development server: a target that is always there.
 *
 * Purpose: somebody who tries the product, or writes a test against it, needs a receiver before having one. Each name
 * under `/dev/receiver/` is a receiver of its own: it verifies the signature of what comes in, remembers the last
 * requests, and behaves as it was told.
 *
 * Entities: a receiver (name, behaviour, requests). A behaviour applies to the next `times` requests, or until changed;
 * then the receiver answers 200 again.
 *
 * States of a behaviour: `ok` answers 200; `fail` answers `status` (500); `hang` never answers; `delay` answers 200
 * after `delayMs`; `notYet` answers 200 with `ack: false`; `gone` answers 410; `rateLimited` answers 429 with
 * Retry-After.
 *
 * `GET …/requests?waitMs=` answers as soon as there is something to show, so that a script need not guess how long a
 * delivery takes.
 *
 * Guarantees: bounded. At most 100 receivers (the one used longest ago is forgotten), 500 requests each, 64 KiB of a
 * body kept, 16 MiB of all; a body of more than 1 MiB is refused; a request that hangs is let go when the sender
 * closes, after five minutes, or when the process stops. Nothing is stored: a restart forgets.
 *
 * Failures: a request whose signature does not verify is answered 401 and remembered as such, because that is what a
 * careful receiver does, and it makes a wrong secret visible at once. Unsigned requests are accepted and marked
 * `unsigned`.
 */
import { Hono } from "hono";
import { CodedError, type Clock } from "@flowcatalyst/foundation";
import { behave, behaviourSchema, ok, statusOf, type Behaviour } from "./behaviour.ts";
import type { SignatureState } from "./received-signature.ts";
import { ReceiverBook } from "./receiver-book.ts";
import { receiverLimits } from "./receiver-limits.ts";

export interface ReceiverDeps {
  readonly clock: Clock;
  /** Verifies both signature schemes against the secrets valid now. */
  readonly verify: (headers: Headers, body: Uint8Array) => Promise<SignatureState>;
  /** Aborts when the process begins to stop. */
  readonly stopping: AbortSignal;
}

const defaultListedItems = 50;

export function createWebhookReceiver(deps: ReceiverDeps): Hono {
  const book = new ReceiverBook(deps.clock);
  const app = new Hono();
  mountViews(app, book);
  mountSettings(app, book);
  app.post("/:name", async (c) => {
    const body = await bodyOf(c.req.raw);
    const signature = await deps.verify(c.req.raw.headers, body);
    const receiver = book.of(c.req.param("name"));
    const behaviour = signature === "invalid" ? ok : book.takeBehaviour(receiver);
    receiver.count += 1;
    book.keep(receiver, {
      number: receiver.count,
      at: new Date(deps.clock.now()).toISOString(),
      signature,
      answered: signature === "invalid" ? 401 : statusOf(behaviour),
      headers: Object.fromEntries(c.req.raw.headers),
      body: new TextDecoder().decode(body.subarray(0, receiverLimits.bodyKeptMaxBytes)),
    });
    if (signature === "invalid") return c.json({ error: "the signature does not verify" }, 401);
    return behave(behaviour, {
      clock: deps.clock,
      signal: () => AbortSignal.any([c.req.raw.signal, deps.stopping]),
    });
  });
  return app;
}

function mountViews(app: Hono, book: ReceiverBook): void {
  app.get("/", (c) => c.json({ receivers: book.names().map((name) => summary(book, name)) }));
  app.get("/:name", (c) => c.json(summary(book, c.req.param("name"))));
  app.get("/:name/requests", async (c) => {
    const name = c.req.param("name");
    const waitMs = within(c.req.query("waitMs"), { least: 0, most: receiverLimits.waitMaxMs, usual: 0 });
    await book.arrived(name, waitMs, c.req.raw.signal);
    const most = receiverLimits.maxRequestsPerReceiver;
    const limit = within(c.req.query("limit"), { least: 1, most, usual: defaultListedItems });
    const receiver = book.find(name);
    const items = receiver?.requests.slice(-limit).toReversed() ?? [];
    return c.json({ items, total: receiver?.count ?? 0 });
  });
}

/** What changes a receiver: forgetting what came, and how it behaves. */
function mountSettings(app: Hono, book: ReceiverBook): void {
  app.delete("/:name/requests", (c) => {
    book.clear(c.req.param("name"));
    return c.body(null, 204);
  });
  app.put("/:name/behaviour", async (c) => {
    const parsed = behaviourSchema.safeParse(jsonOf(await bodyOf(c.req.raw)));
    if (!parsed.success) {
      const errors = parsed.error.issues.map((issue) => ({ path: issue.path.join("."), message: issue.message }));
      throw new CodedError("VALIDATION_FAILED", { message: "the behaviour is not one of the known ones", errors });
    }
    const receiver = book.of(c.req.param("name"));
    receiver.behaviour = parsed.data;
    receiver.timesLeft = parsed.data.times ?? Infinity;
    return c.json(parsed.data);
  });
}

/** The whole body as it came. Throws PAYLOAD_TOO_LARGE; what is behind the limit is not read. */
async function bodyOf(request: Request): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  const stream: ReadableStream<Uint8Array> | null = request.body;
  for await (const piece of stream ?? []) {
    bytes += piece.byteLength;
    if (bytes > receiverLimits.bodyMaxBytes) {
      throw new CodedError("PAYLOAD_TOO_LARGE", { message: "A receiver takes bodies of at most 1 MiB." });
    }
    pieces.push(piece);
  }
  return pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces);
}

function jsonOf(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(body));
  } catch {
    return null;
  }
}

/** A number of the query within its bounds; the usual one when there is none. */
function within(text: string | undefined, bounds: { least: number; most: number; usual: number }): number {
  const asked = Number(text ?? bounds.usual);
  return Math.min(bounds.most, Math.max(bounds.least, Number.isNaN(asked) ? bounds.usual : asked));
}

function summary(
  book: ReceiverBook,
  name: string,
): { readonly name: string; readonly behaviour: Behaviour; readonly received: number } {
  const receiver = book.find(name);
  const isSpent = receiver === undefined || receiver.timesLeft <= 0;
  return { name, behaviour: isSpent ? ok : receiver.behaviour, received: receiver?.count ?? 0 };
}
