import { CodedError } from "@flowcatalyst/foundation";
import type { ClientId } from "../domain/ids.ts";
import { canWrite, type Scope } from "../domain/scope.ts";
import type { UpdateResult } from "../ports/settings.ts";
import { found } from "./answers.ts";

/** What a change of a settings entity needs from its repository. */
export interface EntityAccess<Entity> {
  /** For messages: `subscription`. */
  readonly what: string;
  byId(id: string, scope: Scope): Promise<Entity | null>;
  replace(entity: Entity, expectedVersion: number): Promise<UpdateResult<Entity>>;
}

export interface ChangeRequest {
  readonly id: string;
  readonly scope: Scope;
  /** The version the caller's change is based on; null: whichever is there. */
  readonly ifMatch: number | null;
  readonly nowMs: number;
}

interface Versioned {
  readonly version: number;
  readonly clientId: ClientId | null;
  readonly updatedAtMs: number;
}

/** A change without `If-Match` is tried again on what somebody else wrote meanwhile, so often at most. */
const triesMax = 5;

/**
 * Reads, changes and writes back by compare-and-set. `change` gets the entity as it is and returns it as it is to be,
 * or the same object for "nothing to do". Throws NOT_FOUND, FORBIDDEN, VERSION_MISMATCH, DUPLICATE.
 */
export async function replaceEntity<Entity extends Versioned>(
  access: EntityAccess<Entity>,
  request: ChangeRequest,
  change: (current: Entity) => Entity | Promise<Entity>,
): Promise<Entity> {
  for (let tries = 1; ; tries++) {
    const current = await writable(access, request);
    if (request.ifMatch !== null && request.ifMatch !== current.version) throw versionMismatch(current.version);
    const changed = await change(current);
    if (changed === current) return current;
    const next = { ...changed, version: current.version + 1, updatedAtMs: request.nowMs };
    const result = await access.replace(next, current.version);
    switch (result.kind) {
      case "updated":
        return result.entity;
      case "notFound":
        return found<Entity>(null, access.what, request.id);
      case "duplicate":
        throw duplicate(access.what, result.field);
      case "versionMismatch":
        if (request.ifMatch !== null || tries >= triesMax) throw versionMismatch(result.current.version);
    }
  }
}

/** The entity, if this principal may change it. Throws NOT_FOUND, FORBIDDEN. */
export async function writable<Entity extends Versioned>(
  access: EntityAccess<Entity>,
  { id, scope }: Pick<ChangeRequest, "id" | "scope">,
): Promise<Entity> {
  const entity = found(await access.byId(id, scope), access.what, id);
  if (!canWrite(scope, entity.clientId)) throw new CodedError("FORBIDDEN");
  return entity;
}

export function duplicate(what: string, field: string): CodedError {
  const message = `is taken by another ${what}`;
  return new CodedError("DUPLICATE", { message: `${field} ${message}.`, errors: [{ path: field, message }] });
}

function versionMismatch(version: number): CodedError {
  return new CodedError("VERSION_MISMATCH", { message: `The entity has changed; its version is ${version} now.` });
}

/** The client a new entity belongs to. Throws FORBIDDEN. */
export function ownerOf(scope: Scope, given: string | null | undefined): ClientId | null {
  const own = scope.kind === "client" ? scope.clientId : null;
  const clientId = given === undefined || given === null ? own : (given as ClientId);
  if (!canWrite(scope, clientId)) throw new CodedError("FORBIDDEN");
  return clientId;
}
