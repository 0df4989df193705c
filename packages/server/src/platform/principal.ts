import { CodedError } from "@flowcatalyst/foundation";
import { headerNames } from "@flowcatalyst/contracts";
import type { MiddlewareHandler } from "hono";
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

/**
 * The one middleware that knows who asks. Without configured tokens everybody is the development principal (the server
 * then binds loopback only); with tokens every request but those of health needs one.
 */
export function principals(
  tokens: readonly string[],
  openPathPrefixes: readonly string[] = [],
): MiddlewareHandler<PlatformEnv> {
  const guard = createTokenGuard(tokens);
  const byToken = tokens.map((_, index): Principal => ({
    id: `prn_token_${index + 1}` as PrincipalId,
    kind: "token",
    scope: anchorScope,
  }));
  const open = [...healthPrefixes, ...openPathPrefixes];
  return async (c, next) => {
    c.set("principal", developmentPrincipal);
    if (guard.required && !open.some((prefix) => c.req.path.startsWith(prefix))) {
      const principal = byToken[guard.match(c.req.header(headerNames.authorization))];
      if (principal === undefined) throw new CodedError("UNAUTHENTICATED");
      c.set("principal", principal);
    }
    await next();
  };
}

/** For what belongs to the platform as a whole. Throws FORBIDDEN. */
export function requireAnchor(scope: Scope): void {
  if (scope.kind !== "anchor") throw new CodedError("FORBIDDEN");
}
