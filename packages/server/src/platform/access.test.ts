import { afterEach, describe, expect, test } from "bun:test";
import { CodedError } from "@flowcatalyst/foundation";
import { clientScope, setupPlatform, type TestPlatform } from "./platform.fixture.ts";

let platform: TestPlatform;
afterEach(() => platform.close());

describe("without configured tokens", () => {
  test("everybody is the development principal", async () => {
    platform = setupPlatform();
    expect((await platform.call("GET /api/subscriptions")).status).toBe(200);
  });
});

describe("pages of other origins", () => {
  const from = (origin: string): Record<string, string> => ({ origin });

  test("may not use the server of somebody who looks at them", async () => {
    platform = setupPlatform();
    for (const origin of [
      "https://evil.example",
      "null",
      "http://localhost.evil.example",
      "http://127.0.0.1.evil.example",
    ]) {
      const refused = await platform.call("POST /api/dispatch-pools", { code: "A" }, from(origin));
      expect([origin, refused.status, refused.code]).toEqual([origin, 403, "FORBIDDEN"]);
    }
    const near = ["http://localhost:4200", "http://127.0.0.1:8080", "http://[::1]:3000", "http://app.localhost"];
    for (const origin of near) {
      expect((await platform.call("GET /api/dispatch-pools", undefined, from(origin))).status).toBe(200);
    }
    expect((await platform.call("GET /health", undefined, from("https://evil.example"))).status).toBe(404);
  });

  test("may not have the server's answers by a name that their own DNS points at it", async () => {
    platform = setupPlatform({ corsOrigins: ["http://dev.example:8080"] });
    const called = async (host: string): Promise<number> =>
      (await platform.call("GET /api/subscriptions", undefined, { host })).status;
    for (const host of ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example:8080"]) {
      expect([host, await called(host)]).toEqual([host, 403]);
    }
    for (const host of [
      "127.0.0.1:8080",
      "localhost",
      "api.localhost:80",
      "[::1]:8080",
      "flowcatalyst",
      "dev.example:8080",
    ]) {
      expect([host, await called(host)]).toEqual([host, 200]);
    }
  });

  test("may with a token, and when they are named", async () => {
    platform = setupPlatform({ apiTokens: ["token-one"] });
    const headers = { authorization: "Bearer token-one", ...from("https://app.example") };
    expect((await platform.call("GET /", undefined, headers)).status).toBe(200);
    await platform.close();
    platform = setupPlatform({ corsOrigins: ["https://app.example"] });
    const named = await platform.call("GET /", undefined, from("https://app.example"));
    expect([named.status, named.headers.get("access-control-allow-origin")]).toEqual([200, "https://app.example"]);
  });
});

describe("with tokens", () => {
  const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });

  test("everything but health needs one of them", async () => {
    platform = setupPlatform({ apiTokens: ["token-one", "token-two"], deliveryPathPrefixes: ["/dev/receiver/"] });
    for (const path of ["/", "/api/events/evt_1", "/openapi.json", "/swagger-ui", "/nonsense", "/metrics"]) {
      const refused = await platform.call(`GET ${path}`);
      expect([path, refused.status, refused.code]).toEqual([path, 401, "UNAUTHENTICATED"]);
      expect(refused.headers.get("www-authenticate")).toStartWith("Bearer");
    }
    expect((await platform.call("GET /", undefined, bearer("token-three"))).status).toBe(401);
    for (const token of ["token-one", "token-two"]) {
      expect((await platform.call("GET /", undefined, bearer(token))).status).toBe(200);
    }
    // Not mounted here, but not guarded either.
    for (const call of ["GET /q/live", "GET /health", "POST /dev/receiver/x"]) {
      expect((await platform.call(call)).status).toBe(404);
    }
  });

  test("what a receiver got is for those with a token", async () => {
    platform = setupPlatform({ apiTokens: ["token-one"], deliveryPathPrefixes: ["/dev/receiver/"] });
    for (const call of [
      "GET /dev/receiver/x/requests",
      "DELETE /dev/receiver/x/requests",
      "PUT /dev/receiver/x/behaviour",
    ]) {
      expect([call, (await platform.call(call)).status]).toEqual([call, 401]);
    }
  });

  test("a browser's preflight needs none", async () => {
    platform = setupPlatform({ apiTokens: ["token-one"] });
    const preflight = await platform.call("OPTIONS /api/events", undefined, {
      origin: "http://localhost:4200",
      "access-control-request-method": "POST",
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get("access-control-allow-origin")).toBe("http://localhost:4200");
    const foreign = await platform.call("OPTIONS /api/events", undefined, {
      origin: "http://evil.example",
      "access-control-request-method": "POST",
    });
    expect(foreign.headers.get("access-control-allow-origin")).toBeNull();
  });
});

test("a fault can be read by the pages that may call", async () => {
  platform = setupPlatform();
  const origin = "http://localhost:4200";
  const fault = await platform.call("GET /api/events/evt_x", undefined, { origin });
  expect([fault.status, fault.headers.get("access-control-allow-origin")]).toEqual([404, origin]);
});

