import { problemSchema } from "@flowcatalyst/contracts";
import * as z from "zod";
import type { Answer, AnswerHeader, Endpoint } from "./endpoint.ts";

export interface ApiInfo {
  readonly title: string;
  readonly version: string;
  readonly description: string;
  readonly tags: readonly { readonly name: string; readonly description: string }[];
}

type Json = Record<string, unknown>;

/**
 * The OpenAPI 3.1 document of a list of endpoints. Schemas with an id become components; the document is plain data
 * with a stable order of members, so that a change of the wire is a reviewable change of the checked-in file.
 */
export function openApiDocument(info: ApiInfo, endpoints: readonly Endpoint[]): Json {
  const schemas = new SchemaCollector();
  const paths: Record<string, Json> = {};
  for (const spec of endpoints) {
    const item = (paths[spec.path] ??= {});
    item[spec.method] = operation(spec, schemas);
  }
  schemas.take(problemSchema);
  return {
    openapi: "3.1.0",
    info: { title: info.title, version: info.version, description: info.description },
    tags: info.tags,
    security: [{ bearer: [] }, {}],
    paths,
    components: {
      schemas: schemas.components(),
      securitySchemes: { bearer: { type: "http", scheme: "bearer", description: "One of FC_API_TOKENS." } },
      responses: {
        Problem: {
          description: "The request failed; `code` says why.",
          headers: { "Retry-After": header("Seconds to wait; with 429 and 503.", { type: "integer" }) },
          content: { "application/problem+json": { schema: { $ref: componentRef("Problem") } } },
        },
      },
    },
  };
}

function operation(spec: Endpoint, schemas: SchemaCollector): Json {
  const parameters = [...pathParameters(spec.path), ...queryParameters(spec, schemas), ...headerParameters(spec)];
  const body = requestBody(spec, schemas);
  const responses: Record<string, Json> = {};
  for (const [status, answer] of Object.entries(spec.answers)) responses[status] = response(answer, schemas);
  responses["default"] = { $ref: "#/components/responses/Problem" };
  return {
    operationId: spec.id,
    tags: [spec.tag],
    summary: spec.summary,
    ...(spec.description === undefined ? {} : { description: spec.description }),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === null ? {} : { requestBody: body }),
    responses,
    ...(spec.open === true ? { security: [{}] } : {}),
  };
}

function requestBody(spec: Endpoint, schemas: SchemaCollector): Json | null {
  if (spec.body === undefined) return null;
  const content: Record<string, Json> = { "application/json": { schema: schemas.take(spec.body) } };
  for (const [mediaType, schema] of Object.entries(spec.otherBodies ?? {})) {
    content[mediaType] = { schema: schemas.take(schema) };
  }
  return { required: spec.bodyOptional !== true, content };
}

const answerHeaders: Readonly<Record<AnswerHeader, readonly [name: string, described: Json]>> = {
  location: ["Location", header("The path of what was made.", { type: "string", format: "uri-reference" })],
  etag: ["ETag", header("The entity's version, to be sent in If-Match.", { type: "string" })],
};

function header(description: string, schema: Json): Json {
  return { description, schema };
}

function response(answer: Answer, schemas: SchemaCollector): Json {
  const { description, headers = [] } = answer;
  const told = headers.length === 0 ? {} : { headers: Object.fromEntries(headers.map((name) => answerHeaders[name])) };
  if (answer.schema === undefined) return { description, ...told };
  const mediaType = answer.mediaType ?? "application/json";
  return { description, ...told, content: { [mediaType]: { schema: schemas.take(answer.schema) } } };
}

function pathParameters(path: string): Json[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string" },
  }));
}

function queryParameters(spec: Endpoint, schemas: SchemaCollector): Json[] {
  if (spec.query === undefined) return [];
  const { properties = {}, required = [] } = schemas.inline(spec.query) as {
    properties?: Record<string, Json>;
    required?: readonly string[];
  };
  return Object.entries(properties).map(([name, { description, ...schema }]) => ({
    name,
    in: "query",
    required: required.includes(name),
    ...(description === undefined ? {} : { description }),
    schema,
  }));
}

const headerDescriptions = {
  "if-match": "The version the change is based on; another one is answered with 412.",
  "idempotency-key": "The same key and body within 24 h is answered with the first answer.",
} as const;

function headerParameters(spec: Endpoint): Json[] {
  return (spec.headers ?? []).map((name) => ({
    name,
    in: "header",
    required: false,
    description: headerDescriptions[name],
    schema: { type: "string" },
  }));
}

function componentRef(id: string): string {
  return `#/components/schemas/${id}`;
}

/** Turns zod schemas into JSON Schema, each one that has an id once. */
class SchemaCollector {
  readonly #components = new Map<string, Json>();

  /** The schema, or a reference to it among the components. */
  take(schema: z.ZodType): Json {
    const { $defs = {}, ...own } = this.#convert(schema);
    for (const [id, definition] of Object.entries($defs as Record<string, Json>)) this.#keep(id, definition);
    const id = schema.meta()?.id;
    if (id === undefined) return own;
    // A schema with an id comes as a definition among the others, and as a reference to itself.
    if (!this.#components.has(id)) this.#keep(id, own);
    return { $ref: componentRef(id) };
  }

  inline(schema: z.ZodType): Json {
    const { $defs = {}, ...own } = this.#convert(schema);
    for (const [id, definition] of Object.entries($defs as Record<string, Json>)) this.#keep(id, definition);
    return own;
  }

  components(): Json {
    return Object.fromEntries([...this.#components].toSorted(([a], [b]) => (a < b ? -1 : 1)));
  }

  #keep(id: string, { id: _id, $schema: _schema, ...definition }: Json): void {
    this.#components.set(id, definition);
  }

  #convert(schema: z.ZodType): Json {
    const converted = z.toJSONSchema(schema, {
      target: "draft-2020-12",
      io: "input",
      unrepresentable: "any",
      override: ({ jsonSchema }) => {
        // Every whole number of zod has these bounds; they say nothing.
        if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
        if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
      },
    }) as Json;
    const text = JSON.stringify(converted).replaceAll('"#/$defs/', '"#/components/schemas/');
    const { $schema: _schema, ...rest } = JSON.parse(text) as Json;
    return rest;
  }
}
