import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { silentLogger, systemClock, type Logger } from "@flowcatalyst/foundation";
import type { DeliveryReport, ReportVerdict } from "../domain/attempt.ts";
import type { JobId } from "../domain/ids.ts";
import {
  createPlatformClient,
  createRemoteAttemptSink,
  createRemoteDeliveryCheck,
  createRemoteDeliveryControl,
} from "./index.ts";
import { openRemotePlatform, type RemotePlatform } from "./remote-platform.fixture.ts";

const never = new AbortController().signal;
let remote: RemotePlatform;
const recorded: DeliveryReport[][] = [];
beforeEach(() => {
  recorded.length = 0;
  remote = openRemotePlatform({
    attemptSink: {
      record: async (reports) => {
        recorded.push([...reports]);
        return reports.map((): ReportVerdict => ({ kind: "ignored", reason: "STALE" }));
      },
    },
  });
});
afterEach(() => remote.close());

function delivered(n: number, changes: Partial<DeliveryReport> = {}): DeliveryReport {
  return { jobId: `job_${n}` as JobId, generation: 1, attempt: null, result: { kind: "delivered" }, ...changes };
}

function problem(status: number, detail: string): Response {
  return new Response(JSON.stringify({ status, detail }), { status });
}

const sinkOf = (logger: Logger = silentLogger()) => createRemoteAttemptSink({ client: remote.client, logger });
const faultOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(() => null).catch((error: unknown) => error);

describe("results are kept by the router when the platform", () => {
  test("is not there", async () => {
    await remote.stopServing();
    const fault = await faultOf(sinkOf().record([delivered(1)]));
    expect(fault).toMatchObject({ code: "STORE_UNAVAILABLE", message: expect.stringContaining("cannot be reached") });
    expect(remote.client.fault).toContain("cannot be reached");
    remote.serveAgain();
    expect(await sinkOf().record([delivered(1)])).toHaveLength(1);
    expect(remote.client.fault).toBeNull();
  });

  for (const status of [401, 403]) {
    test(`refuses the token with ${status}: the message is one and the same, and names the setting`, async () => {
      remote.interfere = () => problem(status, `anything, ${Math.random()}`);
      const faults = [await faultOf(sinkOf().record([delivered(1)])), await faultOf(sinkOf().record([delivered(2)]))];
      expect(String(faults[0])).toContain("check FC_API_TOKEN");
      expect(String(faults[0])).toBe(String(faults[1]));
      expect(faults[0]).toMatchObject({ code: "STORE_UNAVAILABLE" });
    });
  }

  test("asks for a token and gets none", async () => {
    const sink = createRemoteAttemptSink({ client: remote.clientWith(null), logger: silentLogger() });
    expect(await faultOf(sink.record([delivered(1)]))).toMatchObject({ code: "STORE_UNAVAILABLE" });
    expect(recorded).toEqual([]);
  });

  for (const status of [404, 429, 500, 503]) {
    test(`answers ${status}`, async () => {
      remote.interfere = () => problem(status, "no");
      expect(await faultOf(sinkOf().record([delivered(1)]))).toMatchObject({ code: "STORE_UNAVAILABLE" });
    });
  }

  test("answers with something else than verdicts, or with too few of them", async () => {
    for (const body of ["<html>", "{}", `{"verdicts":[]}`, `{"verdicts":[{"kind":"party"}]}`]) {
      remote.interfere = () => new Response(body);
      expect(await faultOf(sinkOf().record([delivered(1)]))).toMatchObject({ code: "STORE_UNAVAILABLE" });
    }
  });

  test("does not answer in time", async () => {
    remote.interfere = () => new Promise(() => undefined);
    const call = { method: "GET", path: "/api/router/control", timeoutMs: 30 } as const;
    expect(await faultOf(remote.client.call(call))).toMatchObject({ message: expect.stringContaining("within 30 ms") });
  });

  test("redirects: the token goes nowhere else", async () => {
    remote.interfere = () => new Response("", { status: 302, headers: { location: "http://127.0.0.1:1/" } });
    const fault = await faultOf(sinkOf().record([delivered(1)]));
    expect(fault).toMatchObject({ message: expect.stringContaining("answers 302") });
  });
});

test("a result that the platform refuses is given up alone; the others are recorded in order", async () => {
  const said: unknown[] = [];
  const logger: Logger = { ...silentLogger(), error: (fields: unknown) => void said.push(fields) };
  const reports = Array.from({ length: 9 }, (_, n) => delivered(n));
  reports[4] = delivered(4, { generation: 0 });
  const verdicts = await sinkOf(logger).record(reports);
  const [taken, givenUp] = [
    { kind: "ignored", reason: "STALE" },
    { kind: "ignored", reason: "UNKNOWN_JOB" },
  ] as const;
  expect(verdicts).toEqual([taken, taken, taken, taken, givenUp, taken, taken, taken, taken]);
  expect(recorded.flat().map(({ jobId }) => jobId)).toEqual([0, 1, 2, 3, 5, 6, 7, 8].map((n) => `job_${n}` as JobId));
  expect(said).toHaveLength(1);
});

test("more results than a request carries go in several, in order, and texts are cut to what is kept", async () => {
  const error = "x".repeat(20_000);
  const reports = Array.from({ length: 300 }, (_, n) => delivered(n, { result: { kind: "transient", error } }));
  expect(await sinkOf().record(reports)).toHaveLength(300);
  expect(recorded.map((batch) => batch.length)).toEqual([256, 44]);
  expect(recorded.flat().map(({ jobId }) => jobId)).toEqual(reports.map(({ jobId }) => jobId));
  expect(recorded[0]?.[0]?.result).toEqual({ kind: "transient", error: error.slice(0, 5_000) });
});

test("no fault and no log tells the token or a reference", async () => {
  await remote.stopServing();
  const control = createRemoteDeliveryControl({ client: remote.client });
  const fault = await faultOf(control.secrets("subscription:secret-ref", never));
  expect(Bun.inspect(fault)).not.toContain("secret-ref");
  expect(Bun.inspect(fault)).not.toContain("a-router's-token");
});

test("an address keeps its path and loses its user when it is told to people", () => {
  const baseUrl = "https://user:pass@platform.example/fc/";
  const client = createPlatformClient({ clock: systemClock() }, { baseUrl, token: null, userAgent: "test" });
  expect(client.place).toBe("https://platform.example/fc");
});

test("a check that cannot be answered is a fault, not the answer that nothing is owed", async () => {
  const check = createRemoteDeliveryCheck({ client: remote.client });
  const job = { jobId: "job_1" as JobId, generation: 1 };
  expect([...(await check.owed([job]))]).toEqual([]);
  for (const answer of [problem(500, "no"), problem(400, "no"), new Response("{}")]) {
    remote.interfere = () => answer;
    expect(await faultOf(check.owed([job]))).toMatchObject({ code: "STORE_UNAVAILABLE" });
  }
});
