import {
  createDispatchPoolSchema,
  dispatchPoolListQuerySchema,
  dispatchPoolListSchema,
  dispatchPoolSchema,
  updateDispatchPoolSchema,
} from "@flowcatalyst/contracts";
import * as z from "zod";
import { endpoint } from "../../http/endpoint.ts";

const tag = "Dispatch pools";
const path = "/api/dispatch-pools/{id}";
const entity = { 200: { description: "The pool.", schema: dispatchPoolSchema, headers: ["etag"] } } as const;
const noBody = z.strictObject({});

export const dispatchPoolEndpoints = {
  create: endpoint({
    id: "createDispatchPool",
    method: "post",
    path: "/api/dispatch-pools",
    tag,
    summary: "Create a dispatch pool",
    body: createDispatchPoolSchema,
    headers: ["idempotency-key"],
    answers: { 201: { description: "Created.", schema: dispatchPoolSchema, headers: ["location", "etag"] } },
  }),
  list: endpoint({
    id: "listDispatchPools",
    method: "get",
    path: "/api/dispatch-pools",
    tag,
    summary: "List dispatch pools",
    paging: "list",
    query: dispatchPoolListQuerySchema,
    answers: { 200: { description: "One page.", schema: dispatchPoolListSchema } },
  }),
  get: endpoint({
    id: "getDispatchPool",
    method: "get",
    path,
    tag,
    summary: "Read a dispatch pool by id or code",
    answers: entity,
  }),
  replace: endpoint({
    id: "replaceDispatchPool",
    method: "put",
    path,
    tag,
    summary: "Replace a pool's budget; what is absent goes back to its default",
    body: updateDispatchPoolSchema,
    headers: ["if-match"],
    answers: entity,
  }),
  update: endpoint({
    id: "updateDispatchPool",
    method: "patch",
    path,
    tag,
    summary: "Change a pool's budget in place",
    body: updateDispatchPoolSchema,
    headers: ["if-match"],
    answers: entity,
  }),
  remove: endpoint({
    id: "deleteDispatchPool",
    method: "delete",
    path,
    tag,
    summary: "Remove a pool that no subscription names",
    answers: { 204: { description: "Removed." } },
  }),
  suspend: endpoint({
    id: "suspendDispatchPool",
    method: "post",
    path: `${path}/suspend`,
    tag,
    summary: "Hold all jobs of a pool",
    body: noBody,
    bodyOptional: true,
    headers: ["if-match", "idempotency-key"],
    answers: entity,
  }),
  activate: endpoint({
    id: "activateDispatchPool",
    method: "post",
    path: `${path}/activate`,
    tag,
    summary: "Let the jobs of a pool go on",
    body: noBody,
    bodyOptional: true,
    headers: ["if-match", "idempotency-key"],
    answers: entity,
  }),
} as const;
