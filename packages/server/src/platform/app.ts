/**
 * The platform API: what applications and operators talk to.
 *
 * A request passes, from outside in: the request's scope (id, metrics), CORS, the principal, then the endpoint, which
 * validates query and body by the schemas of `contracts` and calls one folder's handler. A folder per resource; each
 * has `endpoints.ts` (the operations as data, which is also what OpenAPI is made from), its handlers, and the shapes
 * it answers with. Names that only other builds use are known in `aliases.ts` alone.
 *
 * The API writes events and settings, and asks the job store to do what operators want of jobs; it calls no other
 * stage. Whatever fails is answered as a problem document with a code of the closed set. Expected refusals are thrown
 * as coded errors from where they are found; anything else is logged once and told as INTERNAL with the request's id.
 *
 * Nothing grows with load: bodies are read within a budget (http/body-reader), batches and lists have limits, and what
 * the log cannot take is refused with 503 before anything of it was kept. Every query takes the principal's scope.
 */

import { headerNames } from "@flowcatalyst/contracts";
import { CodedError } from "@flowcatalyst/foundation";
import { Hono } from "hono";
import { cors } from "hono/cors";
import { eventLimits } from "../domain/event.ts";
import { createBodyReader } from "../http/body-reader.ts";
import { honoErrorHandler, problemResponse } from "../http/problem-response.ts";
import { requestScope } from "../http/request-scope.ts";
import { createDocsRoutes } from "../http/swagger-ui.ts";
import { mountAuditLogs } from "./audit-logs/audit-log-routes.ts";
import { mountBff } from "./bff/bff-routes.ts";
import { mountDispatchJobs } from "./dispatch-jobs/job-routes.ts";
import { mountDispatchPools } from "./dispatch-pools/pool-routes.ts";
import { EventIntake } from "./events/event-intake.ts";
import { mountEvents } from "./events/event-routes.ts";
import { createSchemaCompiler, createSchemaGate } from "./events/schema-gate.ts";
import { mountEventTypes } from "./event-types/event-type-routes.ts";
import { mountGroups } from "./groups/group-routes.ts";
import { createIdempotentAnswers } from "./idempotent-answers.ts";
import { createMount, type Mount, type PlatformContext } from "./mount.ts";
import type { PlatformConfig, PlatformDeps } from "./platform-deps.ts";
import { platformOpenApi } from "./platform-openapi.ts";
import { principals, type PlatformEnv } from "./principal.ts";
import { mountReplays } from "./replays/replay-routes.ts";
import { mountRoot } from "./root/root-routes.ts";
import { mountRouterControl } from "./router-control/router-control-routes.ts";
import { mountSubscriptions } from "./subscriptions/subscription-routes.ts";

/**
 * The application, to be served with `Bun.serve({ fetch: app.fetch, maxRequestBodySize })`. Health and metrics are
 * mounted on it by whoever starts it; paths of health need no token.
 */
export function createPlatformApp(deps: PlatformDeps, config: PlatformConfig): Hono<PlatformEnv> {
  const app = new Hono<PlatformEnv>({ strict: false });
  const bodies = createBodyReader();
  const idempotentAnswers = createIdempotentAnswers(deps.idempotency, deps.clock);
  const mount = createMount(app, { bodies, idempotentAnswers });
  app.use("*", requestScope(deps));
  if (config.corsOrigins.length > 0) app.use("*", crossOrigin(config.corsOrigins));
  app.use("*", principals(config));
  app.onError(honoErrorHandler<PlatformEnv>(deps.log));
  app.notFound((c) => noSuchEndpoint(mount, c));

  const compiler = createSchemaCompiler(deps.clock);
  const intake = createIntake(deps, config, compiler);
  mountRoot(mount, deps, config);
  mountEvents(mount, { platform: deps, intake, bodies, idempotentAnswers });
  mountEventTypes(mount, deps, compiler);
  mountSubscriptions(mount, deps);
  mountDispatchPools(mount, deps, config);
  mountDispatchJobs(mount, { platform: deps, bodies, idempotentAnswers });
  mountReplays(mount, deps);
  mountGroups(mount, deps);
  mountAuditLogs(mount, { platform: deps, bodies, idempotentAnswers });
  mountBff(mount, deps);
  mountRouterControl(mount, deps, config);
  app.route("/", createDocsRoutes("FlowCatalyst platform API", platformOpenApi));
  return app;
}

function createIntake(
  deps: PlatformDeps,
  config: PlatformConfig,
  compiler: ReturnType<typeof createSchemaCompiler>,
): EventIntake {
  const accepted = deps.metrics.counter("fc_platform_events_accepted_total", "Events accepted, without duplicates.");
  const gate = createSchemaGate({ eventTypes: deps.eventTypes, compiler, log: deps.log });
  const eventDataMaxBytes = Math.min(config.eventDataMaxBytes ?? eventLimits.dataMaxBytes, eventLimits.dataMaxBytes);
  return new EventIntake(
    { clock: deps.clock, ids: deps.ids, events: deps.events, gate, accepted },
    { eventDataMaxBytes },
  );
}

const corsMaxAgeSeconds = 600;

function crossOrigin(origins: readonly string[]): ReturnType<typeof cors> {
  return cors({
    origin: [...origins],
    allowMethods: ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
    exposeHeaders: [headerNames.requestId, headerNames.location, headerNames.etag, headerNames.retryAfter],
    maxAge: corsMaxAgeSeconds,
    credentials: true,
  });
}

/** A path that exists with other methods is told from one that does not exist. */
function noSuchEndpoint(mount: Mount, c: PlatformContext): Response {
  const methods = mount.methodsOf(c.req.path);
  if (methods === null) {
    return problemResponse(new CodedError("NOT_FOUND", { message: "There is nothing at this path." }), c.req.path);
  }
  const message = `${c.req.method} is not allowed here; ${methods.join(", ")} is.`;
  const response = problemResponse(new CodedError("METHOD_NOT_ALLOWED", { message }), c.req.path);
  response.headers.set("allow", methods.join(", "));
  return response;
}
