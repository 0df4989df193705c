import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { seededRandom } from "@flowcatalyst/foundation";
import { callApi, request, subscribe } from "../harness/api.ts";
import { eventually } from "../harness/eventually.ts";
import { startLedgerReceiver } from "../harness/ledger-receiver.ts";
import { eventOf, publishAll } from "../harness/publisher.ts";
import { openConnection } from "../harness/raw-connection.ts";
import { createSandbox, type Sandbox } from "../harness/sandbox.ts";
import { freePorts, type ServerProcess } from "../harness/server-process.ts";

/** How a process ends and comes back: killed, asked to stop, asked twice, and over and over again. */

const readyWithinMs = 2_000;
/** The longest a stop may take when nothing hangs. */
const stopWithinMs = 5_000;
const exitInterrupted = 130;

let sandbox: Sandbox;
beforeEach(() => {
  sandbox = createSandbox();
});
afterEach(() => sandbox.end());

const publish = (server: ServerProcess, type: string): Promise<{ id: string }> =>
  callApi(server.apiUrl, { method: "POST", path: "/api/events", body: { type, source: "/test", data: { n: 1 } } });

async function stopped(server: ServerProcess): Promise<{ code: number; tookMs: number }> {
  const askedAt = performance.now();
  const code = await server.stop();
  return { code, tookMs: performance.now() - askedAt };
}

test("killed in the middle of deliveries: ready again within 2 s, and they go on", async () => {
  const ports = await freePorts();
  const dataDir = sandbox.dataDir();
  const receiver = startLedgerReceiver();
  sandbox.defer(() => receiver.stop());
  let server = await sandbox.start({ ports, dataDir });
  receiver.target("t");
  const { secret } = await subscribe(server.apiUrl, { name: "t", eventTypes: ["r.*"], targetUrl: `${receiver.url}/t` });
  receiver.target("t", { secret, delayMs: 5 });
  const plan = { type: "r.e", groups: 10, events: 500, batch: 50, connections: 2 };
  await publishAll({ ...plan, apiUrl: () => server.apiUrl });
  await eventually("some deliveries", () => (receiver.delivered() >= 50 ? true : undefined));
  await server.kill();
  const before = receiver.delivered();
  expect(before).toBeLessThan(plan.events);
  server = await sandbox.start({ ports, dataDir });
  expect(server.startedInMs).toBeLessThan(readyWithinMs);
  await eventually("a further delivery", () => (receiver.delivered() > before ? true : undefined), readyWithinMs);
  await eventually("all deliveries", () => (receiver.delivered() === plan.events ? true : undefined));
  expect(receiver.summary("t")).toMatchObject({ delivered: plan.events, inverted: 0, badSignatures: 0 });
  expect(await stopped(server)).toMatchObject({ code: 0 });
});

describe("asked to stop", () => {
  /** A server with one call under way, and what lets the target answer it. */
  async function calling(): Promise<{ server: ServerProcess; answer: () => void; arrived: () => number }> {
    const server = await sandbox.start();
    const receiver = sandbox.receiver();
    const gate = Promise.withResolvers<void>();
    sandbox.defer(() => gate.resolve());
    receiver.answer("/slow", async () => {
      await gate.promise;
      return new Response("");
    });
    await subscribe(server.apiUrl, { name: "slow", eventTypes: ["slow"], targetUrl: `${receiver.url}/slow` });
    await publish(server, "slow");
    await receiver.received("/slow", 1);
    return { server, answer: gate.resolve, arrived: () => receiver.arrivals("/slow").length };
  }

  /** Waits until the process has begun to stop, which its own health tells. */
  function stopping(server: ServerProcess): Promise<true> {
    return eventually("readiness turned red", async () => {
      const { status, body } = await request(server.metricsUrl, "GET /q/ready");
      return status === 503 && JSON.stringify(body).includes("stopping") ? true : undefined;
    });
  }

  test("lets the call under way finish, records it, and ends with 0", async () => {
    const { server, answer, arrived } = await calling();
    const ending = stopped(server);
    await stopping(server);
    answer();
    expect(await ending).toMatchObject({ code: 0 });
    const next = await sandbox.start({ dataDir: server.dataDir });
    const jobs = await request(next.apiUrl, "GET /api/dispatch/jobs");
    expect(jobs.body["items"]).toMatchObject([{ status: "COMPLETED", attemptCount: 1 }]);
    expect(arrived()).toBe(1);
  });

  test("twice: ends at once with 130, and the call is made again", async () => {
    const { server, answer, arrived } = await calling();
    process.kill(server.pid, "SIGINT");
    await stopping(server);
    process.kill(server.pid, "SIGINT");
    expect(await server.exited).toBe(exitInterrupted);
    expect(arrived()).toBe(1);
    answer();
    const next = await sandbox.start({ dataDir: server.dataDir });
    await eventually("the second call", () => (arrived() === 2 ? true : undefined));
    expect(await stopped(next)).toMatchObject({ code: 0 });
  });

  test("by the same signal again at once, as a supervisor of whole groups does: still in order, with 0", async () => {
    const { server, answer, arrived } = await calling();
    for (let n = 0; n < 3; n++) process.kill(server.pid, "SIGTERM");
    await stopping(server);
    answer();
    expect(await server.exited).toBe(0);
    expect(arrived()).toBe(1);
  });

  test("is not held up by clients that sent half a request, nor by the built-in receiver that hangs", async () => {
    const server = await sandbox.start();
    const path = "/dev/receiver/stuck";
    await callApi(server.apiUrl, { method: "PUT", path: `${path}/behaviour`, body: { mode: "hang" } });
    await subscribe(server.apiUrl, { name: "stuck", eventTypes: ["stuck"], targetUrl: server.apiUrl + path });
    await publish(server, "stuck");
    await eventually("the call", async () => {
      const { body } = await request(server.apiUrl, `GET ${path}/requests`);
      return body["total"] === 1 ? true : undefined;
    });
    const head = "POST /api/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    for (const half of [head, `${head}content-length: 100\r\n\r\n{`]) {
      const connection = await openConnection(server.ports.api);
      sandbox.defer(() => connection.end());
      connection.write(half);
    }
    const { code, tookMs } = await stopped(server);
    expect(code).toBe(0);
    expect(tookMs).toBeLessThan(stopWithinMs);
  });
});

