import { CodedError } from "@flowcatalyst/foundation";
import { headerNames } from "@flowcatalyst/contracts";
import type { Context, MiddlewareHandler } from "hono";
import type { PrincipalId } from "../domain/ids.ts";
import { anchorScope, type Scope } from "../domain/scope.ts";
import type { RequestVariables } from "../http/request-scope.ts";
import { createTokenGuard } from "../http/token-guard.ts";

/** Who asks, and what they may see. Until accounts exist there are two kinds, both of the whole platform. */
export interface Principal {
  readonly id: PrincipalId;
  readonly kind: "development" | "token";
  readonly scope: Scope;
}

export interface PlatformEnv {
  Variables: RequestVariables & { principal: Principal };
}

const developmentPrincipal: Principal = {
  id: "prn_development" as PrincipalId,
  kind: "development",
  scope: anchorScope,
};

const healthPrefixes: readonly string[] = ["/q/", "/health"];

export interface Access {
  readonly apiTokens: readonly string[];
  /** Web origins that may call the API from a browser. */
  readonly corsOrigins: readonly string[];
  readonly openPathPrefixes?: readonly string[];
}

/**
 * The one middleware that knows who asks. Without configured tokens everybody is the development principal (the server
 * then binds loopback only); with tokens every request but those of health needs one.
 *
 * Any page a developer has open can make the browser send a request to a loopback address, and CORS only keeps it from
 * reading the answer. So without tokens a request that says it comes from a page of elsewhere is refused; and so is one
 * for a name that somebody else's DNS gives an address to, because a page of that name could read the answer too.
 */
export function principals({
  apiTokens: tokens,
  corsOrigins,
  openPathPrefixes = [],
}: Access): MiddlewareHandler<PlatformEnv> {
  const guard = createTokenGuard(tokens);
  const trusted = trustedOrigins(corsOrigins);
  const byToken = tokens.map((_, index): Principal => ({
    id: `prn_token_${index + 1}` as PrincipalId,
    kind: "token",
    scope: anchorScope,
  }));
  const open = [...healthPrefixes, ...openPathPrefixes];
  return async (c, next) => {
    c.set("principal", developmentPrincipal);
    const isOpen = open.some((prefix) => c.req.path.startsWith(prefix));
    if (!guard.required && !isOpen) requireNear(c, trusted);
    if (guard.required && !isOpen) {
      const principal = byToken[guard.match(c.req.header(headerNames.authorization))];
      if (principal === undefined) throw new CodedError("UNAUTHENTICATED");
      c.set("principal", principal);
    }
    await next();
  };
}

interface Trusted {
  readonly origins: ReadonlySet<string>;
  readonly hosts: ReadonlySet<string>;
}

function trustedOrigins(origins: readonly string[]): Trusted {
  const hosts = origins.flatMap((origin) => (URL.canParse(origin) ? [new URL(origin).host] : []));
  return { origins: new Set(origins), hosts: new Set(hosts) };
}

const loopbackOrigin = /^https?:\/\/(?:(?:[\w-]+\.)*localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/i;
/** Addresses, names of this machine, and names without a dot, which no public DNS gives out. */
const nearHost = /^(?:(?:[\w-]+\.)*localhost|\d{1,3}(?:\.\d{1,3}){3}|\[[\da-f:.]+\]|[\w-]*)(?::\d{1,5})?$/i;

/** Programs send no `Origin`. Throws FORBIDDEN. */
function requireNear(c: Context<PlatformEnv>, trusted: Trusted): void {
  const remedy = "name the origin in FC_CORS_ORIGINS, or set FC_API_TOKENS.";
  const origin = c.req.header(headerNames.origin);
  if (origin !== undefined && !trusted.origins.has(origin) && !loopbackOrigin.test(origin)) {
    throw new CodedError("FORBIDDEN", { message: `Pages of another origin may not call this server; ${remedy}` });
  }
  const host = c.req.header(headerNames.host);
  if (host !== undefined && !nearHost.test(host) && !trusted.hosts.has(host)) {
    throw new CodedError("FORBIDDEN", { message: `This server is not known by the name in Host; ${remedy}` });
  }
}

/** For what belongs to the platform as a whole. Throws FORBIDDEN. */
export function requireAnchor(scope: Scope): void {
  if (scope.kind !== "anchor") throw new CodedError("FORBIDDEN");
}
