/**
 * A platform in memory, for tests of applications: give its `fetch` to `createClient`, publish, and look at `events`;
 * or let it deliver to the application's own receiver, signed.
 *
 * It takes events (single, batch, CloudEvents), knows repeats by their deduplication id within a client, and delivers
 * each event once, in order, while the request that published it waits. What it is not: it validates little, tries
 * nothing again, filters nothing and knows no other resources; `respond` stands in for those. For everything else run
 * `flowcatalyst dev`.
 */
import { webhookMatches } from "./pattern.ts";
import { generateWebhookSecret, signedRequest } from "./signed-webhook.ts";

/** An event that was accepted. */
export interface FakeEvent {
  readonly id: string;
  readonly type: string;
  readonly source: string;
  readonly subject: string | null;
  readonly time: string;
  readonly data: unknown;
  readonly messageGroup: string | null;
  readonly correlationId: string | null;
  readonly deduplicationId: string | null;
  readonly clientId: string | null;
  readonly createdAt: string;
}

/** A delivery, and what the receiver answered. */
export interface FakeDelivery {
  readonly webhookId: string;
  readonly event: FakeEvent;
  readonly status: number;
}

/** Who gets which events. */
export interface FakeSubscription {
  /** Patterns as in a subscription: `order.*`, `shop:**`. */
  readonly eventTypes: readonly string[];
  /** The application's receiver: a handler, or `(request) => fetch(url, request)`. */
  readonly receiver: (request: Request) => Response | Promise<Response>;
  /** A new one if absent; `subscribe` answers it. */
  readonly secret?: string;
  readonly id?: string;
}

/** Answers a request in place of the platform; null: this one is not for me. */
export type FakeResponder = (request: Request) => Response | null | Promise<Response | null>;

/** A platform in memory. */
export interface FakePlatform {
  /** For `createClient({ baseUrl: "http://platform.test", fetch: platform.fetch })`. */
  readonly fetch: typeof globalThis.fetch;
  readonly events: readonly FakeEvent[];
  readonly deliveries: readonly FakeDelivery[];
  subscribe(subscription: FakeSubscription): { readonly secret: string };
  /** Delivers once more, with the same `webhook-id`. */
  redeliver(webhookId: string): Promise<FakeDelivery>;
  /** Fails the next requests, one call each: tries what the application does about it. */
  failNext(failure: { readonly status: number; readonly code?: string; readonly retryAfterSeconds?: number }): void;
  /** Answers requests of other resources. */
  respond(responder: FakeResponder): void;
}

type Subscription = Required<FakeSubscription>;
type Members = Readonly<Record<string, unknown>>;

interface Delivered extends FakeDelivery {
  readonly subscription: Subscription;
}

interface State {
  readonly events: FakeEvent[];
  readonly deliveries: Delivered[];
  readonly subscriptions: Subscription[];
  readonly byDeduplicationId: Map<string, FakeEvent>;
}

/** Makes a platform. */
export function createFakePlatform(): FakePlatform {
  const state: State = { events: [], deliveries: [], subscriptions: [], byDeduplicationId: new Map() };
  const failures: Failure[] = [];
  const responders: FakeResponder[] = [];

  async function answer(input: string | URL | Request, init?: RequestInit): Promise<Response> {
    const request: Request = input instanceof Request ? input : new Request(String(input), init);
    const { url, method, headers } = request;
    const body = method === "GET" || method === "HEAD" ? {} : { body: await request.arrayBuffer() };
    const copy = (): Request => new Request(url, { method, headers, ...body });
    const failure = failures.shift();
    if (failure !== undefined) return failed(failure);
    for (const responder of responders) {
      const response = await responder(copy());
      if (response !== null) return response;
    }
    return serve(state, copy());
  }

  return {
    // Runtimes put more on `fetch` than a call; nothing here uses that.
    fetch: Object.assign(answer, { preconnect: () => undefined }),
    events: state.events,
    deliveries: state.deliveries,
    subscribe: ({ secret = generateWebhookSecret(), id = `sub_${crypto.randomUUID()}`, ...rest }) => {
      state.subscriptions.push({ ...rest, secret, id });
      return { secret };
    },
    redeliver: async (webhookId) => {
      const delivery = state.deliveries.find((known) => known.webhookId === webhookId);
      if (delivery === undefined) throw new RangeError(`nothing was delivered with the webhook-id ${webhookId}`);
      return deliver(state, { ...delivery, attempt: 2 });
    },
    failNext: (failure) => void failures.push(failure),
    respond: (responder) => void responders.push(responder),
  };
}

async function serve(state: State, request: Request): Promise<Response> {
  const { pathname } = new URL(request.url);
  if (request.method === "POST" && (pathname === "/api/events" || pathname === "/api/events/batch")) {
    const body: unknown = await request.json().catch(() => undefined);
    return accept(state, body, pathname === "/api/events/batch");
  }
  const id = /^\/api\/events\/([^/]+)$/.exec(pathname)?.[1];
  const event = state.events.find((known) => known.id === id);
  if (request.method === "GET" && event !== undefined) return Response.json(event);
  const detail = `the fake platform has no ${request.method} ${pathname}; see FakePlatform.respond`;
  return problem({ status: 404, code: "NOT_FOUND", detail });
}

