import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import type { Problem } from "@flowcatalyst/contracts";
import { problemSchema } from "@flowcatalyst/contracts";
import { setupPlatform, type TestPlatform } from "./platform.fixture.ts";

/** What a caller can do wrong, over a socket: each is a problem document with a code, and nothing is half done. */

const MIB = 1_048_576;

let platform: TestPlatform;
let server: Bun.Server<undefined>;
beforeAll(() => {
  platform = setupPlatform();
  server = Bun.serve({ port: 0, hostname: "127.0.0.1", maxRequestBodySize: 64 * MIB, fetch: (r) => platform.fetch(r) });
});
afterAll(async () => {
  await server.stop(true);
  await platform.close();
});

interface Sent {
  readonly body?: string | ReadableStream<Uint8Array>;
  readonly type?: string;
}

async function problem(
  line: string,
  { body, type = "application/json" }: Sent = {},
): Promise<Problem & { allow: string | null }> {
  const [method = "", path = ""] = line.split(" ");
  const init = body === undefined ? { method } : { method, body, headers: { "content-type": type } };
  const response = await fetch(new URL(path, server.url), init);
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  const read = problemSchema.parse(await response.json());
  expect(read).toMatchObject({ status: response.status, error: read.code, message: read.detail });
  return { ...read, allow: response.headers.get("allow") };
}

const pathsOf = (read: Problem): readonly string[] => (read.errors ?? []).map(({ path }) => path);
const order = { type: "order.created", source: "/shop" };

