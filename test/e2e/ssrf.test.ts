import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { lookup } from "node:dns/promises";
import { join } from "node:path";
import { callApi } from "../harness/api.ts";
import { eventually } from "../harness/eventually.ts";
import {
  freePorts,
  removeDataDir,
  startServer,
  temporaryDataDir,
  type ServerProcess,
} from "../harness/server-process.ts";
import { forbiddenTargets, type ForbiddenTarget } from "./forbidden-targets.ts";

/**
 * Server-side request forgery, tried on the real process from outside: every spelling of an address where webhooks may
 * not go is refused when it is saved, and when it is sent. A canary listens on this machine, on IPv4 and IPv6; it must
 * never see a connection.
 *
 * What cannot be saved cannot be sent, so jobs are made while a server allows every network, with their pool suspended.
 * Then the same data is served by one that allows almost nothing, and the pool is activated. Stand-alone messages go to
 * a router of their own, which looks at a target only when sending.
 */

/** The one address that is allowed, so that there is somewhere to redirect from. */
const allowedAddress = "127.0.0.77";
const strict = { FC_ALLOWED_TARGET_CIDRS: `${allowedAddress}/32` };
const everything = { FC_ALLOWED_TARGET_CIDRS: "0.0.0.0/0,::/0" };
const heldPool = "HELD";
const redirects = [301, 302, 303, 307, 308];
const dueWithinMs = 30_000;
const jsonHeaders = { "content-type": "application/json" } as const;

const cleanups: (() => unknown)[] = [];
const canary = { connections: 0, port: 0 };
const proved: string[] = [];
let targets: readonly ForbiddenTarget[] = [];
let forbidden: readonly ForbiddenTarget[] = [];
let server: ServerProcess;

beforeAll(async () => {
  startCanary();
  targets = [...forbiddenTargets(canary.port), ...(await namesOfThisMachine())].map(asTheDoorSeesIt);
  forbidden = targets.filter(({ expected }) => expected === "forbidden");
  server = await serverWithForbiddenJobs();
}, 60_000);

afterAll(async () => {
  for (const cleanup of cleanups.toReversed()) await cleanup();
});

