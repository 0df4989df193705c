/**
 * Takes events in: from a request's body to the log.
 *
 * Forms: our JSON (one event, `{events}`, `{items}`), CloudEvents 1.0 (structured, batch, binary). Whatever the
 * form, an event becomes a draft, is held to the schema of its type, gets its id, and is appended; the answer is given
 * only when the log says that it is durable.
 *
 * One event or `{events}`: all or nothing. Every bad event is named by its index; nothing of the batch is kept. A
 * retryable fault (buffer full, disk full, store away) is answered as such, and again nothing was kept.
 *
 * `{items}`: each item for itself, by position, for senders that keep their own queue (item-outcomes.ts).
 *
 * Limits: 1,000 events, 256 KiB of data an event (less if the queue in use carries less), 32 MiB of data a batch.
 */

import { wireLimits, type ItemResult } from "@flowcatalyst/contracts";
import { CodedError, type BoundCounter, type Clock } from "@flowcatalyst/foundation";
import type { NewEvent } from "../../domain/event.ts";
import type { ClientId, IdSource } from "../../domain/ids.ts";
import { canWrite, type Scope } from "../../domain/scope.ts";
import { maxFaultsTold, validationError, type TaggedFault } from "../../http/validation.ts";
import type { AppendedEvent, EventAppender } from "../../ports/event-log.ts";
import { faultText, itemGroup, ItemOutcomes, publicText, type ItemCheck } from "../item-outcomes.ts";
import type { DraftResult, EventDraft, ReadingContext } from "./event-draft.ts";
import type { SchemaGate } from "./schema-gate.ts";

export interface EventIntakeDeps {
  readonly clock: Pick<Clock, "now">;
  readonly ids: Pick<IdSource, "event">;
  readonly events: EventAppender;
  readonly gate: SchemaGate;
  readonly accepted: BoundCounter;
}

export interface EventIntakeConfig {
  readonly eventDataMaxBytes: number;
}

/** Reads one event of some form; `path` is where it stands in the body. */
export type EventReading = (value: unknown, path: string, context: ReadingContext) => DraftResult;

export interface IntakeRequest {
  readonly scope: Scope;
  /** W3C trace context of the request; kept with events that have none of their own. */
  readonly traceparent: string | null;
}

export class EventIntake {
  readonly #deps: EventIntakeDeps;
  readonly #config: EventIntakeConfig;

