/**
 * Spellings of addresses that no delivery may go to. Each must be refused when a subscription is saved and when a
 * message is sent: `forbidden` because of where it leads, `invalid` because it is no target at all. Collected from the
 * special-purpose registries (RFC 6890), the URL standard's host parser (https://url.spec.whatwg.org/#host-parsing),
 * and the spellings known from SSRF testing.
 */
export interface ForbiddenTarget {
  readonly url: string;
  readonly expected: "forbidden" | "invalid";
  /** Why, as a person would say it. */
  readonly what: string;
}

/** A name, and what a hostile resolver answers for it. */
export interface ForbiddenName {
  readonly url: string;
  readonly addresses: readonly string[];
  readonly what: string;
}

type Spelling = readonly [host: string, what: string];

const loopbackIpv4: readonly Spelling[] = [
  ["127.0.0.1", "loopback"],
  ["127.0.0.2", "loopback, another one"],
  ["127.1.2.3", "loopback, anywhere in the range"],
  ["127.255.255.254", "loopback, the last one"],
  ["127.1", "loopback in two parts"],
  ["127.0.1", "loopback in three parts"],
  ["2130706433", "loopback in decimal"],
  ["0x7f000001", "loopback in hexadecimal"],
  ["0X7F000001", "loopback in upper-case hexadecimal"],
  ["017700000001", "loopback in octal"],
  ["0177.0.0.1", "loopback, first part octal"],
  ["0x7f.0.0.1", "loopback, first part hexadecimal"],
  ["0x7f.1", "loopback, hexadecimal in two parts"],
  ["0177.1", "loopback, octal in two parts"],
  ["0x7f.0x0.0x0.0x1", "loopback, all parts hexadecimal"],
  ["0177.0000.0000.0001", "loopback, all parts octal"],
  ["00000177.0.0.01", "loopback, octal with more zeros"],
  ["127.0.0.0x1", "loopback, last part hexadecimal"],
  ["127.0x00000001", "loopback, mixed"],
  ["127.0.0.1.", "loopback with the root dot"],
  ["%31%32%37.0.0.1", "loopback, percent-encoded"],
  ["127%2e0%2e0%2e1", "loopback, percent-encoded dots"],
  ["\u2460\u2461\u2466.\u24ea.\u24ea.\u2460", "loopback in circled digits"],
  ["\uff11\uff12\uff17.\uff10.\uff10.\uff11", "loopback in full-width digits"],
  ["127\u30020\u30020\u30021", "loopback with ideographic dots"],
  ["127\uff0e0\uff0e0\uff0e1", "loopback with full-width dots"],
  ["1\u00ad27.0.0.1", "loopback with a soft hyphen"],
  ["0", "this host"],
  ["0.0.0.0", "this host in full"],
  ["0x0", "this host in hexadecimal"],
  ["00", "this host in octal"],
  ["0.0.0.1", "this network"],
];

const loopbackIpv6: readonly Spelling[] = [
  ["[::1]", "loopback"],
  ["[0:0:0:0:0:0:0:1]", "loopback in full"],
  ["[0000:0000:0000:0000:0000:0000:0000:0001]", "loopback with all zeros"],
  ["[::0001]", "loopback with zeros"],
  ["[0::1]", "loopback, zero first"],
  ["[::0.0.0.1]", "loopback with a dotted end"],
  ["[::]", "unspecified"],
  ["[0:0:0:0:0:0:0:0]", "unspecified in full"],
  ["[::ffff:127.0.0.1]", "IPv4-mapped loopback"],
  ["[::FFFF:7F00:1]", "IPv4-mapped loopback in upper-case hexadecimal"],
  ["[0:0:0:0:0:ffff:7f00:0001]", "IPv4-mapped loopback in full"],
  ["[::ffff:0:127.0.0.1]", "IPv4-translated loopback"],
  ["[::127.0.0.1]", "IPv4-compatible loopback"],
  ["[::7f00:1]", "IPv4-compatible loopback in hexadecimal"],
  ["[64:ff9b::127.0.0.1]", "NAT64 loopback"],
  ["[64:ff9b::7f00:1]", "NAT64 loopback in hexadecimal"],
  ["[64:ff9b:1::7f00:1]", "local NAT64"],
  ["[2002:7f00:1::]", "6to4 loopback"],
  ["[2001:0:7f00:1::]", "Teredo server on loopback"],
  ["[2001:0:4136:e378:8000:63bf:80ff:fffe]", "Teredo client on loopback"],
  ["[2a00::5efe:127.0.0.1]", "ISATAP loopback"],
];

