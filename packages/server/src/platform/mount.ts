/**
 * Binds handlers to endpoints: the one place where a request becomes what a handler works with.
 *
 * The query and the body are translated (aliases), validated by the endpoint's own schemas and handed over typed; what
 * is not valid never reaches a handler. A POST with an `Idempotency-Key` is answered once and remembered. Every path is
 * remembered with its methods, so that a wrong method is told from a wrong path.
 */

import { headerNames, mediaTypes } from "@flowcatalyst/contracts";
import { CodedError } from "@flowcatalyst/foundation";
import type { Context, Hono } from "hono";
import * as z from "zod";
import type { Scope } from "../domain/scope.ts";
import type { BodyReader } from "../http/body-reader.ts";
import { honoPath, type BodyOf, type Endpoint, type QueryOf } from "../http/endpoint.ts";
import { parseJson } from "../http/json-text.ts";
import { validated } from "../http/validation.ts";
import { aliasPathsOf, translateBody, translateListPaging, translateSearchPaging } from "./aliases.ts";
import type { IdempotentAnswers } from "./idempotent-answers.ts";
import type { PlatformEnv } from "./principal.ts";

export type PlatformContext = Context<PlatformEnv>;

export interface Call<E extends Endpoint> {
  readonly c: PlatformContext;
  readonly scope: Scope;
  readonly query: QueryOf<E>;
  readonly body: BodyOf<E>;
  /** A parameter of the path; the endpoint's path names it. */
  readonly param: (name: string) => string;
  /** The version that `If-Match` asks for; null: none. Throws VALIDATION_FAILED. */
  readonly ifMatch: () => number | null;
}

export type Handler<E extends Endpoint> = (call: Call<E>) => Promise<Response>;
export type RawHandler = (c: PlatformContext) => Promise<Response>;

export interface Mount {
  /** `again` answers the repeat of a request whose answer held a secret and was not kept. */
  endpoint<E extends Endpoint>(spec: E, handler: Handler<E>, again?: Handler<E>): void;
  /** For endpoints that read the body themselves, in several forms. */
  raw(spec: Endpoint, handler: RawHandler): void;
  /** Methods of a path that exists; null: there is no such path. */
  methodsOf(path: string): readonly string[] | null;
}

export interface MountDeps {
  readonly bodies: BodyReader;
  readonly idempotentAnswers: IdempotentAnswers;
}

export function createMount(app: Hono<PlatformEnv>, deps: MountDeps): Mount {
  const known: { readonly pattern: RegExp; readonly method: string }[] = [];
  const register = (spec: Endpoint, handler: RawHandler): void => {
    for (const path of [spec.path, ...aliasPathsOf(spec.path)]) {
      known.push({ pattern: pathPattern(path), method: spec.method.toUpperCase() });
      app.on(spec.method.toUpperCase(), honoPath(path), (c) => {
        c.set("route", spec.path);
        return handler(c);
      });
    }
  };
  return {
    endpoint: (spec, handler, again = handler) => register(spec, (c) => answer({ spec, handler, again, deps }, c)),
    raw: register,
    methodsOf: (path) => {
      const methods = known.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method);
      return methods.length === 0 ? null : [...new Set(methods)];
    },
  };
}

interface Bound<E extends Endpoint> {
  readonly spec: E;
  readonly handler: Handler<E>;
  readonly again: Handler<E>;
  readonly deps: MountDeps;
}

/** Of endpoints without a query: what stands there was meant for something, e.g. `?dryRun=true` for the body. */
const noQuery = z.strictObject({});

async function answer<E extends Endpoint>(bound: Bound<E>, c: PlatformContext): Promise<Response> {
  const { spec, deps } = bound;
  const query = validated(spec.query ?? noQuery, queryOf(spec, c));
  const text = spec.body === undefined ? "" : await bodyText(spec, c, deps.bodies);
  const run = (handler: Handler<E>) => (): Promise<Response> =>
    handler({
      c,
      scope: c.get("principal").scope,
      query: query as QueryOf<E>,
      body: bodyOf(spec, text) as BodyOf<E>,
      param: (name) => c.req.param(name) ?? "",
      ifMatch: () => ifMatchVersion(c),
    });
  const key = spec.method === "post" ? c.req.header(headerNames.idempotencyKey) : undefined;
  if (key === undefined) return run(bound.handler)();
  const again = spec.secret === true ? run(bound.again) : null;
  return deps.idempotentAnswers.once({ key, text, c, again }, run(bound.handler));
}

function bodyOf(spec: Endpoint, text: string): unknown {
  if (spec.body === undefined) return undefined;
  const value = text.trim() === "" && spec.bodyOptional === true ? {} : parseJson(text);
  return validated(spec.body, translateBody(spec.id, value));
}

async function bodyText(spec: Endpoint, c: PlatformContext, bodies: BodyReader): Promise<string> {
  requireJson(c.req.header(headerNames.contentType));
  const text = await bodies.text(c.req.raw);
  if (text.trim() === "" && spec.bodyOptional !== true) {
    throw new CodedError("MALFORMED_JSON", { message: "The body is empty." });
  }
  return text;
}

/** A missing content type counts as JSON. Throws UNSUPPORTED_MEDIA_TYPE. */
export function requireJson(contentType: string | undefined): void {
  if (contentType === undefined || contentType === "" || mediaTypeOf(contentType) === mediaTypes.json) return;
  const message = `Content-Type ${mediaTypeOf(contentType)} is not supported here; send ${mediaTypes.json}.`;
  throw new CodedError("UNSUPPORTED_MEDIA_TYPE", { message });
}

/** Without parameters, in lower case. */
export function mediaTypeOf(contentType: string): string {
  return (contentType.split(";", 1)[0] ?? "").trim().toLowerCase();
}

function queryOf(spec: Endpoint, c: PlatformContext): Record<string, string | string[]> {
  // Without a prototype, so that a member called __proto__ is a member like any other.
  const query = Object.create(null) as Record<string, string | string[]>;
  for (const [name, values] of Object.entries(c.req.queries())) {
    query[name] = values.length === 1 ? (values[0] ?? "") : values;
  }
  if (spec.paging === "list") return translateListPaging(query);
  return spec.paging === "search" ? translateSearchPaging(query) : query;
}

function ifMatchVersion(c: PlatformContext): number | null {
  const header = c.req.header(headerNames.ifMatch);
  if (header === undefined || header.trim() === "*") return null;
  const digits = /^\s*(?:W\/)?"?(\d{1,15})"?\s*$/.exec(header)?.[1];
  if (digits !== undefined) return Number(digits);
  throw new CodedError("VALIDATION_FAILED", { message: "If-Match must be the entity's version." });
}

function pathPattern(path: string): RegExp {
  const escaped = path.replace(/[.*+?^$()|[\]\\]/g, "\\$&").replace(/\{\w+\}/g, "[^/]+");
  return new RegExp(`^${escaped}$`);
}
