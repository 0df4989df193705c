import { isObject, members, referenced, typeOf, type JsonSchema } from "./json-schema-types.ts";
import { iteratorName, methodName, upperFirst, VARIANTS } from "./sdk-names.ts";

/** An operation of an OpenAPI document, as a method of the SDK. */
export interface SdkMethod {
  readonly resource: string;
  readonly name: string;
  readonly summary: string;
  readonly httpMethod: string;
  readonly path: string;
  readonly pathParameters: readonly string[];
  /** Name and members of the query's type. */
  readonly query: { readonly type: string; readonly members: string } | null;
  readonly body: { readonly type: string; readonly required: boolean } | null;
  /** `void` when nothing is answered. */
  readonly answer: string;
  readonly takesKey: boolean;
  readonly takesIfMatch: boolean;
  readonly pages: Pages | null;
  /** Everything that refers to components. */
  readonly schemas: readonly unknown[];
}

/** An answer that is a page of a list. */
interface Pages {
  readonly by: "cursor" | "number";
  readonly iterator: string;
  readonly item: string;
}

export interface ApiDocument {
  readonly api: string;
  readonly paths: JsonSchema;
  readonly components: Readonly<Record<string, JsonSchema>>;
}

export function apiDocument(api: string, document: unknown): ApiDocument {
  const components = at(at(document, "components"), "schemas");
  const entries = Object.entries(components).map(([name, schema]) => [name, isObject(schema) ? schema : {}] as const);
  return { api, paths: at(document, "paths"), components: Object.fromEntries(entries) };
}

export function methodsOf(document: ApiDocument): readonly SdkMethod[] {
  return Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(isObject(item) ? item : {}).flatMap(([httpMethod, operation]) =>
      isObject(operation) ? methodsFor(document, { path, httpMethod, operation }) : [],
    ),
  );
}

interface Operation {
  readonly path: string;
  readonly httpMethod: string;
  readonly operation: JsonSchema;
}

function methodsFor(document: ApiDocument, { path, httpMethod, operation }: Operation): readonly SdkMethod[] {
  const id = String(operation["operationId"]);
  const tag = Array.isArray(operation["tags"]) ? String(operation["tags"][0]) : "";
  const { resource, method } = methodName(document.api, tag, id);
  const parameters = Array.isArray(operation["parameters"]) ? operation["parameters"].filter(isObject) : [];
  const inPlace = (place: string): readonly JsonSchema[] => parameters.filter((one) => one["in"] === place);
  const headers = inPlace("header").map(({ name }) => String(name).toLowerCase());
  const query = inPlace("query");
  const answers = answersOf(operation);
  const body = bodyOf(operation);
  const common = {
    resource,
    summary: String(operation["summary"]),
    httpMethod: httpMethod.toUpperCase(),
    path,
    pathParameters: inPlace("path").map(({ name }) => String(name)),
    query: query.length === 0 ? null : { type: `${upperFirst(id)}Query`, members: members(queryObject(query)) },
    takesKey: headers.includes("idempotency-key"),
    takesIfMatch: headers.includes("if-match"),
    schemas: [query, body?.schema, answers],
  };
  const answer = answers.length === 0 ? "void" : typeOf({ anyOf: answers });
  const plain = { ...common, name: method, body, answer, pages: pagesOf(document, { answers, query, method }) };
  const variants = VARIANTS[id];
  if (variants === undefined) return [plain];
  return variants.map((variant) => {
    if (!`${body?.type} ${answer}`.includes(variant.answer)) throw new Error(`${id} does not answer ${variant.answer}`);
    const ofVariant = { type: variant.body, required: true };
    return { ...plain, name: variant.method, body: ofVariant, answer: variant.answer };
  });
}

function queryObject(query: readonly JsonSchema[]): JsonSchema {
  const properties = Object.fromEntries(query.map((one) => [String(one["name"]), at(one, "schema")]));
  return { properties, required: query.filter((one) => one["required"] === true).map(({ name }) => name) };
}

/** Null too when the only body there is says nothing. */
function bodyOf(operation: JsonSchema): { type: string; required: boolean; schema: JsonSchema } | null {
  if (!isObject(operation["requestBody"])) return null;
  const schema = at(at(at(operation["requestBody"], "content"), "application/json"), "schema");
  const empty = isObject(schema["properties"]) && Object.keys(schema["properties"]).length === 0;
  return empty ? null : { type: typeOf(schema), required: operation["requestBody"]["required"] === true, schema };
}

function answersOf(operation: JsonSchema): readonly JsonSchema[] {
  const found: JsonSchema[] = [];
  for (const [status, response] of Object.entries(at(operation, "responses"))) {
    if (!status.startsWith("2") || !isObject(response) || !isObject(response["content"])) continue;
    const schema = at(Object.values(response["content"])[0], "schema");
    if (!found.some((one) => typeOf(one) === typeOf(schema))) found.push(schema);
  }
  return found;
}

interface Listing {
  readonly answers: readonly JsonSchema[];
  readonly query: readonly JsonSchema[];
  readonly method: string;
}

function pagesOf({ components }: ApiDocument, { answers, query, method }: Listing): Pages | null {
  const name = referenced(answers[0] ?? {});
  const page = name === null ? {} : at(components[name], "properties");
  const by = query.some((one) => one["name"] === "cursor") ? "cursor" : "number";
  const isPage = "nextCursor" in page || "totalPages" in page;
  if (!isPage || !query.some((one) => one["name"] === (by === "cursor" ? "cursor" : "page"))) return null;
  return { by, iterator: iteratorName(method), item: typeOf(at(page["items"], "items")) };
}

/** A member that is an object, or an empty one. */
function at(value: unknown, name: string): JsonSchema {
  const member = isObject(value) ? value[name] : undefined;
  return isObject(member) ? member : {};
}
