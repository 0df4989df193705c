import type { Clock, Metrics, Random } from "@flowcatalyst/foundation";
import { headerNames } from "@flowcatalyst/contracts";
import type { MiddlewareHandler } from "hono";

/** What every request carries from the first middleware to its handler. */
export interface RequestVariables {
  readonly requestId: string;
  /** Path template of the endpoint that answers, e.g. `/api/events/{id}`; the label of metrics. */
  route: string;
}

export interface RequestScopeDeps {
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly random: Random;
  readonly metrics: Metrics;
}

/** Label of requests that no endpoint answered, so that wrong paths cannot make new label values. */
const unmatchedRoute = "unmatched";
const givenIdPattern = /^[\x21-\x7e]{1,128}$/;
const histogramBucketsSeconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/**
 * The outermost middleware: gives the request its id (the caller's `x-request-id` if it is printable), says it in the
 * answer, and counts and times the answer by route. Names: http_requests_total, http_request_duration_seconds.
 */
export function requestScope(deps: RequestScopeDeps): MiddlewareHandler<{ Variables: RequestVariables }> {
  const nextId = requestIds(deps.random);
  const observe = requestMetrics(deps.metrics);
  return async (c, next) => {
    const startedMs = deps.clock.monotonicMs();
    const given = c.req.header(headerNames.requestId);
    const requestId = given !== undefined && givenIdPattern.test(given) ? given : nextId();
    c.set("requestId", requestId);
    c.set("route", unmatchedRoute);
    await next();
    c.res.headers.set(headerNames.requestId, requestId);
    const seconds = (deps.clock.monotonicMs() - startedMs) / 1_000;
    observe({ method: c.req.method, route: c.get("route"), status: c.res.status, seconds });
  };
}

/** Ids that are unique and cheap: a random prefix of the process and a counter. */
function requestIds(random: Random): () => string {
  const prefix = Buffer.from(random.bytes(8)).toString("hex");
  let counter = 0;
  return () => `${prefix}-${(counter++).toString(36)}`;
}

interface Observation {
  readonly method: string;
  readonly route: string;
  readonly status: number;
  readonly seconds: number;
}

const countedMethods = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

function requestMetrics(metrics: Metrics): (observation: Observation) => void {
  const total = metrics.counter("http_requests_total", "HTTP requests answered.", ["method", "route", "status"]);
  const duration = metrics.histogram("http_request_duration_seconds", "Time from request to answer.", {
    labels: ["method", "route"],
    buckets: histogramBucketsSeconds,
  });
  return ({ method, route, status, seconds }) => {
    const known = countedMethods.has(method) ? method : "OTHER";
    total.labels({ method: known, route, status: String(status) }).inc();
    duration.labels({ method: known, route }).observe(seconds);
  };
}
