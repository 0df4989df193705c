/**
 * Client of a FlowCatalyst platform: publish events, administer every resource, look at what became of events.
 *
 * A thin mapping of the HTTP API: one method an operation (generated from its OpenAPI document), the wire's own shapes
 * in and out, `all…` methods that iterate over the pages of a list. What is added here: publishing with its batches,
 * and the two ways of asking for a replay.
 */
import type { AnyEvents } from "./event-types.ts";
import { eventPublisher, type EventPublisher } from "./event-publisher.ts";
import { platformApi, type PlatformApi } from "./generated/platform-api.ts";
import type { CreateReplay, Replay, ReplayPreview, ReplaysApi } from "./generated/replays.ts";
import { HttpClient, type ClientOptions } from "./http-client.ts";
import type { CallOptions, KeyedOptions } from "./operation.ts";

/** Bulk retries. */
export interface ReplaysClient extends ReplaysApi {
  /** Counts what would be retried. */
  preview(filter: Omit<CreateReplay, "dryRun">, options?: CallOptions): Promise<ReplayPreview>;
  /** Starts to retry it. */
  start(filter: Omit<CreateReplay, "dryRun">, options?: KeyedOptions): Promise<Replay>;
}

/**
 * A client of one platform; make it with `createClient`.
 *
 * @typeParam Types - the map of event types that may be published
 */
export interface FlowCatalystClient<Types extends object = AnyEvents>
  extends EventPublisher<Types>, Omit<PlatformApi, "replays"> {
  /** Sends what no method is there for. */
  readonly http: HttpClient;
  /** Bulk retries. */
  readonly replays: ReplaysClient;
}

/**
 * Makes a client. Nothing is sent until a method is called.
 *
 * @example
 * ```ts
 * const client = createClient({ baseUrl: "http://127.0.0.1:8080" });
 * await client.publish({ type: "order.placed", source: "shop", data: { orderId: "1" } });
 * for await (const subscription of client.subscriptions.all()) console.log(subscription.name);
 * ```
 */
export function createClient<Types extends object = AnyEvents>(options: ClientOptions): FlowCatalystClient<Types> {
  const http = new HttpClient(options);
  const api = platformApi((operation) => http.call(operation));
  const path = "/api/dispatch/jobs/replay";
  return {
    http,
    ...eventPublisher<Types>(http),
    ...api,
    replays: {
      ...api.replays,
      preview: (filter, call) =>
        http.call({ method: "POST", path, body: { ...filter, dryRun: true }, options: call, repeatable: true }),
      start: (filter, call) => http.call({ method: "POST", path, body: filter, keyed: true, options: call }),
    },
  };
}
