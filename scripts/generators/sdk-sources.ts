/**
 * The generated part of the SDK: `packages/sdk/src/generated`, from the OpenAPI documents of both APIs.
 *
 * A file for each resource holds the types that only it uses, an interface with a method per operation, an iterator
 * beside each method that answers a page, and the function that makes it of something that sends. Types that several
 * resources use are in `shared.ts`; `platform-api.ts` and `router-api.ts` put the resources together. The list of
 * types in `src/index.ts` is written here too, so that a new operation is complete after `npm run generate`.
 */
import { join } from "node:path";
import { platformOpenApi } from "../../packages/server/src/platform/platform-openapi.ts";
import { routerOpenApi } from "../../packages/server/src/router/router-endpoints.ts";
import { ROOT } from "../run-command.ts";
import { formatted } from "./formatted.ts";
import type { FolderGenerator } from "./generator.ts";
import { comment, members, referencesOf, typeOf, isObject, type JsonSchema } from "./json-schema-types.ts";
import { kebab, upperFirst } from "./sdk-names.ts";
import { apiDocument, methodsOf, type ApiDocument, type SdkMethod } from "./sdk-operations.ts";

const FOLDER = "packages/sdk/src/generated";
const HEADER = "// Generated from the OpenAPI documents by `npm run generate` (scripts/generators/sdk-sources.ts).\n";
const SHARED = "shared";

interface Sources {
  readonly documents: readonly ApiDocument[];
  readonly components: Readonly<Record<string, JsonSchema>>;
  readonly methods: readonly SdkMethod[];
  /** In which resource's file a component stands. */
  readonly homes: ReadonlyMap<string, string>;
}

function readSources(): Sources {
  const documents = [apiDocument("platform", platformOpenApi()), apiDocument("router", routerOpenApi())];
  const components: Record<string, JsonSchema> = {};
  for (const document of documents) {
    for (const [name, schema] of Object.entries(document.components)) {
      const known = components[name];
      if (known !== undefined && !Bun.deepEquals(known, schema)) throw new Error(`the APIs differ in what ${name} is`);
      components[name] = schema;
    }
  }
  const methods = documents.flatMap(methodsOf);
  return { documents, components, methods, homes: homesOf(components, methods) };
}

/** A component stands with the one resource that uses it, directly or through others; else with the shared ones. */
function homesOf(components: Sources["components"], methods: readonly SdkMethod[]): ReadonlyMap<string, string> {
  const homes = new Map<string, string>();
  for (const method of methods) {
    const pending = [...referencesOf(method.schemas)];
    const seen = new Set<string>();
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      if (seen.has(name)) continue;
      seen.add(name);
      const home = homes.get(name) ?? method.resource;
      homes.set(name, home === method.resource ? home : SHARED);
      pending.push(...referencesOf(components[name]));
    }
  }
  homes.set("Problem", SHARED);
  homes.set("Fault", SHARED);
  return homes;
}

/** The files below the folder, by name. */
function files(sources: Sources): ReadonlyMap<string, string> {
  const resources = [...new Set(sources.methods.map(({ resource }) => resource))];
  return new Map([
    [`${SHARED}.ts`, HEADER + withImports(sources, SHARED, typesAt(sources, SHARED))],
    ...resources.map((name) => [`${kebab(name)}.ts`, resourceFile(sources, name)] as const),
    ...sources.documents.map((document) => [`${document.api}-api.ts`, apiFile(document)] as const),
  ]);
}

function typesAt({ components, homes }: Sources, home: string): string {
  return Object.entries(components)
    .filter(([name]) => homes.get(name) === home)
    .map(([name, schema]) => declaration(name, schema))
    .join("\n");
}

function declaration(name: string, schema: JsonSchema): string {
  const text = typeof schema["description"] === "string" ? schema["description"] : "";
  const plain =
    schema["type"] === "object" && isObject(schema["properties"]) && !isObject(schema["additionalProperties"]);
  if (plain) return `${comment(text)}export interface ${name} {\n${members(schema)}}\n`;
  return `${comment(text)}export type ${name} = ${typeOf(schema)};\n`;
}

/** Puts the imports of types before a text that uses them. */
function withImports({ homes }: Sources, home: string, text: string): string {
  const used = new Map<string, string[]>();
  const code = text.replaceAll(/\/\*\*.*?\*\//gs, "");
  for (const [name, place] of homes) {
    if (place === home || !new RegExp(`\\b${name}\\b`).test(code)) continue;
    used.set(place, [...(used.get(place) ?? []), name]);
  }
  const lines = [...used].map(
    ([place, names]) => `import type { ${names.sort().join(", ")} } from "./${kebab(place)}.ts";\n`,
  );
  return `${lines.sort().join("")}\n${text}`;
}

function resourceFile(sources: Sources, resource: string): string {
  const methods = sources.methods.filter((method) => method.resource === resource);
  const name = apiName(resource);
  const queries = methods.map(queryType);
  const text = `${typesAt(sources, resource)}
${queries.join("\n")}
${comment(`Operations on \`${resource}\`, one method each.`)}export interface ${name} {
${methods.map(signature).join("\n")}}

${comment(`Makes them of something that sends.`)}export function ${resource}Api(send: Send): ${name} {
  const api: ${name} = {
${methods.map(implementation).join("")}  };
  return api;
}
`;
  return `${HEADER}${supportImports(text)}${withImports(sources, resource, text)}`;
}

/** Nothing for a method without a query. */
function queryType({ query, summary, httpMethod, path }: SdkMethod): string {
  if (query === null) return "";
  const about = comment(`Query of \`${httpMethod} ${path}\`: ${summary}.`);
  return `${about}export interface ${query.type} {\n${query.members}}\n`;
}

