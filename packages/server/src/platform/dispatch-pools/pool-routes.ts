import type { UpdateDispatchPool } from "@flowcatalyst/contracts";
import { CodedError } from "@flowcatalyst/foundation";
import { defaultPoolCode, poolLimits, type DispatchPool } from "../../domain/dispatch-pool.ts";
import { idPrefixes, type PoolCode, type PoolId } from "../../domain/ids.ts";
import type { Scope } from "../../domain/scope.ts";
import { validationError } from "../../http/validation.ts";
import type { DispatchPoolRepository } from "../../ports/settings.ts";
import { translatePoolName } from "../aliases.ts";
import { createdAnswer, emptyAnswer, entityAnswer, found, listAnswer, notFound } from "../answers.ts";
import type { Mount } from "../mount.ts";
import type { PlatformConfig, PlatformDeps } from "../platform-deps.ts";
import { duplicate, ownerOf, replaceEntity, writable, type EntityAccess } from "../replace-entity.ts";
import { dispatchPoolEndpoints } from "./endpoints.ts";
import { poolOut } from "./pool-out.ts";
import { createPoolRoom, type PoolRoom } from "./pool-room.ts";

/** Pools are named by id or code in every path. */
export function mountDispatchPools(mount: Mount, deps: PlatformDeps, config: PlatformConfig): void {
  const access = poolAccess(deps.pools);
  mountCrud(mount, deps, { access, room: createPoolRoom(deps.pools, config.poolConcurrencyMax ?? Infinity) });
  mountRemoval(mount, deps, access);
  const setStatus = (call: ChangeCall, status: DispatchPool["status"]): Promise<Response> =>
    changeStatus({ deps, access, status }, call);
  mount.endpoint(dispatchPoolEndpoints.suspend, (call) => setStatus(call, "SUSPENDED"));
  mount.endpoint(dispatchPoolEndpoints.activate, (call) => setStatus(call, "ACTIVE"));
}

interface ChangeCall {
  readonly scope: Scope;
  readonly param: (name: string) => string;
  readonly ifMatch: () => number | null;
}

function poolAccess(pools: DispatchPoolRepository): EntityAccess<DispatchPool> {
  return {
    what: "dispatch pool",
    byId: async (idOrCode, scope) => {
      const name = translatePoolName(idOrCode);
      const byId = name.startsWith(idPrefixes.pool) ? await pools.byId(name as PoolId, scope) : null;
      return byId ?? pools.byCode(name as PoolCode, scope);
    },
    replace: (entity, expectedVersion) => pools.replace(entity, expectedVersion),
  };
}

interface PoolCrud {
  readonly access: EntityAccess<DispatchPool>;
  readonly room: PoolRoom;
}

function mountCrud(mount: Mount, { pools, clock, ids }: PlatformDeps, { access, room }: PoolCrud): void {
  const change = async (call: ChangeCall, settingsOf: (current: DispatchPool) => PoolSettings): Promise<Response> => {
    const request = { id: call.param("id"), scope: call.scope, ifMatch: call.ifMatch(), nowMs: clock.now() };
    const changed = await replaceEntity(access, request, async (current) => {
      const settings = settingsOf(current);
      if (settings.concurrency > current.concurrency) await room.require({ ...current, ...settings });
      return { ...current, ...settings };
    });
    return entityAnswer(poolOut(changed));
  };
  mount.endpoint(dispatchPoolEndpoints.create, async ({ body, scope }) => {
    if (body.code.toLowerCase() === "default") throw duplicate("dispatch pool", "code");
    const clientId = ownerOf(scope, body.clientId);
    // It takes everybody's jobs that name no pool.
    if (body.code === defaultPoolCode && clientId !== null) throw new CodedError("FORBIDDEN");
    const nowMs = clock.now();
    const pool: DispatchPool = {
      id: ids.pool(),
      code: body.code as PoolCode,
      clientId,
      ...poolSettings(body, defaultsOf(body.code)),
      status: "ACTIVE",
      version: 1,
      createdAtMs: nowMs,
      updatedAtMs: nowMs,
    };
    await room.require(pool);
    const result = await pools.create(pool);
    if (result.kind === "duplicate") throw duplicate("dispatch pool", result.field);
    return createdAnswer(poolOut(result.entity), `/api/dispatch-pools/${result.entity.id}`);
  });
  mount.endpoint(dispatchPoolEndpoints.list, async ({ query, scope }) =>
    listAnswer(await pools.list({ limit: query.limit, cursor: query.cursor ?? null }, scope), poolOut),
  );
  mount.endpoint(dispatchPoolEndpoints.get, async ({ param, scope }) => {
    const id = param("id");
    return entityAnswer(poolOut(found(await access.byId(id, scope), access.what, id)));
  });
  mount.endpoint(dispatchPoolEndpoints.replace, (call) =>
    change(call, ({ code }) => poolSettings(call.body, defaultsOf(code))),
  );
  mount.endpoint(dispatchPoolEndpoints.update, (call) =>
    change(call, (current) => poolSettings(call.body, current, defaultsOf(current.code))),
  );
}

