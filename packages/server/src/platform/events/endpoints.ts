import {
  cloudEventBatchSchema,
  cloudEventSchema,
  createEventBatchSchema,
  createEventItemsSchema,
  createEventSchema,
  dispatchJobListSchema,
  eventBatchAnswerSchema,
  eventSchema,
  itemsAnswerSchema,
  listQuerySchema,
  mediaTypes,
  timelineSchema,
} from "@flowcatalyst/contracts";
import * as z from "zod";
import { endpoint } from "../../http/endpoint.ts";

const tag = "Events";

export const eventEndpoints = {
  create: endpoint({
    id: "createEvent",
    method: "post",
    path: "/api/events",
    tag,
    summary: "Publish an event",
    description:
      "Answered once the event is durable. Also takes CloudEvents in structured, batch and binary mode (ce-* headers).",
    body: createEventSchema,
    otherBodies: { [mediaTypes.cloudEvent]: cloudEventSchema, [mediaTypes.cloudEventBatch]: cloudEventBatchSchema },
    headers: ["idempotency-key"],
    answers: {
      201: {
        description: "Accepted; of a batch of CloudEvents all.",
        schema: z.union([eventSchema, eventBatchAnswerSchema]),
        headers: ["location"],
      },
      200: {
        description: "Known by its deduplicationId: the first event.",
        schema: eventSchema,
        headers: ["location"],
      },
    },
  }),
  createBatch: endpoint({
    id: "createEventBatch",
    method: "post",
    path: "/api/events/batch",
    tag,
    summary: "Publish up to 1,000 events",
    description:
      "With `events` all or nothing: one bad event refuses the batch and each bad one is named. With `items` each " +
      "item is answered for itself, by position.",
    body: z.union([createEventBatchSchema, createEventItemsSchema]),
    otherBodies: { [mediaTypes.cloudEventBatch]: cloudEventBatchSchema },
    headers: ["idempotency-key"],
    answers: {
      201: { description: "All accepted.", schema: eventBatchAnswerSchema },
      200: { description: "The answer to `items`.", schema: itemsAnswerSchema },
    },
  }),
  get: endpoint({
    id: "getEvent",
    method: "get",
    path: "/api/events/{id}",
    tag,
    summary: "Read an event",
    answers: { 200: { description: "The event.", schema: eventSchema } },
  }),
  jobs: endpoint({
    id: "listEventJobs",
    method: "get",
    path: "/api/events/{id}/jobs",
    tag,
    summary: "Dispatch jobs of an event, oldest first",
    paging: "list",
    query: listQuerySchema,
    answers: { 200: { description: "One page.", schema: dispatchJobListSchema } },
  }),
  timeline: endpoint({
    id: "getEventTimeline",
    method: "get",
    path: "/api/events/{id}/timeline",
    tag,
    summary: "What happened to an event, in time order",
    answers: { 200: { description: "The timeline.", schema: timelineSchema } },
  }),
} as const;
