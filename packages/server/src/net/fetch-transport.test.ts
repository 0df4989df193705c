import { afterEach, expect, test } from "bun:test";
import { FakeClock, systemClock } from "@flowcatalyst/foundation";
import type { TransportRequest, TransportResult } from "../ports/transport.ts";
import { loopbackCertificate, oneTestCertificate, testCa, twoTestCertificate } from "./certificates.fixture.ts";
import { createFetchTransport, maxSimultaneousRequests } from "./index.ts";

const KIBIBYTE = 1_024;
const open: { stop(closeActive: boolean): unknown }[] = [];
afterEach(async () => {
  for (const server of open.splice(0)) await server.stop(true);
});

type Handler = (request: Request, server: Bun.Server<undefined>) => Response | Promise<Response>;

function serve(fetch: Handler, tls?: Bun.TLSOptions | Bun.TLSOptions[]) {
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch, ...(tls !== undefined && { tls }) });
  open.push(server);
  return server;
}

function setup(clock = systemClock()) {
  const transport = createFetchTransport({ clock }, { trustedCertificates: testCa, proxy: null });
  const stop = new AbortController();
  const post = (url: string, overrides: Partial<TransportRequest> = {}): Promise<TransportResult> => {
    const defaults = {
      address: "127.0.0.1",
      headers: {},
      body: "{}",
      timeoutMs: 5_000,
      responseMaxBytes: 64 * KIBIBYTE,
    };
    return transport.post({ url, ...defaults, ...overrides }, stop.signal);
  };
  return { transport, post, stop };
}

/** Says which connection a request came over: the client's port is the connection's. */
const echo: Handler = async (request, server) =>
  Response.json({
    host: request.headers.get("host"),
    path: new URL(request.url).pathname + new URL(request.url).search,
    body: await request.text(),
    method: request.method,
    header: request.headers.get("x-a"),
    connection: server.requestIP(request)?.port,
  });

interface Echo {
  readonly host: string;
  readonly connection: number;
}

function echoOf(result: TransportResult): Echo {
  if (result.kind !== "response") throw new Error(JSON.stringify(result));
  return JSON.parse(result.body) as Echo;
}

test("dials the address it is given, with the host of the URL in the header", async () => {
  const { port } = serve(echo);
  const { post } = setup();
  const result = await post(`http://does-not-exist.test:${port}/a/b?c=d#e`, { headers: { "x-a": "1" }, body: "sent" });
  expect(echoOf(result)).toMatchObject({
    host: `does-not-exist.test:${port}`,
    path: "/a/b?c=d",
    body: "sent",
    method: "POST",
    header: "1",
  });
  const bytes = await post(`http://does-not-exist.test:${port}/`, { body: new TextEncoder().encode("bytes") });
  expect(echoOf(bytes)).toMatchObject({ body: "bytes" });
});

test("dials IPv6 addresses", async () => {
  const server = Bun.serve({ port: 0, hostname: "::1", fetch: echo });
  open.push(server);
  const { post } = setup();
  const result = await post(`http://six.test:${server.port}/`, { address: "::1" });
  expect(echoOf(result)).toMatchObject({ host: `six.test:${server.port}` });
});

test("a redirect is an answer and is not followed", async () => {
  let followed = false;
  const { port } = serve((request) => {
    if (new URL(request.url).pathname === "/elsewhere") followed = true;
    return new Response("moved", { status: 307, headers: { location: "/elsewhere" } });
  });
  const { post } = setup();
  expect(await post(`http://a.test:${port}/`)).toEqual({
    kind: "response",
    status: 307,
    retryAfter: null,
    body: "moved",
  });
  expect(followed).toBe(false);
});

test("status, Retry-After and an empty body are told", async () => {
  const { port } = serve(() => new Response(null, { status: 503, headers: { "retry-after": "7" } }));
  const { post } = setup();
  expect(await post(`http://a.test:${port}/`)).toEqual({ kind: "response", status: 503, retryAfter: "7", body: "" });
});

test("an answer is read up to the limit: announced, not announced, and without end", async () => {
  const long = "x".repeat(200 * KIBIBYTE);
  const chunk = new TextEncoder().encode("y".repeat(16 * KIBIBYTE));
  const endless = () => new ReadableStream({ pull: (controller) => controller.enqueue(chunk) });
  const { port } = serve((request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/announced") return new Response(long);
    if (pathname === "/chunked") return new Response(new Blob([long]).stream());
    if (pathname === "/small") return new Response(new Blob(["h\u00e9"]).stream());
    return new Response(endless());
  });
  const { post } = setup();
  for (const path of ["announced", "chunked", "endless"]) {
    const result = await post(`http://a.test:${port}/${path}`);
    expect([path, result.kind === "response" && result.body.length]).toEqual([path, 64 * KIBIBYTE]);
  }
  expect(await post(`http://a.test:${port}/small`)).toMatchObject({ body: "h\u00e9" });
});

