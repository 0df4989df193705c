/**
 * JSON Schema as TypeScript: what zod writes into our OpenAPI documents, and no more. A keyword that says something
 * about the type and is not known here stops the generator, so that no type is silently too wide.
 */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** Keywords that narrow values, not types. */
const UNTYPED = new Set([
  ..."description title default format pattern minLength maxLength minimum maximum exclusiveMinimum".split(" "),
  ..."exclusiveMaximum multipleOf minItems maxItems uniqueItems examples propertyNames id minProperties".split(" "),
  ..."maxProperties contentEncoding deprecated required".split(" "),
]);
const TYPED = new Set([
  "$ref",
  "type",
  "properties",
  "items",
  "additionalProperties",
  "anyOf",
  "oneOf",
  "enum",
  "const",
]);

export function isObject(value: unknown): value is JsonSchema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The name of the component a reference points to. */
export function referenced(schema: JsonSchema): string | null {
  const ref = schema["$ref"];
  return typeof ref === "string" ? ref.slice(ref.lastIndexOf("/") + 1) : null;
}

/** The type as an expression. */
export function typeOf(given: unknown): string {
  const schema = isObject(given) ? given : {};
  for (const keyword of Object.keys(schema)) {
    if (!TYPED.has(keyword) && !UNTYPED.has(keyword)) throw new Error(`JSON Schema keyword ${keyword} is not known`);
  }
  const name = referenced(schema);
  if (name !== null) return name;
  if ("const" in schema) return JSON.stringify(schema["const"]);
  if (Array.isArray(schema["enum"])) return union(schema["enum"].map((value) => JSON.stringify(value)));
  const choices = schema["anyOf"] ?? schema["oneOf"];
  if (Array.isArray(choices)) return union(choices.map(typeOf));
  const types = Array.isArray(schema["type"]) ? schema["type"].map(String) : [schema["type"]];
  return union(types.map((type) => ofType(type, schema)));
}

function ofType(type: unknown, schema: JsonSchema): string {
  switch (type) {
    case "string":
    case "boolean":
    case "null":
      return type;
    case "integer":
    case "number":
      return "number";
    case "array":
      return `readonly ${parenthesised(typeOf(schema["items"]))}[]`;
    case "object":
      return objectOf(schema);
    case undefined:
      return "unknown";
    default:
      throw new Error(`JSON Schema type ${JSON.stringify(type)} is not known`);
  }
}

function objectOf(schema: JsonSchema): string {
  const others = schema["additionalProperties"];
  const open = others !== undefined && others !== false;
  if (!isObject(schema["properties"])) return open ? `Readonly<Record<string, ${typeOf(others)}>>` : "object";
  return `{\n${members(schema)}${open ? `readonly [name: string]: ${typeOf(others)};\n` : ""}}`;
}

/** The members of an object's type, a line each, with what the schema says of them. */
export function members(schema: JsonSchema): string {
  const required = new Set(Array.isArray(schema["required"]) ? schema["required"].map(String) : []);
  const properties = isObject(schema["properties"]) ? Object.entries(schema["properties"]) : [];
  return properties
    .map(([name, member]) => {
      const key = /^[A-Za-z_]\w*$/.test(name) ? name : JSON.stringify(name);
      return `${comment(descriptionOf(member))}readonly ${key}${required.has(name) ? "" : "?"}: ${typeOf(member)};\n`;
    })
    .join("");
}

/** Its own description, or that of the one choice that is not null. */
function descriptionOf(schema: unknown): string {
  if (!isObject(schema)) return "";
  if (typeof schema["description"] === "string") return schema["description"];
  const choices = Array.isArray(schema["anyOf"]) ? schema["anyOf"].filter((one) => typeOf(one) !== "null") : [];
  return choices.length === 1 ? descriptionOf(choices[0]) : "";
}

/** A TSDoc comment, wrapped; nothing for no text. */
export function comment(text: string): string {
  if (text === "") return "";
  const lines: string[] = [];
  for (const [word] of text.replaceAll("*/", "*\\/").matchAll(/`[^`]*`\S*|\S+/g)) {
    const last = lines.at(-1);
    if (last === undefined || last.length + word.length > 100) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines.length === 1 ? `/** ${lines[0]} */\n` : `/**\n${lines.map((line) => ` * ${line}\n`).join("")} */\n`;
}

function union(types: readonly string[]): string {
  const distinct = [...new Set(types)];
  return distinct.includes("unknown") ? "unknown" : distinct.join(" | ");
}

function parenthesised(type: string): string {
  return /[ |]/.test(type) && !type.startsWith("{") ? `(${type})` : type;
}

/** Names of all components a schema refers to. */
export function referencesOf(schema: unknown): ReadonlySet<string> {
  const found = new Set<string>();
  const walk = (value: unknown): void => {
    if (Array.isArray(value)) value.forEach(walk);
    if (!isObject(value)) return;
    const name = referenced(value);
    if (name !== null) found.add(name);
    Object.values(value).forEach(walk);
  };
  walk(schema);
  return found;
}
