import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { createClient, createRouterClient, FlowCatalystError, type ClientOptions } from "@flowcatalyst/sdk";
import { problem, startTestServer, type SeenRequest, type TestAnswer, type TestServer } from "./test-server.fixture.ts";

const servers: TestServer[] = [];
after(() => Promise.all(servers.map((server) => server.stop())));

async function setup(
  answer: (request: SeenRequest, before: number) => TestAnswer,
  options: Partial<ClientOptions> = {},
) {
  const server = await startTestServer(answer);
  servers.push(server);
  return { server, client: createClient({ baseUrl: `${server.url}/`, ...options }) };
}

const inTurn =
  (...answers: readonly TestAnswer[]) =>
  (_request: SeenRequest, before: number): TestAnswer =>
    answers[Math.min(before, answers.length - 1)] ?? { status: 200 };

const at = (promise: Promise<unknown>): Promise<FlowCatalystError> =>
  promise.then(
    () => assert.fail("was answered"),
    (error: unknown) => {
      assert.ok(error instanceof FlowCatalystError, String(error));
      return error;
    },
  );

describe("a request", () => {
  test("has its path, query, token and body in place", async () => {
    const { server, client } = await setup(() => ({ status: 200, body: { items: [] } }), { token: "secret" });
    await client.subscriptions.list({ status: "ACTIVE", limit: 5 });
    await client.subscriptions.update("sub/1", { name: "a" }, { ifMatch: 3 });
    const [list, update] = server.seen;
    assert.equal(list?.path, "/api/subscriptions?status=ACTIVE&limit=5");
    assert.equal(list?.headers.authorization, "Bearer secret");
    assert.equal(update?.path, "/api/subscriptions/sub%2F1");
    assert.equal(update?.method, "PATCH");
    assert.equal(update?.headers["if-match"], "3");
    assert.deepEqual(JSON.parse(update?.text ?? ""), { name: "a" });
  });

  test("sends the members of an array as repeats", async () => {
    const { server, client } = await setup(() => ({ status: 200, body: { items: [] } }));
    await client.jobs.list({ status: ["FAILED", "EXPIRED"], code: undefined });
    assert.equal(server.seen[0]?.path, "/api/dispatch/jobs?status=FAILED&status=EXPIRED");
  });

  test("asks for the token each time when it is a function", async () => {
    let asked = 0;
    const token = (): Promise<string> => Promise.resolve(`t${(asked += 1)}`);
    const { server, client } = await setup(() => ({ status: 200, body: {} }), { token });
    await client.events.get("evt_1");
    await client.events.get("evt_1");
    assert.deepEqual(
      server.seen.map(({ headers }) => headers.authorization),
      ["Bearer t1", "Bearer t2"],
    );
  });

  test("for an empty id is refused before it is sent", async () => {
    const { server, client } = await setup(() => ({ status: 200, body: {} }));
    await assert.rejects(async () => client.events.get(""), TypeError);
    assert.equal(server.seen.length, 0);
  });

  test("answered 204 gives nothing", async () => {
    const { client } = await setup(() => ({ status: 204 }));
    assert.equal(await client.pools.remove("p"), undefined);
  });
});

describe("a refusal", () => {
  test("is a FlowCatalystError with its code, faults and request id", async () => {
    const { client } = await setup(() => problem(409, "NAME_TAKEN", { "x-request-id": "req-1" }));
    const error = await at(client.pools.create({ code: "p" }));
    assert.equal(error.name, "FlowCatalystError");
    assert.equal(error.message, "NAME_TAKEN it is");
    assert.deepEqual(
      { status: error.status, code: error.code, faults: error.faults, requestId: error.requestId },
      { status: 409, code: "NAME_TAKEN", faults: [{ path: "name", message: "is wrong" }], requestId: "req-1" },
    );
  });

  test("that is no problem document is told as such", async () => {
    const { client } = await setup(() => ({ status: 404, body: { hello: "world" } }));
    const error = await at(client.events.get("x"));
    assert.equal(error.code, "UNEXPECTED_ANSWER");
    assert.match(error.message, /answered 404: \{"hello":"world"\}/);
  });

  test("is not repeated", async () => {
    const { server, client } = await setup(() => problem(400, "VALIDATION_FAILED"));
    await at(client.events.get("x"));
    assert.equal(server.seen.length, 1);
  });
});

