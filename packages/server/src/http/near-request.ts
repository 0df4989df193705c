import { headerNames } from "@flowcatalyst/contracts";
import { CodedError } from "@flowcatalyst/foundation";
import type { Context } from "hono";

/**
 * What a server without tokens refuses. Any page a developer has open can make the browser send a request to a loopback
 * address, and CORS only keeps it from reading the answer; so a request that says it comes from a page of elsewhere is
 * refused. So is one for a name that somebody else's DNS gives an address to, because a page of that name could read
 * the answer too. Programs send no `Origin`.
 */
export type NearRequest = (c: Context) => void;

/** The check throws FORBIDDEN. `trustedOrigins`: pages, and names in `Host`, that may call all the same. */
export function createNearRequest(trustedOrigins: readonly string[]): NearRequest {
  const hosts = new Set(trustedOrigins.flatMap((origin) => (URL.canParse(origin) ? [new URL(origin).host] : [])));
  return (c) => {
    const remedy = "name the origin in FC_CORS_ORIGINS, or set FC_API_TOKENS.";
    const origin = c.req.header(headerNames.origin);
    if (origin !== undefined && !trustedOrigins.includes(origin) && !loopbackOrigin.test(origin)) {
      throw new CodedError("FORBIDDEN", { message: `Pages of another origin may not call this server; ${remedy}` });
    }
    const host = c.req.header(headerNames.host);
    if (host !== undefined && !nearHost.test(host) && !hosts.has(host)) {
      throw new CodedError("FORBIDDEN", { message: `This server is not known by the name in Host; ${remedy}` });
    }
  };
}

const loopbackOrigin = /^https?:\/\/(?:(?:[\w-]+\.)*localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/i;
/** Addresses, names of this machine, and names without a dot, which no public DNS gives out. */
const nearHost = /^(?:(?:[\w-]+\.)*localhost|\d{1,3}(?:\.\d{1,3}){3}|\[[\da-f:.]+\]|[\w-]*)(?::\d{1,5})?$/i;
