/**
 * Publishes events: one, many, or CloudEvents.
 *
 * Every event has a `deduplicationId` before it is sent the first time, so that no repeat by this client makes a second
 * event. An application that repeats `publish` itself gives the event an id of its own. CloudEvents have their
 * `(source, id)` for it.
 *
 * Many events go in requests of at most 1,000 events and about 8 MiB, one after the other, so that the order within a
 * group is the order given. What the server could not take for now is sent again before the next request goes out. If
 * it stays so, or the call is aborted, nothing more is sent and `PublishBatchError` says what became of each event: its
 * `unpublished` events carry the ids they were sent under, so publishing them again is safe. Nothing is sent at all if
 * one of the events is no JSON.
 */
import type { EventOf } from "./event-types.ts";
import { FlowCatalystError } from "./flow-catalyst-error.ts";
import type { AcceptedEvent, CreateEvent, Event, EventBatchAnswer } from "./generated/events.ts";
import { randomKey, type HttpClient } from "./http-client.ts";
import type { CallOptions } from "./operation.ts";

/** Limits of one request of many events. */
export const publishLimits = {
  /** The server's own limit. */
  batchMaxEvents: 1_000,
  /** A request is closed before it is longer; the server takes four times as much. */
  batchMaxBytes: 8_388_608,
} as const;

/** An event that the server has stored. */
export interface PublishedEvent {
  /** The event's id; that of the first one if it was known already. */
  readonly id: string;
  /** What it was sent under. */
  readonly deduplicationId: string;
}

/** What became of one event of many. */
export type PublishResult =
  | ({ readonly kind: "published" } & PublishedEvent)
  /** It will not get better by repeating. */
  | { readonly kind: "refused"; readonly status: "BAD_REQUEST" | "FORBIDDEN"; readonly message: string }
  /** It may be published later; nobody knows whether it was. */
  | { readonly kind: "failed"; readonly message: string };

/** Thrown when not all of many events could be published. */
export class PublishBatchError extends FlowCatalystError {
  /** Of each event, by position. */
  readonly results: readonly PublishResult[];
  /** The events that may be published later, as they were sent: give them to `publishBatch` again. */
  readonly unpublished: readonly CreateEvent[];

  /** The cause is what ended it, such as the reason of the call's signal; undefined if only the answers did. */
  constructor(results: readonly PublishResult[], sent: readonly CreateEvent[], cause?: unknown) {
    const count = (kind: PublishResult["kind"]): number => results.filter((one) => one.kind === kind).length;
    const counts = `${count("published")} published, ${count("refused")} refused, ${count("failed")} to be sent again`;
    const first = results.find((one) => one.kind !== "published");
    const reason = cause === undefined ? (first?.message ?? "") : messageOf(cause);
    const { status = 0, retryAfterMs = null, requestId = null } = cause instanceof FlowCatalystError ? cause : {};
    const message = `of ${results.length} events ${counts}: ${reason}`;
    super({ code: "BATCH_INCOMPLETE", message, status, retryAfterMs, requestId, cause });
    this.name = "PublishBatchError";
    this.results = results;
    this.unpublished = sent.filter((_, at) => results[at]?.kind === "failed");
  }
}

/** A CloudEvents 1.0 event: what the CNCF's SDK makes, or an object literal with any extensions. */
export interface CloudEventLike {
  readonly specversion: string;
  readonly id: string;
  readonly source: string;
  readonly type: string;
}

/** Publishes events. */
export interface EventPublisher<Types extends object> {
  /** Publishes an event and gives it as it was stored. Given again with its `deduplicationId`: the first one. */
  publish(event: EventOf<Types>, options?: CallOptions): Promise<Event>;
  /**
   * Publishes any number of events in their order; gives their ids by position. Throws `PublishBatchError`, also when
   * it is aborted: the signal's reason is its cause.
   */
  publishBatch(events: readonly EventOf<Types>[], options?: CallOptions): Promise<readonly PublishedEvent[]>;
  /** Publishes a CloudEvent. */
  publishCloudEvent<Given extends CloudEventLike>(event: Given, options?: CallOptions): Promise<Event>;
  /** Publishes CloudEvents in their order, each request all or nothing. After an error, publish all of them again. */
  publishCloudEvents<Given extends CloudEventLike>(
    events: readonly Given[],
    options?: CallOptions,
  ): Promise<readonly AcceptedEvent[]>;
}

/** Makes it of the client that sends. */
export function eventPublisher<Types extends object>(http: HttpClient): EventPublisher<Types> {
  const repeatable = true;
  return {
    publish: async (event, options) =>
      storedEvent(
        await http.call({ method: "POST", path: "/api/events", body: identified(event), options, repeatable }),
      ),
    publishBatch: (events, options) =>
      publishInOrder(
        http,
        events.map((event) => identified(event)),
        options,
      ),
    publishCloudEvent: async (event, options) => {
      const content = { mediaType: "application/cloudevents+json", text: JSON.stringify(event) };
      return storedEvent(await http.call({ method: "POST", path: "/api/events", content, options, repeatable }));
    },
    publishCloudEvents: async (events, options) => {
      const accepted: AcceptedEvent[] = [];
      for (const { texts } of portions(events)) {
        const content = { mediaType: "application/cloudevents-batch+json", text: `[${texts.join(",")}]` };
        const call = { method: "POST", path: "/api/events/batch", content, options, repeatable } as const;
        const answer = await http.call<EventBatchAnswer>(call);
        answersOf(answer, "events", texts.length);
        accepted.push(...answer.events);
      }
      return accepted;
    },
  };
}

