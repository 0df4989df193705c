import type { ClientId } from "./ids.ts";

/**
 * What a principal may see. Every query takes one, so that a tenant's data cannot be reached by forgetting a filter.
 * `anchor` sees all; `client` sees its own rows and reads those of the platform (`clientId` null).
 */
export type Scope = { readonly kind: "anchor" } | { readonly kind: "client"; readonly clientId: ClientId };

export const anchorScope: Scope = { kind: "anchor" };

/** May a principal of this scope read a row of this client? */
export function canRead(scope: Scope, clientId: ClientId | null): boolean {
  return scope.kind === "anchor" || clientId === null || clientId === scope.clientId;
}

/** May a principal of this scope write a row of this client? Rows of the platform belong to administrators. */
export function canWrite(scope: Scope, clientId: ClientId | null): boolean {
  return scope.kind === "anchor" || clientId === scope.clientId;
}
