import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { problemSchema, type Problem } from "@flowcatalyst/contracts";
import { request } from "../harness/api.ts";
import { eventually } from "../harness/eventually.ts";
import { openConnection } from "../harness/raw-connection.ts";
import { createSandbox } from "../harness/sandbox.ts";
import type { ServerProcess } from "../harness/server-process.ts";

/**
 * What a caller can do wrong, against the real process: each is a problem document with a code and the path of each
 * fault, nothing is half done, and the process serves others as before.
 */

const MIB = 1_048_576;
const sandbox = createSandbox();
let server: ServerProcess;
beforeAll(async () => {
  server = await sandbox.start();
});
afterAll(() => sandbox.end());

interface Sent {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

async function problem(line: string, sent: Sent = {}): Promise<Problem & { readonly at: readonly string[] }> {
  const answer = await request(server.apiUrl, line, sent);
  expect(answer.headers.get("content-type")).toBe("application/problem+json");
  expect(answer.headers.get("x-request-id")).toBeString();
  const read = problemSchema.parse(answer.body);
  expect(read).toMatchObject({ status: answer.status, error: read.code, message: read.detail });
  return { ...read, at: (read.errors ?? []).map(({ path }) => path) };
}

/** What is stored: nothing of it may change by a bad request. */
async function stored(): Promise<unknown> {
  const lists = ["/api/subscriptions?status=ACTIVE", "/api/dispatch-pools", "/api/dispatch/jobs", "/api/bff/events"];
  const answers = await Promise.all(lists.map((path) => request(server.apiUrl, `GET ${path}`)));
  return answers.map(({ body }) => body["items"]);
}

const order = { type: "order.created", source: "/shop" };
/** Only loopback is allowed to a development server; all spellings are tried where addresses are judged. */
const forbidden = ["http://169.254.169.254/latest", "http://0xa9fea9fe/", "http://10.0.0.1/", "http://[fe80::1]/"];
const subscription = { name: "s", eventTypes: ["order.*"], targetUrl: "http://127.0.0.1:9/hook" };

describe("a bad body", () => {
  test("that is not JSON", async () => {
    for (const path of ["/api/events", "/api/events/batch", "/api/subscriptions", "/api/dispatch/jobs"]) {
      for (const body of ["{", '{"type": "t",}', "nonsense"]) {
        expect(await problem(`POST ${path}`, { body })).toMatchObject({ status: 400, code: "MALFORMED_JSON" });
      }
    }
  });

  test("with wrong types and unknown fields, each by its path", async () => {
    const wrong = await problem("POST /api/events", { body: { type: 5, source: [], time: "now" } });
    expect([wrong.code, wrong.at]).toEqual(["VALIDATION_FAILED", ["type", "source", "time"]]);
    const unknown = await problem("POST /api/events", { body: { ...order, typ: "x" } });
    expect([unknown.code, unknown.at]).toEqual(["UNKNOWN_FIELD", ["typ"]]);
    const nested = { ...subscription, retry: { delays: "soon" }, eventTypes: ["a", 5], colour: "red" };
    const many = await problem("POST /api/subscriptions", { body: nested });
    expect(many.status).toBe(400);
    expect(many.at).toEqual(expect.arrayContaining(["eventTypes[1]", "colour"]));
  });

  test("with one bad event among good ones: none is taken, the bad one is named", async () => {
    const events = [order, { ...order, source: 5 }, order];
    const refused = await problem("POST /api/events/batch", { body: { events } });
    expect([refused.status, refused.at]).toEqual([400, ["events[1].source"]]);
  });

  test("with a pattern, a filter or a target that cannot be", async () => {
    const pattern = await problem("POST /api/subscriptions", { body: { ...subscription, eventTypes: ["a.**.b"] } });
    expect([pattern.status, pattern.code, pattern.at]).toEqual([400, "PATTERN_INVALID", ["eventTypes[0]"]]);
    const filter = await problem("POST /api/subscriptions", { body: { ...subscription, filter: "data.x >" } });
    expect([filter.status, filter.code, filter.at]).toEqual([400, "FILTER_INVALID", ["filter"]]);
    for (const targetUrl of forbidden) {
      const target = await problem("POST /api/subscriptions", { body: { ...subscription, targetUrl } });
      expect([target.status, target.code, target.at]).toEqual([400, "TARGET_FORBIDDEN", ["targetUrl"]]);
    }
  });

  test("with 1,001 events", async () => {
    const body = { events: Array.from({ length: 1_001 }, () => order) };
    expect(await problem("POST /api/events/batch", { body })).toMatchObject({ status: 413, code: "BATCH_TOO_LARGE" });
  });

  test("of 33 MiB, with its length declared", async () => {
    const body = `{"events":[${" ".repeat(33 * MIB)}`;
    expect(await problem("POST /api/events/batch", { body })).toMatchObject({ status: 413, code: "PAYLOAD_TOO_LARGE" });
  });

  test("of 33 MiB in chunks without a length, refused before it has come to its end", async () => {
    const connection = await openConnection(server.ports.api);
    connection.write("POST /api/events/batch HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n");
    connection.write("transfer-encoding: chunked\r\n\r\n");
    const chunk = Buffer.concat([Buffer.from("10000\r\n"), Buffer.alloc(65_536, 0x20), Buffer.from("\r\n")]);
    for (let sent = 0; sent < 34 * MIB; sent += 65_536) connection.write(chunk);
    await eventually("the refusal", () => (connection.received().includes("PAYLOAD_TOO_LARGE") ? true : undefined));
    expect(connection.received()).toStartWith("HTTP/1.1 413");
    connection.end();
  });

  test("in chunks is read like any other", async () => {
    const connection = await openConnection(server.ports.api);
    connection.write("POST /api/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n");
    connection.write('transfer-encoding: chunked\r\n\r\n9\r\n{"type":5\r\n');
    connection.write('e\r\n,"source":"/s"\r\n1\r\n}\r\n0\r\n\r\n');
    expect(await connection.closed).toContain('"errors":[{"path":"type"');
  });
});

describe("a bad address", () => {
  test("an unknown id", async () => {
    const paths = ["/api/events/evt_x", "/api/events/evt_x/timeline", "/api/subscriptions/sub_x"];
    for (const path of [
      ...paths,
      "/api/dispatch-pools/pool_x",
      "/api/dispatch/jobs/job_x",
      "/api/dispatch/replays/x",
    ]) {
      expect(await problem(`GET ${path}`)).toMatchObject({ status: 404, code: "NOT_FOUND", instance: path });
    }
    expect(await problem("POST /api/subscriptions/sub_x/pause")).toMatchObject({ status: 404, code: "NOT_FOUND" });
  });

  test("a path or method that does not exist", async () => {
    expect(await problem("GET /api/nothing")).toMatchObject({ status: 404, code: "NOT_FOUND" });
    expect(await problem("DELETE /api/events")).toMatchObject({ status: 405, code: "METHOD_NOT_ALLOWED" });
  });
});

test("a duplicate name", async () => {
  const body = { ...subscription, name: "twice" };
  const first = await request(server.apiUrl, "POST /api/subscriptions", { body });
  expect(first.status).toBe(201);
  const second = await problem("POST /api/subscriptions", { body: { ...body, targetUrl: "http://127.0.0.1:9/other" } });
  expect(second).toMatchObject({ status: 409, code: "DUPLICATE" });
  const listed = await request(server.apiUrl, "GET /api/subscriptions?name=twice");
  expect(listed.body["items"]).toEqual([first.body]);
  expect((await request(server.apiUrl, `DELETE /api/subscriptions/${String(first.body["id"])}`)).status).toBe(204);
});

describe("a bad client", () => {
  test("headers of 10,000 characters are read; what is far beyond is refused", async () => {
    const long = await request(server.apiUrl, "GET /api/events/evt_x", { headers: { "x-long": "a".repeat(10_000) } });
    expect(long.status).toBe(404);
    for (const headers of [`x-long: ${"a".repeat(100_000)}\r\n`, "x-many: 1\r\n".repeat(10_000)]) {
      const connection = await openConnection(server.ports.api);
      connection.write(`GET /api/events/evt_x HTTP/1.1\r\nhost: x\r\n${headers}\r\n`);
      expect(await connection.closed).toStartWith("HTTP/1.1 431");
    }
  });

  test("what is no HTTP is refused", async () => {
    const requests = [
      "\u0016\u0003\u0001 hello\r\n\r\n",
      "POST /api/events HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n{}",
      "POST /api/events HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
      "POST /api/events HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    ];
    for (const text of requests) {
      const connection = await openConnection(server.ports.api);
      connection.write(text);
      expect(await connection.closed).toStartWith("HTTP/1.1 400");
    }
  });

  test("connections that stall in the middle of a request hold up nobody", async () => {
    const head = "POST /api/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    const halves = [head, `${head}content-length: 1048576\r\n\r\n{`, `${head}transfer-encoding: chunked\r\n\r\n5\r\n{`];
    const connections = await Promise.all(
      Array.from({ length: 300 }, async (_, at) => {
        const connection = await openConnection(server.ports.api);
        connection.write(halves[at % halves.length]!);
        return connection;
      }),
    );
    // Answered on a new connection each, so that they come after the stalled ones.
    for (const line of ["GET /q/ready", "GET /api/subscriptions"]) {
      expect((await request(server.apiUrl, line, { headers: { connection: "close" } })).status).toBe(200);
    }
    expect(await problem("POST /api/events", { body: {} })).toMatchObject({ status: 400 });
    expect(connections.map((connection) => connection.received()).join("")).toBe("");
    for (const connection of connections) connection.end();
  });
});

test("none of it left anything behind, and the process goes on", async () => {
  expect(await stored()).toEqual([[], [], [], []]);
  const { body } = await request(server.apiUrl, "POST /api/events", { body: order });
  const timeline = await eventually("the timeline", async () => {
    const answer = await request(server.apiUrl, `GET /api/events/${String(body["id"])}/timeline`);
    return (answer.body["entries"] as unknown[]).length > 1 ? answer.body : undefined;
  });
  expect(timeline).toMatchObject({ entries: [{ kind: "ACCEPTED" }, { kind: "NOT_MATCHED" }] });
  expect(await server.stop()).toBe(0);
});