describe("a forbidden address", () => {
  test("is refused when it is saved, as a subscription, a change of one, or a task", async () => {
    const allowed = { name: "allowed", eventTypes: ["nothing"], targetUrl: `http://${allowedAddress}/` };
    const { id } = await post<{ id: string }>("/api/subscriptions", allowed);
    const before = await counts();
    for (const target of targets) {
      const { url: targetUrl } = target;
      const subscription = { name: "forbidden", eventTypes: ["order.*"], targetUrl };
      const answers = await Promise.all([
        answerTo("POST", "/api/subscriptions", subscription),
        answerTo("PATCH", `/api/subscriptions/${id}`, { targetUrl }),
        answerTo("PUT", `/api/subscriptions/${id}`, subscription),
        answerTo("POST", "/api/dispatch/jobs", { targetUrl, payload: {} }),
        answerTo("POST", "/api/dispatch/jobs/batch", { jobs: [{ targetUrl, payload: {} }] }),
      ]);
      const codes = new Set(answers.map(({ status, code }) => `${status} ${code}`));
      const expected = target.expected === "forbidden" ? "400 TARGET_FORBIDDEN" : "400 VALIDATION_FAILED";
      expect([target.what, targetUrl, ...codes]).toEqual([target.what, targetUrl, expected]);
    }
    expect(await counts()).toEqual(before);
    expect(canary.connections).toBe(0);
    proved.push("saved");
  });

  test("is refused when it is sent, whatever was allowed when it was saved", async () => {
    await post(`/api/dispatch-pools/${heldPool}/activate`, {});
    const jobs = await eventually("all jobs to be final", finalJobs, dueWithinMs);
    expect(new Set(jobs.map(({ targetUrl }) => targetUrl))).toEqual(new Set(forbidden.map(({ url }) => url)));
    for (const job of jobs) {
      const { items } = await get<{ items: Attempt[] }>(`/api/dispatch/jobs/${job.id}/attempts`);
      const attempts = items.map(({ outcome, statusCode }) => [outcome, statusCode]);
      expect([job.targetUrl, job.status, attempts]).toEqual([job.targetUrl, "FAILED", [["BLOCKED_ADDRESS", null]]]);
    }
    const warnings = await callApi<{ items: { category: string }[] }>(server.routerUrl, {
      method: "GET",
      path: "/monitoring/warnings",
    });
    expect(warnings.items.filter(({ category }) => category === "SECURITY").length).toBeGreaterThan(0);
    expect(canary.connections).toBe(0);
    proved.push("sent");
  });

  test("is refused by a router on its own", async () => {
    const dataDir = scratchDir();
    const queue = join(dataDir, "queue.db");
    const router = await started({ args: ["router", "--queue", `sqlite:${queue}`], dataDir, env: strict });
    const publish = (chosen: readonly ForbiddenTarget[]): Promise<Response> => {
      const messages = chosen.map(({ url }, index) => message(`m${index}`, url));
      const body = JSON.stringify({ messages });
      return fetch(`${router.routerUrl}/api/router/publish`, { method: "POST", headers: jsonHeaders, body });
    };
    // What is no target at all is not even taken.
    const invalid = targets.filter(({ expected }) => expected === "invalid");
    const refusal = (await (await publish(invalid)).json()) as { code: string; errors: { path: string }[] };
    expect(refusal.code).toBe("MESSAGE_INVALID");
    expect(refusal.errors.map(({ path }) => path)).toEqual(invalid.map((_, index) => `messages[${index}].target`));
    const { results } = (await (await publish(forbidden)).json()) as { results: { status: string }[] };
    expect(results.map(({ status }) => status)).toEqual(forbidden.map(() => "PUBLISHED"));
    await eventually("all messages to be set aside", () => deadLetters(router, forbidden.length), dueWithinMs);
    expect(await router.stop()).toBe(0);
    const database = new Database(queue, { readonly: true });
    const reasons = database.query<{ reason: string }, []>("SELECT reason FROM dead_letters").all();
    database.close();
    for (const { reason } of reasons) expect(reason).toEndWith("webhooks may not go there");
    expect(reasons).toHaveLength(forbidden.length);
    expect(canary.connections).toBe(0);
    proved.push("sent alone");
  });

  test("is not reached by way of a redirect either", async () => {
    const asked: string[] = [];
    const redirecting = Bun.serve({
      port: 0,
      hostname: allowedAddress,
      fetch(request) {
        const { pathname } = new URL(request.url);
        asked.push(pathname);
        const location = `http://127.0.0.1:${canary.port}/`;
        return new Response(null, { status: Number(pathname.slice(1)), headers: { location } });
      },
    });
    cleanups.push(() => redirecting.stop(true));
    const ids = await Promise.all(
      redirects.map(async (status) => {
        const targetUrl = `http://${allowedAddress}:${redirecting.port}/${status}`;
        return (await post<{ id: string }>("/api/dispatch/jobs", { targetUrl, payload: {} })).id;
      }),
    );
    for (const id of ids) {
      const job = await eventually("the job to be final", async () => {
        const now = await get<Job>(`/api/dispatch/jobs/${id}`);
        return isFinal(now) ? now : undefined;
      });
      expect(job.status).toBe("FAILED");
    }
    expect(asked.toSorted()).toEqual(redirects.map((status) => `/${status}`));
    expect(canary.connections).toBe(0);
  });

  test("is one the canary would have noticed", async () => {
    await fetch(`http://127.0.0.1:${canary.port}/`, { signal: AbortSignal.timeout(2_000) }).catch(() => undefined);
    expect(canary.connections).toBe(1);
    expect(proved).toEqual(["saved", "sent", "sent alone"]);
    expect(targets.length).toBeGreaterThanOrEqual(60);
    console.log(`${targets.length} spellings, all refused when saved and when sent`);
  });
});

interface Job {
  readonly id: string;
  readonly status: string;
  readonly targetUrl: string;
}

interface Attempt {
  readonly outcome: string;
  readonly statusCode: number | null;
}

function startCanary(): void {
  const socket = {
    open: (connection: { end: () => void }): void => {
      canary.connections += 1;
      connection.end();
    },
    data: () => undefined,
  };
  const four = Bun.listen({ hostname: "127.0.0.1", port: 0, socket });
  const six = Bun.listen({ hostname: "::1", port: four.port, socket });
  canary.port = four.port;
  cleanups.push(() => {
    four.stop(true);
    six.stop(true);
  });
}