test("the timeout covers connect to the last byte", async () => {
  const clock = new FakeClock();
  const arrived = { silent: Promise.withResolvers<void>(), dripping: Promise.withResolvers<void>() };
  const { port } = serve((request) => {
    if (new URL(request.url).pathname === "/silent") {
      arrived.silent.resolve();
      return new Promise<Response>(() => undefined);
    }
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode("a"));
        arrived.dripping.resolve();
      },
    });
    return new Response(body);
  });
  const { post } = setup(clock);
  for (const path of ["silent", "dripping"] as const) {
    const result = post(`http://a.test:${port}/${path}`, { timeoutMs: 30_000 });
    await arrived[path].promise;
    await clock.advance(29_000);
    const early = await Promise.race([result, Promise.resolve("under way")]);
    expect(early).toBe("under way");
    await clock.advance(1_100);
    expect(await result).toEqual({ kind: "timeout" });
  }
});

test("an abort ends all calls under its signal and no others", async () => {
  let waiting = 0;
  const allArrived = Promise.withResolvers<void>();
  const { port } = serve((request) => {
    if (new URL(request.url).pathname !== "/hang") return new Response("ok");
    waiting += 1;
    if (waiting === 3) allArrived.resolve();
    return new Promise<Response>(() => undefined);
  });
  const { transport, post, stop } = setup();
  const calls = [1, 2, 3].map(() => post(`http://a.test:${port}/hang`));
  await allArrived.promise;
  stop.abort();
  for (const call of calls) expect(await call).toEqual({ kind: "connectionFailed", detail: "aborted" });
  expect(await post(`http://a.test:${port}/`)).toEqual({ kind: "connectionFailed", detail: "aborted" });
  const request = { url: `http://a.test:${port}/`, address: "127.0.0.1", headers: {}, body: "", timeoutMs: 1_000 };
  const other = await transport.post({ ...request, responseMaxBytes: 10 }, new AbortController().signal);
  expect(other).toMatchObject({ kind: "response", body: "ok" });
});

test("whatever goes wrong is a value", async () => {
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: echo });
  const { port } = server;
  await server.stop(true);
  const { post } = setup();
  expect(await post(`http://a.test:${port}/`)).toMatchObject({ kind: "connectionFailed" });
  expect(await post("ftp://a.test/")).toMatchObject({ kind: "connectionFailed" });
  expect(await post("nonsense")).toMatchObject({ kind: "connectionFailed" });
  const plain = serve(echo);
  expect((await post(`http://a.test:${plain.port}/`, { headers: { "bad name": "1" } })).kind).toBe("connectionFailed");
  expect((await post(`https://one.test:${plain.port}/`)).kind).not.toBe("response");
});

test("HTTPS: the certificate must be for the host of the URL, from a trusted issuer", async () => {
  const one = serve(echo, oneTestCertificate);
  const { post } = setup();
  expect((await post(`https://one.test:${one.port}/`)).kind).toBe("response");
  expect((await post(`https://ONE.test.:${one.port}/`)).kind).toBe("response");
  expect(await post(`https://two.test:${one.port}/`)).toMatchObject({ kind: "tlsFailed" });
  expect(await post(`https://127.0.0.1:${one.port}/`)).toMatchObject({ kind: "tlsFailed" });
  const address = serve(echo, loopbackCertificate);
  expect((await post(`https://127.0.0.1:${address.port}/`)).kind).toBe("response");
  const strangers = createFetchTransport({ clock: systemClock() }, { trustedCertificates: null, proxy: null });
  const request = {
    url: `https://one.test:${one.port}/`,
    address: "127.0.0.1",
    headers: {},
    body: "",
    timeoutMs: 5_000,
  };
  const refused = await strangers.post({ ...request, responseMaxBytes: 10 }, new AbortController().signal);
  expect(refused).toMatchObject({ kind: "tlsFailed" });
});

test("HTTPS: connections stay open, and none is used for two names on one address", async () => {
  const certificates = [
    { serverName: "one.test", ...oneTestCertificate },
    { serverName: "two.test", ...twoTestCertificate },
  ];
  const { port } = serve(echo, certificates);
  const { post } = setup();
  const connections = { one: new Set<number>(), two: new Set<number>() };
  for (let i = 0; i < 20; i++) {
    for (const name of ["one", "two"] as const) {
      const answer = echoOf(await post(`https://${name}.test:${port}/`));
      expect(answer.host).toBe(`${name}.test:${port}`);
      connections[name].add(answer.connection);
    }
  }
  expect([connections.one.size, connections.two.size]).toEqual([1, 1]);
  expect(connections.one.isDisjointFrom(connections.two)).toBe(true);
});

