import { afterEach, describe, expect, test } from "bun:test";
import { seededRandom, silentLogger } from "@flowcatalyst/foundation";
import type { TransportResult } from "../ports/transport.ts";
import { createRouterApp, type RouterApiConfig } from "./router-api.ts";
import { answer, setupRouter, type TestRouter } from "./router.fixture.ts";

let open: TestRouter[] = [];

async function setup(config: Partial<RouterApiConfig> = {}) {
  const t = setupRouter();
  open.push(t);
  await t.start();
  const { router, clock, metrics, queue } = t;
  const deps = {
    router,
    queues: () => [queue],
    clock,
    metrics,
    random: seededRandom(1),
    logger: silentLogger(),
  };
  const app = createRouterApp(deps, { apiTokens: [], version: "0.1.0", addresses: {}, ...config });
  const post = (path: string, body: unknown): Promise<Response> =>
    Promise.resolve(
      app.request(path, { method: "POST", body: typeof body === "string" ? body : JSON.stringify(body) }),
    );
  const get = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
    Promise.resolve(app.request(path, { headers }));
  return { ...t, app, get, post };
}

afterEach(async () => {
  for (const bundle of open) await bundle.dispose();
  open = [];
});

const message = {
  id: "m1",
  poolCode: "main",
  mediationType: "HTTP",
  target: "https://a.example/hook",
  payload: { a: 1 },
};

describe("publish", () => {
  test("one message, in either spelling; the second time it is a duplicate", async () => {
    const t = await setup();
    const first = await t.post("/api/router/publish", message);
    expect(first.status).toBe(201);
    expect(await first.json()).toEqual({ count: 1, results: [{ id: "m1", status: "PUBLISHED" }] });
    const { id, target, payload } = message;
    const snake = { id, pool_code: "main", mediation_type: "HTTP", target, payload };
    expect(await (await t.post("/api/router/publish", snake)).json()).toMatchObject({
      results: [{ id: "m1", status: "DUPLICATE" }],
    });
    await t.elapse(10);
    expect(t.targets.calls.map(({ request }) => request.body)).toEqual(['{"a":1}']);
  });

  test("many, as a list or under messages", async () => {
    const t = await setup();
    const list = [message, { ...message, id: "m2" }];
    expect(await (await t.post("/api/router/publish", list)).json()).toMatchObject({ count: 2 });
    const third = { messages: [{ ...message, id: "m3" }] };
    expect(await (await t.post("/api/router/publish", third)).json()).toMatchObject({ count: 1 });
    await t.elapse(10);
    expect(t.targets.ids().toSorted()).toEqual(["m1", "m2", "m3"]);
  });

  test.each([
    ["{", 400, "MALFORMED_JSON"],
    [[], 400, "VALIDATION_FAILED"],
    [{ messages: 7 }, 400, "VALIDATION_FAILED"],
    [{ ...message, target: "ftp://x" }, 400, "MESSAGE_INVALID"],
    [{ ...message, colour: "red" }, 400, "MESSAGE_INVALID"],
    [{ ...message, mediationType: "SMTP" }, 400, "MEDIATION_TYPE_UNSUPPORTED"],
    [Array.from({ length: 1_001 }, () => message), 413, "BATCH_TOO_LARGE"],
    [{ ...message, payload: "x".repeat(2_000_000) }, 413, "MESSAGE_TOO_LARGE"],
  ])("bad input %#", async (...row) => {
    const [body, status, code] = row;
    const t = await setup();
    const response = await t.post("/api/router/publish", body);
    expect([response.status, response.headers.get("content-type")]).toEqual([status, "application/problem+json"]);
    expect(await response.json()).toMatchObject({ code });
    expect(await t.queue.metrics()).toMatchObject({ visible: 0 });
  });

  test("what the queue makes of each is told by position; one it cannot carry leaves the others alone", async () => {
    const t = await setup();
    await t.post("/api/router/publish", { ...message, id: "known" });
    const list = [message, { ...message, id: "large", payload: "x".repeat(2_000_000) }, { ...message, id: "known" }];
    const answered = await t.post("/api/router/publish", [...list, { ...message, id: "last" }]);
    expect(answered.status).toBe(201);
    expect(await answered.json()).toMatchObject({
      count: 3,
      results: [
        { id: "m1", status: "PUBLISHED" },
        { id: "large", status: "INVALID", code: "MESSAGE_TOO_LARGE" },
        { id: "known", status: "DUPLICATE" },
        { id: "last", status: "PUBLISHED" },
      ],
    });
    const alone = await t.post("/api/router/publish", list.slice(1, 2));
    expect([alone.status, await alone.json()]).toMatchObject([201, { count: 0, results: [{ status: "INVALID" }] }]);
  });

  test("one bad message refuses all, and its place is named", async () => {
    const t = await setup();
    const response = await t.post("/api/router/publish", { messages: [message, { ...message, id: "" }] });
    const problem = (await response.json()) as { errors: readonly { readonly path: string }[] };
    expect(problem.errors.map(({ path }) => path)).toEqual(["messages[1].id"]);
    expect(await t.queue.metrics()).toMatchObject({ visible: 0 });
  });
});