/** Names that only the resolver knows for loopback, where this machine has them. */
async function namesOfThisMachine(): Promise<readonly ForbiddenTarget[]> {
  const candidates = ["ip6-localhost", "ip6-loopback", "localhost.localdomain"];
  const found = await Promise.all(
    candidates.map(async (name) => {
      const addresses = await lookup(name, { all: true }).catch(() => []);
      return addresses.some(({ address }) => address === "::1" || address.startsWith("127.")) ? [name] : [];
    }),
  );
  return found.flat().map((name) => ({
    url: `http://${name}:${canary.port}/hook`,
    expected: "forbidden",
    what: "a name that this machine resolves to loopback",
  }));
}

/** The network guard reads through blanks and line ends; nobody gets that far with them. */
function asTheDoorSeesIt(target: ForbiddenTarget): ForbiddenTarget {
  return /\s/.test(target.url) ? { ...target, expected: "invalid" } : target;
}

function scratchDir(): string {
  const dataDir = temporaryDataDir();
  cleanups.push(() => removeDataDir(dataDir));
  return dataDir;
}

async function started(options: Parameters<typeof startServer>[0]): Promise<ServerProcess> {
  const process = await startServer(options);
  cleanups.push(() => process.kill());
  return process;
}

/** A server that allows nothing, on data with a job for each forbidden address. */
async function serverWithForbiddenJobs(): Promise<ServerProcess> {
  const dataDir = scratchDir();
  const ports = await freePorts();
  const lenient = await started({ dataDir, ports, env: everything });
  const call = (path: string, body: unknown) => callApi(lenient.apiUrl, { method: "POST", path, body });
  await call("/api/dispatch-pools", { code: heldPool, concurrency: 50 });
  await call(`/api/dispatch-pools/${heldPool}/suspend`, {});
  const jobs = forbidden.map(({ url }) => ({ targetUrl: url, payload: {}, dispatchPoolId: heldPool }));
  await call("/api/dispatch/jobs/batch", { jobs });
  const [first] = forbidden;
  const subscription = { name: "saved", eventTypes: ["order.*"], targetUrl: first?.url, dispatchPoolId: heldPool };
  await call("/api/subscriptions", subscription);
  await call("/api/events", { type: "order.created", source: "/shop" });
  expect(await lenient.stop()).toBe(0);
  return started({ dataDir, ports, env: strict });
}

async function finalJobs(): Promise<readonly Job[] | undefined> {
  const { items } = await get<{ items: Job[] }>("/api/dispatch/jobs?limit=1000");
  // One more: the job of the event.
  return items.length === forbidden.length + 1 && items.every(isFinal) ? items : undefined;
}

function isFinal({ status }: Job): boolean {
  return status !== "PENDING" && status !== "QUEUED";
}

async function counts(): Promise<readonly number[]> {
  const paths = ["/api/subscriptions?limit=1000", "/api/dispatch/jobs?limit=1000"];
  const lists = await Promise.all(paths.map((path) => get<{ items: unknown[] }>(path)));
  return lists.map(({ items }) => items.length);
}

async function deadLetters(router: ServerProcess, wanted: number): Promise<number | undefined> {
  const { items } = await callApi<{ items: { dead: number }[] }>(router.routerUrl, {
    method: "GET",
    path: "/monitoring/queues",
  });
  const dead = items.reduce((sum, queue) => sum + queue.dead, 0);
  return dead === wanted ? dead : undefined;
}

function message(id: string, target: string): Record<string, unknown> {
  return { id, poolCode: "default", mediationType: "HTTP", target, payload: {} };
}

function get<Answer>(path: string): Promise<Answer> {
  return callApi<Answer>(server.apiUrl, { method: "GET", path });
}

function post<Answer>(path: string, body: unknown): Promise<Answer> {
  return callApi<Answer>(server.apiUrl, { method: "POST", path, body });
}

async function answerTo(method: string, path: string, body: unknown): Promise<{ status: number; code: string }> {
  const response = await fetch(server.apiUrl + path, {
    method,
    headers: jsonHeaders,
    body: JSON.stringify(body),
  });
  const { code } = (await response.json()) as { code: string };
  return { status: response.status, code };
}
