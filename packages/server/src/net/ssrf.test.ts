import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { FakeClock, systemClock } from "@flowcatalyst/foundation";
import { createAddressPolicy } from "../domain/address-policy.ts";
import type { AddressGuard, Resolution, TransportResult } from "../ports/transport.ts";
import { forbiddenNames, forbiddenTargets, type ForbiddenName } from "./forbidden-targets.fixture.ts";
import { createDnsAddressGuard, createFetchTransport, systemResolveHost } from "./index.ts";

/**
 * Nothing forbidden is ever connected to, however it is spelled. A canary listens on this machine, on IPv4 and IPv6;
 * whatever reaches it would have been a request forged with our help. (That they are refused when a subscription is
 * saved is tested from outside, with the same table.)
 */

const canary = { connections: 0, stop: (): void => undefined, port: 0 };

beforeAll(() => {
  const socket = { open: () => void (canary.connections += 1), data: () => undefined };
  const four = Bun.listen({ hostname: "127.0.0.1", port: 0, socket });
  const six = Bun.listen({ hostname: "::1", port: four.port, socket });
  canary.port = four.port;
  canary.stop = () => {
    four.stop(true);
    six.stop(true);
  };
});
afterAll(() => canary.stop());

const { signal } = new AbortController();
const transport = createFetchTransport({ clock: systemClock() }, { trustedCertificates: null, proxy: null });

/**
 * As the router sends: what the guard allows is dialled at the address the guard names, and nothing else is dialled.
 */
async function send(guard: AddressGuard, url: string): Promise<Resolution | TransportResult> {
  const resolution = await guard.check(url, signal);
  if (resolution.kind !== "allowed") return resolution;
  const request = {
    url,
    address: resolution.address,
    headers: {},
    body: "{}",
    timeoutMs: 2_000,
    responseMaxBytes: 1_000,
  };
  return transport.post(request, signal);
}

const strictPolicy = createAddressPolicy([]);
/** Asks the real resolver: some spellings could otherwise be taken for names and end up with it. */
const guard = createDnsAddressGuard({ clock: systemClock(), policy: strictPolicy, resolve: systemResolveHost });

/** Only to have titles before the canary has a port. */
const table = forbiddenTargets(65_535);

test("the table is as long as promised and says nothing twice", () => {
  expect(table.length).toBeGreaterThanOrEqual(100);
  expect(new Set(table.map(({ url }) => url)).size).toBe(table.length);
});

describe("when sent", () => {
  test.each(table.map(({ what, url }, index) => [what, JSON.stringify(url), index] as const))(
    "%s: %s",
    async (_what, _url, index) => {
      const { url, expected } = forbiddenTargets(canary.port)[index]!;
      const result = await send(guard, url);
      expect([url, result.kind]).toEqual([url, expected === "forbidden" ? "forbidden" : "unresolved"]);
      expect(canary.connections).toBe(0);
    },
  );
});

function guardWith(name: ForbiddenName): AddressGuard {
  const resolve = () => Promise.resolve(name.addresses);
  return createDnsAddressGuard({ clock: new FakeClock(), policy: strictPolicy, resolve });
}

describe("when a resolver answers for it", () => {
  test.each(forbiddenNames(65_535).map(({ what, url }, index) => [what, url, index] as const))(
    "%s: %s",
    async (_what, _url, index) => {
      const name = forbiddenNames(canary.port)[index]!;
      expect((await send(guardWith(name), name.url)).kind).toBe("forbidden");
      expect(canary.connections).toBe(0);
    },
  );
});

test("a name is not asked for a second time between checking and dialling", async () => {
  let asked = 0;
  // Public when checked; whoever asked again would get this machine.
  const resolve = () => Promise.resolve(asked++ === 0 ? ["192.0.2.1"] : ["127.0.0.1"]);
  const policy = createAddressPolicy(["192.0.2.1/32"]);
  const rebinding = createDnsAddressGuard({ clock: new FakeClock(), policy, resolve });
  const url = `http://rebind.attacker.test:${canary.port}/`;
  const resolution = await rebinding.check(url, signal);
  expect(resolution).toEqual({ kind: "allowed", address: "192.0.2.1" });
  const request = { url, address: "192.0.2.1", headers: {}, body: "", timeoutMs: 200, responseMaxBytes: 10 };
  expect((await transport.post(request, signal)).kind).not.toBe("response");
  expect(asked).toBe(1);
  expect(canary.connections).toBe(0);
});

test("the canary is alive: once loopback is allowed, every spelling of it arrives", async () => {
  const allowing = createDnsAddressGuard({
    clock: systemClock(),
    policy: createAddressPolicy(["127.0.0.0/8", "::1/128"]),
    resolve: systemResolveHost,
  });
  for (const host of ["127.0.0.1", "2130706433", "localhost", "[::1]", "[::ffff:127.0.0.1]"]) {
    const before = canary.connections;
    const stop = new AbortController();
    const url = `http://${host}:${canary.port}/`;
    const resolution = await allowing.check(url, stop.signal);
    expect(resolution.kind).toBe("allowed");
    const address = resolution.kind === "allowed" ? resolution.address : "";
    const request = { url, address, headers: {}, body: "", timeoutMs: 200, responseMaxBytes: 10 };
    await transport.post(request, stop.signal);
    expect([host, canary.connections]).toEqual([host, before + 1]);
  }
});