test("20 times started, loaded and asked to stop at a random moment: 0 each time, and nothing is lost", async () => {
  const seed = Date.now() % 1_000_000_000;
  const random = seededRandom(seed);
  const ports = await freePorts();
  const dataDir = sandbox.dataDir();
  const receiver = startLedgerReceiver();
  sandbox.defer(() => receiver.stop());
  receiver.target("t", { delayMs: 2 });
  const groups = 5;
  const perGroup = 4;
  let place = 0;
  for (let round = 0; round < 20; round += 1) {
    const server = await sandbox.start({ ports, dataDir });
    if (round === 0) {
      await subscribe(server.apiUrl, { name: "t", eventTypes: ["s.*"], targetUrl: `${receiver.url}/t` });
    }
    const events = Array.from({ length: groups * perGroup }, (_, at) =>
      eventOf("s.e", at % groups, place + 1 + Math.floor(at / groups)),
    );
    place += perGroup;
    await callApi(server.apiUrl, { method: "POST", path: "/api/events/batch", body: { events } });
    // By now some of these, or all, may have been delivered: there is no more than was published to wait for.
    const moment = Math.min(receiver.delivered() + Math.floor(random.next() * groups * perGroup), groups * place);
    await eventually(`${moment} deliveries (seed ${seed})`, () => (receiver.delivered() >= moment ? true : undefined));
    const { code, tookMs } = await stopped(server);
    expect([seed, round, code, server.output().includes("unfinished")]).toEqual([seed, round, 0, false]);
    expect(tookMs).toBeLessThan(stopWithinMs);
  }
  const last = await sandbox.start({ ports, dataDir });
  await eventually("all deliveries", () => (receiver.delivered() === groups * place ? true : undefined));
  expect(receiver.summary("t")).toMatchObject({ inverted: 0 });
  expect(await stopped(last)).toMatchObject({ code: 0 });
});

describe("started by the npm launcher", () => {
  const launcher = resolve(import.meta.dir, "../../packages/cli/bin/flowcatalyst.mjs");

  async function launched(): Promise<{ launcher: ServerProcess; child: number }> {
    const server = await sandbox.start({ executable: launcher });
    const child = Number(readFileSync(join(server.dataDir, "flowcatalyst.db.pid"), "utf8"));
    expect(child).not.toBe(server.pid);
    sandbox.defer(() => isAlive(child) && process.kill(child, "SIGKILL"));
    return { launcher: server, child };
  }

  test("passes on a SIGTERM and the exit code", async () => {
    const { launcher: outer, child } = await launched();
    expect(await stopped(outer)).toMatchObject({ code: 0 });
    expect(isAlive(child)).toBe(false);
  });

  test("takes the server with it when it is killed", async () => {
    const { launcher: outer, child } = await launched();
    await outer.kill();
    await eventually("the end of the server", () => (isAlive(child) ? undefined : true), stopWithinMs);
    const next = await sandbox.start({ dataDir: outer.dataDir });
    expect(await stopped(next)).toMatchObject({ code: 0 });
  });
});

/** False as well for one that has ended and was not waited for yet. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
}
