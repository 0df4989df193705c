import ipaddr from "ipaddr.js";

/**
 * A target URL taken apart, by the one URL parser everybody uses (WHATWG, https://url.spec.whatwg.org/): it writes
 * every spelling of an IPv4 address (decimal, octal, hexadecimal, short, full-width, percent-encoded) as four decimals,
 * and of an IPv6 one in its canonical form. Whoever checks a host and whoever dials it must read the URL through this
 * function, or the two could read it differently.
 */
export interface TargetUrl {
  readonly kind: "target";
  readonly secure: boolean;
  /** Lower case, without brackets; what TLS verifies. */
  readonly hostname: string;
  /** The IP address the URL itself names, without brackets; null for a name. */
  readonly address: string | null;
  /** Host and port as the `host` header says them. */
  readonly authority: string;
  readonly port: number;
  /** Path and query, beginning with `/`. The fragment is never sent. */
  readonly pathAndQuery: string;
}

export type TargetUrlReading = TargetUrl | { readonly kind: "invalid"; readonly detail: string };

const schemePorts: Readonly<Record<string, number>> = { "http:": 80, "https:": 443 };

export function readTargetUrl(text: string): TargetUrlReading {
  const url = URL.parse(text);
  if (url === null) return invalid("is not a URL");
  const schemePort = schemePorts[url.protocol];
  if (schemePort === undefined) return invalid("must be an http or https URL");
  // They would be lost on the way (fetch refuses them) or end in logs; a header says the same.
  if (url.username !== "" || url.password !== "") return invalid("must not contain a user name or password");
  if (url.hostname === "") return invalid("has no host");
  if (url.port === "0") return invalid("names port 0");
  const isIpv6 = url.hostname.startsWith("[");
  const hostname = isIpv6 ? url.hostname.slice(1, -1) : url.hostname;
  return {
    kind: "target",
    secure: url.protocol === "https:",
    hostname,
    address: isIpv6 || ipaddr.IPv4.isValidFourPartDecimal(hostname) ? hostname : null,
    authority: url.host,
    port: url.port === "" ? schemePort : Number(url.port),
    pathAndQuery: url.pathname + url.search,
  };
}

/**
 * Names that mean this machine whatever a resolver says (RFC 6761, 6.3). They are judged as the loopback addresses, so
 * a resolver cannot be made to vouch for them.
 */
export function isLocalhostName(hostname: string): boolean {
  const name = hostname.endsWith(".") ? hostname.slice(0, -1) : hostname;
  return name === "localhost" || name.endsWith(".localhost");
}

function invalid(detail: string): TargetUrlReading {
  return { kind: "invalid", detail };
}