function mountRemoval(mount: Mount, deps: PlatformDeps, access: EntityAccess<DispatchPool>): void {
  mount.endpoint(dispatchPoolEndpoints.remove, async ({ param, scope }) => {
    const pool = await writable(access, { id: param("id"), scope });
    if (pool.code === defaultPoolCode) {
      throw new CodedError("STATE_CONFLICT", { message: "The default pool cannot be removed." });
    }
    switch (await deps.pools.remove(pool.id)) {
      case "removed":
        // Jobs that still name it go through the default pool; a pool of that code made later starts without a hold.
        await deps.jobCommands.holdPool(pool.code, false, deps.clock.now());
        return emptyAnswer();
      case "notFound":
        throw notFound(access.what, pool.id);
      case "inUse":
        throw new CodedError("STATE_CONFLICT", { message: "A subscription still names this pool." });
    }
  });
}

interface StatusChange {
  readonly deps: PlatformDeps;
  readonly access: EntityAccess<DispatchPool>;
  readonly status: DispatchPool["status"];
}

/** May be repeated: the hold is then set again, in case a crash came between the two writes. */
async function changeStatus({ deps, access, status }: StatusChange, call: ChangeCall): Promise<Response> {
  const nowMs = deps.clock.now();
  const request = { id: call.param("id"), scope: call.scope, ifMatch: call.ifMatch(), nowMs };
  const pool = await replaceEntity(access, request, (current) =>
    current.status === status ? current : { ...current, status },
  );
  await deps.jobCommands.holdPool(pool.code, status === "SUSPENDED", nowMs);
  return entityAnswer(poolOut(pool));
}

type PoolSettings = Pick<DispatchPool, "name" | "concurrency" | "rateLimitPerMinute" | "burst" | "timeoutSeconds">;

const defaultSettings: PoolSettings = {
  name: null,
  concurrency: poolLimits.concurrency,
  rateLimitPerMinute: null,
  burst: null,
  timeoutSeconds: null,
};

/** The default pool has more slots than others. */
function defaultsOf(code: string): PoolSettings {
  if (code !== defaultPoolCode) return defaultSettings;
  return { ...defaultSettings, concurrency: poolLimits.defaultPoolConcurrency };
}

/** What a body says over what holds without it; null goes back to the default. */
function poolSettings(body: UpdateDispatchPool, otherwise: PoolSettings, defaults = otherwise): PoolSettings {
  const pick = <Name extends keyof PoolSettings>(name: Name): PoolSettings[Name] => {
    const given = body[name] as PoolSettings[Name] | undefined;
    if (given === undefined) return otherwise[name];
    return given ?? defaults[name];
  };
  const settings: PoolSettings = {
    name: pick("name"),
    concurrency: pick("concurrency"),
    rateLimitPerMinute: pick("rateLimitPerMinute"),
    burst: pick("burst"),
    timeoutSeconds: pick("timeoutSeconds"),
  };
  if (settings.burst !== null && settings.rateLimitPerMinute === null) {
    throw validationError([{ path: "burst", message: "means nothing without rateLimitPerMinute" }]);
  }
  return settings;
}