const names: readonly Spelling[] = [
  ["localhost", "the name of this machine"],
  ["LOCALHOST", "the same in upper case"],
  ["LocalHost.", "the same with the root dot"],
  ["app.localhost", "a name below localhost"],
  ["a.b.c.localhost.", "a deep name below localhost"],
  ["loc%61lhost", "localhost, percent-encoded"],
  ["\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3", "localhost in circled letters"],
  ["\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54", "localhost in full-width letters"],
  ["local\u00adhost", "localhost with a soft hyphen"],
  ["\u017fpam.localho\u017ft", "localhost with a long s"],
];

const elsewhere: readonly Spelling[] = [
  ["10.0.0.1", "private"],
  ["10.255.255.255", "private, the last one"],
  ["0x0a000001", "private in hexadecimal"],
  ["167772161", "private in decimal"],
  ["012.0.0.1", "private in octal"],
  ["10.1", "private in two parts"],
  ["172.16.0.1", "private"],
  ["172.31.255.254", "private, the end of the range"],
  ["2886729729", "private in decimal"],
  ["0254.020.0.1", "private in octal"],
  ["192.168.0.1", "private"],
  ["192.168.257", "private in three parts"],
  ["0300.0250.0.1", "private in octal"],
  ["0xc0.0xa8.0.1", "private in hexadecimal"],
  ["3232235521", "private in decimal"],
  ["100.64.0.1", "carrier-grade NAT"],
  ["100.127.255.254", "carrier-grade NAT, the end of the range"],
  ["169.254.0.1", "link-local"],
  ["169.254.169.254", "metadata of AWS, Azure, Google Cloud"],
  ["2852039166", "metadata in decimal"],
  ["0xa9fea9fe", "metadata in hexadecimal"],
  ["0xa9.0xfe.0xa9.0xfe", "metadata in hexadecimal parts"],
  ["0251.0376.0251.0376", "metadata in octal"],
  ["169.254.43518", "metadata in three parts"],
  ["169.16689662", "metadata in two parts"],
  ["169.254.170.2", "metadata of AWS containers"],
  ["100.100.100.200", "metadata of Alibaba Cloud"],
  ["192.0.0.192", "metadata of Oracle Cloud"],
  ["168.63.129.16", "the platform address of Azure"],
  ["[fd00:ec2::254]", "metadata of AWS over IPv6"],
  ["[fd20:ce::254]", "metadata of Google Cloud over IPv6"],
  ["[::ffff:169.254.169.254]", "IPv4-mapped metadata"],
  ["[::ffff:a9fe:a9fe]", "IPv4-mapped metadata in hexadecimal"],
  ["[64:ff9b::a9fe:a9fe]", "NAT64 metadata"],
  ["[2002:a9fe:a9fe::]", "6to4 metadata"],
  ["[::ffff:10.0.0.1]", "IPv4-mapped private"],
  ["[::ffff:c0a8:1]", "IPv4-mapped private in hexadecimal"],
  ["[64:ff9b::10.0.0.1]", "NAT64 private"],
  ["[2002:a00:1::1]", "6to4 private"],
  ["192.0.0.1", "protocol assignments"],
  ["192.0.2.1", "documentation"],
  ["198.51.100.1", "documentation"],
  ["203.0.113.1", "documentation"],
  ["198.18.0.1", "benchmarking"],
  ["192.88.99.1", "6to4 relay"],
  ["224.0.0.1", "multicast"],
  ["239.255.255.250", "multicast of device discovery"],
  ["240.0.0.1", "reserved"],
  ["255.255.255.255", "broadcast"],
  ["0xffffffff", "broadcast in hexadecimal"],
  ["4294967295", "broadcast in decimal"],
  ["[fc00::1]", "unique local"],
  ["[fdff:ffff::1]", "unique local"],
  ["[fe80::1]", "link-local"],
  ["[febf::1]", "link-local, the end of the range"],
  ["[fec0::1]", "site-local"],
  ["[ff02::1]", "multicast"],
  ["[ff0e::1]", "multicast, global scope"],
  ["[100::1]", "discard"],
  ["[2001:db8::1]", "documentation"],
  ["[2001:2::1]", "benchmarking"],
  ["[2001:10::1]", "ORCHID"],
  ["[5f00::1]", "segment routing"],
  ["[4000::1]", "not given out"],
];

