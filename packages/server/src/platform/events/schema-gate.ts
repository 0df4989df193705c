/**
 * Holds the data of registered event types to their current JSON Schema.
 *
 * Only types of four segments with colons can be registered, so `order.created` costs one look at its text. Validators
 * are compiled once per schema version and kept as long as the repository's revision stays the same; the revision is
 * asked once per request, so a schema that became current applies to the next request everywhere. At most
 * `validatorsMax` types are kept, the ones asked for least lately go first. A schema that cannot be compiled was
 * refused when it was saved; should one get here all the same, its events pass: refusing facts is the worse fault.
 */

import type { ErrorObject, ValidateFunction } from "ajv";
import { CodedError, type Clock, type Logger } from "@flowcatalyst/foundation";
import type { EventType } from "../../domain/event-type.ts";
import type { ClientId } from "../../domain/ids.ts";
import { anchorScope, type Scope } from "../../domain/scope.ts";
import { maxFaultsTold, pathText, type TaggedFault } from "../../http/validation.ts";
import type { EventTypeRepository } from "../../ports/settings.ts";
import type { EventDraft } from "./event-draft.ts";
import { addUniqueItems, hasUnsafeId, meteredCode, SchemaWork, SchemaWorkExceeded } from "./schema-work.ts";

export interface SchemaGate {
  /** Faults of the data; empty: it matches, or there is nothing to match. Paths begin with `path`. */
  faults(draft: EventDraft, path: string): Promise<readonly TaggedFault[]>;
  /** To be called before the events of a request are looked at: drops what has changed. */
  refresh(): Promise<void>;
  /** True when an event of this type might have a schema. */
  concerns(type: string): boolean;
}

export interface SchemaGateDeps {
  readonly eventTypes: Pick<EventTypeRepository, "byCode" | "revision">;
  readonly compiler: SchemaCompiler;
  readonly log: Logger;
}

const validatorsMax = 1_000;

export function createSchemaGate({ eventTypes, compiler, log }: SchemaGateDeps): SchemaGate {
  const validators = new Map<string, SchemaCheck | null>();
  let revision = -1;

  async function validatorOf(type: string, clientId: ClientId | null): Promise<SchemaCheck | null> {
    const key = `${clientId ?? ""} ${type}`;
    const known = validators.get(key);
    if (known !== undefined) {
      validators.delete(key);
      validators.set(key, known);
      return known;
    }
    const readAt = revision;
    const eventType = await eventTypes.byCode(type, scopeOf(clientId));
    const validator = eventType === null ? null : await currentValidator(eventType, clientId);
    // What another request found to have changed meanwhile is used for this one and not kept.
    if (readAt !== revision) return validator;
    validators.set(key, validator);
    const oldest = validators.keys().next();
    if (validators.size > validatorsMax && oldest.done !== true) validators.delete(oldest.value);
    return validator;
  }

  async function currentValidator(eventType: EventType, clientId: ClientId | null): Promise<SchemaCheck | null> {
    if (eventType.status !== "ACTIVE") return null;
    if (eventType.clientId !== null && eventType.clientId !== clientId) return null;
    const current = eventType.schemas.find(({ status }) => status === "CURRENT");
    if (current === undefined) return null;
    const compiled = await compiler.compile(current.schema);
    if (compiled.kind === "valid") return compiled.validate;
    log.warn({ eventType: eventType.code, version: current.version, reason: compiled.reason }, "schema not usable");
    return null;
  }

  return {
    concerns: (type) => registrablePattern.test(type),
    refresh: async () => {
      const now = await eventTypes.revision();
      if (now !== revision) validators.clear();
      revision = now;
    },
    faults: async (draft, path) => {
      const validate = await validatorOf(draft.type, draft.clientId);
      if (validate === null) return [];
      const base = path === "" ? "data" : `${path}.data`;
      if (draft.dataKind !== "json") return [{ path: base, message: "must be JSON, because its type has a schema" }];
      const checked = validate(draft.data === null ? null : JSON.parse(draft.data));
      if (checked.kind === "tooMuchWork")
        return [{ path: base, message: "takes too much work to check by the schema" }];
      return checked.errors.slice(0, maxFaultsTold).map((error) => faultOf(error, base));
    },
  };
}