type IdentifiedEvent = CreateEvent & { readonly deduplicationId: string };

/** Whatever the map of types says, an event of it is one of the API's: only its type and data are narrower. */
function identified<Types extends object>(given: EventOf<Types>): IdentifiedEvent {
  const event = given as unknown as CreateEvent;
  return { ...event, deduplicationId: event.deduplicationId ?? randomKey() };
}

interface Portion {
  /** Position of its first event. */
  readonly start: number;
  readonly texts: readonly string[];
}

/** Splits them at the limits of a request. An event that is too long by itself is left to the server to refuse. */
function portions(events: readonly object[]): readonly Portion[] {
  const all: Portion[] = [];
  const encoder = new TextEncoder();
  let texts: string[] = [];
  let bytes = 0;
  let start = 0;
  for (const [at, event] of events.entries()) {
    const text = JSON.stringify(event);
    const size = encoder.encode(text).length + 1;
    const full = texts.length >= publishLimits.batchMaxEvents || bytes + size > publishLimits.batchMaxBytes;
    if (full && texts.length > 0) {
      all.push({ start, texts });
      [texts, bytes, start] = [[], 0, at];
    }
    texts.push(text);
    bytes += size;
  }
  if (texts.length > 0) all.push({ start, texts });
  return all;
}

async function publishInOrder(
  http: HttpClient,
  events: readonly IdentifiedEvent[],
  options: CallOptions | undefined,
): Promise<readonly PublishedEvent[]> {
  const results = events.map((): PublishResult => ({ kind: "failed", message: "was not sent" }));
  const fault = await publishPortions({ http, events, results, options }, portions(events));
  const published = results.filter((result) => result.kind === "published");
  if (published.length < events.length) throw new PublishBatchError(results, events, fault);
  return published.map(({ id, deduplicationId }) => ({ id, deduplicationId }));
}

interface Publishing {
  readonly http: HttpClient;
  readonly events: readonly IdentifiedEvent[];
  /** By position; written as answers come. */
  readonly results: PublishResult[];
  readonly options: CallOptions | undefined;
}

/** Publishes until everything is sent, or something stays unsettled; gives what was thrown then, if anything was. */
async function publishPortions(publishing: Publishing, all: readonly Portion[]): Promise<unknown> {
  for (const portion of all) {
    try {
      if (!(await publishPortion(publishing, portion))) return undefined;
    } catch (error) {
      // An abort, too: only the events as they were sent can be published again without a second one.
      markFailed(publishing.results, portion, messageOf(error));
      return error;
    }
  }
  return undefined;
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

function markFailed(results: PublishResult[], { start, texts }: Portion, message: string): void {
  for (let at = start; at < start + texts.length; at += 1) {
    if (results[at]?.kind === "failed") results[at] = { kind: "failed", message };
  }
}

/** True when each of them is published or refused. */
async function publishPortion(publishing: Publishing, { start, texts }: Portion): Promise<boolean> {
  const { http, events, results, options } = publishing;
  let open = texts.map((_, at) => at);
  for (let retry = 0; ; retry += 1) {
    const text = `{"items":[${open.map((at) => texts[at]).join(",")}]}`;
    const content = { mediaType: "application/json", text };
    const call = { method: "POST", path: "/api/events/batch", content, options, repeatable: true } as const;
    const answer = answersOf(await http.call<unknown>(call), "results", open.length);
    for (const [position, at] of open.entries()) {
      const deduplicationId = events[start + at]?.deduplicationId ?? "";
      results[start + at] = resultOf(answer[position], deduplicationId);
    }
    open = open.filter((at) => results[start + at]?.kind === "failed");
    if (open.length === 0) return true;
    if (!(retry < http.maxRetries)) return false;
    await http.backOff(retry, { askedMs: null, signal: options?.signal });
  }
}

/** The answers by position. Another number of them than was sent would give events the answers of others. */
function answersOf(answer: unknown, member: "results" | "events", count: number): readonly unknown[] {
  const given: unknown = typeof answer === "object" && answer !== null ? Reflect.get(answer, member) : undefined;
  if (Array.isArray(given) && given.length === count) return given;
  throw unexpected(`${count} events were sent and not as many answered`);
}

/** Whatever else answers with status 200, such as a proxy with a page of its own, has stored nothing. */
function storedEvent(answer: unknown): Event {
  const id: unknown = typeof answer === "object" && answer !== null ? Reflect.get(answer, "id") : undefined;
  if (typeof id === "string") return answer as Event;
  throw unexpected("an event was sent and none answered");
}

function unexpected(what: string): FlowCatalystError {
  const message = `${what}: this is no platform, or another version of it`;
  return new FlowCatalystError({ code: "UNEXPECTED_ANSWER", message, status: 200 });
}

function resultOf(answer: unknown, deduplicationId: string): PublishResult {
  const { id, status, error } = (typeof answer === "object" && answer !== null ? answer : {}) as Record<
    string,
    unknown
  >;
  const message = typeof error === "string" ? error : "the server does not say why";
  if (status === "SUCCESS" && typeof id === "string") return { kind: "published", id, deduplicationId };
  if (status === "BAD_REQUEST" || status === "FORBIDDEN") return { kind: "refused", status, message };
  return { kind: "failed", message };
}
