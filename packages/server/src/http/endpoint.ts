import type * as z from "zod";

/**
 * One operation of an API as data: what validates its requests and what documents it are the same schemas. Applications
 * mount handlers on it, `openApiDocument` turns a list of them into OpenAPI; neither needs the other to run.
 */
export interface Endpoint {
  /** The operationId: unique, camelCase. */
  readonly id: string;
  readonly method: "get" | "post" | "put" | "patch" | "delete";
  /** With braces: `/api/events/{id}`. */
  readonly path: string;
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  /** A strict object schema: unknown query members are refused by name. */
  readonly query?: z.ZodType;
  readonly body?: z.ZodType;
  /** True: an empty body counts as `{}`. */
  readonly bodyOptional?: boolean;
  /** Further forms of the body by media type, for endpoints that read it themselves. */
  readonly otherBodies?: Readonly<Record<string, z.ZodType>>;
  /** Request headers besides those of every request. */
  readonly headers?: readonly ("if-match" | "idempotency-key")[];
  /** Answers by status; problems are added by the document itself. */
  readonly answers: Readonly<Record<number, Answer>>;
  /** How the query pages, so that other names of its members can be translated. */
  readonly paging?: "list" | "search";
  /** The answer holds a secret and is never kept for a repeat. */
  readonly secret?: boolean;
  /** Without a token, whatever the configuration says. */
  readonly open?: boolean;
}

export interface Answer {
  readonly description: string;
  /** Absent: no body. */
  readonly schema?: z.ZodType;
  /** `application/json` unless given. */
  readonly mediaType?: string;
  /** Headers it may carry besides those of every answer. */
  readonly headers?: readonly AnswerHeader[];
}

export type AnswerHeader = "location" | "etag";

export type BodyOf<E extends Endpoint> = E extends { readonly body: infer S extends z.ZodType }
  ? z.output<S>
  : undefined;
export type QueryOf<E extends Endpoint> = E extends { readonly query: infer S extends z.ZodType }
  ? z.output<S>
  : undefined;

/** Keeps the exact types of the schemas. */
export function endpoint<const E extends Endpoint>(spec: E): E {
  return spec;
}

/** The path as Hono writes it: `/api/events/:id`. */
export function honoPath(path: string): string {
  return path.replace(/\{(\w+)\}/g, ":$1");
}