const registrablePattern = /^[^:]+(?::[^:]+){3}$/;

/** Event types of the event's own client and of the platform. */
function scopeOf(clientId: ClientId | null): Scope {
  return clientId === null ? anchorScope : { kind: "client", clientId };
}

function faultOf(error: ErrorObject, base: string): TaggedFault {
  const params = error.params as Readonly<Record<string, unknown>>;
  const missing = params["missingProperty"];
  const additional = params["additionalProperty"];
  if (typeof missing === "string") return { path: joined(base, error.instancePath, missing), message: "is required" };
  if (typeof additional === "string") {
    return { path: joined(base, error.instancePath, additional), message: "is not allowed by the schema" };
  }
  return { path: joined(base, error.instancePath), message: error.message ?? "does not match the schema" };
}

/** A JSON pointer and perhaps one name more, in our way of writing paths. */
function joined(base: string, pointer: string, name?: string): string {
  const parts = pointer
    .split("/")
    .slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))
    .map((part) => (/^\d+$/.test(part) ? Number(part) : part));
  const rest = pathText(name === undefined ? parts : [...parts, name]);
  return rest === "" || rest.startsWith("[") ? base + rest : `${base}.${rest}`;
}

/** Never throws; what it may cost is bounded (schema-work). */
export type SchemaCheck = (data: unknown) => Checked;

type Checked = { readonly kind: "checked"; readonly errors: readonly ErrorObject[] } | { readonly kind: "tooMuchWork" };

export type CompiledSchema =
  | { readonly kind: "valid"; readonly validate: SchemaCheck }
  | { readonly kind: "invalid"; readonly reason: string };

/** Compiles JSON Schema 2020-12. Nothing is fetched: a reference to elsewhere is a fault. */
export interface SchemaCompiler {
  compile(schemaText: string): Promise<CompiledSchema>;
}

/** The validator library is loaded when the first schema is compiled: most processes never need it. */
export function createSchemaCompiler(clock: Pick<Clock, "monotonicMs">): SchemaCompiler {
  return {
    compile: async (schemaText) => {
      const [{ Ajv2020 }, { default: addFormats }] = await Promise.all([
        import("ajv/dist/2020.js"),
        import("ajv-formats"),
      ]);
      const work = new SchemaWork(clock);
      const regExp = Object.assign((source: string, flags: string) => work.pattern(source, flags), { code: "" });
      // A fresh instance per schema: schemas of different types may bear the same $id.
      const ajv = new Ajv2020({
        strict: false,
        allErrors: true,
        validateFormats: true,
        logger: false,
        inlineRefs: false,
        code: { process: meteredCode, regExp },
      });
      Object.assign(ajv, { work });
      addUniqueItems(ajv, work);
      (addFormats as unknown as (ajv: object) => void)(ajv);
      try {
        const schema = JSON.parse(schemaText) as object | boolean;
        if (hasUnsafeId(schema)) return { kind: "invalid", reason: "$id must not contain */" };
        return { kind: "valid", validate: checkBy(ajv.compile(schema), work) };
      } catch (error) {
        if (isTooMuch(error)) return { kind: "invalid", reason: "it takes too much work to read" };
        return { kind: "invalid", reason: error instanceof Error ? error.message : String(error) };
      }
    },
  };
}

function checkBy(validate: ValidateFunction, work: SchemaWork): SchemaCheck {
  return (data) => {
    work.begin();
    try {
      return { kind: "checked", errors: validate(data) ? [] : (validate.errors ?? []) };
    } catch (error) {
      if (isTooMuch(error)) return { kind: "tooMuchWork" };
      throw error;
    }
  };
}

/** A schema that refers to itself without going into the data runs out of stack first. */
function isTooMuch(error: unknown): boolean {
  return error instanceof SchemaWorkExceeded || error instanceof RangeError;
}

/** Throws SCHEMA_INVALID. */
export async function requireCompilable(compiler: SchemaCompiler, schemaText: string): Promise<void> {
  const compiled = await compiler.compile(schemaText);
  if (compiled.kind === "valid") return;
  const message = `The schema is not valid: ${compiled.reason}`;
  throw new CodedError("SCHEMA_INVALID", { message, errors: [{ path: "schema", message: compiled.reason }] });
}
