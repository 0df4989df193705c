import { expect, test } from "bun:test";
import fc from "fast-check";
import { createAddressPolicy, isNetwork } from "./address-policy.ts";
import { isLocalhostName, readTargetUrl } from "./target-url.ts";

const strict = createAddressPolicy([]);
const rangeOf = (address: string): string => {
  const verdict = strict.judge(address);
  return verdict.kind === "allowed" ? "allowed" : verdict.range;
};

test.each([
  ["1.1.1.1", "allowed"],
  ["93.184.216.34", "allowed"],
  ["172.15.255.255", "allowed"],
  ["172.32.0.0", "allowed"],
  ["100.63.255.255", "allowed"],
  ["100.128.0.0", "allowed"],
  ["2606:4700:4700::1111", "allowed"],
  ["2a00:1450:4001:81b::200e", "allowed"],
  ["::ffff:1.1.1.1", "allowed"],
  ["64:ff9b::101:101", "allowed"],
  ["0.0.0.0", "unspecified"],
  ["0.1.2.3", "unspecified"],
  ["10.0.0.1", "private"],
  ["100.64.0.1", "carrier-grade NAT"],
  ["127.0.0.1", "loopback"],
  ["127.255.255.254", "loopback"],
  ["169.254.0.1", "link-local"],
  ["169.254.169.254", "cloud metadata"],
  ["100.100.100.200", "cloud metadata"],
  ["168.63.129.16", "cloud metadata"],
  ["172.16.0.1", "private"],
  ["172.31.255.255", "private"],
  ["192.0.0.8", "reserved"],
  ["192.0.2.1", "reserved"],
  ["192.168.1.1", "private"],
  ["198.18.0.1", "reserved"],
  ["198.51.100.1", "reserved"],
  ["203.0.113.1", "reserved"],
  ["224.0.0.1", "multicast"],
  ["239.255.255.250", "multicast"],
  ["240.0.0.1", "reserved"],
  ["255.255.255.255", "broadcast"],
  ["::", "unspecified"],
  ["::1", "loopback"],
  ["::127.0.0.1", "IPv4-compatible"],
  ["::ffff:127.0.0.1", "loopback"],
  ["::ffff:a00:1", "private"],
  ["::ffff:169.254.169.254", "cloud metadata"],
  ["::ffff:0:127.0.0.1", "IPv4-translated"],
  ["64:ff9b::7f00:1", "loopback"],
  ["64:ff9b::a9fe:a9fe", "cloud metadata"],
  ["64:ff9b:1::1", "local NAT64"],
  ["100::1", "discard"],
  ["2001::1", "Teredo"],
  ["2001:db8::1", "reserved"],
  ["2002:7f00:1::", "6to4"],
  ["2002:101:101::", "6to4"],
  ["2a00::5efe:7f00:1", "ISATAP"],
  ["2a00::200:5efe:a00:1", "ISATAP"],
  ["3ffe::1", "allowed"],
  ["4000::1", "not public"],
  ["fc00::1", "private"],
  ["fd00:ec2::254", "cloud metadata"],
  ["fe80::1", "link-local"],
  ["fe80::1%eth0", "not an address"],
  ["fec0::1", "private"],
  ["ff02::1", "multicast"],
  ["0177.0.0.1", "not an address"],
  ["2130706433", "not an address"],
  ["127.1", "not an address"],
  ["localhost", "not an address"],
  ["", "not an address"],
])("%s is %s", (address, expected) => {
  expect(rangeOf(address)).toBe(expected);
});

test("networks that the operator allows win, in every form that carries them", () => {
  const policy = createAddressPolicy(["127.0.0.0/8", "::1/128", "10.1.2.3", "169.254.169.254/32"]);
  for (const address of [
    "127.0.0.1",
    "127.9.9.9",
    "::1",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
    "10.1.2.3",
    "169.254.169.254",
  ]) {
    expect(policy.judge(address)).toEqual({ kind: "allowed" });
  }
  for (const address of ["10.1.2.4", "::2", "192.168.0.1", "2002:7f00:1::"]) {
    expect(policy.judge(address).kind).toBe("forbidden");
  }
});