describe("bad input", () => {
  test("malformed JSON", async () => {
    for (const body of ["{", "", "nonsense", '{"type": "t",}', "\u0000"]) {
      expect(await problem("POST /api/events", { body })).toMatchObject({ status: 400, code: "MALFORMED_JSON" });
      expect(await problem("POST /api/subscriptions", { body })).toMatchObject({ status: 400, code: "MALFORMED_JSON" });
    }
  });

  test("bodies that are no objects", async () => {
    const batches = ["/api/events/batch", "/api/dispatch/jobs/batch", "/api/audit-logs/batch"];
    const paths = ["/api/events", "/api/subscriptions", "/api/dispatch/jobs", ...batches];
    for (const body of ["null", "[]", '"x"', "5"]) {
      for (const path of paths) {
        expect((await problem(`POST ${path}`, { body })).status).toBe(400);
      }
    }
  });

  test("wrong types and unknown fields, by path", async () => {
    const wrong = await problem("POST /api/events", { body: '{"type":5,"source":[],"data":1,"time":"now"}' });
    expect([wrong.code, pathsOf(wrong)]).toEqual(["VALIDATION_FAILED", ["type", "source", "time"]]);
    const unknown = await problem("POST /api/events", { body: JSON.stringify({ ...order, Type: "x" }) });
    expect([unknown.code, pathsOf(unknown)]).toEqual(["UNKNOWN_FIELD", ["Type"]]);
    const proto = await problem("POST /api/events", { body: '{"type":"t","source":"s","__proto__":{"a":1}}' });
    expect([proto.code, pathsOf(proto)]).toEqual(["UNKNOWN_FIELD", ["__proto__"]]);
    const query = await problem("GET /api/subscriptions?limt=5");
    expect([query.code, pathsOf(query)]).toEqual(["UNKNOWN_FIELD", ["limt"]]);
  });

  test("a query where none is read, and one that tries for a prototype", async () => {
    // Whoever writes this wants a count, and would have started a replay.
    const replay = await problem("POST /api/dispatch/jobs/replay?dryRun=true", { body: "{}" });
    expect([replay.code, pathsOf(replay)]).toEqual(["UNKNOWN_FIELD", ["dryRun"]]);
    for (const query of ["__proto__=1", "__proto__=1&__proto__=2"]) {
      const read = await problem(`GET /api/subscriptions?${query}`);
      expect([read.code, pathsOf(read)]).toEqual(["UNKNOWN_FIELD", ["__proto__"]]);
    }
  });

  test("JSON that is nested without end", async () => {
    const nested = "[".repeat(200_000) + "]".repeat(200_000);
    for (const [path, body] of [
      ["/api/events", `{"type":"t","source":"s","data":${nested}}`],
      ["/api/dispatch/jobs", `{"targetUrl":"https://example.com/","payload":${nested}}`],
      ["/api/event-types", `{"code":"a:b:c:d","schema":{"const":${nested}}}`],
    ]) {
      expect(await problem(`POST ${path}`, { body })).toMatchObject({ status: 400, code: "VALIDATION_FAILED" });
    }
  });

  test("a content type that is not JSON", async () => {
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "application/xml"]) {
      const body = JSON.stringify(order);
      expect(await problem("POST /api/events", { body, type })).toMatchObject({
        status: 415,
        code: "UNSUPPORTED_MEDIA_TYPE",
      });
      expect((await problem("POST /api/dispatch-pools", { body, type })).status).toBe(415);
    }
  });

  test("a path or method that does not exist", async () => {
    expect(await problem("GET /api/nothing")).toMatchObject({
      status: 404,
      code: "NOT_FOUND",
      instance: "/api/nothing",
    });
    const method = await problem("DELETE /api/events");
    expect([method.status, method.code, method.allow]).toEqual([405, "METHOD_NOT_ALLOWED", "POST"]);
    expect((await problem("GET /api/dispatch/jobs/replay/x")).status).toBe(404);
  });

  test("an unknown id", async () => {
    const paths = ["/api/events/x", "/api/event-types/x", "/api/subscriptions/x", "/api/dispatch-pools/x"];
    for (const path of [...paths, "/api/dispatch/jobs/x", "/api/dispatch/replays/x", "/api/subscriptions/x/secret"]) {
      expect(await problem(`GET ${path}`)).toMatchObject({ status: 404, code: "NOT_FOUND" });
    }
    const odd = "%2e%2e%2f' OR 1=1 --".replaceAll(" ", "%20");
    expect((await problem(`GET /api/events/${odd}`)).status).toBe(404);
  });

  test("1,001 events", async () => {
    const body = JSON.stringify({ events: Array.from({ length: 1_001 }, () => order) });
    expect(await problem("POST /api/events/batch", { body })).toMatchObject({ status: 413, code: "BATCH_TOO_LARGE" });
  });

  test("more than 32 MiB of data in a batch", async () => {
    const event = { ...order, data: "x".repeat(250_000) };
    const body = JSON.stringify({ events: Array.from({ length: 136 }, () => event) });
    expect(body.length).toBeLessThan(33 * MIB);
    expect(await problem("POST /api/events/batch", { body })).toMatchObject({ status: 413, code: "PAYLOAD_TOO_LARGE" });
  });

  test("a body of 33 MiB, with its length declared and without", async () => {
    const body = `{"events":[${"x".repeat(33 * MIB)}`;
    expect(await problem("POST /api/events/batch", { body })).toMatchObject({ status: 413, code: "PAYLOAD_TOO_LARGE" });
    const answer = await endlessUpload(server.port ?? 0, 40 * MIB);
    expect(answer).toStartWith("HTTP/1.1 413");
    expect(answer).toContain("PAYLOAD_TOO_LARGE");
    expect(await problem("POST /api/events", { body: "{" })).toMatchObject({ code: "MALFORMED_JSON" });
  });

  test("leaves nothing behind", async () => {
    expect<number>(await platform.store.eventFeed.newest()).toBe(0);
    const response = await fetch(new URL("/api/subscriptions", server.url));
    expect(await response.json()).toMatchObject({ items: [] });
  });
});

/** A chunked upload that never ends by itself; gives what the server answers. */
function endlessUpload(port: number, maxBytes: number): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const chunk = Buffer.alloc(65_536, 0x20);
  const socket = connect(port, "127.0.0.1", () => {
    socket.write("POST /api/events/batch HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n");
    socket.write("transfer-encoding: chunked\r\n\r\n");
    pump();
  });
  let sent = 0;
  let answer = "";
  const pump = (): void => {
    while (sent < maxBytes && answer === "") {
      sent += chunk.length;
      if (!socket.write(Buffer.concat([Buffer.from("10000\r\n"), chunk, Buffer.from("\r\n")]))) return;
    }
  };
  socket.on("drain", pump);
  socket.on("data", (bytes) => {
    answer += bytes.toString();
    if (answer.includes("PAYLOAD_TOO_LARGE")) socket.destroy();
  });
  socket.on("error", () => resolve(answer));
  socket.on("close", () => resolve(answer));
  return promise;
}