async function accept(state: State, body: unknown, isBatch: boolean): Promise<Response> {
  const given = listOf(body, isBatch);
  if (given === null || !given.every(isEventLike)) {
    return problem({ status: 400, code: "VALIDATION_FAILED", detail: "an event has a type and a source" });
  }
  const accepted: { event: FakeEvent; duplicate: boolean }[] = [];
  for (const members of given) {
    const event = eventOf(members);
    const key = event.deduplicationId === null ? null : JSON.stringify([event.clientId, event.deduplicationId]);
    const first = key === null ? undefined : state.byDeduplicationId.get(key);
    accepted.push({ event: first ?? event, duplicate: first !== undefined });
    if (first !== undefined) continue;
    if (key !== null) state.byDeduplicationId.set(key, event);
    state.events.push(event);
    await deliverToAll(state, event);
  }
  const [only] = accepted;
  if (!isBatch && !Array.isArray(body) && only !== undefined) {
    return Response.json(only.event, { status: only.duplicate ? 200 : 201 });
  }
  if (isMembers(body) && Array.isArray(body["items"])) {
    return Response.json({ results: accepted.map(({ event }) => ({ id: event.id, status: "SUCCESS" })) });
  }
  const events = accepted.map(({ event, duplicate }) => ({ ...event, data: undefined, duplicate }));
  const duplicateCount = accepted.filter(({ duplicate }) => duplicate).length;
  return Response.json({ count: events.length, duplicateCount, events }, { status: 201 });
}

function listOf(body: unknown, isBatch: boolean): readonly unknown[] | null {
  if (isList(body)) return body;
  if (!isBatch) return [body];
  const list = isMembers(body) ? (body["events"] ?? body["items"]) : null;
  return isList(list) ? list : null;
}

function isList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value);
}

/** Of our own JSON or of a CloudEvent, whose attributes are in lower case. */
function eventOf(given: Members): FakeEvent {
  const text = (...names: readonly string[]): string | null => {
    const value = names.map((name) => given[name]).find((member) => typeof member === "string");
    return typeof value === "string" ? value : null;
  };
  const now = new Date().toISOString();
  const isCloudEvent = typeof given["specversion"] === "string";
  const senderId = isCloudEvent ? `${text("source")} ${text("id")}` : null;
  return {
    id: `evt_${crypto.randomUUID()}`,
    type: text("type") ?? "",
    source: text("source") ?? "",
    subject: text("subject"),
    time: text("time") ?? now,
    data: given["data"] ?? null,
    messageGroup: text("messageGroup", "messagegroup", "partitionkey"),
    correlationId: text("correlationId", "correlationid"),
    deduplicationId: text("deduplicationId", "deduplicationid") ?? senderId,
    clientId: text("clientId", "clientid"),
    createdAt: now,
  };
}

async function deliverToAll(state: State, event: FakeEvent): Promise<void> {
  for (const subscription of state.subscriptions) {
    if (!subscription.eventTypes.some((pattern) => webhookMatches(pattern, event.type))) continue;
    await deliver(state, { webhookId: `job_${crypto.randomUUID()}`, event, subscription, attempt: 1 });
  }
}

async function deliver(
  state: State,
  { webhookId, event, subscription, attempt }: Omit<Delivered, "status"> & { readonly attempt: number },
): Promise<FakeDelivery> {
  const request = await signedRequest("http://receiver.test/", {
    secrets: subscription.secret,
    id: webhookId,
    eventId: event.id,
    eventType: event.type,
    subscriptionId: subscription.id,
    ...(event.clientId === null ? {} : { clientId: event.clientId }),
    ...(event.correlationId === null ? {} : { correlationId: event.correlationId }),
    data: event.data,
    attempt,
  });
  // A receiver that throws is one that a server would answer 500 for.
  const status = await Promise.resolve(request)
    .then(subscription.receiver)
    .then((response) => response.status)
    .catch(() => 500);
  const delivery = { webhookId, event, status, subscription };
  state.deliveries.push(delivery);
  return delivery;
}

type Failure = Parameters<FakePlatform["failNext"]>[0];

function failed({ status, code = "STORE_UNAVAILABLE", retryAfterSeconds }: Failure): Response {
  const headers: Record<string, string> =
    retryAfterSeconds === undefined ? {} : { "retry-after": String(retryAfterSeconds) };
  return problem({ status, code, detail: "the fake platform was told to fail", headers });
}

function problem({ status, code, detail, headers }: Problem): Response {
  const body = { type: `/errors/${code}`, title: code, status, detail, code, message: detail, error: code };
  return new Response(JSON.stringify(body), {
    status,
    headers: { ...headers, "content-type": "application/problem+json" },
  });
}

interface Problem {
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  readonly headers?: Readonly<Record<string, string>>;
}

function isMembers(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isEventLike(value: unknown): value is Members {
  return isMembers(value) && typeof value["type"] === "string" && typeof value["source"] === "string";
}
