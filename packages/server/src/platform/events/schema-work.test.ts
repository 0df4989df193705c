import { describe, expect, test } from "bun:test";
import { systemClock } from "@flowcatalyst/foundation";
import { createSchemaCompiler, type SchemaCheck } from "./schema-gate.ts";

/** Schemas that ask for endless work, and honest ones that must not suffer from the measures against them. */

async function compiled(schema: unknown): Promise<SchemaCheck> {
  const result = await createSchemaCompiler(systemClock()).compile(JSON.stringify(schema));
  if (result.kind === "invalid") throw new Error(result.reason);
  return result.validate;
}

/** References that double at each level. */
function doubling(levels: number): object {
  const defs: Record<string, object> = { [`d${levels}`]: { type: "object" } };
  for (let level = 0; level < levels; level++) {
    const next = { $ref: `#/$defs/d${level + 1}` };
    defs[`d${level}`] = { allOf: [next, next] };
  }
  return { $ref: "#/$defs/d0", $defs: defs };
}

const manyConditions = { items: { allOf: Array.from({ length: 2_000 }, () => ({ type: "string" })) } };

describe("is cut off", () => {
  const bombs: readonly [string, unknown, unknown][] = [
    ["a pattern that backtracks", { pattern: "^(a+)+$" }, `${"a".repeat(40)}!`],
    ["references that double", doubling(40), {}],
    ["a schema that is itself", { $ref: "#" }, {}],
    ["conditions times items", manyConditions, Array.from({ length: 100_000 }, () => 1)],
    [
      "lengths of a long text",
      { allOf: Array.from({ length: 3_000 }, () => ({ maxLength: 9 })) },
      "x".repeat(1_000_000),
    ],
  ];
  test.each(bombs)("%s", async (_name, schema, data) => {
    const check = await compiled(schema);
    expect(check(data).kind).toBe("tooMuchWork");
  });

  test("and short texts are still held to a pattern that was slow on a long one", async () => {
    const check = await compiled({ pattern: "^(a+)+$" });
    expect(check(`${"a".repeat(40)}!`)).toEqual({ kind: "tooMuchWork" });
    expect(check("a".repeat(12))).toEqual({ kind: "checked", errors: [] });
    expect(check("a".repeat(12) + "!")).toMatchObject({ kind: "checked", errors: [{ keyword: "pattern" }] });
  });
});

describe("is checked as ever", () => {
  test("a large list of things with patterns, lengths and choices", async () => {
    const check = await compiled({
      type: "array",
      uniqueItems: true,
      items: {
        type: "object",
        required: ["sku"],
        properties: {
          sku: { type: "string", pattern: "^[a-z0-9]+(?:-[a-z0-9]+)*$", minLength: 2, maxLength: 40 },
          kind: { enum: ["for(x){", "function validate1(){ errors++ }", 'a"b'] },
          price: { oneOf: [{ type: "number", minimum: 0 }, { type: "null" }] },
        },
        additionalProperties: false,
      },
    });
    const items = Array.from({ length: 15_000 }, (_, at) => ({ sku: `item-${at}`, kind: "for(x){", price: at }));
    expect(check(items)).toEqual({ kind: "checked", errors: [] });
    const faulty = check([{ sku: "A", kind: "errors++", price: -1, more: 1 }]);
    if (faulty.kind !== "checked") throw new Error(faulty.kind);
    const keywords = new Set(faulty.errors.map(({ keyword }) => keyword));
    expect([...keywords].toSorted()).toEqual(
      ["additionalProperties", "enum", "minLength", "minimum", "oneOf", "pattern", "type"].toSorted(),
    );
  });

  test("things are the same whatever the order of their members", async () => {
    const check = await compiled({ uniqueItems: true });
    expect(
      check([
        { a: 1, b: [1] },
        { b: [1], a: 1 },
      ]),
    ).toMatchObject({ errors: [{ keyword: "uniqueItems" }] });
    expect(check([{ a: 1 }, { a: "1" }, [1], ["1"], 1, "1", null, "null"])).toEqual({ kind: "checked", errors: [] });
  });

  test("several patterns of one schema are told apart", async () => {
    const check = await compiled({ properties: { a: { pattern: "^a$" }, b: { pattern: "^b$" } } });
    expect(check({ a: "a", b: "b" })).toEqual({ kind: "checked", errors: [] });
    expect(check({ a: "b", b: "b" })).toMatchObject({ errors: [{ instancePath: "/a" }] });
  });
});

test("an $id cannot become code", async () => {
  for (const schema of [{ $id: "*/throw 1/*" }, { $defs: { a: { $id: "x*/;throw 1" } } }]) {
    const result = await createSchemaCompiler(systemClock()).compile(JSON.stringify(schema));
    expect(result).toEqual({ kind: "invalid", reason: "$id must not contain */" });
  }
});
