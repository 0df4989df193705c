/**
 * The home of a router without a database: results, checks, pools, pauses and secrets, over the platform's API.
 *
 * ```
 *  queue ──▶ router ──▶ target
 *              │  ▲
 *              │  └─ GET  /api/router/control   long poll: pools, pauses, cancellations
 *              │     GET  /api/router/secrets   one reference
 *              ├──▶  POST /api/dispatch/attempts what came of calls; verdicts by position
 *              └──▶  POST /api/dispatch/check    what of a message that came again is still owed
 * ```
 *
 * The guarantees of a router do not change with its home, and none of them is kept here: these adapters map calls to
 * requests, put a deadline on each and tell refusals from a platform that is away (platform-client). What follows from
 * the latter is the router's own: results keep their place and nothing is acked until they are recorded, no call
 * starts two seconds after they cannot be, none starts on settings older than a minute, and what came again is not
 * started before it was asked for. Why that is enough for order is written down in
 * docs/decisions/0018-router-without-a-database.md.
 */
export { createOutboxPublisher } from "./outbox-publisher.ts";
export { createPlatformClient } from "./platform-client.ts";
export { createRemoteAttemptSink } from "./remote-attempt-sink.ts";
export { createRemoteDeliveryCheck } from "./remote-delivery-check.ts";
export { createRemoteDeliveryControl } from "./remote-delivery-control.ts";