/** Tricks with the URL around the host. `PORT` is the canary's. */
const aroundTheHost: readonly (readonly [url: string, expected: "forbidden" | "invalid", what: string])[] = [
  ["http:127.0.0.1:PORT/", "forbidden", "no slashes"],
  ["http:/127.0.0.1:PORT/", "forbidden", "one slash"],
  ["http:///127.0.0.1:PORT/", "forbidden", "three slashes"],
  ["http:\\\\127.0.0.1:PORT\\", "forbidden", "backslashes"],
  ["HTTP://127.0.0.1:PORT/", "forbidden", "upper-case scheme"],
  ["  http://127.0.0.1:PORT/  ", "forbidden", "spaces around"],
  ["ht\ntp://127.0.0.1:PORT/", "forbidden", "a line break in the scheme"],
  ["http://127.0.\t0.1:PORT/", "forbidden", "a tab in the host"],
  ["http://127.0.0.1:PORT#@example.com/", "forbidden", "a fragment that looks like a host"],
  ["http://127.0.0.1:PORT?@example.com/", "forbidden", "a query that looks like a host"],
  ["http://127.0.0.1:PORT\\@example.com/", "forbidden", "a backslash that ends the host"],
  ["http://example.com@127.0.0.1:PORT/", "invalid", "a user name that looks like the host"],
  ["http://example.com:80@127.0.0.1:PORT/", "invalid", "user name and password that look like the host"],
  ["http://user:pass@example.com/", "invalid", "credentials"],
  ["http://[::1%25lo]:PORT/", "invalid", "an IPv6 zone"],
  ["http://[fe80::1%25eth0]/", "invalid", "a link-local address with its zone"],
  ["http://127.0.0.1%00.example.com:PORT/", "invalid", "a zero byte in the host"],
  ["http://127.0.0.1:PORT:80/", "invalid", "two ports"],
  ["http://127.0.0.256:PORT/", "invalid", "no IPv4 address"],
  ["http://127.0.0.1.5:PORT/", "invalid", "five parts"],
  ["http://0x1ffffffff:PORT/", "invalid", "more than 32 bits"],
  ["ftp://127.0.0.1:PORT/", "invalid", "another scheme"],
  ["file:///etc/passwd", "invalid", "a file"],
  ["gopher://127.0.0.1:PORT/_POST", "invalid", "gopher"],
  ["unix:///var/run/docker.sock", "invalid", "a socket"],
  ["data:text/plain,x", "invalid", "data"],
  ["//127.0.0.1:PORT/", "invalid", "no scheme"],
  ["", "invalid", "nothing"],
];

/** All of them; where the host is this machine, the port is `canaryPort`, so that a connection would be seen. */
export function forbiddenTargets(canaryPort: number): readonly ForbiddenTarget[] {
  const withHost = ([host, what]: Spelling): ForbiddenTarget => ({
    url: `http://${host}:${canaryPort}/hook`,
    expected: "forbidden",
    what,
  });
  const overTls = ([host, what]: Spelling): ForbiddenTarget => ({
    url: `https://${host}/`,
    expected: "forbidden",
    what: `${what}, over TLS`,
  });
  return [
    ...[...loopbackIpv4, ...loopbackIpv6, ...names, ...elsewhere].map(withHost),
    ...[loopbackIpv4, loopbackIpv6, names, elsewhere].flatMap((spellings) => spellings.slice(0, 1)).map(overTls),
    ...aroundTheHost.map(([url, expected, what]) => ({
      url: url.replaceAll("PORT", String(canaryPort)),
      expected,
      what,
    })),
  ];
}

/** Names of other people's, with addresses they should not have. */
export function forbiddenNames(canaryPort: number): readonly ForbiddenName[] {
  const name = (host: string, addresses: readonly string[], what: string): ForbiddenName => ({
    url: `http://${host}:${canaryPort}/hook`,
    addresses,
    what,
  });
  return [
    name("loopback.attacker.test", ["127.0.0.1"], "a name for loopback"),
    name("six.attacker.test", ["::1"], "a name for loopback over IPv6"),
    name("mapped.attacker.test", ["::ffff:127.0.0.1"], "a name for mapped loopback"),
    name("compatible.attacker.test", ["::127.0.0.1"], "a name for IPv4-compatible loopback"),
    name("zero.attacker.test", ["0.0.0.0"], "a name for this host"),
    name("private.attacker.test", ["10.0.0.1"], "a name for a private address"),
    name("metadata.google.internal", ["169.254.169.254"], "the metadata name of Google Cloud"),
    name("instance-data.ec2.internal", ["169.254.169.254"], "the metadata name of AWS"),
    name("169.254.169.254.nip.io", ["169.254.169.254"], "a name that spells its address"),
    name("localtest.me", ["127.0.0.1"], "a public name for loopback"),
    name("both.attacker.test", ["93.184.216.34", "127.0.0.1"], "a public address first, loopback second"),
    name("mixed.attacker.test", ["2606:4700::1111", "fe80::1"], "a public address first, link-local second"),
    name("zone.attacker.test", ["fe80::1%lo"], "an address with a zone"),
    name("nat64.attacker.test", ["64:ff9b::a9fe:a9fe"], "NAT64 of the metadata address"),
    name("nonsense.attacker.test", ["0x7f.1"], "a spelling that a resolver must not answer with"),
  ];
}