function supportImports(text: string): string {
  const from = (file: string, names: readonly string[], types: readonly string[]): string => {
    const isUsed = (name: string): boolean => new RegExp(`\\b${name}\\b`).test(text);
    const listed = [...names.filter(isUsed), ...types.filter(isUsed).map((name) => `type ${name}`)];
    return listed.length === 0 ? "" : `import { ${listed.join(", ")} } from "../${file}.ts";\n`;
  };
  const options = ["CallOptions", "ChangeOptions", "KeyedChangeOptions", "KeyedOptions", "Send"];
  return from("operation", ["pathSegment"], options) + from("pages", ["itemsByCursor", "itemsByNumber"], []);
}

function optionsType({ takesKey, takesIfMatch }: SdkMethod): string {
  if (takesKey) return takesIfMatch ? "KeyedChangeOptions" : "KeyedOptions";
  return takesIfMatch ? "ChangeOptions" : "CallOptions";
}

function signature(method: SdkMethod): string {
  const path = method.pathParameters.map((name) => `${name}: string, `).join("");
  const body = method.body === null ? "" : `body${method.body.required ? "" : "?"}: ${method.body.type}, `;
  const query = method.query === null ? "" : `query?: ${method.query.type}, `;
  const tail = `options?: ${optionsType(method)}`;
  const head = comment(`${method.summary}. \`${method.httpMethod} ${method.path}\``);
  const one = `${head}${method.name}(${path}${body}${query}${tail}): Promise<${method.answer}>;\n`;
  if (method.pages === null) return one;
  const { iterator, item } = method.pages;
  const about = comment(`Every item of \`${method.name}\`, page by page as they are asked for.`);
  return `${one}${about}${iterator}(${path}${query}${tail}): AsyncGenerator<${item}, void, undefined>;\n`;
}

function implementation(method: SdkMethod): string {
  const path = method.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => `\${pathSegment(${name})}`);
  const inputs = [
    ...method.pathParameters,
    ...(method.body === null ? [] : ["body"]),
    ...(method.query === null ? [] : ["query"]),
    "options",
  ];
  const empty = method.httpMethod === "POST" ? ["body: {}"] : [];
  const sent = [
    `method: "${method.httpMethod}"`,
    `path: ${path === method.path ? `"${path}"` : `\`${path}\``}`,
    ...(method.body === null ? empty : [method.body.required ? "body" : "body: body ?? {}"]),
    ...(method.query === null ? [] : ["query: { ...query }"]),
    ...(method.takesKey ? ["keyed: true"] : []),
    "options",
  ];
  const one = `${method.name}: (${inputs.join(", ")}) => send({ ${sent.join(", ")} }),\n`;
  if (method.pages === null) return one;
  const { by, iterator } = method.pages;
  const given = method.pathParameters.map((name) => `${name}, `).join("");
  const member = by === "cursor" ? "cursor" : "page";
  const get = `(${member}) => api.${method.name}(${given}{ ...query, ${member} }, options)`;
  const make = by === "cursor" ? "itemsByCursor" : "itemsByNumber";
  return `${one}${iterator}: (${given}query, options) => ${make}(${get}, query?.${member}),\n`;
}

function apiName(resource: string): string {
  return `${upperFirst(resource)}Api`;
}

function apiFile(document: ApiDocument): string {
  const resources = [...new Set(methodsOf(document).map(({ resource }) => resource))];
  const imports = resources.map((one) => `import { ${one}Api, type ${apiName(one)} } from "./${kebab(one)}.ts";\n`);
  const name = `${upperFirst(document.api)}Api`;
  return `${HEADER}import type { Send } from "../operation.ts";
${imports.join("")}
${comment(`Every operation of the ${document.api} API, by resource.`)}export interface ${name} {
${resources.map((one) => `readonly ${one}: ${apiName(one)};\n`).join("")}}

${comment(`Makes them of something that sends.`)}export function ${document.api}Api(send: Send): ${name} {
  return {
${resources.map((one) => `${one}: ${one}Api(send),\n`).join("")}  };
}
`;
}

async function produceFiles(): Promise<ReadonlyMap<string, string>> {
  const made = await Promise.all(
    [...files(readSources())].map(async ([name, text]) => [name, await formatted(`${FOLDER}/${name}`, text)] as const),
  );
  return new Map(made);
}

export const sdkSources: FolderGenerator = { folder: FOLDER, produceFiles };

const INDEX = "packages/sdk/src/index.ts";
const BEGIN = "// Generated by `npm run generate`: the types of the API.\n";
const END = "// End of what is generated.\n";

/** `src/index.ts` with its list of the API's types: everything a generated file exports, but what makes the APIs. */
async function indexWithTypes(): Promise<string> {
  const sources = readSources();
  const current = await Bun.file(join(ROOT, INDEX)).text();
  const [before, rest] = current.split(BEGIN);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined) throw new Error(`${INDEX} has lost the marks of its generated part`);
  const lists = [...files(sources)].map(([name, text]) => {
    const names = [...text.matchAll(/^export (?:interface|type) (\w+)/gm)].map(([, one = ""]) => one).sort();
    return `export type { ${names.join(", ")} } from "./generated/${name}";\n`;
  });
  return formatted(INDEX, `${before}${BEGIN}${lists.join("")}${END}${after}`);
}

export const sdkIndex = { path: INDEX, produce: indexWithTypes };
