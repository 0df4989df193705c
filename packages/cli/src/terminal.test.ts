import { expect, test } from "bun:test";
import { createTerminal, details, oneLine } from "./terminal.ts";

function setup(colour: boolean) {
  const printed: string[] = [];
  const terminal = createTerminal({ json: false, colour, out: (text) => printed.push(text), err: () => undefined });
  return { terminal, printed };
}

test("columns are as wide as their widest cell, and what is missing is a dash", () => {
  const { terminal } = setup(false);
  const rows = [
    ["a", null],
    ["longer", 5],
  ];
  expect(terminal.table(["ID", "COUNT"], rows)).toBe("ID      COUNT\na       -\nlonger  5");
  expect(terminal.table(["ID"], [])).toBe("none");
});

test("colours do not move columns", () => {
  const rows = [
    ["FAILED", "x"],
    ["COMPLETED", "y"],
  ];
  const coloured = setup(true).terminal.table(["STATUS", "B"], rows);
  expect(coloured).toContain("\u001b[31mFAILED\u001b[0m");
  expect(Bun.stripANSI(coloured)).toBe(setup(false).terminal.table(["STATUS", "B"], rows));
});

test("texts from elsewhere stay on their line and steer nothing", () => {
  expect(oneLine("a\nb\u001b[2J\u009b\u007f")).toBe("a\\u000ab\\u001b[2J\\u009b\\u007f");
  expect(details({ name: "x\ny", empty: {}, nothing: null, nested: { a: "\u009b" } })).toBe(
    'name    x\\u000ay\nnested  {"a":"\\u009b"}',
  );
});
