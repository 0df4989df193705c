/**
 * Client of a FlowCatalyst platform: publish events, administer subscriptions and pools, look at jobs.
 *
 * A thin mapping of the HTTP API: one method a call, the wire's own shapes in and out. `publish` gives each event a
 * deduplicationId when it has none, which makes a repeat after a lost answer harmless.
 */
import type {
  AcceptedEvent,
  AttemptList,
  CreateDispatchJob,
  CreateDispatchPool,
  CreateEvent,
  CreateReplay,
  CreateSubscription,
  DispatchJobList,
  DispatchJobOut,
  DispatchPoolList,
  DispatchPoolOut,
  Event,
  EventBatchAnswer,
  EventSearchPage,
  HeldGroupList,
  HeldGroupOut,
  ReplayList,
  ReplayOut,
  ReplayPreview,
  ServiceRoot,
  SigningSecret,
  SubscriptionList,
  SubscriptionOut,
  SubscriptionStats,
  Timeline,
  UpdateDispatchPool,
  UpdateSubscription,
} from "@flowcatalyst/contracts";
import { HttpClient, type Call, type ClientOptions } from "./http-client.ts";

export type Query = NonNullable<Call["query"]>;

export interface FlowCatalystClient {
  readonly http: HttpClient;
  root(): Promise<ServiceRoot>;
  publish(event: CreateEvent): Promise<Event>;
  publishBatch(events: readonly CreateEvent[]): Promise<readonly AcceptedEvent[]>;
  readonly events: {
    get(id: string): Promise<Event>;
    jobs(id: string, query?: Query): Promise<DispatchJobList>;
    timeline(id: string): Promise<Timeline>;
    search(query?: Query): Promise<EventSearchPage>;
  };
  readonly subscriptions: {
    create(subscription: CreateSubscription): Promise<SubscriptionOut>;
    list(query?: Query): Promise<SubscriptionList>;
    get(id: string): Promise<SubscriptionOut>;
    update(id: string, change: UpdateSubscription): Promise<SubscriptionOut>;
    pause(id: string, reason?: string): Promise<SubscriptionOut>;
    resume(id: string): Promise<SubscriptionOut>;
    archive(id: string): Promise<SubscriptionOut>;
    test(id: string, body?: { type?: string; data?: unknown }): Promise<DispatchJobOut>;
    secret(id: string): Promise<SigningSecret>;
    rotateSecret(id: string, overlapHours?: number): Promise<SigningSecret>;
    stats(id: string): Promise<SubscriptionStats>;
    renewLease(id: string, leaseSeconds?: number): Promise<SubscriptionOut>;
  };
  readonly pools: {
    create(pool: CreateDispatchPool): Promise<DispatchPoolOut>;
    list(query?: Query): Promise<DispatchPoolList>;
    get(id: string): Promise<DispatchPoolOut>;
    update(id: string, change: UpdateDispatchPool): Promise<DispatchPoolOut>;
    suspend(id: string): Promise<DispatchPoolOut>;
    activate(id: string): Promise<DispatchPoolOut>;
    remove(id: string): Promise<void>;
  };
  readonly jobs: {
    create(job: CreateDispatchJob): Promise<DispatchJobOut>;
    list(query?: Query): Promise<DispatchJobList>;
    get(id: string): Promise<DispatchJobOut>;
    attempts(id: string, query?: Query): Promise<AttemptList>;
    retry(id: string): Promise<DispatchJobOut>;
    cancel(id: string): Promise<DispatchJobOut>;
  };
  readonly groups: {
    list(query?: Query): Promise<HeldGroupList>;
    unblock(key: string, action: "skip" | "retry"): Promise<HeldGroupOut>;
  };
  readonly replays: {
    preview(filter: CreateReplay): Promise<ReplayPreview>;
    start(filter: CreateReplay): Promise<ReplayOut>;
    list(query?: Query): Promise<ReplayList>;
    get(id: string): Promise<ReplayOut>;
    cancel(id: string): Promise<ReplayOut>;
  };
}