describe("repeats", () => {
  const ok: TestAnswer = { status: 200, body: { id: "x" } };

  test("follow an overload after what Retry-After says, in seconds or as a date", async () => {
    const past = new Date(0).toUTCString();
    const { server, client } = await setup(
      inTurn(
        problem(503, "OVERLOADED", { "retry-after": "0" }),
        problem(429, "RATE_LIMITED", { "retry-after": past }),
        ok,
      ),
    );
    assert.deepEqual(await client.events.get("x"), { id: "x" });
    assert.equal(server.seen.length, 3);
  });

  test("of a POST have its one Idempotency-Key", async () => {
    const { server, client } = await setup(inTurn("lost", { status: 502 }, ok));
    await client.pools.create({ code: "p" });
    const keys = server.seen.map(({ headers }) => headers["idempotency-key"]);
    assert.equal(keys.length, 3);
    assert.match(String(keys[0]), /^[0-9a-f]{32}$/);
    assert.deepEqual(new Set(keys).size, 1);
    await client.pools.create({ code: "p" }, { idempotencyKey: "mine" });
    assert.equal(server.seen[3]?.headers["idempotency-key"], "mine");
  });

  test("follow 409 only where the server says when", async () => {
    const { server, client } = await setup(inTurn(problem(409, "STATE_CONFLICT", { "retry-after": "0" }), ok));
    await client.pools.create({ code: "p" });
    assert.equal(server.seen.length, 2);
  });

  test("end after maxRetries with the last refusal", async () => {
    const { server, client } = await setup(() => problem(503, "STORE_FULL", { "retry-after": "0" }), { maxRetries: 2 });
    const error = await at(client.events.get("x"));
    assert.deepEqual([error.code, error.status, error.retryAfterMs], ["STORE_FULL", 503, 0]);
    assert.equal(server.seen.length, 3);
  });

  test("are left to the caller when the server asks for more than a minute", async () => {
    const { server, client } = await setup(() => problem(429, "RATE_LIMITED", { "retry-after": "61" }));
    assert.equal((await at(client.events.get("x"))).retryAfterMs, 61_000);
    assert.equal(server.seen.length, 1);
  });

  test("do not follow a lost change that was made on a condition", async () => {
    const { server, client } = await setup(inTurn("lost", ok));
    const error = await at(client.subscriptions.update("s", { name: "a" }, { ifMatch: 1 }));
    assert.equal(error.code, "SERVER_UNREACHABLE");
    assert.equal(server.seen.length, 1);
    await client.subscriptions.update("s", { name: "a" });
  });

  test("of a removal whose answer was lost find nothing, which is what was wanted", async () => {
    const { client } = await setup(inTurn("lost", problem(404, "NOT_FOUND")));
    assert.equal(await client.pools.remove("p"), undefined);
  });

  test("stop when the call is aborted, with the reason given", async () => {
    const stop = new AbortController();
    const { client } = await setup(() => {
      queueMicrotask(() => stop.abort(new Error("enough")));
      return problem(503, "OVERLOADED", { "retry-after": "30" });
    });
    await assert.rejects(client.events.get("x", { signal: stop.signal }), /enough/);
    await assert.rejects(client.events.get("x", { signal: stop.signal }), /enough/);
  });
});

describe("a server that cannot be reached", () => {
  test("is told with what to look at", async () => {
    const { server, client } = await setup(() => ({ status: 200 }), { maxRetries: 0 });
    await server.stop();
    const error = await at(client.events.get("x"));
    assert.deepEqual([error.status, error.code], [0, "SERVER_UNREACHABLE"]);
    assert.match(error.message, /cannot be reached: nothing listens there/);
  });

  test("counts as such when it takes too long", async () => {
    const never = (_url: string, init: RequestInit): Promise<Response> =>
      new Promise((_resolve, reject) => {
        init.signal?.addEventListener("abort", () => reject(init.signal?.reason as Error));
      });
    const client = createClient({ baseUrl: "http://x", fetch: never, timeoutMs: 20, maxRetries: 0 });
    assert.match((await at(client.events.get("x"))).message, /no answer within 0.02 s/);
  });
});

