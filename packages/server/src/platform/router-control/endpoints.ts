import {
  checkDeliveriesAnswerSchema,
  checkDeliveriesSchema,
  reportAttemptsAnswerSchema,
  reportAttemptsSchema,
  routerConfigSchema,
  routerControlQuerySchema,
  routerControlSchema,
  routerSecretsQuerySchema,
  routerSecretsSchema,
} from "@flowcatalyst/contracts";
import { endpoint } from "../../http/endpoint.ts";

const tag = "Router control";

export const routerControlEndpoints = {
  attempts: endpoint({
    id: "reportAttempts",
    method: "post",
    path: "/api/dispatch/attempts",
    tag,
    summary: "Results of a router without a database",
    description: "Recorded in one transaction; verdicts by position say what becomes of each job.",
    body: reportAttemptsSchema,
    answers: { 200: { description: "The verdicts.", schema: reportAttemptsAnswerSchema } },
  }),
  check: endpoint({
    id: "checkDeliveries",
    method: "post",
    path: "/api/dispatch/check",
    tag,
    summary: "Which deliveries of a message are still owed",
    description: "Asked by a router before it starts what a message carries that came again or is old.",
    body: checkDeliveriesSchema,
    answers: { 200: { description: "Those still owed, in any order.", schema: checkDeliveriesAnswerSchema } },
  }),
  control: endpoint({
    id: "getRouterControl",
    method: "get",
    path: "/api/router/control",
    tag,
    summary: "Pools, pauses and cancellations; waits for a change",
    description: "Answers at once if revision is not the present one, else when it changes or after waitMs.",
    query: routerControlQuerySchema,
    answers: { 200: { description: "As of a revision.", schema: routerControlSchema } },
  }),
  secrets: endpoint({
    id: "getRouterSecrets",
    method: "get",
    path: "/api/router/secrets",
    tag,
    summary: "Signing secrets valid now for a reference",
    query: routerSecretsQuerySchema,
    answers: { 200: { description: "Newest first; to be kept for 60 s at most.", schema: routerSecretsSchema } },
  }),
  config: endpoint({
    id: "getRouterConfig",
    method: "get",
    path: "/api/config/router",
    tag,
    summary: "Pools and queues, for FC_ROUTER_CONFIG_URL",
    answers: { 200: { description: "The configuration.", schema: routerConfigSchema } },
  }),
} as const;
