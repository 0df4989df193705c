import {
  circuitBreakerStateListSchema,
  circuitBreakerStateSchema,
  consumerStateListSchema,
  deadLetterListSchema,
  inFlightCheckAnswerSchema,
  inFlightCheckSchema,
  inFlightListSchema,
  poolStateListSchema,
  queueStateListSchema,
  routerHealthSchema,
  routerPublishAnswerSchema,
  routerPublishSchema,
  routerReloadAnswerSchema,
  routerWarningListSchema,
  routerWarningSchema,
  serviceRootSchema,
  standbyStateSchema,
} from "@flowcatalyst/contracts";
import { endpoint, type Endpoint } from "../http/endpoint.ts";
import { openApiDocument } from "../http/openapi.ts";

const messages = "Messages";
const monitoring = "Monitoring";
const service = "Service";

/** The operations of the router's own API, as data. */
export const routerEndpoints = {
  publish: endpoint({
    id: "publishMessages",
    method: "post",
    path: "/api/router/publish",
    tag: messages,
    summary: "Put one or many stand-alone messages on the queue",
    description: "camelCase or snake_case. One malformed message refuses all; the queue then answers by position.",
    body: routerPublishSchema,
    answers: { 201: { description: "What the queue made of each.", schema: routerPublishAnswerSchema } },
  }),
  health: endpoint({
    id: "getRouterHealth",
    method: "get",
    path: "/api/router/health",
    tag: monitoring,
    summary: "Whether the router takes messages, and how many it has",
    answers: { 200: { description: "Its health; status DOWN is answered with 503.", schema: routerHealthSchema } },
    open: true,
  }),
  pools: endpoint({
    id: "listPoolStates",
    method: "get",
    path: "/monitoring/pools",
    tag: monitoring,
    summary: "Pools: slots, buffers, waits, counts",
    answers: { 200: { description: "All pools.", schema: poolStateListSchema } },
  }),
  queues: endpoint({
    id: "listQueueStates",
    method: "get",
    path: "/monitoring/queues",
    tag: monitoring,
    summary: "Queues: how much waits, is in flight, delayed, set aside",
    answers: { 200: { description: "All queues.", schema: queueStateListSchema } },
  }),
  deadLetters: endpoint({
    id: "listDeadLetters",
    method: "get",
    path: "/monitoring/dead-letters",
    tag: monitoring,
    summary: "Messages that were set aside, newest first, each with its reason",
    answers: { 200: { description: "At most 100.", schema: deadLetterListSchema } },
  }),
  circuitBreakers: endpoint({
    id: "listCircuitBreakers",
    method: "get",
    path: "/monitoring/circuit-breakers",
    tag: monitoring,
    summary: "Circuit breakers by target origin, open ones first",
    answers: { 200: { description: "At most 1,000.", schema: circuitBreakerStateListSchema } },
  }),
  resetCircuitBreaker: endpoint({
    id: "resetCircuitBreaker",
    method: "post",
    path: "/monitoring/circuit-breakers/{name}/reset",
    tag: monitoring,
    summary: "Close a breaker and lift a hold; the name is the target's origin, percent-encoded",
    answers: { 200: { description: "The breaker as it is now.", schema: circuitBreakerStateSchema } },
  }),
  inFlight: endpoint({
    id: "listInFlight",
    method: "get",
    path: "/monitoring/in-flight",
    tag: monitoring,
    summary: "Deliveries in the pipeline: waiting, calling, awaiting their record",
    answers: { 200: { description: "At most 1,000, and how many there are.", schema: inFlightListSchema } },
  }),
  checkInFlight: endpoint({
    id: "checkInFlight",
    method: "post",
    path: "/monitoring/in-flight/check",
    tag: monitoring,
    summary: "Which of these message or job ids are in the pipeline",
    body: inFlightCheckSchema,
    answers: { 200: { description: "Each id, true or false.", schema: inFlightCheckAnswerSchema } },
  }),
  warnings: endpoint({
    id: "listRouterWarnings",
    method: "get",
    path: "/monitoring/warnings",
    tag: monitoring,
    summary: "Warnings of the last 8 hours, newest first",
    answers: { 200: { description: "At most 1,000.", schema: routerWarningListSchema } },
  }),
  acknowledgeWarning: endpoint({
    id: "acknowledgeRouterWarning",
    method: "post",
    path: "/monitoring/warnings/{id}/acknowledge",
    tag: monitoring,
    summary: "Mark a warning as seen",
    answers: { 200: { description: "The warning.", schema: routerWarningSchema } },
  }),
  standby: endpoint({
    id: "getStandby",
    method: "get",
    path: "/monitoring/standby",
    tag: monitoring,
    summary: "Whether this router is the active one",
    answers: { 200: { description: "Its standby state.", schema: standbyStateSchema } },
  }),
  consumers: endpoint({
    id: "listConsumers",
    method: "get",
    path: "/monitoring/consumers",
    tag: monitoring,
    summary: "The loops that receive from the queues",
    answers: { 200: { description: "All consumers.", schema: consumerStateListSchema } },
  }),
  reload: endpoint({
    id: "reloadConfig",
    method: "post",
    path: "/config/reload",
    tag: service,
    summary: "Read pools and pauses again, now",
    answers: { 200: { description: "The revision in force.", schema: routerReloadAnswerSchema } },
  }),
  root: endpoint({
    id: "getRouterRoot",
    method: "get",
    path: "/",
    tag: service,
    summary: "What this service is, and where its parts are",
    answers: { 200: { description: "Addresses, counts, links.", schema: serviceRootSchema } },
  }),
} as const;

/** The OpenAPI 3.1 document of the router API. */
export function routerOpenApi(): object {
  const info = {
    title: "FlowCatalyst router API",
    version: "1",
    description: "Stand-alone messages in, and what the router is doing.",
    tags: [
      { name: messages, description: "Messages of users without a platform." },
      { name: monitoring, description: "Pools, queues, breakers, what is in flight, warnings." },
      { name: service, description: "The service itself." },
    ],
  };
  return openApiDocument(info, Object.values<Endpoint>(routerEndpoints));
}
