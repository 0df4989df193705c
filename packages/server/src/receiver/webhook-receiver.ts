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
 * body kept; a request that hangs is let go when the sender closes, after five minutes, or when the process stops.
 * Nothing is stored: a restart forgets.
 *
 * Failures: a request whose signature does not verify is answered 401 and remembered as such, because that is what a
 * careful receiver does, and it makes a wrong secret visible at once. Unsigned requests are accepted and marked
 * `unsigned`.
 */
import { Hono } from "hono";
import { z } from "zod";
import { CodedError, deferred, type Clock } from "@flowcatalyst/foundation";
import type { SignatureState } from "./received-signature.ts";

export const receiverLimits = {
  maxReceivers: 100,
  maxRequestsPerReceiver: 500,
  bodyKeptMaxChars: 65_536,
  bodyMaxBytes: 1_048_576,
  hangMaxMs: 300_000,
  delayMaxMs: 300_000,
  waitMaxMs: 60_000,
} as const;

export interface ReceivedRequest {
  readonly number: number;
  readonly at: string;
  readonly signature: SignatureState;
  readonly answered: number | "hung";
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface ReceiverDeps {
  readonly clock: Clock;
  /** Verifies both signature schemes against the secrets valid now. */
  readonly verify: (headers: Headers, body: string) => Promise<SignatureState>;
  /** Aborts when the process begins to stop. */
  readonly stopping: AbortSignal;
}

const behaviourSchema = z.strictObject({
  mode: z.enum(["ok", "fail", "hang", "delay", "notYet", "gone", "rateLimited"]),
  /** `fail`: what to answer. */
  status: z.int().min(400).max(599).optional(),
  /** `delay`: how long. */
  delayMs: z.int().min(0).max(receiverLimits.delayMaxMs).optional(),
  /** `notYet` and `rateLimited`: when to come again. */
  retryAfterSeconds: z.int().min(1).max(43_200).optional(),
  /** How many requests it applies to; all, if absent. */
  times: z.int().min(1).max(1_000_000).optional(),
});

type Behaviour = z.infer<typeof behaviourSchema>;

interface Receiver {
  behaviour: Behaviour;
  timesLeft: number;
  count: number;
  requests: ReceivedRequest[];
}

const plain: Behaviour = { mode: "ok" };

export function createWebhookReceiver(deps: ReceiverDeps): Hono {
  const receivers = new Map<string, Receiver>();
  const app = new Hono();
  let somethingCame = deferred();
  /** Resolves when the receiver has got something, or the time is over. */
  const arrived = async (name: string, waitMs: number, signal: AbortSignal): Promise<void> => {
    const untilMs = deps.clock.monotonicMs() + waitMs;
    while ((receivers.get(name)?.count ?? 0) === 0 && !signal.aborted) {
      const leftMs = untilMs - deps.clock.monotonicMs();
      if (leftMs <= 0) return;
      const over = new AbortController();
      await Promise.race([somethingCame.promise, deps.clock.sleep(leftMs, AbortSignal.any([signal, over.signal]))]);
      over.abort();
    }
  };

  app.get("/", (c) =>
    c.json({ receivers: [...receivers.keys()].map((name) => ({ name, ...summary(receivers, name) })) }),
  );
  app.get("/:name", (c) => c.json({ name: c.req.param("name"), ...summary(receivers, c.req.param("name")) }));
  app.get("/:name/requests", async (c) => {
    const waitMs = Math.min(receiverLimits.waitMaxMs, Math.max(0, Number(c.req.query("waitMs") ?? 0) || 0));
    await arrived(c.req.param("name"), waitMs, c.req.raw.signal);
    const receiver = receivers.get(c.req.param("name"));
    const limit = Math.min(
      receiverLimits.maxRequestsPerReceiver,
      Math.max(1, Number(c.req.query("limit") ?? 50) || 50),
    );
    const items = receiver === undefined ? [] : receiver.requests.slice(-limit).toReversed();
    return c.json({ items, total: receiver?.count ?? 0 });
  });
  mountSettings(app, receivers);
  app.post("/:name", async (c) => {
    const name = c.req.param("name");
    const receiver = receiverOf(receivers, name);
    const body = await c.req.text();
    const signature = await deps.verify(c.req.raw.headers, body);
    const behaviour = signature === "invalid" ? plain : takeBehaviour(receiver);
    const answered = signature === "invalid" ? 401 : statusOf(behaviour);
    receiver.count += 1;
    const request: ReceivedRequest = {
      number: receiver.count,
      at: new Date(deps.clock.now()).toISOString(),
      signature,
      answered,
      headers: Object.fromEntries(c.req.raw.headers),
      body: body.slice(0, receiverLimits.bodyKeptMaxChars),
    };
    receiver.requests.push(request);
    if (receiver.requests.length > receiverLimits.maxRequestsPerReceiver) receiver.requests.shift();
    somethingCame.resolve();
    somethingCame = deferred();
    if (signature === "invalid") return c.json({ error: "the signature does not verify" }, 401);
    return behave(behaviour, {
      clock: deps.clock,
      signal: () => AbortSignal.any([c.req.raw.signal, deps.stopping]),
    });
  });
  return app;
}

/** What changes a receiver: forgetting what came, and how it behaves. */
function mountSettings(app: Hono, receivers: Map<string, Receiver>): void {
  app.delete("/:name/requests", (c) => {
    const receiver = receivers.get(c.req.param("name"));
    // How it behaves stays: it was told so, and nobody said otherwise.
    if (receiver !== undefined) Object.assign(receiver, { count: 0, requests: [] });
    return c.body(null, 204);
  });
  app.put("/:name/behaviour", async (c) => {
    const parsed = behaviourSchema.safeParse(await c.req.json().catch(() => null));
    if (!parsed.success) {
      const errors = parsed.error.issues.map((issue) => ({ path: issue.path.join("."), message: issue.message }));
      throw new CodedError("VALIDATION_FAILED", { message: "the behaviour is not one of the known ones", errors });
    }
    const receiver = receiverOf(receivers, c.req.param("name"));
    receiver.behaviour = parsed.data;
    receiver.timesLeft = parsed.data.times ?? Infinity;
    return c.json(parsed.data);
  });
}

async function behave(behaviour: Behaviour, context: { clock: Clock; signal: () => AbortSignal }): Promise<Response> {
  const retryAfter = behaviour.retryAfterSeconds;
  switch (behaviour.mode) {
    case "ok":
      return Response.json({ ack: true });
    case "fail":
      return Response.json({ error: "told to fail" }, { status: behaviour.status ?? 500 });
    case "hang":
      await context.clock.sleep(receiverLimits.hangMaxMs, context.signal()).catch(() => undefined);
      return new Response(null, { status: 504 });
    case "delay":
      await context.clock.sleep(behaviour.delayMs ?? 1_000, context.signal()).catch(() => undefined);
      return Response.json({ ack: true });
    case "notYet":
      return Response.json({ ack: false, ...(retryAfter === undefined ? {} : { delaySeconds: retryAfter }) });
    case "gone":
      return Response.json({ error: "told to be gone" }, { status: 410 });
    case "rateLimited":
      return Response.json(
        { error: "told to limit the rate" },
        { status: 429, headers: retryAfter === undefined ? {} : { "retry-after": String(retryAfter) } },
      );
  }
}

function statusOf(behaviour: Behaviour): number | "hung" {
  switch (behaviour.mode) {
    case "ok":
    case "delay":
    case "notYet":
      return 200;
    case "fail":
      return behaviour.status ?? 500;
    case "hang":
      return "hung";
    case "gone":
      return 410;
    case "rateLimited":
      return 429;
  }
}

function takeBehaviour(receiver: Receiver): Behaviour {
  if (receiver.timesLeft <= 0) return plain;
  receiver.timesLeft -= 1;
  return receiver.behaviour;
}

function receiverOf(receivers: Map<string, Receiver>, name: string): Receiver {
  const known = receivers.get(name);
  const receiver = known ?? { behaviour: plain, timesLeft: Infinity, count: 0, requests: [] };
  // Re-inserted at the end: the first key is the one used longest ago.
  receivers.delete(name);
  receivers.set(name, receiver);
  if (receivers.size > receiverLimits.maxReceivers) {
    const oldest = receivers.keys().next().value;
    if (oldest !== undefined) receivers.delete(oldest);
  }
  return receiver;
}

function summary(receivers: Map<string, Receiver>, name: string): { behaviour: Behaviour; received: number } {
  const receiver = receivers.get(name);
  const isSpent = receiver === undefined || receiver.timesLeft <= 0;
  return { behaviour: isSpent ? plain : receiver.behaviour, received: receiver?.count ?? 0 };
}
