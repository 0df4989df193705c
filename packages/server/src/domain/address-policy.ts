import ipaddr from "ipaddr.js";

/**
 * Which IP addresses a delivery may connect to.
 *
 * Targets are typed in by users, so without this a subscription could make the server read its own network, its cloud's
 * metadata service or itself (SSRF). Only addresses of the public internet are allowed: IPv4 outside every special
 * range, IPv6 inside 2000::/3 (all of global unicast that is given out) and outside every special range. Whatever the
 * library gains or loses a name for, an address that is not known to be public stays forbidden.
 *
 * Forms that carry an IPv4 address are judged by it: IPv4-mapped (::ffff:0:0/96) and NAT64 (64:ff9b::/96, what DNS64
 * makes of a public name in a network without IPv4). The other such forms are forbidden whatever they carry, because no
 * public target has one: IPv4-compatible, 6to4, Teredo, ISATAP, IPv4-translated, local NAT64.
 *
 * An operator allows networks by CIDR; those win over every range. An IPv4 network also allows its mapped form.
 *
 * Sources: the special-purpose registries of IANA (RFC 6890) as kept by ipaddr.js, RFC 4291, RFC 6052, RFC 8215; for
 * cloud metadata the vendors' documents.
 */
export type AddressVerdict =
  | { readonly kind: "allowed" }
  /** `range` is a short name such as `loopback` or `private`, for logs and the answer to the user. */
  | { readonly kind: "forbidden"; readonly range: string };

export interface AddressPolicy {
  /**
   * Takes an address as resolvers and URLs write it, in canonical form. Anything else is forbidden as `not an address`.
   */
  judge(address: string): AddressVerdict;
}

type Address = ipaddr.IPv4 | ipaddr.IPv6;
type Network = readonly [Address, number];

/** Names of what must never be reached although its address lies in a public range, or in a range with another name. */
const metadataAddresses: ReadonlyMap<string, string> = new Map([
  // AWS, Azure, Google Cloud, DigitalOcean, OpenStack and others.
  ["169.254.169.254", "cloud metadata"],
  // AWS, task credentials of ECS and EKS.
  ["169.254.170.2", "cloud metadata"],
  ["169.254.170.23", "cloud metadata"],
  // Alibaba Cloud.
  ["100.100.100.200", "cloud metadata"],
  // Oracle Cloud.
  ["192.0.0.192", "cloud metadata"],
  // Azure's platform address, inside a public range.
  ["168.63.129.16", "cloud metadata"],
  // AWS over IPv6.
  ["fd00:ec2::254", "cloud metadata"],
  ["fd00:ec2::23", "cloud metadata"],
  // Google Cloud over IPv6.
  ["fd20:ce::254", "cloud metadata"],
]);

const globalUnicast: readonly [ipaddr.IPv6, number] = [ipaddr.IPv6.parse("2000::"), 3];
const nat64: readonly [ipaddr.IPv6, number] = [ipaddr.IPv6.parse("64:ff9b::"), 96];
const ipv4Compatible: readonly [ipaddr.IPv6, number] = [ipaddr.IPv6.parse("::"), 96];
const allowed: AddressVerdict = { kind: "allowed" };

/** True for text such as `10.0.0.0/8`, `127.0.0.1` or `fd00::/8`. */
export function isNetwork(text: string): boolean {
  return parseNetwork(text) !== null;
}

/** Throws RangeError for a text that is no network; configuration checks them with `isNetwork` first. */
export function createAddressPolicy(allowedNetworks: readonly string[]): AddressPolicy {
  const networks = allowedNetworks.map((text) => {
    const network = parseNetwork(text);
    if (network === null) throw new RangeError(`${text} is not a network in CIDR notation`);
    return network;
  });
  return { judge: (address) => judge(address, networks) };
}

function judge(text: string, networks: readonly Network[]): AddressVerdict {
  const address = parseAddress(text);
  if (address === null) return forbidden("not an address");
  if (isIn(address, networks)) return allowed;
  const carried = carriedIpv4(address);
  if (carried !== null) return judge(carried, networks);
  const metadata = metadataAddresses.get(address.toString());
  if (metadata !== undefined) return forbidden(metadata);
  const range: string = address.range();
  if (range !== "unicast") return forbidden(rangeNames[range] ?? range);
  return address instanceof ipaddr.IPv6 ? judgeGlobal(address) : allowed;
}

/** What the ranges of the library leave over of IPv6. */
function judgeGlobal(address: ipaddr.IPv6): AddressVerdict {
  if (address.match(...ipv4Compatible)) return forbidden("IPv4-compatible");
  if (!address.match(...globalUnicast)) return forbidden("not public");
  const isIsatap = (address.parts[4] === 0 || address.parts[4] === 0x0200) && address.parts[5] === 0x5efe;
  return isIsatap ? forbidden("ISATAP") : allowed;
}

const rangeNames: Readonly<Record<string, string>> = {
  linkLocal: "link-local",
  carrierGradeNat: "carrier-grade NAT",
  uniqueLocal: "private",
  deprecatedSiteLocal: "private",
  rfc6145: "IPv4-translated",
  rfc6052: "local NAT64",
  teredo: "Teredo",
};

/** The IPv4 address that decides, for the forms that a public target may have. */
function carriedIpv4(address: Address): string | null {
  if (!(address instanceof ipaddr.IPv6)) return null;
  const carries = address.isIPv4MappedAddress() || address.match(...nat64);
  if (!carries) return null;
  const [high = 0, low = 0] = address.parts.slice(6);
  return `${high >> 8}.${high & 0xff}.${low >> 8}.${low & 0xff}`;
}

function isIn(address: Address, networks: readonly Network[]): boolean {
  return networks.some(([network, prefixLength]) => {
    if (address instanceof ipaddr.IPv4) return network instanceof ipaddr.IPv4 && address.match(network, prefixLength);
    return network instanceof ipaddr.IPv6 && address.match(network, prefixLength);
  });
}

/**
 * Canonical forms only: what spells an address otherwise has been through a URL parser, which writes it canonically.
 */
function parseAddress(text: string): Address | null {
  // A zone (fe80::1%eth0) names an interface of this machine.
  if (text.includes("%")) return null;
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.IPv4.parse(text);
  const groups = text.includes(":") ? withoutDottedTail(text) : null;
  return groups !== null && ipaddr.IPv6.isValid(groups) ? ipaddr.IPv6.parse(groups) : null;
}

/** `::1.2.3.4` as `::102:304`: the library takes the dotted spelling of an IPv4-compatible address for a mapped one. */
function withoutDottedTail(text: string): string | null {
  const colon = text.lastIndexOf(":");
  const tail = text.slice(colon + 1);
  if (!tail.includes(".")) return text;
  if (!ipaddr.IPv4.isValidFourPartDecimal(tail)) return null;
  const [a = 0, b = 0, c = 0, d = 0] = ipaddr.IPv4.parse(tail).octets;
  return `${text.slice(0, colon + 1)}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
}

function parseNetwork(text: string): Network | null {
  const [addressText = "", prefix, ...rest] = text.trim().split("/");
  const address = parseAddress(addressText);
  if (address === null || rest.length > 0) return null;
  const bits = address instanceof ipaddr.IPv4 ? 32 : 128;
  if (prefix === undefined) return [address, bits];
  const prefixLength = /^\d{1,3}$/.test(prefix) ? Number(prefix) : Number.NaN;
  return prefixLength <= bits ? [address, prefixLength] : null;
}

function forbidden(range: string): AddressVerdict {
  return { kind: "forbidden", range };
}
