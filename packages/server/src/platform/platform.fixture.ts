import { expect } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createMetrics,
  createSecretBox,
  createTsidGenerator,
  FakeClock,
  newAppKey,
  seededRandom,
  silentLogger,
  type Clock,
  type Metrics,
} from "@flowcatalyst/foundation";
import { createAddressPolicy } from "../domain/address-policy.ts";
import { createFilterCompiler } from "../domain/filter.ts";
import { createIdSource, type ClientId } from "../domain/ids.ts";
import type { Scope } from "../domain/scope.ts";
import { createDnsAddressGuard } from "../net/index.ts";
import type { DueJob } from "../ports/job-claims.ts";
import type { AddressGuard } from "../ports/transport.ts";
import { createSqliteStore, openDatabase, type SqliteStore } from "../stores/sqlite/index.ts";
import { createStreamProcessor, streamDefaults } from "../stream/stream-processor.ts";
import type { Endpoint } from "../http/endpoint.ts";
import { createPlatformApp } from "./app.ts";
import { platformEndpoints } from "./platform-openapi.ts";
import type { PlatformConfig, PlatformDeps } from "./platform-deps.ts";

/** The platform API over a real SQLite store in a directory of its own, and a clock that a test moves. */
export interface TestPlatform {
  readonly deps: PlatformDeps;
  readonly store: SqliteStore;
  readonly clock: FakeClock;
  readonly metrics: Metrics;
  /** A request such as `GET /api/events`, without a socket. Objects are sent as JSON. */
  call(line: string, body?: unknown, headers?: Readonly<Record<string, string>>): Promise<TestAnswer>;
  send(request: Request): Promise<TestAnswer>;
  /** The stream makes the jobs of all events so far. */
  fanOut(): Promise<void>;
  /** The scheduler publishes what is due; the messages go nowhere. */
  publishDue(): Promise<readonly DueJob[]>;
  readonly fetch: (request: Request) => Response | Promise<Response>;
  close(): Promise<void>;
}

export interface TestAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body as JSON; an empty object if it is none. */
  readonly json: Readonly<Record<string, unknown>>;
  /** The entity's id, or an empty text. */
  readonly id: string;
  /** Of a problem. */
  readonly code: string | undefined;
  readonly faults: readonly { readonly path: string; readonly message: string }[];
}

/** Longer than any test moves its clock. */
const LEASE_TTL_MS = 1e12;

const defaultConfig: PlatformConfig = {
  version: "0.0.0-test",
  apiTokens: [],
  corsOrigins: ["http://localhost:4200"],
  addresses: { api: "http://127.0.0.1:8080" },
  routerQueues: [],
};

