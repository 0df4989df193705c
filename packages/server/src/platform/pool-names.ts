import { defaultPoolCode } from "../domain/dispatch-pool.ts";
import { idPrefixes, type PoolCode, type PoolId } from "../domain/ids.ts";
import type { Scope } from "../domain/scope.ts";
import { validationError } from "../http/validation.ts";
import type { DispatchPoolRepository } from "../ports/settings.ts";
import { translatePoolName } from "./aliases.ts";

/** The code of the pool that an id or a code names; null: there is none. */
export async function findPoolCode(
  pools: DispatchPoolRepository,
  idOrCode: string,
  scope: Scope,
): Promise<PoolCode | null> {
  const name = translatePoolName(idOrCode);
  if (name === defaultPoolCode) return defaultPoolCode;
  const byCode = await pools.byCode(name as PoolCode, scope);
  if (byCode !== null) return byCode.code;
  if (!name.startsWith(idPrefixes.pool)) return null;
  return (await pools.byId(name as PoolId, scope))?.code ?? null;
}

/** For entities that name a pool: none named is the default pool, an unknown one is a fault. */
export async function requirePoolCode(
  pools: DispatchPoolRepository,
  idOrCode: string | null | undefined,
  scope: Scope,
): Promise<PoolCode> {
  if (idOrCode === null || idOrCode === undefined) return defaultPoolCode;
  const code = await findPoolCode(pools, idOrCode, scope);
  if (code !== null) return code;
  throw validationError([{ path: "dispatchPoolId", message: `names no dispatch pool: ${idOrCode}` }]);
}