describe("monitoring", () => {
  test("shows pools, queues, what is in flight, and answers for ids", async () => {
    const t = await setup();
    const hung = Promise.withResolvers<TransportResult>();
    t.targets.behaviour = () => hung.promise;
    const [job, later] = [t.book.add({ group: "g" }), t.book.add({ group: "g" })];
    await t.publishRun([job, later]);
    await t.elapse(10);
    expect(await (await t.get("/api/router/health")).json()).toEqual({
      status: "UP",
      inPipeline: 2,
      activeWorkers: 1,
      warnings: 0,
    });
    expect(await (await t.get("/monitoring/in-flight")).json()).toMatchObject({
      total: 2,
      items: [
        { jobId: job, state: "CALLING", poolCode: "main", groupKey: "g" },
        { jobId: later, state: "WAITING" },
      ],
    });
    const ids = { ids: [job, "msg_1", "job_nobody"] };
    expect(await (await t.post("/monitoring/in-flight/check", ids)).json()).toEqual({
      [job]: true,
      msg_1: true,
      job_nobody: false,
    });
    expect(await (await t.get("/monitoring/queues")).json()).toMatchObject({ items: [{ inFlight: 1, error: null }] });
    expect(await (await t.get("/monitoring/consumers")).json()).toMatchObject({ items: [{ received: 1 }] });
    expect(await (await t.get("/monitoring/standby")).json()).toMatchObject({ enabled: false, active: true });
    expect(await (await t.get("/")).json()).toMatchObject({ name: "FlowCatalyst router" });
    hung.resolve(answer(200));
    await t.elapse(10);
    expect(await (await t.get("/monitoring/pools")).json()).toMatchObject({
      items: expect.arrayContaining([expect.objectContaining({ code: "main", delivered: 2, queueDepth: 0 })]),
    });
    const text = await t.metrics.render();
    expect(text).toContain('fc_router_messages_processed_total{pool="main",outcome="DELIVERED"} 2');
    expect(text).toContain("fc_router_in_pipeline 0");
  });

  test("breakers are reset by their origin, warnings acknowledged by their id", async () => {
    const t = await setup();
    t.targets.behaviour = () => answer(501);
    await t.publishSingles([t.book.add()]);
    await t.elapse(10);
    const name = encodeURIComponent("https://a.example");
    expect(await (await t.post(`/monitoring/circuit-breakers/${name}/reset`, "")).json()).toMatchObject({
      name: "https://a.example",
      state: "CLOSED",
    });
    const { items } = (await (await t.get("/monitoring/warnings")).json()) as { items: { id: string }[] };
    expect(items[0]).toMatchObject({ category: "CONFIGURATION", severity: "CRITICAL" });
    const seen = await t.post(`/monitoring/warnings/${items[0]!.id}/acknowledge`, "");
    expect(await seen.json()).toMatchObject({ acknowledged: true });
    expect((await t.post("/monitoring/warnings/wrn_0/acknowledge", "")).status).toBe(404);
    expect((await t.post("/monitoring/circuit-breakers/x/reset", "")).status).toBe(404);
  });

  test("what was set aside is listed with its reason, newest first, a long body cut", async () => {
    const t = await setup();
    t.targets.behaviour = () => answer(404);
    await t.post("/api/router/publish", { ...message, payload: "x".repeat(10_000) });
    await t.elapse(10);
    const { items } = (await (await t.get("/monitoring/dead-letters")).json()) as { items: { body: string }[] };
    expect(items).toMatchObject([{ id: "m1", poolCode: "main", reason: "the target answered 404" }]);
    expect(items[0]!.body).toHaveLength(5_000);
  });

  test("reload answers the revision in force", async () => {
    const t = await setup();
    expect(await (await t.post("/config/reload", "")).json()).toEqual({ revision: 1 });
  });
});

describe("the service", () => {
  test("asks for a token where one is configured, but not for health", async () => {
    const t = await setup({ apiTokens: ["secret-token"] });
    expect((await t.get("/monitoring/pools")).status).toBe(401);
    expect((await t.get("/monitoring/pools", { authorization: "Bearer secret-token" })).status).toBe(200);
    expect((await t.get("/api/router/health")).status).toBe(200);
  });

  test("without tokens does not serve pages of elsewhere, nor under a name of elsewhere", async () => {
    const t = await setup();
    const local = { host: "127.0.0.1:8081" };
    expect((await t.get("/monitoring/pools", { ...local, origin: "https://evil.example" })).status).toBe(403);
    expect((await t.get("/monitoring/pools", { host: "evil.example:8081" })).status).toBe(403);
    expect((await t.get("/monitoring/pools", { ...local, origin: "http://localhost:4200" })).status).toBe(200);
  });

  test("wrong paths and methods are problems, and every answer has a request id", async () => {
    const t = await setup();
    const missing = await t.get("/nowhere");
    expect([missing.status, missing.headers.get("x-request-id") === null]).toEqual([404, false]);
    const wrong = await t.get("/api/router/publish");
    expect([wrong.status, wrong.headers.get("allow")]).toEqual([405, "POST"]);
  });

  test("describes itself", async () => {
    const t = await setup();
    const document = (await (await t.get("/openapi.json")).json()) as { openapi: string; paths: object };
    expect(document.openapi).toBe("3.1.0");
    expect(Object.keys(document.paths)).toContain("/monitoring/circuit-breakers/{name}/reset");
    expect((await t.get("/swagger-ui")).status).toBe(200);
  });
});
