import { headerNames, mediaTypes } from "@flowcatalyst/contracts";
import type { EventId } from "../../domain/ids.ts";
import { isTraceparent } from "../../domain/traceparent.ts";
import { parseJson } from "../../http/json-text.ts";
import { validationError } from "../../http/validation.ts";
import { createdTextAnswer, found, jsonAnswer, jsonTextAnswer, listAnswer } from "../answers.ts";
import { batchMembers, keyed, type BodyDeps } from "../batch-request.ts";
import { jobOut } from "../dispatch-jobs/job-out.ts";
import { mediaTypeOf, requireJson, type Mount, type PlatformContext } from "../mount.ts";
import type { PlatformDeps } from "../platform-deps.ts";
import { readBinaryCloudEvent, readCloudEvent } from "./cloud-event.ts";
import { eventEndpoints } from "./endpoints.ts";
import type { DraftResult } from "./event-draft.ts";
import type { EventIntake, IntakeRequest } from "./event-intake.ts";
import { batchAnswerJson, eventJson } from "./event-json.ts";
import { readOwnEvent } from "./own-event.ts";
import { createTimeline } from "./timeline.ts";

export interface EventRoutesDeps extends BodyDeps {
  readonly platform: PlatformDeps;
  readonly intake: EventIntake;
}

export function mountEvents(mount: Mount, deps: EventRoutesDeps): void {
  const { eventReader, jobs } = deps.platform;
  const timeline = createTimeline(deps.platform);
  mount.raw(eventEndpoints.create, (c) => create(deps, c));
  mount.raw(eventEndpoints.createBatch, (c) => createBatch(deps, c));
  mount.endpoint(eventEndpoints.get, async ({ param, scope }) => {
    const id = param("id");
    return jsonTextAnswer(eventJson(found(await eventReader.byId(id as EventId, scope), "event", id)));
  });
  mount.endpoint(eventEndpoints.jobs, async ({ param, query, scope }) => {
    const id = param("id");
    const event = found(await eventReader.byId(id as EventId, scope), "event", id);
    const page = await jobs.byEvent(event.id, { limit: query.limit, cursor: query.cursor ?? null }, scope);
    return listAnswer(page, jobOut);
  });
  mount.endpoint(eventEndpoints.timeline, async ({ param, scope }) => {
    const id = param("id");
    const event = found(await eventReader.byId(id as EventId, scope), "event", id);
    return jsonAnswer(await timeline(event, scope));
  });
}

/** The form is told by the content type, or by a `ce-specversion` header for binary mode. */
async function create(deps: EventRoutesDeps, c: PlatformContext): Promise<Response> {
  const contentType = mediaTypeOf(c.req.header(headerNames.contentType) ?? "");
  if (contentType === mediaTypes.cloudEventBatch) return createBatch(deps, c);
  const { intake, bodies } = deps;
  if (contentType !== mediaTypes.cloudEvent && c.req.header("ce-specversion") !== undefined) {
    const body = await bodies.bytes(c.req.raw);
    const read = (): DraftResult => readBinaryCloudEvent(c.req.raw.headers, body, intake.context());
    return keyed(deps, { c, text: binaryText(c, body) }, () => single(deps, c, read()));
  }
  if (contentType !== mediaTypes.cloudEvent) requireJson(contentType);
  const text = await bodies.text(c.req.raw);
  const read = contentType === mediaTypes.cloudEvent ? readCloudEvent : readOwnEvent;
  return keyed(deps, { c, text }, () => single(deps, c, read(parseJson(text), "", intake.context())));
}

async function single(deps: EventRoutesDeps, c: PlatformContext, result: DraftResult): Promise<Response> {
  const { kind, event } = await deps.intake.one(result, intakeRequest(c));
  return createdTextAnswer(eventJson(event), `/api/events/${event.id}`, kind === "duplicate");
}

async function createBatch(deps: EventRoutesDeps, c: PlatformContext): Promise<Response> {
  const contentType = mediaTypeOf(c.req.header(headerNames.contentType) ?? "");
  const cloudEvents = contentType === mediaTypes.cloudEventBatch;
  if (!cloudEvents) requireJson(contentType);
  const text = await deps.bodies.text(c.req.raw);
  const request = intakeRequest(c);
  return keyed(deps, { c, text }, async () => {
    const body = parseJson(text);
    if (cloudEvents) return batchAnswer(deps, { values: cloudEventList(body), request, cloudEvents });
    const { kind, values } = batchMembers(body, "events");
    if (kind === "whole") return batchAnswer(deps, { values, request, cloudEvents });
    const results = await deps.intake.items(values, { member: "items", read: readOwnEvent }, request);
    return jsonAnswer({ results });
  });
}

interface Batch {
  readonly values: readonly unknown[];
  readonly request: IntakeRequest;
  readonly cloudEvents: boolean;
}

async function batchAnswer({ intake }: EventRoutesDeps, { values, request, cloudEvents }: Batch): Promise<Response> {
  const form = cloudEvents ? { member: "", read: readCloudEvent } : { member: "events", read: readOwnEvent };
  return jsonTextAnswer(batchAnswerJson(await intake.batch(values, form, request)), 201);
}

function cloudEventList(body: unknown): readonly unknown[] {
  if (Array.isArray(body)) return body;
  throw validationError([{ path: "", message: "must be an array of CloudEvents" }]);
}

/** All that a binary event says, as one text to compare a repeat by; empty when there is no key to repeat it under. */
function binaryText(c: PlatformContext, body: Uint8Array): string {
  if (c.req.header(headerNames.idempotencyKey) === undefined) return "";
  const attributes = [...c.req.raw.headers].filter(([name]) => name.startsWith("ce-") || name === "content-type");
  return JSON.stringify([attributes, Buffer.from(body).toString("base64")]);
}

function intakeRequest(c: PlatformContext): IntakeRequest {
  const given = c.req.header(headerNames.traceparent);
  const traceparent = isTraceparent(given) ? given : null;
  const { scope } = c.get("principal");
  return { scope, traceparent };
}
