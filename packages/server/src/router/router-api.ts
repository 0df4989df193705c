/**
 * The router's own HTTP API (port 8081): stand-alone messages in, and what operators see of the router.
 *
 * The same conventions as the platform API: camelCase, problem documents with a code, a request id on every answer,
 * static tokens (everything but health needs one when tokens are configured). Bodies are read within a budget.
 */
import type { RouterPublishAnswer, RouterPublishResult, ServiceRoot } from "@flowcatalyst/contracts";
import { headerNames, inFlightCheckSchema, wireLimits } from "@flowcatalyst/contracts";
import {
  CodedError,
  type Clock,
  type FieldFault,
  type Logger,
  type Metrics,
  type Random,
} from "@flowcatalyst/foundation";
import { Hono, type Context, type MiddlewareHandler } from "hono";
import type { StandaloneMessage } from "../domain/message.ts";
import { parseStandaloneMessage } from "../domain/standalone-message.ts";
import { createBodyReader, type BodyReader } from "../http/body-reader.ts";
import { honoPath, type Endpoint } from "../http/endpoint.ts";
import { parseJson } from "../http/json-text.ts";
import { createNearRequest } from "../http/near-request.ts";
import { honoErrorHandler, problemResponse } from "../http/problem-response.ts";
import { requestScope, type RequestVariables } from "../http/request-scope.ts";
import { createDocsRoutes } from "../http/swagger-ui.ts";
import { createTokenGuard } from "../http/token-guard.ts";
import { validated } from "../http/validation.ts";
import type { PublishResult } from "../ports/queue.ts";
import { DeadLetterOffice } from "./dead-letter-office.ts";
import type { DeadLetterQueue } from "./dead-letter-pages.ts";
import { mountDeadLetters } from "./dead-letter-routes.ts";
import { routerEndpoints, routerOpenApi } from "./router-endpoints.ts";
import type { Router } from "./router.ts";

