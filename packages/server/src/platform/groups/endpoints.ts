import { heldGroupListSchema, heldGroupSchema, listQuerySchema, unblockGroupSchema } from "@flowcatalyst/contracts";
import { endpoint } from "../../http/endpoint.ts";

const tag = "Groups";

export const groupEndpoints = {
  list: endpoint({
    id: "listHeldGroups",
    method: "get",
    path: "/api/dispatch/groups",
    tag,
    summary: "Groups that are held: why, since when, and how many jobs wait",
    paging: "list",
    query: listQuerySchema,
    answers: { 200: { description: "One page.", schema: heldGroupListSchema } },
  }),
  unblock: endpoint({
    id: "unblockGroup",
    method: "post",
    path: "/api/dispatch/groups/{key}/unblock",
    tag,
    summary: "Let a blocked group go on: skip or retry its head",
    body: unblockGroupSchema,
    headers: ["idempotency-key"],
    answers: { 200: { description: "The group as it was released.", schema: heldGroupSchema } },
  }),
} as const;
