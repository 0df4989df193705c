import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { valueAt } from "./filter-guard.ts";
import { createFilterCompiler, FilterEvent, type CompiledFilter, type FilterSubject } from "./filter.ts";

const compiler = createFilterCompiler();

function compiled(source: string): CompiledFilter {
  const result = compiler.compile(source);
  if (result.kind === "invalid") throw new Error(`${source}: ${result.reason} at ${result.position}`);
  return result.filter;
}

function subject(data: unknown, event: Partial<ConstructorParameters<typeof FilterEvent>[0]> = {}): FilterSubject {
  const head = { type: "order.created", source: "/shop", subject: null, timeMs: 0, clientId: null, messageGroup: null };
  return { event: new FilterEvent({ ...head, ...event }), data, dataBytes: (JSON.stringify(data) ?? "").length };
}

describe("evaluation", () => {
  test.each([
    ["data.amount > 100", { amount: 150 }, "match"],
    ["data.amount > 100", { amount: 50 }, "noMatch"],
    ["data.amount > 100", {}, "fault"],
    ["data.amount > 100", { amount: "150" }, "fault"],
    ["has(data.amount) && data.amount > 100", {}, "noMatch"],
    ["data.kind in ['a', 'b']", { kind: "b" }, "match"],
    ["data.items.exists(i, i.sku.startsWith('x'))", { items: [{ sku: "abc" }, { sku: "xyz" }] }, "match"],
    ["data.items.all(i, i.tags.exists(t, t == 'new'))", { items: [{ tags: ["new"] }, { tags: [] }] }, "noMatch"],
    ["event.type == 'order.created' && event.source == '/shop'", null, "match"],
    ["event.subject == null", null, "match"],
    ["event.subject.startsWith('x')", null, "fault"],
    ["event.time < timestamp('2020-01-01T00:00:00Z')", null, "match"],
    ["data == null", null, "match"],
    ["data == 'plain text'", "plain text", "match"],
    ["data.sku.matches('^[a-z]+$')", { sku: "abc" }, "match"],
    ["data.flag", { flag: true }, "match"],
    ["data.flag", { flag: "yes" }, "fault"],
  ] as const)("%s on %j: %s", (source, data, kind) => {
    expect(compiled(source).evaluate(subject(data)).kind).toBe(kind);
  });

  test("a filter that looks only at the event does not need the data", () => {
    expect(compiled("event.type == 'a'").usesData).toBe(false);
    expect(compiled("event.type == 'a' || [1].exists(x, data.y == x)").usesData).toBe(true);
  });
});

describe("what is refused, and where", () => {
  test.each([
    ["", 0],
    ["data.x +", 8],
    ["data.x == 1 &&& data.y", 14],
    ["nothing == 1", 0],
    ["true && event.kind == 'x'", 14],
    ["'text'", 0],
    ["1 + 2", 0],
    ["data.items.map(i, i.x) == []", 0],
    ["data.s.matches('(a+)+$')", 15],
    ["data.s.matches(data.t)", 0],
    ["data.s.matches('(?=x)y')", 15],
    ["data.a.all(x, data.b.all(y, data.c.all(z, x == z)))", 42],
    ["x".repeat(4_097), 4_096],
    ["!".repeat(600) + "true", undefined],
  ])("%p", (source, position) => {
    const result = compiler.compile(source);
    expect(result.kind).toBe("invalid");
    if (position !== undefined) expect(result).toMatchObject({ position });
  });
});

describe("cost", () => {
  test("loops over parts of one element stay linear", () => {
    const { cost } = compiled("data.orders.all(o, o.lines.all(l, l.tags.all(t, t != '')))");
    expect(cost.quadratic).toBe(0);
  });

  test("loops over independent lists are quadratic", () => {
    expect(compiled("data.a.all(x, x in data.b)").cost.quadratic).toBeGreaterThan(0);
  });

  test("plain comparisons are constant", () => {
    expect(compiled("data.a == 'x' && data.b > 2 && event.type.startsWith('o')").cost).toEqual({
      linear: 0,
      quadratic: 0,
    });
  });

  test.each([
    ["data.a.exists(x, data.b.exists(y, x == -y - 1.0))", (n: number) => ({ a: list(n), b: list(n) })],
    ["data.a.exists(x, !(x in data.b))", (n: number) => ({ a: list(n), b: list(n) })],
    ["data.a.contains(data.b)", (n: number) => ({ a: "a".repeat(2 * n), b: `${"a".repeat(n)}b` })],
    ["data.a.matches('a*b')", (n: number) => ({ a: "a".repeat(2 * n) })],
  ])("a costly filter on large data is a fault, at once: %s", (source, make) => {
    const filter = compiled(source);
    const startedAtMs = performance.now();
    expect(filter.evaluate(subject(make(40_000)))).toEqual({ kind: "fault", reason: expect.stringContaining("large") });
    expect(performance.now() - startedAtMs).toBeLessThan(100);
    expect(filter.evaluate(subject(make(10))).kind).not.toBe("fault");
  });
});

function list(length: number): number[] {
  return Array.from({ length }, (_, n) => n);
}

describe("equality guard", () => {
  test.each([
    ["data.kind == 'a'", { path: ["data", "kind"], value: "a" }],
    ["5 == data.order.size && data.x > 1", { path: ["data", "order", "size"], value: 5 }],
    ["has(data.kind) && data.kind == true", { path: ["data", "kind"], value: true }],
    ["event.type == 'x'", { path: ["event", "type"], value: "x" }],
    ["data.kind == 'a' || data.kind == 'b'", null],
    ["data.list[0] == 'a'", null],
    ["data.kind != 'a'", null],
  ])("%s", (source, guard) => {
    expect(compiled(source).guard).toEqual(guard as never);
  });

  test("when the guard is certainly false the filter never matches and never faults", () => {
    const field = fc.constantFrom("a", "b", "c");
    const literal = fc.oneof(fc.integer({ min: -3, max: 3 }).map(String), fc.boolean().map(String), fc.constant("'t'"));
    const test = fc.oneof(
      fc.tuple(field, fc.constantFrom("==", "!=", "<", ">"), literal).map(([f, op, l]) => `data.${f} ${op} ${l}`),
      field.map((f) => `has(data.${f})`),
      fc.tuple(field, field).map(([f, g]) => `data.${f}.${g} == 't'`),
    );
    const source = fc.array(test, { minLength: 1, maxLength: 4 }).map((tests) => tests.join(" && "));
    const value = fc.oneof(
      fc.integer({ min: -3, max: 3 }),
      fc.boolean(),
      fc.constantFrom("t", "u", null),
      fc.record({ a: fc.constant("t") }),
    );
    const data = fc.record({ a: value, b: value, c: value }, { requiredKeys: [] });
    fc.assert(
      fc.property(source, data, (text, given) => {
        const result = compiler.compile(text);
        if (result.kind === "invalid" || result.filter.guard === null) return;
        const { filter } = result;
        const found = valueAt(subject(given), result.filter.guard.path);
        if (found === undefined || found === result.filter.guard.value) return;
        expect(filter.evaluate(subject(given)).kind).toBe("noMatch");
      }),
      { numRuns: 1_000 },
    );
  });
});