export interface RouterApiDeps {
  readonly router: Pick<Router, "monitoring" | "reload">;
  /** Those of the router now. What is published goes to the first; dead letters are shown in this order. */
  readonly queues: () => readonly DeadLetterQueue[];
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

export interface RouterApiConfig {
  /** Empty: no token is asked for. */
  readonly apiTokens: readonly string[];
  readonly version: string;
  readonly addresses: Readonly<Record<string, string>>;
}

export interface RouterEnv {
  Variables: RequestVariables;
}

export type RouterContext = Context<RouterEnv>;
type Handler = (c: RouterContext) => Response | Promise<Response>;

export function createRouterApp(deps: RouterApiDeps, config: RouterApiConfig): Hono<RouterEnv> {
  const app = new Hono<RouterEnv>({ strict: false });
  const bodies = createBodyReader();
  app.use("*", requestScope(deps));
  app.use("*", tokens(config.apiTokens));
  app.onError(honoErrorHandler<RouterEnv>(deps.logger));
  const paths = new Map<string, string>();
  const mount = (spec: Endpoint, handler: Handler): void => {
    const path = honoPath(spec.path);
    paths.set(path, spec.method.toUpperCase());
    app.on(spec.method.toUpperCase(), path, (c) => {
      c.set("route", spec.path);
      return handler(c);
    });
  };
  mountMessages(mount, deps, bodies);
  mountMonitoring(mount, deps, bodies);
  mountDeadLetters(mount, new DeadLetterOffice(deps), bodies);
  mountService(mount, deps, config);
  for (const [path, method] of paths) app.all(path, (c) => wrongMethod(c, method));
  app.route("/", createDocsRoutes("FlowCatalyst router API", routerOpenApi));
  app.notFound((c) =>
    problemResponse(new CodedError("NOT_FOUND", { message: "There is nothing at this path." }), c.req.path),
  );
  return app;
}

export type Mount = (spec: Endpoint, handler: Handler) => void;

function mountMessages(mount: Mount, { queues }: RouterApiDeps, bodies: BodyReader): void {
  mount(routerEndpoints.publish, async (c) => {
    const [publisher] = queues();
    if (publisher === undefined) throw new CodedError("QUEUE_UNAVAILABLE", { message: "No queue is open yet." });
    const body = parseJson(await bodies.text(c.req.raw));
    const { items, basePath } = messagesOf(body);
    const messages = parsedMessages(items, basePath);
    const results = await publisher.publish(messages);
    if (basePath === null) throwIfRefused(results[0]);
    const answer: RouterPublishAnswer = {
      count: results.filter(({ kind }) => kind === "published" || kind === "duplicate").length,
      results: messages.map((message, at) => resultOf(message.id, results[at])),
    };
    return c.json(answer, 201);
  });
}

interface Given {
  readonly items: readonly unknown[];
  /** How the place of an item is written before its index; null: the body is the one message. */
  readonly basePath: string | null;
}

/** One message, a list of them, or a list under `messages`. Throws BATCH_TOO_LARGE, VALIDATION_FAILED. */
function messagesOf(body: unknown): Given {
  const listed = typeof body === "object" && body !== null && "messages" in body ? body.messages : body;
  if (!Array.isArray(listed)) {
    if (listed !== body) throw new CodedError("VALIDATION_FAILED", { message: "messages must be an array." });
    return { items: [body], basePath: null };
  }
  const items: readonly unknown[] = listed;
  if (items.length === 0) throw new CodedError("VALIDATION_FAILED", { message: "There must be at least one message." });
  if (items.length > wireLimits.routerPublishMaxMessages) {
    const message = `A request carries at most ${wireLimits.routerPublishMaxMessages} messages.`;
    throw new CodedError("BATCH_TOO_LARGE", { message });
  }
  return { items, basePath: listed === body ? "" : "messages" };
}

function parsedMessages(items: readonly unknown[], basePath: string | null): StandaloneMessage[] {
  const messages: StandaloneMessage[] = [];
  const errors: FieldFault[] = [];
  let code: "MESSAGE_INVALID" | "MEDIATION_TYPE_UNSUPPORTED" = "MEDIATION_TYPE_UNSUPPORTED";
  items.forEach((item, at) => {
    const decoded = parseStandaloneMessage(item, "refuseUnknownFields");
    if (decoded.kind === "malformed") {
      if (decoded.code === "MESSAGE_INVALID") ({ code } = decoded);
      const place = basePath === null ? "" : `${basePath}[${at}]`;
      for (const { path, message } of decoded.faults) errors.push({ path: joinPath(place, path), message });
    } else if (decoded.message.kind === "standalone") messages.push(decoded.message);
  });
  if (errors.length === 0) return messages;
  const [first] = errors;
  const message =
    errors.length === 1 && first !== undefined ? `${first.path} ${first.message}.`.trim() : `${errors.length} faults.`;
  throw new CodedError(code, { message, errors: errors.slice(0, MAX_FAULTS_TOLD) });
}

const MAX_FAULTS_TOLD = 100;

function joinPath(base: string, path: string): string {
  return base === "" || path === "" ? base + path : `${base}.${path}`;
}

/** A single message that was not taken is a failed request; of many, each says so itself. */
function throwIfRefused(result: PublishResult | undefined): void {
  if (result?.kind === "invalid") throw new CodedError(result.code, { message: result.detail });
  if (result?.kind === "refused") throw new CodedError("QUEUE_UNAVAILABLE", { message: result.detail });
}

function resultOf(id: string, result: PublishResult | undefined): RouterPublishResult {
  switch (result?.kind) {
    case "published":
      return { id, status: "PUBLISHED" };
    case "duplicate":
      return { id, status: "DUPLICATE" };
    case "invalid":
      return { id, status: "INVALID", code: result.code, error: result.detail };
    case "refused":
    case undefined:
      return { id, status: "REFUSED", code: "QUEUE_UNAVAILABLE", error: result?.detail ?? "no answer" };
  }
}

function mountMonitoring(mount: Mount, { router }: RouterApiDeps, bodies: BodyReader): void {
  const { monitoring } = router;
  mount(routerEndpoints.health, (c) => {
    const health = monitoring.health();
    return c.json(health, health.status === "UP" ? 200 : 503);
  });
  mount(routerEndpoints.pools, (c) => c.json({ items: monitoring.pools() }));
  mount(routerEndpoints.queues, async (c) => c.json({ items: await monitoring.queues() }));
  mount(routerEndpoints.circuitBreakers, (c) => c.json({ items: monitoring.circuitBreakers() }));
  mount(routerEndpoints.resetCircuitBreaker, (c) => {
    const name = c.req.param("name") ?? "";
    return c.json(found(monitoring.resetBreaker(name), "circuit breaker", name));
  });
  mount(routerEndpoints.inFlight, (c) => c.json(monitoring.inFlight()));
  mount(routerEndpoints.checkInFlight, async (c) => {
    const { ids } = validated(inFlightCheckSchema, parseJson(await bodies.text(c.req.raw)));
    return c.json(monitoring.checkInFlight(ids));
  });
  mount(routerEndpoints.warnings, (c) => c.json({ items: monitoring.warnings() }));
  mount(routerEndpoints.acknowledgeWarning, (c) => {
    const id = c.req.param("id") ?? "";
    return c.json(found(monitoring.acknowledgeWarning(id), "warning", id));
  });
  mount(routerEndpoints.standby, (c) => c.json(monitoring.standby()));
  mount(routerEndpoints.consumers, (c) => c.json({ items: monitoring.consumers() }));
}

function mountService(mount: Mount, { router }: RouterApiDeps, config: RouterApiConfig): void {
  mount(routerEndpoints.reload, async (c) => c.json({ revision: await router.reload() }));
  mount(routerEndpoints.root, (c) => {
    const { inPipeline, activeWorkers, warnings } = router.monitoring.health();
    const root: ServiceRoot = {
      name: "FlowCatalyst router",
      version: config.version,
      addresses: { ...config.addresses },
      counts: { inPipeline, activeWorkers, warnings },
      links,
    };
    return c.json(root);
  });
}

const links: Record<string, string> = {
  openapi: "/openapi.json",
  swaggerUi: "/swagger-ui",
  health: "/api/router/health",
  pools: "/monitoring/pools",
  queues: "/monitoring/queues",
  deadLetters: "/monitoring/dead-letters",
  circuitBreakers: "/monitoring/circuit-breakers",
  inFlight: "/monitoring/in-flight",
  warnings: "/monitoring/warnings",
  consumers: "/monitoring/consumers",
};

function found<T>(entity: T | null, what: string, id: string): T {
  if (entity === null) throw new CodedError("NOT_FOUND", { message: `There is no ${what} ${id}.` });
  return entity;
}

function wrongMethod(c: RouterContext, allowed: string): Response {
  const message = `${c.req.method} is not allowed here; ${allowed} is.`;
  const response = problemResponse(new CodedError("METHOD_NOT_ALLOWED", { message }), c.req.path);
  response.headers.set("allow", allowed);
  return response;
}

const openPaths: readonly string[] = ["/q/", "/health", "/api/router/health"];

function tokens(apiTokens: readonly string[]): MiddlewareHandler<RouterEnv> {
  const guard = createTokenGuard(apiTokens);
  const requireNear = createNearRequest([]);
  return async (c, next) => {
    const isOpen = openPaths.some((path) => c.req.path.startsWith(path));
    if (!isOpen && !guard.required) requireNear(c);
    if (!isOpen && guard.required && guard.match(c.req.header(headerNames.authorization)) < 0)
      throw new CodedError("UNAUTHENTICATED");
    await next();
  };
}
