import { CodedError } from "@flowcatalyst/foundation";
import { headerNames } from "@flowcatalyst/contracts";
import type { Context, MiddlewareHandler } from "hono";
import type { PrincipalId } from "../domain/ids.ts";
import { anchorScope, type Scope } from "../domain/scope.ts";
import type { RequestVariables } from "../http/request-scope.ts";
import { createNearRequest } from "../http/near-request.ts";
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
  /** Under these, webhooks come in by POST, which carry a signature and no token. */
  readonly deliveryPathPrefixes?: readonly string[];
}

/**
 * The one middleware that knows who asks. Without configured tokens everybody near is the development principal (the
 * server then binds loopback only, see http/near-request); with tokens every request but those of health needs one.
 */
export function principals({
  apiTokens: tokens,
  corsOrigins,
  deliveryPathPrefixes = [],
}: Access): MiddlewareHandler<PlatformEnv> {
  const guard = createTokenGuard(tokens);
  const requireNear = createNearRequest(corsOrigins);
  const byToken = tokens.map((_, index): Principal => ({
    id: `prn_token_${index + 1}` as PrincipalId,
    kind: "token",
    scope: anchorScope,
  }));
  return async (c, next) => {
    c.set("principal", developmentPrincipal);
    const isOpen = startsWithOne(c.req.path, healthPrefixes) || isDelivery(c, deliveryPathPrefixes);
    if (!guard.required && !isOpen) requireNear(c);
    if (guard.required && !isOpen) {
      const principal = byToken[guard.match(c.req.header(headerNames.authorization))];
      if (principal === undefined) throw new CodedError("UNAUTHENTICATED");
      c.set("principal", principal);
    }
    await next();
  };
}

function isDelivery(c: Context<PlatformEnv>, prefixes: readonly string[]): boolean {
  return c.req.method === "POST" && startsWithOne(c.req.path, prefixes);
}

function startsWithOne(path: string, prefixes: readonly string[]): boolean {
  return prefixes.some((prefix) => path.startsWith(prefix));
}

/** For what belongs to the platform as a whole. Throws FORBIDDEN. */
export function requireAnchor(scope: Scope): void {
  if (scope.kind !== "anchor") throw new CodedError("FORBIDDEN");
}