describe("every answer", () => {
  test("carries a request id, the caller's own if it is printable", async () => {
    platform = setupPlatform();
    const given = await platform.call("GET /", undefined, { "x-request-id": "abc-1" });
    expect(given.headers.get("x-request-id")).toBe("abc-1");
    const ids = [await platform.call("GET /"), await platform.call("GET /nonsense")].map((answer) =>
      answer.headers.get("x-request-id"),
    );
    expect(new Set(ids).size).toBe(2);
    const odd = await platform.call("GET /", undefined, { "x-request-id": "a b" });
    expect(odd.headers.get("x-request-id")).not.toBe("a b");
  });

  test("is counted and timed by its route, never by its path", async () => {
    platform = setupPlatform();
    await platform.call("GET /api/events/evt_1");
    await platform.call("GET /api/events/evt_2");
    await platform.call("GET /one/wrong/path");
    const text = await platform.metrics.render();
    expect(text).toContain('http_requests_total{method="GET",route="/api/events/{id}",status="404"} 2');
    expect(text).toContain('http_requests_total{method="GET",route="unmatched",status="404"} 1');
    expect(text).toContain("http_request_duration_seconds_count");
    expect(text).not.toContain("evt_1");
  });

  test("to what nobody foresaw tells nothing of the inside", async () => {
    platform = setupPlatform({}, { events: { append: () => Promise.reject(new Error("SELECT secret FROM t")) } });
    const answer = await platform.call("POST /api/events", { type: "t", source: "s" });
    expect([answer.status, answer.code]).toEqual([500, "INTERNAL"]);
    expect(answer.text).not.toContain("secret");
  });

  test("to a full disk says so, and when to come back", async () => {
    platform = setupPlatform({}, { events: { append: () => Promise.reject(new CodedError("STORE_FULL")) } });
    const answer = await platform.call("POST /api/events", { type: "t", source: "s" });
    expect([answer.status, answer.code, answer.headers.get("retry-after")]).toEqual([503, "STORE_FULL", "1"]);
  });
});

describe("a request under an Idempotency-Key", () => {
  const pool = { code: "SLOW" };
  const key = { "idempotency-key": "k-1" };

  test("happens once, and its repeat gets the first answer", async () => {
    platform = setupPlatform();
    const first = await platform.call("POST /api/dispatch-pools", pool, key);
    const again = await platform.call("POST /api/dispatch-pools", pool, key);
    expect([first.status, again.status, again.text]).toEqual([201, 201, first.text]);
    expect(again.headers.get("location")).toBe(first.headers.get("location"));
    await platform.clock.advance(24 * 3_600_000 + 1);
    expect((await platform.call("POST /api/dispatch-pools", pool, key)).code).toBe("DUPLICATE");
  });

  test("that was refused may be corrected under its key", async () => {
    platform = setupPlatform();
    expect((await platform.call("POST /api/dispatch-pools", { code: "no no" }, key)).status).toBe(400);
    expect((await platform.call("POST /api/dispatch-pools", pool, key)).status).toBe(201);
  });

  test("is told to wait while the first is under way, and one key serves one path", async () => {
    platform = setupPlatform();
    const answers = await Promise.all([1, 2].map(() => platform.call("POST /api/dispatch-pools", pool, key)));
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([201, 409]);
    const other = await platform.call("POST /api/event-types", { code: "a:b:c:d" }, key);
    expect(other.status).toBe(201);
    expect((await platform.call("POST /api/event-types", {}, { "idempotency-key": "ü" })).code).toBe(
      "IDEMPOTENCY_KEY_INVALID",
    );
  });
});

describe("the root", () => {
  test("answers with addresses, counts and links", async () => {
    platform = setupPlatform();
    await platform.call("POST /api/events", { type: "t", source: "s" });
    const { status, json } = await platform.call("GET /");
    expect(status).toBe(200);
    expect(json).toMatchObject({
      name: "FlowCatalyst",
      addresses: { api: "http://127.0.0.1:8080" },
      counts: { events: 1, subscriptions: 0 },
      links: { openapi: "/openapi.json" },
    });
  });
});

describe("a tenant's principal", () => {
  test("reads its own and the platform's, and writes its own only", async () => {
    platform = setupPlatform();
    const { store } = platform;
    const wanted = { eventTypes: ["a"], targetUrl: "https://example.com/" };
    const make = (name: string, clientId: string | null): Promise<{ id: string }> =>
      platform.call("POST /api/subscriptions", { ...wanted, name, clientId });
    const [own, ours, theirs] = [
      await make("own", "cli_1"),
      await make("platform", null),
      await make("theirs", "cli_2"),
    ];
    const page = { limit: 10, cursor: null };
    const seen = await store.subscriptions.list({}, page, clientScope("cli_1"));
    expect(seen.items.map(({ id }) => id as string).toSorted()).toEqual([own.id, ours.id].toSorted());
    expect(await store.subscriptions.byId(theirs.id as never, clientScope("cli_1"))).toBeNull();
  });
});
