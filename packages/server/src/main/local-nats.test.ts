import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  createMetrics,
  HealthRegistry,
  seededRandom,
  silentLogger,
  supervise,
  systemClock,
} from "@flowcatalyst/foundation";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeWithNats } from "../ports/needs-services.fixture.ts";
import { openNatsQueue } from "../queues/nats/index.ts";
import { until } from "./configured/configured-router.fixture.ts";
import { startLocalNats, type LocalNats } from "./local-nats.ts";
import type { ProcessContext } from "./process-context.ts";

const clock = systemClock();
const context: ProcessContext = {
  version: "1.2.3",
  env: { PATH: `${process.env["PATH"] ?? ""}:/usr/sbin` },
  holder: "here:1:1",
  clock,
  steerClock: () => undefined,
  random: seededRandom(1),
  logger: silentLogger(),
  metrics: createMetrics(),
  health: new HealthRegistry(clock),
  maxSimultaneousRequests: 1_000,
  announce: () => undefined,
};

let dataDir: string;
let port: number;
const ends: (() => unknown)[] = [];
beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), "flowcatalyst-nats-"));
  ends.push(() => rmSync(dataDir, { recursive: true, force: true }));
  const { server, port: free } = await listen(0);
  await new Promise((closed) => server.close(closed));
  port = free;
});
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

async function listen(at: number): Promise<{ readonly server: Server; readonly port: number }> {
  const server = createServer((socket) => socket.end("220 mail.example\r\n"));
  await new Promise<void>((listening) => server.listen(at, "127.0.0.1", listening));
  const address = server.address();
  return { server, port: typeof address === "object" && address !== null ? address.port : 0 };
}

async function start(changes: Partial<ProcessContext> = {}, folder = dataDir): Promise<LocalNats> {
  const nats = await startLocalNats({ dataDir: folder, port }, { ...context, ...changes });
  ends.push(() => nats.close());
  return nats;
}

const pidOf = (): number => Number(readFileSync(join(dataDir, "nats", "nats-server.pid"), "utf8"));

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function isUp(url: string): Promise<string> {
  const deps = { clock, random: seededRandom(1), logger: silentLogger() };
  const opened = await openNatsQueue(deps, { url, name: "nats", visibilityMs: 60_000, parallelReceives: 1 });
  const { status } = await opened.probe();
  await opened.close();
  return status;
}

test("without a nats-server one line says how to get one, or to name another", async () => {
  const starting = start({ env: { PATH: dataDir } });
  expect(await starting.catch((fault: unknown) => fault)).toMatchObject({ code: "CONFIG_INVALID" });
  expect(String(await starting.catch((fault: unknown) => fault))).toMatch(/nats-server on the PATH.*NATS_URL/);
});

test("a port that is something else's is not touched, and one line says so", async () => {
  const taken = await listen(port);
  ends.push(() => taken.server.close());
  const fault: unknown = await start().catch((error: unknown) => error);
  expect(fault).toMatchObject({ code: "PORT_IN_USE" });
  expect(String(fault)).toContain(`Port ${port} is taken by something else`);
});

describeWithNats("a nats-server of the process's own", () => {
  test("is up when it is started, keeps its data in the data directory, and ends at the stop", async () => {
    const nats = await start();
    expect(await isUp(nats.url)).toBe("UP");
    const pid = pidOf();
    expect(isAlive(pid)).toBe(true);
    await nats.close();
    expect(isAlive(pid)).toBe(false);
  });

  test("that outlived a killed process is used by the next one, and ended by it", async () => {
    await start();
    const pid = pidOf();
    // As if the first process had been killed: it does not end its server.
    const next = await start();
    expect(await isUp(next.url)).toBe("UP");
    expect(pidOf()).toBe(pid);
    await next.close();
    expect(isAlive(pid)).toBe(false);
  });

  test("that dies is started again", async () => {
    const nats = await start();
    const stop = new AbortController();
    const options = {
      signal: stop.signal,
      logger: silentLogger(),
      clock,
      softDeadlineMs: 1_000,
      hardDeadlineMs: 2_000,
    };
    const supervisor = supervise([nats.service], options);
    await supervisor.started;
    const pid = pidOf();
    process.kill(pid, "SIGKILL");
    await until("the next server", () => pidOf() !== pid);
    expect(await isUp(nats.url)).toBe("UP");
    stop.abort();
    await supervisor.stopped;
  });

  test("of another data directory is left alone, and one line says how to use it", async () => {
    await start();
    const other = mkdtempSync(join(tmpdir(), "flowcatalyst-nats-"));
    ends.unshift(() => rmSync(other, { recursive: true, force: true }));
    const fault: unknown = await start({}, other).catch((error: unknown) => error);
    expect(fault).toMatchObject({ code: "PORT_IN_USE" });
    expect(String(fault)).toContain(`NATS_URL=nats://127.0.0.1:${port}`);
    expect(isAlive(pidOf())).toBe(true);
  });
});
