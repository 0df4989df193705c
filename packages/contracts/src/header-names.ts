/** Header names of our HTTP, in lower case as HTTP/2 sends them. */
export const headerNames = {
  requestId: "x-request-id",
  traceparent: "traceparent",
  tracestate: "tracestate",
  idempotencyKey: "idempotency-key",
  idempotencyReplayed: "idempotency-replayed",
  ifMatch: "if-match",
  etag: "etag",
  location: "location",
  retryAfter: "retry-after",
  authorization: "authorization",
  origin: "origin",
  host: "host",
  contentType: "content-type",
} as const;

/** Headers of a delivery: what the receiver of a webhook sees besides the subscription's own. */
export const deliveryHeaderNames = {
  webhookId: "webhook-id",
  webhookTimestamp: "webhook-timestamp",
  webhookSignature: "webhook-signature",
  eventId: "x-flowcatalyst-event-id",
  eventType: "x-flowcatalyst-event-type",
  dispatchJobId: "x-flowcatalyst-dispatch-job-id",
  subscriptionId: "x-flowcatalyst-subscription-id",
  clientId: "x-flowcatalyst-client-id",
  correlationId: "x-flowcatalyst-correlation-id",
  attempt: "x-flowcatalyst-attempt",
  legacyTimestamp: "x-flowcatalyst-timestamp",
  legacySignature: "x-flowcatalyst-signature",
  userAgent: "user-agent",
  acceptEncoding: "accept-encoding",
} as const;

/** Media types the API takes and gives. */
export const mediaTypes = {
  json: "application/json",
  problem: "application/problem+json",
  cloudEvent: "application/cloudevents+json",
  cloudEventBatch: "application/cloudevents-batch+json",
} as const;