describe("lists", () => {
  test("are read page by page, only as far as the loop goes", async () => {
    const { server, client } = await setup(({ path }) => {
      const cursor = Number(new URL(path, "http://x").searchParams.get("cursor") ?? 0);
      const items = [{ id: `s${cursor * 2}` }, { id: `s${cursor * 2 + 1}` }];
      return { status: 200, body: { items, ...(cursor < 2 ? { nextCursor: String(cursor + 1) } : {}) } };
    });
    const ids: string[] = [];
    for await (const { id } of client.subscriptions.all({ limit: 2, status: "ACTIVE" })) ids.push(id);
    assert.deepEqual(ids, ["s0", "s1", "s2", "s3", "s4", "s5"]);
    assert.equal(server.seen.length, 3);
    assert.ok(server.seen.every(({ path }) => path.includes("limit=2") && path.includes("status=ACTIVE")));
    for await (const { id } of client.subscriptions.all()) if (id === "s1") break;
    assert.equal(server.seen.length, 4);
  });

  test("of searches go by numbered pages", async () => {
    const { client } = await setup(({ path }) => {
      const page = Number(new URL(path, "http://x").searchParams.get("page"));
      return { status: 200, body: { items: [{ id: `e${page}` }], page, size: 1, totalItems: 3, totalPages: 3 } };
    });
    const ids: string[] = [];
    for await (const { id } of client.events.searchAll({ type: ["a", "b"] })) ids.push(id);
    assert.deepEqual(ids, ["e0", "e1", "e2"]);
  });

  test("may have pages that are short or empty before the last", async () => {
    const byCursor = new Map([
      [null, { items: [], nextCursor: "b" }],
      ["b", { items: [{ id: "s1" }], nextCursor: "c" }],
      ["c", { items: [], nextCursor: null }],
    ]);
    const numbered = [["e0"], [], ["e2"]].map((ids) => ids.map((id) => ({ id })));
    const { client } = await setup(({ path }) => {
      const { pathname, searchParams } = new URL(path, "http://x");
      if (pathname === "/api/subscriptions") return { status: 200, body: byCursor.get(searchParams.get("cursor")) };
      const page = Number(searchParams.get("page"));
      return { status: 200, body: { items: numbered[page], page, size: 1, totalItems: 3, totalPages: 3 } };
    });
    const ids: string[] = [];
    for await (const { id } of client.subscriptions.all()) ids.push(id);
    for await (const { id } of client.events.searchAll()) ids.push(id);
    assert.deepEqual(ids, ["s1", "e0", "e2"]);
  });

  test("whose cursor leads to itself end with an error", async () => {
    const { server, client } = await setup(() => ({ status: 200, body: { items: [], nextCursor: "b" } }));
    const reads = async (): Promise<void> => {
      for await (const { id } of client.subscriptions.all()) assert.fail(id);
    };
    await assert.rejects(reads(), RangeError);
    assert.equal(server.seen.length, 2);
  });
});

test("an id that a path would take for a step is refused", () => {
  const client = createClient({ baseUrl: "http://x" });
  for (const id of ["", ".", ".."]) assert.throws(() => client.events.get(id), TypeError);
});

test("a call that is aborted while it waits throws the reason, whatever it is", async () => {
  const stop = new AbortController();
  const { client } = await setup(() => {
    setImmediate(() => stop.abort("enough"));
    return problem(503, "STORE_FULL", { "retry-after": "30" });
  });
  const thrown = await client.events.get("x", { signal: stop.signal }).catch((reason: unknown) => reason);
  assert.equal(thrown, "enough");
});

test("replays are counted, then started", async () => {
  const { server, client } = await setup(() => ({ status: 200, body: { count: 1 } }));
  await client.replays.preview({ statuses: ["FAILED"] });
  await client.replays.start({ statuses: ["FAILED"] });
  assert.deepEqual(
    server.seen.map(({ text }) => JSON.parse(text) as unknown),
    [{ statuses: ["FAILED"], dryRun: true }, { statuses: ["FAILED"] }],
  );
});

test("a router has a client of its own", async () => {
  const { server } = await setup(() => ({ status: 200, body: { items: [], pools: [] } }));
  const router = createRouterClient({ baseUrl: server.url });
  await router.deadLetters.get("a b", { queue: "q" });
  await router.monitoring.poolStates();
  assert.deepEqual(
    server.seen.map(({ path }) => path),
    ["/monitoring/dead-letters/a%20b?queue=q", "/monitoring/pools"],
  );
});
