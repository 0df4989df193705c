import { listQuerySchema, replayListSchema, replaySchema } from "@flowcatalyst/contracts";
import * as z from "zod";
import { endpoint } from "../../http/endpoint.ts";

const tag = "Replays";
const path = "/api/dispatch/replays/{id}";
const entity = { 200: { description: "The replay and how far it is.", schema: replaySchema } } as const;

export const replayEndpoints = {
  list: endpoint({
    id: "listReplays",
    method: "get",
    path: "/api/dispatch/replays",
    tag,
    summary: "List replays, newest first",
    paging: "list",
    query: listQuerySchema,
    answers: { 200: { description: "One page.", schema: replayListSchema } },
  }),
  get: endpoint({ id: "getReplay", method: "get", path, tag, summary: "How far a replay is", answers: entity }),
  cancel: endpoint({
    id: "cancelReplay",
    method: "post",
    path: `${path}/cancel`,
    tag,
    summary: "Stop a replay; jobs retried already go on",
    body: z.strictObject({}),
    bodyOptional: true,
    headers: ["idempotency-key"],
    answers: entity,
  }),
} as const;
