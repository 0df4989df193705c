import {
  attemptListSchema,
  createDispatchJobBatchSchema,
  createDispatchJobItemsSchema,
  createDispatchJobSchema,
  createReplaySchema,
  dispatchJobBatchAnswerSchema,
  dispatchJobListQuerySchema,
  dispatchJobListSchema,
  dispatchJobSchema,
  itemsAnswerSchema,
  listQuerySchema,
  replayPreviewSchema,
  replaySchema,
} from "@flowcatalyst/contracts";
import * as z from "zod";
import { endpoint } from "../../http/endpoint.ts";

const tag = "Dispatch jobs";
const path = "/api/dispatch/jobs/{id}";
const entity = { 200: { description: "The job.", schema: dispatchJobSchema } } as const;
const noBody = z.strictObject({});

export const dispatchJobEndpoints = {
  create: endpoint({
    id: "createDispatchJob",
    method: "post",
    path: "/api/dispatch/jobs",
    tag,
    summary: "Create a delivery that belongs to no subscription",
    body: createDispatchJobSchema,
    headers: ["idempotency-key"],
    answers: {
      201: { description: "Created.", schema: dispatchJobSchema, headers: ["location"] },
      200: {
        description: "Known by its idempotencyKey: the first job.",
        schema: dispatchJobSchema,
        headers: ["location"],
      },
    },
  }),
  createBatch: endpoint({
    id: "createDispatchJobBatch",
    method: "post",
    path: "/api/dispatch/jobs/batch",
    tag,
    summary: "Create up to 500 jobs",
    description:
      "With `jobs` all or nothing: one bad job refuses the batch. With `items` each item is answered for itself, by " +
      "position; a known idempotencyKey is a success with the first job's id.",
    body: z.union([createDispatchJobBatchSchema, createDispatchJobItemsSchema]),
    headers: ["idempotency-key"],
    answers: {
      201: { description: "All accepted, by position.", schema: dispatchJobBatchAnswerSchema },
      200: { description: "The answer to `items`.", schema: itemsAnswerSchema },
    },
  }),
  replay: endpoint({
    id: "createReplay",
    method: "post",
    path: "/api/dispatch/jobs/replay",
    tag,
    summary: "Retry final jobs in bulk, at a limited rate",
    description: "With dryRun only the count is answered. Progress is at /api/dispatch/replays/{id}.",
    body: createReplaySchema,
    headers: ["idempotency-key"],
    answers: {
      200: { description: "The count, with dryRun.", schema: replayPreviewSchema },
      201: { description: "Started.", schema: replaySchema, headers: ["location"] },
    },
  }),
  list: endpoint({
    id: "listDispatchJobs",
    method: "get",
    path: "/api/dispatch/jobs",
    tag,
    summary: "List jobs, newest first",
    paging: "list",
    query: dispatchJobListQuerySchema,
    answers: { 200: { description: "One page.", schema: dispatchJobListSchema } },
  }),
  get: endpoint({ id: "getDispatchJob", method: "get", path, tag, summary: "Read a job", answers: entity }),
  attempts: endpoint({
    id: "listAttempts",
    method: "get",
    path: `${path}/attempts`,
    tag,
    summary: "Delivery attempts of a job, newest first",
    paging: "list",
    query: listQuerySchema,
    answers: { 200: { description: "One page.", schema: attemptListSchema } },
  }),
  retry: endpoint({
    id: "retryDispatchJob",
    method: "post",
    path: `${path}/retry`,
    tag,
    summary: "Try a final job again, with a fresh budget and expiry",
    body: noBody,
    bodyOptional: true,
    headers: ["idempotency-key"],
    answers: entity,
  }),
  cancel: endpoint({
    id: "cancelDispatchJob",
    method: "post",
    path: `${path}/cancel`,
    tag,
    summary: "Cancel a job; one under way may still arrive",
    body: noBody,
    bodyOptional: true,
    headers: ["idempotency-key"],
    answers: entity,
  }),
} as const;