export function setupPlatform(
  changes: Partial<PlatformConfig> = {},
  wrapped: Partial<PlatformDeps> = {},
): TestPlatform {
  const directory = mkdtempSync(join(tmpdir(), "platform-"));
  const clock = new FakeClock();
  const logger = silentLogger();
  const database = openDatabase({ path: join(directory, "flowcatalyst.db") }, { clock, pid: process.pid });
  const secretBox = createSecretBox(newAppKey());
  const store = createSqliteStore({ database, clock, logger, secretBox }, { dedupWindowMs: 168 * 3_600_000 });
  const metrics = createMetrics();
  const random = seededRandom(7);
  const tsid = createTsidGenerator({ clock, node: 1 });
  const deps: PlatformDeps = {
    clock,
    random,
    ids: createIdSource(tsid.next),
    log: logger,
    metrics,
    ...store,
    addressGuard: testGuard(clock),
    filterFaults: (id) => stream.filterFaults().get(id) ?? null,
    ...wrapped,
  };
  const stream = createStreamProcessor(
    {
      feed: store.eventFeed,
      subscriptions: store.subscriptionReader,
      jobs: store.jobAppender,
      leases: store.leases,
      ids: deps.ids,
      compiler: createFilterCompiler(),
      clock,
      random,
      logger,
      metrics,
    },
    { holder: "test", ...streamDefaults, leaseTtlMs: LEASE_TTL_MS },
  );
  const app = createPlatformApp(deps, { ...defaultConfig, ...changes });
  const send = async (request: Request): Promise<TestAnswer> => {
    const answer = await answerOf(await app.fetch(request));
    requireDocumented(request, answer);
    return answer;
  };
  return {
    deps,
    store,
    clock,
    metrics,
    send,
    fanOut: async () => {
      for (;;) {
        const passed = await stream.pass();
        if (passed.kind !== "advanced" || !passed.more) return;
      }
    },
    publishDue: async () => {
      const lease = await store.leases.acquire("scheduler", "test", LEASE_TTL_MS);
      if (lease === null) throw new Error("the scheduler's lease is taken");
      const limits = { nowMs: clock.now(), maxJobs: 500, maxBytes: 8_388_608, publishWindow: 1_000 };
      const { runs } = await store.jobClaims.claim(limits, lease.epoch);
      await store.jobClaims.markQueued(runs, clock.now(), lease.epoch);
      return runs.flatMap((run) => run.jobs);
    },
    fetch: (request) => app.fetch(request),
    call: (line, body, headers = {}) => send(requestOf(line, { body, headers })),
    close: async () => {
      await store.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** The product's guard with names of our own: those of `.test` do not resolve, all others to one public address. */
function testGuard(clock: Clock): AddressGuard {
  const resolve = (hostname: string): Promise<readonly string[]> =>
    hostname.endsWith(".test") ? Promise.reject(new Error("no such name")) : Promise.resolve(["93.184.216.34"]);
  return createDnsAddressGuard({ clock, policy: createAddressPolicy(["127.0.0.0/8"]), resolve });
}

interface Sent {
  readonly body: unknown;
  readonly headers: Readonly<Record<string, string>>;
}

function requestOf(line: string, { body, headers }: Sent): Request {
  const [method = "", path = ""] = line.split(" ");
  const url = `http://127.0.0.1:8080${path}`;
  if (body === undefined) return new Request(url, { method, headers });
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return new Request(url, { method, body: text, headers: { "content-type": "application/json", ...headers } });
}

async function answerOf(response: Response): Promise<TestAnswer> {
  const text = await response.text();
  const json = jsonOf(text);
  return {
    status: response.status,
    headers: response.headers,
    text,
    json,
    id: typeof json["id"] === "string" ? json["id"] : "",
    code: typeof json["code"] === "string" ? json["code"] : undefined,
    faults: Array.isArray(json["errors"]) ? (json["errors"] as TestAnswer["faults"]) : [],
  };
}

/** What is answered is what the OpenAPI document says: every answer in a test is held to the schema of its endpoint. */
function requireDocumented(request: Request, { status, json, headers }: TestAnswer): void {
  if (headers.get("content-type")?.startsWith("application/json") !== true) return;
  const path = new URL(request.url).pathname.replace(/^\/api\/dispatch-jobs/, "/api/dispatch/jobs");
  const spec = platformEndpoints().find((candidate) => answersAt(candidate, request.method, path));
  if (spec === undefined) return;
  const schema = spec.answers[status]?.schema;
  if (schema === undefined) throw new Error(`${spec.id} answers ${status}, which is not documented`);
  expect(schema.parse(json)).toEqual(json);
  const told = (["location", "etag"] as const).filter((name) => headers.has(name));
  expect([spec.id, told.filter((name) => spec.answers[status]?.headers?.includes(name) !== true)]).toEqual([
    spec.id,
    [],
  ]);
}

function answersAt(spec: Endpoint, method: string, path: string): boolean {
  const pattern = new RegExp(`^${spec.path.replace(/\{\w+\}/g, "[^/]+")}$`);
  return spec.method.toUpperCase() === method && pattern.test(path);
}

function jsonOf(text: string): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(text) as Readonly<Record<string, unknown>>;
  } catch {
    return {};
  }
}

export function clientScope(id: string): Scope {
  return { kind: "client", clientId: id as ClientId };
}