test("networks are told from other text", () => {
  for (const text of ["10.0.0.0/8", "127.0.0.1", "::1", "fd00::/8", "0.0.0.0/0", " 10.0.0.0/8 "]) {
    expect([text, isNetwork(text)]).toEqual([text, true]);
  }
  for (const text of [
    "",
    "10.0.0.0/33",
    "10.0/8",
    "::1/129",
    "a/8",
    "10.0.0.0/8/8",
    "10.0.0.0/",
    "10.0.0.0/-1",
    "localhost",
  ]) {
    expect([text, isNetwork(text)]).toEqual([text, false]);
  }
  expect(() => createAddressPolicy(["10.0.0.0/33"])).toThrow(RangeError);
});

/** The ranges of IPv4 that are not public, as numbers: what the policy must agree with for every address. */
function isPublicIpv4(value: number): boolean {
  const within = (base: number, bits: number): boolean =>
    Math.floor(value / 2 ** (32 - bits)) === Math.floor(base / 2 ** (32 - bits));
  const ip = (...[a = 0, b = 0, c = 0, d = 0]: readonly number[]): number => ((a * 256 + b) * 256 + c) * 256 + d;
  const special: readonly (readonly [number, number])[] = [
    [ip(0), 8],
    [ip(10), 8],
    [ip(100, 64), 10],
    [ip(127), 8],
    [ip(169, 254), 16],
    [ip(172, 16), 12],
    [ip(192, 0, 0), 24],
    [ip(192, 0, 2), 24],
    [ip(192, 31, 196), 24],
    [ip(192, 52, 193), 24],
    [ip(192, 88, 99), 24],
    [ip(192, 168), 16],
    [ip(192, 175, 48), 24],
    [ip(198, 18), 15],
    [ip(198, 51, 100), 24],
    [ip(203, 0, 113), 24],
    [ip(224), 4],
    [ip(240), 4],
    [ip(168, 63, 129, 16), 32],
  ];
  return !special.some(([base, bits]) => within(base, bits));
}

test("agrees with the registry for any IPv4 address, also inside the forms that carry one", () => {
  const interesting = fc.oneof(
    fc.nat({ max: 2 ** 32 - 1 }),
    fc
      .tuple(
        fc.constantFrom(0, 10, 100, 127, 168, 169, 172, 192, 198, 203, 224, 240, 255),
        fc.nat({ max: 2 ** 24 - 1 }),
      )
      .map(([a, rest]) => a * 2 ** 24 + rest),
  );
  fc.assert(
    fc.property(interesting, (value) => {
      const octets = [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256);
      const text = octets.join(".");
      const expected = isPublicIpv4(value) ? "allowed" : "forbidden";
      expect([text, strict.judge(text).kind]).toEqual([text, expected]);
      expect(strict.judge(`::ffff:${text}`).kind).toBe(expected);
      expect(strict.judge(`64:ff9b::${text}`).kind).toBe(expected);
      expect(strict.judge(`::${text}`).kind).toBe("forbidden");
    }),
    { numRuns: 2_000 },
  );
});

test("a target URL is taken apart as it will be dialled", () => {
  expect(readTargetUrl("https://Example.COM:8443/a/b?c=d#e")).toEqual({
    kind: "target",
    secure: true,
    hostname: "example.com",
    address: null,
    authority: "example.com:8443",
    port: 8443,
    pathAndQuery: "/a/b?c=d",
  });
  expect(readTargetUrl("http://0x7f.1")).toMatchObject({
    address: "127.0.0.1",
    authority: "127.0.0.1",
    port: 80,
    pathAndQuery: "/",
  });
  expect(readTargetUrl("https://[::FFFF:127.0.0.1]/")).toMatchObject({
    address: "::ffff:7f00:1",
    authority: "[::ffff:7f00:1]",
    port: 443,
  });
  for (const text of ["", "example.com", "ftp://a/", "file:///etc/passwd", "http://u:p@a/", "http://a:0/", "http://"]) {
    expect(readTargetUrl(text).kind).toBe("invalid");
  }
});

test("names of this machine", () => {
  for (const name of ["localhost", "localhost.", "a.localhost", "a.b.localhost."])
    expect(isLocalhostName(name)).toBe(true);
  for (const name of ["localhost.com", "notlocalhost", "local", ""]) expect(isLocalhostName(name)).toBe(false);
});
