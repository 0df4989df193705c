import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { request } from "../harness/api.ts";
import { createSandbox } from "../harness/sandbox.ts";
import type { ServerProcess } from "../harness/server-process.ts";
import { verified, type TestReceiver } from "../harness/test-receiver.ts";

/** With FC_API_TOKENS, nothing but health and the built-in receiver is open, and another address may be served. */

const tokens = ["first-token-of-this-test", "second-token-of-this-test"];
const sandbox = createSandbox();
let server: ServerProcess;
let receiver: TestReceiver;
beforeAll(async () => {
  receiver = sandbox.receiver();
  server = await sandbox.start({ env: { FC_API_TOKENS: tokens.join(","), FC_HOST: "0.0.0.0" } });
});
afterAll(() => sandbox.end());

const bearing = (token: string): { authorization: string } => ({ authorization: `Bearer ${token}` });

describe("without a token", () => {
  const closed = [
    ["GET", "/"],
    ["GET", "/api/events/evt_x"],
    ["GET", "/api/subscriptions"],
    ["GET", "/api/bff/events"],
    ["GET", "/api/nothing"],
    ["POST", "/api/events"],
    ["POST", "/api/dispatch/jobs"],
  ];
  test("and with a wrong one, the API is closed, whatever the path", async () => {
    const wrong = [
      "",
      "Bearer",
      "Bearer wrong",
      `Basic ${tokens[0]}`,
      `Bearer ${tokens[0]}x`,
      `Bearer ${tokens.join()}`,
    ];
    for (const [method, path] of closed) {
      for (const authorization of wrong) {
        const body = method === "POST" ? { body: "{}" } : {};
        const headers = { authorization };
        const answer = await request(server.apiUrl, `${method} ${path}`, { ...body, headers });
        expect([path, answer.status, answer.body["code"]]).toEqual([path, 401, "UNAUTHENTICATED"]);
        expect(answer.headers.get("www-authenticate")).toStartWith("Bearer");
      }
    }
  });

  test("the router's API is closed as well", async () => {
    for (const line of ["GET /monitoring/pools", "GET /monitoring/dead-letters", "POST /config/reload"]) {
      expect((await request(server.routerUrl, line)).status).toBe(401);
    }
    const publish = await request(server.routerUrl, "POST /api/router/publish", { body: {} });
    expect(publish.status).toBe(401);
  });

  test("health is open on every port, metrics on their own", async () => {
    for (const url of [server.apiUrl, server.routerUrl, server.metricsUrl]) {
      for (const path of ["/q/live", "/q/ready", "/q/health", "/health"]) {
        expect([url, path, (await fetch(url + path)).status]).toEqual([url, path, 200]);
      }
    }
    expect((await fetch(`${server.metricsUrl}/metrics`)).status).toBe(200);
    for (const url of [server.apiUrl, server.routerUrl]) expect((await fetch(`${url}/metrics`)).status).toBe(401);
  });
});

test("with either token an event goes the whole way", async () => {
  for (const [at, token] of tokens.entries()) {
    const headers = bearing(token);
    const path = `/t${at}`;
    const body = { name: path, eventTypes: [`t.${at}`], targetUrl: receiver.url + path };
    const created = await request(server.apiUrl, "POST /api/subscriptions", { body, headers });
    expect(created.status).toBe(201);
    const id = String(created.body["id"]);
    const { body: secret } = await request(server.apiUrl, `GET /api/subscriptions/${id}/secret`, { headers });
    const event = { type: `t.${at}`, source: "/test", data: { at } };
    expect((await request(server.apiUrl, "POST /api/events", { body: event, headers })).status).toBe(201);
    const [arrival] = await receiver.received(path, 1);
    expect(verified(arrival!, String(secret["secret"]))).toEqual({ at });
    expect(arrival!.headers).not.toHaveProperty("authorization");
    expect((await request(server.routerUrl, "GET /monitoring/pools", { headers })).status).toBe(200);
  }
});

test("no token is ever printed", async () => {
  expect(await server.stop()).toBe(0);
  for (const token of tokens) expect(server.output()).not.toContain(token);
  expect(server.output()).toContain("FlowCatalyst");
});