  constructor(deps: EventIntakeDeps, config: EventIntakeConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  /** What a reading needs to know; one per request, so that all its events have one time of arrival. */
  context(): ReadingContext {
    return { nowMs: this.#deps.clock.now(), dataMaxBytes: this.#config.eventDataMaxBytes };
  }

  /** One event that was read already. */
  async one(result: DraftResult, request: IntakeRequest): Promise<AppendedEvent> {
    const [appended] = await this.#appendAll([result], () => "", request);
    if (appended === undefined) throw new CodedError("INTERNAL");
    return appended;
  }

  /** All or nothing. `member` is the path of the list in the body. */
  async batch(values: readonly unknown[], form: BatchForm, request: IntakeRequest): Promise<readonly AppendedEvent[]> {
    requireCount(values.length, form.member);
    const context = this.context();
    const pathOf = (index: number): string => `${form.member}[${index}]`;
    const results = values.map((value, index) => form.read(value, pathOf(index), context));
    return this.#appendAll(results, pathOf, request);
  }

  /** Each item for itself. */
  async items(values: readonly unknown[], form: BatchForm, request: IntakeRequest): Promise<readonly ItemResult[]> {
    requireCount(values.length, form.member);
    const context = this.context();
    const outcomes = new ItemOutcomes<EventDraft>(values.length);
    await this.#deps.gate.refresh();
    for (const [index, value] of values.entries()) {
      const path = `${form.member}[${index}]`;
      const result = form.read(value, path, context);
      if (result.kind === "draft") {
        const draft = owned(result.draft, request.scope);
        const group = itemGroup(draft.clientId, draft.messageGroup);
        outcomes.take(index, group, await this.#checkedItem(draft, path, request));
      } else outcomes.fail(index, "BAD_REQUEST", summaryOf(result, this.#config.eventDataMaxBytes));
    }
    // Refused as a whole: an item that is told to come back would come back with as much.
    requireBatchBytes(outcomes.drafts());
    await outcomes.store(async (drafts) => {
      const events = drafts.map((draft) => this.#newEvent(draft, context.nowMs, request));
      const appended = await this.#deps.events.append(events);
      this.#count(appended);
      return appended.map(({ event }) => event.id);
    });
    return outcomes.results();
  }

  async #checkedItem(draft: EventDraft, path: string, request: IntakeRequest): Promise<ItemCheck<EventDraft>> {
    if (!canWrite(request.scope, draft.clientId)) {
      return { kind: "refused", status: "FORBIDDEN", text: "The event belongs to another client." };
    }
    try {
      const faults = this.#deps.gate.concerns(draft.type) ? await this.#deps.gate.faults(draft, path) : [];
      if (faults.length === 0) return { kind: "valid", draft };
      return { kind: "refused", status: "BAD_REQUEST", text: faultText(faults) };
    } catch (error) {
      return { kind: "refused", status: "INTERNAL_ERROR", text: publicText(error) };
    }
  }

  async #appendAll(
    results: readonly DraftResult[],
    pathOf: (index: number) => string,
    request: IntakeRequest,
  ): Promise<readonly AppendedEvent[]> {
    const drafts = this.#drafts(results).map((draft) => owned(draft, request.scope));
    for (const draft of drafts) if (!canWrite(request.scope, draft.clientId)) throw new CodedError("FORBIDDEN");
    await this.#requireSchemas(drafts, pathOf);
    requireBatchBytes(drafts);
    const nowMs = this.#deps.clock.now();
    const appended = await this.#deps.events.append(drafts.map((draft) => this.#newEvent(draft, nowMs, request)));
    this.#count(appended);
    return appended;
  }

  #drafts(results: readonly DraftResult[]): EventDraft[] {
    const drafts: EventDraft[] = [];
    const faults: TaggedFault[] = [];
    let tooLarge: (DraftResult & { readonly kind: "tooLarge" }) | null = null;
    for (const result of results) {
      if (result.kind === "draft") drafts.push(result.draft);
      else if (result.kind === "tooLarge") tooLarge ??= result;
      else faults.push(...result.faults);
    }
    if (faults.length > 0) throw validationError(faults);
    if (tooLarge !== null) throw dataTooLarge(tooLarge, this.#config.eventDataMaxBytes);
    return drafts;
  }

  async #requireSchemas(drafts: readonly EventDraft[], pathOf: (index: number) => string): Promise<void> {
    const { gate } = this.#deps;
    if (!drafts.some(({ type }) => gate.concerns(type))) return;
    await gate.refresh();
    const errors: TaggedFault[] = [];
    for (const [index, draft] of drafts.entries()) {
      if (gate.concerns(draft.type)) errors.push(...(await gate.faults(draft, pathOf(index))));
    }
    if (errors.length === 0) return;
    const message = faultText(errors);
    throw new CodedError("DATA_DOES_NOT_MATCH_SCHEMA", { message, errors: errors.slice(0, maxFaultsTold) });
  }

  #newEvent(draft: EventDraft, createdAtMs: number, { traceparent }: IntakeRequest): NewEvent {
    const id = this.#deps.ids.event();
    if (traceparent === null || "traceparent" in draft.extensions) return { id, ...draft, createdAtMs };
    return { id, ...draft, extensions: { ...draft.extensions, traceparent }, createdAtMs };
  }

  #count(appended: readonly AppendedEvent[]): void {
    let created = 0;
    for (const { kind } of appended) if (kind === "created") created++;
    if (created > 0) this.#deps.accepted.inc(created);
  }
}

export interface BatchForm {
  readonly member: string;
  readonly read: EventReading;
}

/** A tenant's events are its own unless it says otherwise, which it may not. */
function owned(draft: EventDraft, scope: Scope): EventDraft {
  if (scope.kind === "anchor" || draft.clientId !== null) return draft;
  return { ...draft, clientId: scope.clientId satisfies ClientId };
}

function requireCount(count: number, member: string): void {
  if (count === 0) throw validationError([{ path: member, message: "must not be empty" }]);
  if (count <= wireLimits.batchMaxEvents) return;
  const message = `A batch has at most ${wireLimits.batchMaxEvents} events; this one has ${count}.`;
  throw new CodedError("BATCH_TOO_LARGE", { message, errors: [{ path: member, message }] });
}

function requireBatchBytes(drafts: readonly EventDraft[]): void {
  let chars = 0;
  for (const { data } of drafts) chars += data?.length ?? 0;
  if (chars * 3 <= wireLimits.batchMaxBytes) return;
  let bytes = 0;
  for (const { data } of drafts) bytes += data === null ? 0 : Buffer.byteLength(data);
  if (bytes <= wireLimits.batchMaxBytes) return;
  throw new CodedError("PAYLOAD_TOO_LARGE", { message: "The data of a batch must be at most 32 MiB together." });
}

type TooLarge = DraftResult & { readonly kind: "tooLarge" };

function dataTooLarge(result: TooLarge, maxBytes: number): CodedError {
  const message = `must be at most ${maxBytes} bytes, and has ${result.bytes}`;
  // The product's own limit, or the smaller one of the queue in use.
  const code = maxBytes < wireLimits.eventDataMaxBytes ? "MESSAGE_TOO_LARGE" : "PAYLOAD_TOO_LARGE";
  return new CodedError(code, { message: `${result.path} ${message}.`, errors: [{ path: result.path, message }] });
}

function summaryOf(result: Exclude<DraftResult, { readonly kind: "draft" }>, maxBytes: number): string {
  return result.kind === "invalid" ? faultText(result.faults) : dataTooLarge(result, maxBytes).publicMessage;
}
