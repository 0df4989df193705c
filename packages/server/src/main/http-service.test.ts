import { expect, test } from "bun:test";
import { deferred, systemClock, type Service } from "@flowcatalyst/foundation";
import { createHttpService, httpUrl, type HttpHandler } from "./http-service.ts";

const host = "127.0.0.1";

function freePort(): number {
  const server = Bun.serve({ hostname: host, port: 0, fetch: () => new Response() });
  const port = server.port ?? 0;
  void server.stop(true);
  return port;
}

function setup(fetch: HttpHandler["fetch"], port = freePort()) {
  const told: string[] = [];
  const onListening = (url: string): void => void told.push(url);
  const options = { name: "api", host, port, portSetting: "FC_API_PORT", clock: systemClock(), onListening };
  const service = createHttpService({ fetch }, options);
  return { service, url: httpUrl(host, port), port, told };
}

async function run(service: Service): Promise<() => Promise<void>> {
  const stop = new AbortController();
  const running = service.run(stop.signal);
  await Promise.race([service.ready?.(), running]);
  return () => {
    stop.abort();
    return running;
  };
}

test("answers, finishes what is under way when told to stop, and can be run again", async () => {
  const arrived = deferred();
  const gate = deferred();
  const { service, url } = setup(async (request) => {
    if (new URL(request.url).pathname === "/slow") {
      arrived.resolve();
      await gate.promise;
    }
    return new Response("answered");
  });
  const stop = await run(service);
  expect(await (await fetch(url)).text()).toBe("answered");
  const slow = fetch(`${url}/slow`);
  await arrived.promise;
  const stopped = stop();
  gate.resolve();
  expect(await (await slow).text()).toBe("answered");
  await stopped;
  const again = await run(service);
  expect((await fetch(url)).status).toBe(200);
  await again();
});

test("a taken port is told by the setting it comes from", async () => {
  const first = setup(() => new Response());
  const stop = await run(first.service);
  const second = setup(() => new Response(), first.port);
  const fault: unknown = await second.service.run(new AbortController().signal).catch((error: unknown) => error);
  expect(fault).toMatchObject({ code: "PORT_IN_USE" });
  expect(String(fault)).toContain("FC_API_PORT");
  await stop();
});

test("a port of 0 is told as the one it became", async () => {
  const { service, told } = setup(() => new Response("here"), 0);
  const stop = await run(service);
  expect(told).toHaveLength(1);
  expect(await (await fetch(told[0] ?? "")).text()).toBe("here");
  await stop();
});

test("an IPv6 address stands in brackets", () => {
  expect([httpUrl("::1", 8080), httpUrl("localhost", 1)]).toEqual(["http://[::1]:8080", "http://localhost:1"]);
});