test("HTTPS: a connection of a verified name does not vouch for another name on the address", async () => {
  const { port } = serve(echo, oneTestCertificate);
  const { post } = setup();
  expect((await post(`https://one.test:${port}/`)).kind).toBe("response");
  expect(await post(`https://two.test:${port}/`)).toMatchObject({ kind: "tlsFailed" });
});

test("HTTP: connections stay open too", async () => {
  const { port } = serve(echo);
  const { post } = setup();
  const connections = new Set<number>();
  for (let i = 0; i < 20; i++) connections.add(echoOf(await post(`http://a.test:${port}/`)).connection);
  expect(connections.size).toBe(1);
});

test("a connection that the target closed while it was idle is replaced", async () => {
  const { post } = setup();
  const first = serve(echo);
  const { port } = first;
  expect((await post(`http://a.test:${port}/`)).kind).toBe("response");
  await first.stop(true);
  const second = Bun.serve({ port, hostname: "127.0.0.1", fetch: echo });
  open.push(second);
  expect((await post(`http://a.test:${port}/`)).kind).toBe("response");
});

test("a proxy is used if configured", async () => {
  const { port } = serve((request) => new Response(`by proxy: ${request.headers.get("host")}`));
  const transport = createFetchTransport(
    { clock: systemClock() },
    { trustedCertificates: null, proxy: `http://127.0.0.1:${port}` },
  );
  const request = { url: "http://a.test:1/x", address: "192.0.2.1", headers: {}, body: "", timeoutMs: 5_000 };
  const result = await transport.post({ ...request, responseMaxBytes: 100 }, new AbortController().signal);
  expect(result).toMatchObject({ kind: "response", body: "by proxy: a.test:1" });
});

test("how many requests run at once is told from the environment the process started with", () => {
  const of = (value: string | undefined) => maxSimultaneousRequests({ BUN_CONFIG_MAX_HTTP_REQUESTS: value });
  expect([undefined, "", "0", "-1", "abc", "70000", "1e3"].map(of)).toEqual([256, 256, 256, 256, 256, 256, 256]);
  expect(["1", "512", "4096", "65535"].map(of)).toEqual([1, 512, 4_096, 65_535]);
});

const HANGING_CALLS = 320;

/** Starts a process that hangs 320 calls and then calls a healthy target; gives what it printed. */
async function runBesideHanging(environment: Record<string, string>): Promise<string> {
  let hanging = 0;
  let served = 0;
  const { port } = serve((request) => {
    if (new URL(request.url).pathname === "/hang") {
      hanging += 1;
      return new Promise<Response>(() => undefined);
    }
    if (new URL(request.url).pathname === "/hanging") return new Response(String(hanging));
    served += 1;
    return new Response("ok");
  });
  const script = new URL("./hanging-calls.fixture.ts", import.meta.url).pathname;
  const child = Bun.spawn([process.execPath, script, String(port), String(HANGING_CALLS)], {
    stdout: "pipe",
    stderr: "inherit",
    env: { PATH: process.env["PATH"] ?? "", ...environment },
  });
  const output = await new Response(child.stdout).text();
  expect(await child.exited).toBe(0);
  return `${output.trim()} served=${served}`;
}

test("320 hanging calls do not stop a healthy target, once the runtime's limit is raised", async () => {
  const raised = await runBesideHanging({ BUN_CONFIG_MAX_HTTP_REQUESTS: "4096" });
  expect(raised).toBe("limit=4096 healthy=50 served=50");
}, 30_000);

test("certificates are verified whatever the environment says", async () => {
  const { port } = serve(() => new Response("ok"), twoTestCertificate);
  const script = new URL("./lax-environment.fixture.ts", import.meta.url).pathname;
  const child = Bun.spawn([process.execPath, script, String(port)], {
    stdout: "pipe",
    stderr: "inherit",
    env: { PATH: process.env["PATH"] ?? "", NODE_TLS_REJECT_UNAUTHORIZED: "0" },
  });
  expect(await new Response(child.stdout).text()).toBe("tlsFailed");
}, 30_000);

test("proxies of the environment are ignored", async () => {
  const proxied: string[] = [];
  const proxy = serve((request) => {
    proxied.push(request.url);
    return new Response("from the proxy");
  });
  const address = `http://127.0.0.1:${proxy.port}`;
  const names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"];
  const output = await runBesideHanging({
    BUN_CONFIG_MAX_HTTP_REQUESTS: "4096",
    ...Object.fromEntries(names.map((name) => [name, address])),
  });
  expect(output).toBe("limit=4096 healthy=50 served=50");
  expect(proxied).toEqual([]);
}, 30_000);