/** Makes a client. Nothing is sent until a method is called. */
export function createClient(options: ClientOptions): FlowCatalystClient {
  const http = new HttpClient(options);
  const get = <Answer>(path: string, query?: Query): Promise<Answer> =>
    http.call<Answer>({ method: "GET", path, ...(query === undefined ? {} : { query }) });
  const post = <Answer>(path: string, body: unknown = {}): Promise<Answer> =>
    http.call<Answer>({ method: "POST", path, body });
  const at = (resource: string, id: string): string => `/api/${resource}/${encodeURIComponent(id)}`;

  return {
    http,
    root: () => get("/"),
    publish: (event) => http.call({ method: "POST", path: "/api/events", body: identified(event), repeatable: true }),
    publishBatch: async (events) => {
      const body = { events: events.map(identified) };
      const call: Call = { method: "POST", path: "/api/events/batch", body, repeatable: true };
      return (await http.call<EventBatchAnswer>(call)).events;
    },
    events: {
      get: (id) => get(at("events", id)),
      jobs: (id, query) => get(`${at("events", id)}/jobs`, query),
      timeline: (id) => get(`${at("events", id)}/timeline`),
      search: (query) => get("/api/bff/events", query),
    },
    subscriptions: {
      create: (subscription) => post("/api/subscriptions", subscription),
      list: (query) => get("/api/subscriptions", query),
      get: (id) => get(at("subscriptions", id)),
      update: (id, body) => http.call({ method: "PATCH", path: at("subscriptions", id), body }),
      pause: (id, reason) => post(`${at("subscriptions", id)}/pause`, reason === undefined ? {} : { reason }),
      resume: (id) => post(`${at("subscriptions", id)}/resume`),
      archive: (id) => post(`${at("subscriptions", id)}/archive`),
      test: (id, body) => post(`${at("subscriptions", id)}/test`, body ?? {}),
      secret: (id) => get(`${at("subscriptions", id)}/secret`),
      rotateSecret: (id, overlapHours) =>
        post(`${at("subscriptions", id)}/rotate-secret`, overlapHours === undefined ? {} : { overlapHours }),
      stats: (id) => get(`${at("subscriptions", id)}/stats`),
      renewLease: (id, leaseSeconds) =>
        post(`${at("subscriptions", id)}/renew-lease`, leaseSeconds === undefined ? {} : { leaseSeconds }),
    },
    pools: {
      create: (pool) => post("/api/dispatch-pools", pool),
      list: (query) => get("/api/dispatch-pools", query),
      get: (id) => get(at("dispatch-pools", id)),
      update: (id, body) => http.call({ method: "PATCH", path: at("dispatch-pools", id), body }),
      suspend: (id) => post(`${at("dispatch-pools", id)}/suspend`),
      activate: (id) => post(`${at("dispatch-pools", id)}/activate`),
      remove: (id) => http.call({ method: "DELETE", path: at("dispatch-pools", id) }),
    },
    jobs: {
      create: (job) => post("/api/dispatch/jobs", job),
      list: (query) => get("/api/dispatch/jobs", query),
      get: (id) => get(at("dispatch/jobs", id)),
      attempts: (id, query) => get(`${at("dispatch/jobs", id)}/attempts`, query),
      retry: (id) => post(`${at("dispatch/jobs", id)}/retry`),
      cancel: (id) => post(`${at("dispatch/jobs", id)}/cancel`),
    },
    groups: {
      list: (query) => get("/api/dispatch/groups", query),
      unblock: (key, action) => post(`${at("dispatch/groups", key)}/unblock`, { action }),
    },
    replays: {
      preview: (filter) => post("/api/dispatch/jobs/replay", { ...filter, dryRun: true }),
      start: (filter) => post("/api/dispatch/jobs/replay", filter),
      list: (query) => get("/api/dispatch/replays", query),
      get: (id) => get(at("dispatch/replays", id)),
      cancel: (id) => post(`${at("dispatch/replays", id)}/cancel`),
    },
  };
}

function identified(event: CreateEvent): CreateEvent {
  return event.deduplicationId === undefined || event.deduplicationId === null
    ? { ...event, deduplicationId: crypto.randomUUID() }
    : event;
}
