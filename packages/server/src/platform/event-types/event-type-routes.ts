import type { UpdateEventType } from "@flowcatalyst/contracts";
import type { EventType } from "../../domain/event-type.ts";
import type { EventTypeId } from "../../domain/ids.ts";
import type { Scope } from "../../domain/scope.ts";
import { createdAnswer, emptyAnswer, entityAnswer, found, listAnswer, notFound } from "../answers.ts";
import { requireCompilable, type SchemaCompiler } from "../events/schema-gate.ts";
import type { Mount } from "../mount.ts";
import type { PlatformDeps } from "../platform-deps.ts";
import { duplicate, ownerOf, replaceEntity, writable, type EntityAccess } from "../replace-entity.ts";
import { eventTypeEndpoints } from "./endpoints.ts";
import { eventTypeOut } from "./event-type-out.ts";
import { firstVersion, schemaText, withDeprecated, withFinalised, withSchema } from "./schema-versions.ts";

interface ChangeCall {
  readonly scope: Scope;
  readonly param: (name: string) => string;
  readonly ifMatch: () => number | null;
}

type Change = (call: ChangeCall, change: (current: EventType) => EventType) => Promise<EventType>;

export function mountEventTypes(mount: Mount, deps: PlatformDeps, compiler: SchemaCompiler): void {
  const { eventTypes, clock } = deps;
  const access: EntityAccess<EventType> = {
    what: "event type",
    byId: (id, scope) => eventTypes.byId(id as EventTypeId, scope),
    replace: (entity, expectedVersion) => eventTypes.replace(entity, expectedVersion),
  };
  const change: Change = (call, apply) =>
    replaceEntity(
      access,
      { id: call.param("id"), scope: call.scope, ifMatch: call.ifMatch(), nowMs: clock.now() },
      apply,
    );
  mountReads(mount, deps);
  mountCreate(mount, deps, compiler);
  mount.endpoint(eventTypeEndpoints.replace, async (call) =>
    entityAnswer(eventTypeOut(await change(call, (current) => described(current, call.body)))),
  );
  mount.endpoint(eventTypeEndpoints.update, async (call) =>
    entityAnswer(eventTypeOut(await change(call, (current) => described(current, call.body)))),
  );
  mount.endpoint(eventTypeEndpoints.remove, async ({ param, scope }) => {
    const { id } = await writable(access, { id: param("id"), scope });
    if ((await eventTypes.remove(id)) === "notFound") throw notFound(access.what, id);
    return emptyAnswer();
  });
  mount.endpoint(eventTypeEndpoints.archive, async (call) => entityAnswer(eventTypeOut(await change(call, archived))));
  mountSchemas(mount, { change, deps, compiler });
}

function mountReads(mount: Mount, { eventTypes }: PlatformDeps): void {
  mount.endpoint(eventTypeEndpoints.list, async ({ query, scope }) => {
    const { limit, cursor, ...filter } = query;
    return listAnswer(await eventTypes.list(filter, { limit, cursor: cursor ?? null }, scope), eventTypeOut);
  });
  mount.endpoint(eventTypeEndpoints.byCode, async ({ param, scope }) => {
    const code = param("code");
    return entityAnswer(eventTypeOut(found(await eventTypes.byCode(code, scope), "event type", code)));
  });
  mount.endpoint(eventTypeEndpoints.get, async ({ param, scope }) => {
    const id = param("id");
    return entityAnswer(eventTypeOut(found(await eventTypes.byId(id as EventTypeId, scope), "event type", id)));
  });
}

function mountCreate(mount: Mount, { eventTypes, clock, ids }: PlatformDeps, compiler: SchemaCompiler): void {
  mount.endpoint(eventTypeEndpoints.create, async ({ body, scope }) => {
    const nowMs = clock.now();
    const clientId = ownerOf(scope, body.clientId);
    const eventType: EventType = {
      id: ids.eventType(),
      code: body.code,
      name: body.name ?? body.code,
      description: body.description ?? null,
      clientId,
      status: "ACTIVE",
      schemas: [],
      version: 1,
      createdAtMs: nowMs,
      updatedAtMs: nowMs,
    };
    const given = body.schema ?? null;
    const schema = given === null ? null : schemaText(given);
    if (schema !== null) await requireCompilable(compiler, schema);
    const first = { version: firstVersion, status: "FINALISING", createdAtMs: nowMs } as const;
    const result = await eventTypes.create(schema === null ? eventType : withSchema(eventType, { ...first, schema }));
    if (result.kind === "duplicate") throw duplicate("event type", result.field);
    return createdAnswer(eventTypeOut(result.entity), `/api/event-types/${result.entity.id}`);
  });
}

interface SchemaRoutes {
  readonly change: Change;
  readonly deps: PlatformDeps;
  readonly compiler: SchemaCompiler;
}

function mountSchemas(mount: Mount, { change, deps, compiler }: SchemaRoutes): void {
  mount.endpoint(eventTypeEndpoints.addSchema, async (call) => {
    const { version, schema: given } = call.body;
    const schema = schemaText(given);
    await requireCompilable(compiler, schema);
    const added = { version, schema, status: "FINALISING", createdAtMs: deps.clock.now() } as const;
    return entityAnswer(eventTypeOut(await change(call, (current) => withSchema(current, added))), 201);
  });
  mount.endpoint(eventTypeEndpoints.finaliseSchema, async (call) =>
    entityAnswer(eventTypeOut(await change(call, (current) => withFinalised(current, call.param("version"))))),
  );
  mount.endpoint(eventTypeEndpoints.deprecateSchema, async (call) =>
    entityAnswer(eventTypeOut(await change(call, (current) => withDeprecated(current, call.param("version"))))),
  );
}

function archived(current: EventType): EventType {
  return current.status === "ARCHIVED" ? current : { ...current, status: "ARCHIVED" };
}

function described(current: EventType, { name, description }: UpdateEventType): EventType {
  return {
    ...current,
    name: name ?? current.name,
    description: description === undefined ? current.description : description,
  };
}
