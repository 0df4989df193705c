import { expect, test } from "bun:test";
import { FakeClock } from "@flowcatalyst/foundation";
import { createAddressPolicy } from "../domain/address-policy.ts";
import { addressGuardLimits, createDnsAddressGuard, systemResolveHost } from "./index.ts";

const { signal } = new AbortController();
const publicAddress = "93.184.216.34";

function setup(allowedNetworks: readonly string[] = []) {
  const clock = new FakeClock();
  const asked: string[] = [];
  const answers = new Map<string, () => Promise<readonly string[]>>();
  const guard = createDnsAddressGuard({
    clock,
    policy: createAddressPolicy(allowedNetworks),
    resolve(hostname) {
      asked.push(hostname);
      return answers.get(hostname)?.() ?? Promise.reject(Object.assign(new Error("no"), { code: "ENOTFOUND" }));
    },
  });
  const answer = (hostname: string, ...addresses: string[]) => answers.set(hostname, async () => addresses);
  return { clock, asked, answers, answer, guard };
}

test("the checked address is answered, IPv4 before IPv6", async () => {
  const { guard, answer } = setup();
  answer("a.test", "2606:4700::1111", publicAddress, "1.1.1.1");
  answer("six.test", "2606:4700::1111");
  expect(await guard.check("https://A.test/x", signal)).toEqual({ kind: "allowed", address: publicAddress });
  expect(await guard.check("https://six.test/", signal)).toEqual({ kind: "allowed", address: "2606:4700::1111" });
});

test("one forbidden address among several forbids the host", async () => {
  const { guard, answer } = setup();
  answer("a.test", publicAddress, "10.0.0.1");
  answer("b.test", publicAddress, "::ffff:127.0.0.1");
  expect(await guard.check("http://a.test/", signal)).toEqual({
    kind: "forbidden",
    address: "10.0.0.1",
    range: "private",
  });
  expect(await guard.check("http://b.test/", signal)).toMatchObject({ kind: "forbidden", range: "loopback" });
});

test("what does not resolve, or is no URL, is unresolved with the reason", async () => {
  const { guard, answer } = setup();
  answer("empty.test");
  for (const url of ["http://missing.test/", "http://empty.test/", "ftp://a.test/", "nonsense", "http://u:p@a.test/"]) {
    expect([url, (await guard.check(url, signal)).kind]).toEqual([url, "unresolved"]);
  }
  expect(await guard.check("http://missing.test/", signal)).toMatchObject({
    detail: "the host does not resolve: ENOTFOUND",
  });
});

test("addresses and names of this machine cost no lookup", async () => {
  const { guard, asked } = setup(["127.0.0.0/8"]);
  expect(await guard.check("http://127.0.0.1:8080/", signal)).toEqual({ kind: "allowed", address: "127.0.0.1" });
  expect(await guard.check("http://localhost:8080/", signal)).toEqual({ kind: "allowed", address: "127.0.0.1" });
  expect(await guard.check("http://app.localhost./", signal)).toEqual({ kind: "allowed", address: "127.0.0.1" });
  expect((await guard.check("http://[::1]/", signal)).kind).toBe("forbidden");
  expect(asked).toEqual([]);
  const { guard: strict } = setup();
  expect(await strict.check("http://localhost/", signal)).toMatchObject({ kind: "forbidden", range: "loopback" });
  const { guard: sixOnly } = setup(["::1/128"]);
  expect(await sixOnly.check("http://localhost/", signal)).toEqual({ kind: "allowed", address: "::1" });
});

test("a host is asked for once in a while, shared by all its URLs and by checks that come together", async () => {
  const { guard, clock, asked, answer } = setup();
  answer("a.test", publicAddress);
  await Promise.all([guard.check("http://a.test/1", signal), guard.check("https://a.test:9/2", signal)]);
  await guard.check("http://a.test/3", signal);
  expect(asked).toEqual(["a.test"]);
  await clock.advance(addressGuardLimits.hostTtlMs + 1);
  answer("a.test", "1.1.1.1");
  expect(await guard.check("http://a.test/1", signal)).toEqual({ kind: "allowed", address: "1.1.1.1" });
  expect(asked.length).toBe(2);
});

test("a name that turns to a forbidden address is found out when it is asked for again", async () => {
  const { guard, clock, answer } = setup();
  answer("rebind.test", publicAddress);
  expect((await guard.check("http://rebind.test/", signal)).kind).toBe("allowed");
  answer("rebind.test", "127.0.0.1");
  await clock.advance(addressGuardLimits.hostTtlMs + 1);
  expect((await guard.check("http://rebind.test/", signal)).kind).toBe("forbidden");
});

test("a resolver that hangs is given up after the deadline, and sooner when the caller aborts", async () => {
  const { guard, clock, answers, asked } = setup();
  answers.set("hangs.test", () => new Promise(() => undefined));
  const abort = new AbortController();
  const aborted = guard.check("http://hangs.test/", abort.signal);
  const waiting = guard.check("http://hangs.test/other", signal);
  abort.abort();
  expect(await aborted).toEqual({ kind: "unresolved", detail: "aborted" });
  await clock.advance(addressGuardLimits.lookupTimeoutMs);
  expect(await waiting).toEqual({ kind: "unresolved", detail: "the resolver did not answer in time" });
  expect(asked).toEqual(["hangs.test"]);
});

test("lookups under way are bounded, and known hosts are not held up by them", async () => {
  const { guard, clock, answers, answer } = setup();
  answer("known.test", publicAddress);
  await guard.check("http://known.test/", signal);
  for (let i = 0; i < addressGuardLimits.maxLookups; i++) {
    answers.set(`h${i}.test`, () => new Promise(() => undefined));
    void guard.check(`http://h${i}.test/`, signal);
  }
  expect(await guard.check("http://one-more.test/", signal)).toMatchObject({
    detail: "too many lookups are under way",
  });
  expect((await guard.check("http://known.test/", signal)).kind).toBe("allowed");
  await clock.advance(addressGuardLimits.lookupTimeoutMs);
});

test("hosts kept are bounded: the one asked for longest ago is asked for again", async () => {
  const { guard, asked, answers } = setup();
  const { maxHosts } = addressGuardLimits;
  for (let i = 0; i <= maxHosts; i++) {
    answers.set(`h${i}.test`, async () => [publicAddress]);
    await guard.check(`http://h${i}.test/`, signal);
  }
  await guard.check(`http://h${maxHosts}.test/`, signal);
  expect(asked.length).toBe(maxHosts + 1);
  await guard.check("http://h0.test/", signal);
  expect(asked.length).toBe(maxHosts + 2);
});

test("the machine's own resolver answers for its own name", async () => {
  expect(await systemResolveHost("localhost")).not.toEqual([]);
});
